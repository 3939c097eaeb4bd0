"""Hardware against golden model: how much differs, and the first difference in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.result import Result

from .testbench import Probe, Testbench
from .traces import Recording, Words

__all__ = ["Comparison", "Traced", "compare", "place"]

_MISSING, _UNKNOWN = -2, -1

Place = tuple[int, int, int, int]
"""Sample, step, place of the population in the network's order, neuron: time order."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a recording differs from the golden result.

    Parameters
    ----------
    spikes, membranes : int
        How many golden spikes, and how many membranes, were compared.
    spike_mismatches, membrane_mismatches : int
        How many neurons, each step counted, have another spike or membrane; or none, because the word is missing.
    answer_mismatches : int
        Samples whose scores or answer differ.
    stream_mismatches : int
        Words that are missing, repeated or out of order, counted once for each stream; unknown control signals.
    first_difference : str
        In words; empty if there is none.
    """

    spikes: int
    membranes: int
    spike_mismatches: int
    membrane_mismatches: int
    answer_mismatches: int
    stream_mismatches: int
    first_difference: str

    @property
    def mismatches(self) -> int:
        """All of them."""
        return self.spike_mismatches + self.membrane_mismatches + self.answer_mismatches + self.stream_mismatches


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """Words of one population, put in their samples and steps.

    Parameters
    ----------
    present : array of bool, (B, T)
        Whether every word of the step came.
    spikes : array of int8, (B, T, N)
        -1 where unknown.
    membranes : array of int64, (B, T, N)
    known : array of bool, (B, T, N)
        Whether the membrane was known.
    extra : int
        Steps beyond the last.
    faults : tuple of (sample, step, str)
        What is wrong with the stream, in words.
    """

    present: NDArray[np.bool_]
    spikes: NDArray[np.int8]
    membranes: NDArray[np.int64]
    known: NDArray[np.bool_]
    extra: int
    faults: tuple[tuple[int, int, str], ...]


def place(probe: Probe, words: Words, *, samples: int, steps: int, least: NDArray[np.int64]) -> Traced:
    """Put the words of a population where they belong, by their order alone.

    Sample s must have at least ``least[s]`` and at most ``steps`` steps. Words from the first whose index is not the
    next one are left out.
    """
    expected = np.arange(len(words.index)) % probe.sweeps
    wrong = np.flatnonzero(words.index != expected)
    good = int(wrong[0]) if len(wrong) else len(expected)
    whole = good // probe.sweeps
    ends = words.last[: whole * probe.sweeps].reshape(whole, probe.sweeps)[:, -1] == 1
    sample = np.cumsum(ends) - ends
    begin = np.concatenate([[0], np.flatnonzero(ends) + 1])
    step = np.arange(whole) - begin[sample]
    inside = (sample < samples) & (step < steps)
    at = sample[inside], step[inside]

    def spread(values: NDArray[Any], fill: int) -> NDArray[Any]:
        flat = values[: whole * probe.sweeps].reshape(whole, probe.sweeps * probe.units)[:, : probe.size]
        target = np.full((samples, steps, probe.size), fill, values.dtype)
        target[at] = flat[inside]
        return target

    present = np.zeros((samples, steps), bool)
    present[at] = True
    done = int(ends.sum())
    if len(wrong):
        got = int(words.index[good])
        came = f"word {got}" if got >= 0 else "a word of unknown index"
        text = f"word {good % probe.sweeps} of {probe.sweeps} expected, {came} came"
        faults = [(done, whole - int(begin[done]), text)]
    else:
        faults = _length_faults(present, least, step, sample, done, inside)
    return Traced(
        present=present,
        spikes=spread(words.spikes, _MISSING),
        membranes=spread(words.membranes, 0),
        known=spread(words.known, 0),
        extra=int((~inside).sum()),
        faults=tuple(faults),
    )


def _length_faults(
    present: NDArray[np.bool_],
    least: NDArray[np.int64],
    step: NDArray[np.int64],
    sample: NDArray[np.int64],
    done: int,
    inside: NDArray[np.bool_],
) -> list[tuple[int, int, str]]:
    samples, steps = present.shape
    faults = []
    if not inside.all():
        first = int(np.argmin(inside))
        faults.append((int(sample[first]), int(step[first]), f"a step came after the {_last(sample[first], samples)}"))
    came = present.sum(axis=1)
    short = np.flatnonzero(came < least)
    if len(short):
        first = int(short[0])
        how = "the sample ended" if first < done else "no more words came"
        faults.append((first, int(came[first]), f"{how} after {came[first]} of {steps} steps"))
    elif done < samples:
        faults.append((done, int(came[done]), "the sample was not ended"))
    return faults


def _last(sample: int, samples: int) -> str:
    return "last step of the sample" if sample < samples else "last sample"


def compare(bench: Testbench, recording: Recording, golden: Result, *, decided: NDArray[np.int64] | None) -> Comparison:
    """Compare a recording with the golden result, which holds spikes and membranes.

    Parameters
    ----------
    bench : Testbench
    recording : Recording
    golden : Result
    decided : array of int, (B,), optional
        Step in which a sample is decided: the design may stop after it. None: every step must come.
    """
    return _Check(bench, recording, golden, decided).comparison


class _Check:
    def __init__(self, bench: Testbench, recording: Recording, golden: Result, decided: NDArray[np.int64] | None):
        self.bench, self.recording, self.golden = bench, recording, golden
        samples, steps = golden.spikes[bench.probes[0].name].shape[:2]
        least = np.full(samples, steps) if decided is None else np.minimum(decided + 1, steps)
        self.traced = [
            place(probe, words, samples=samples, steps=steps, least=least)
            for probe, words in zip(bench.probes, recording.words, strict=True)
        ]
        self.required = np.arange(steps) < least[:, np.newaxis]
        self.steps = steps

    @cached_property
    def spike_differs(self) -> list[NDArray[np.bool_]]:
        """By population, (B, T, N), where a word came."""
        return [
            traced.present[..., np.newaxis] & (traced.spikes != self.golden.spikes[probe.name])
            for probe, traced in zip(self.bench.probes, self.traced, strict=True)
        ]

    @cached_property
    def membrane_differs(self) -> list[NDArray[np.bool_]]:
        """By population, (B, T, N), where a word came."""
        return [
            traced.present[..., np.newaxis] & (~traced.known | (traced.membranes != self.golden.membranes[probe.name]))
            for probe, traced in zip(self.bench.probes, self.traced, strict=True)
        ]

    @property
    def comparison(self) -> Comparison:
        lost = sum(
            probe.size * (int((self.required & ~traced.present).sum()) + traced.extra)
            for probe, traced in zip(self.bench.probes, self.traced, strict=True)
        )
        pairs = list(zip(self.bench.probes, self.traced, strict=True))
        faults = self._faults()
        answers, answer_faults = self._answers()
        return Comparison(
            spikes=sum(int(np.abs(self.golden.spikes[probe.name][traced.present]).sum()) for probe, traced in pairs),
            membranes=sum(probe.size * int(traced.present.sum()) for probe, traced in pairs),
            spike_mismatches=lost + sum(int(differs.sum()) for differs in self.spike_differs),
            membrane_mismatches=lost + sum(int(differs.sum()) for differs in self.membrane_differs),
            answer_mismatches=answers,
            stream_mismatches=len(faults) + (1 if self.recording.unknown else 0),
            first_difference=self._first({**answer_faults, **faults}),
        )

    def _faults(self) -> dict[Place, str]:
        return {
            (sample, step, order, -1): f"sample {sample}, step {step}, population {probe.name!r}: {text}"
            for order, (probe, traced) in enumerate(zip(self.bench.probes, self.traced, strict=True))
            for sample, step, text in traced.faults
        }

    def _answers(self) -> tuple[int, dict[Place, str]]:
        """Samples whose output beats differ, and the first of them."""
        samples, words = len(self.golden.answers), self.bench.classes + 1
        expected = np.column_stack([self.golden.scores, self.golden.answers]).astype(np.int64)
        data, known, last = (np.zeros((samples, words), dtype) for dtype in (np.int64, bool, np.int64))
        came = min(len(self.recording.answer_data), samples * words)
        for target, source in (
            (data, self.recording.answer_data),
            (known, self.recording.answer_known),
            (last, self.recording.answer_last),
        ):
            target.reshape(-1)[:came] = source[:came]
        ends = np.arange(words) == words - 1
        wrong = np.flatnonzero(((data != expected) | ~known | (last != ends)).any(axis=1))
        extra = len(self.recording.answer_data) - samples * words
        faults = {}
        for sample in wrong[:1]:
            after = (int(sample), self.steps, len(self.bench.probes), 0)
            beats = max(0, min(words, came - int(sample) * words))
            what = _describe(expected[sample], data[sample], known[sample], last[sample], beats)
            faults[after] = f"sample {sample}, {what}"
        if extra > 0:
            faults[samples, 0, 0, 0] = f"{extra} output beats came after the last answer"
        return len(wrong) + max(0, extra), faults

    def _first(self, faults: Mapping[Place, str]) -> str:
        """The earliest of all, in words."""
        recording = self.recording
        if recording.unknown:
            names = [name for name, bit in zip(self.bench.control, recording.unknown, strict=True) if bit not in "01"]
            return f"signal {names[0]} is unknown (x) in cycle {recording.unknown_cycle}"
        spike, membrane = _earliest(self.spike_differs), _earliest(self.membrane_differs)
        places = [found for found in (spike, membrane, min(faults, default=None)) if found is not None]
        if not places:
            return ""
        first = min(places)
        if first in faults:
            return faults[first]
        # A wrong membrane shows itself in a spike of the same sample: that is the difference, the membrane its reason.
        same = [np.where(np.arange(len(part))[:, None, None] == first[0], part, False) for part in self.spike_differs]
        spike, membrane = _earliest(same), membrane if membrane and membrane[0] == first[0] else None
        if spike is None:
            assert membrane is not None
            return f"{self._where(membrane)}: membrane {self._membranes(membrane)}"
        text = f"{self._where(spike)}: {self._spikes(spike)}"
        if membrane is None:
            return text
        population = "" if membrane[2] == spike[2] else f"population {self._name(membrane)!r}, "
        reason = f"{population}neuron {membrane[3]}: {self._membranes(membrane)}"
        return f"{text}; first membrane difference at step {membrane[1]} ({reason})"

    def _name(self, where: Place) -> str:
        return self.bench.probes[where[2]].name

    def _where(self, where: Place) -> str:
        return f"sample {where[0]}, step {where[1]}, population {self._name(where)!r}, neuron {where[3]}"

    def _spikes(self, where: Place) -> str:
        at = where[0], where[1], where[3]
        rtl = int(self.traced[where[2]].spikes[at])
        return f"golden {self.golden.spikes[self._name(where)][at]}, rtl {'x' if rtl == _UNKNOWN else rtl}"

    def _membranes(self, where: Place) -> str:
        at = where[0], where[1], where[3]
        traced = self.traced[where[2]]
        rtl = traced.membranes[at] if traced.known[at] else "x"
        return f"golden {self.golden.membranes[self._name(where)][at]}, rtl {rtl}"


def _describe(
    expected: NDArray[np.int64], data: NDArray[np.int64], known: NDArray[Any], last: NDArray[Any], beats: int
) -> str:
    """What is wrong with the output beats of one sample."""
    if beats < len(expected):
        return f"{beats} of {len(expected)} output beats came"
    seen = [str(value) if ok else "x" for value, ok in zip(data, known, strict=True)]
    for index, value in enumerate(expected[:-1]):
        if seen[index] != str(value):
            return f"score of class {index}: golden {value}, rtl {seen[index]}"
    if seen[-1] != str(expected[-1]):
        return f"answer: golden {expected[-1]}, rtl {seen[-1]}"
    ends = (np.arange(len(last)) == len(last) - 1).astype(int)
    wrong = int(np.flatnonzero(last != ends)[0])
    return f"tlast of output beat {wrong}: expected {ends[wrong]}, rtl {last[wrong] if last[wrong] >= 0 else 'x'}"


def _earliest(parts: list[NDArray[np.bool_]]) -> Place | None:
    """First set element of parts (B, T, N), one a population, in time order."""
    places: list[Place] = []
    for order, part in enumerate(parts):
        flat = part.reshape(-1)
        first = int(flat.argmax())
        if flat[first]:
            sample, step, neuron = (int(item) for item in np.unravel_index(first, part.shape))
            places.append((sample, step, order, neuron))
    return min(places, default=None)
