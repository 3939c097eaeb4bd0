"""Hardware against golden model: how much differs, and the first difference in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.result import Result

from .testbench import Probe, Testbench
from .traces import Field, Recording, Words, fill

__all__ = ["KINDS", "Comparison", "Traced", "compare", "place"]

#: What is compared of a neuron and step, in the order in which a difference is told: each may be the reason of the one
#: before it.
KINDS = ("spikes", "membranes", "currents")

_SINGULAR = {"spikes": "spike", "membranes": "membrane", "currents": "current"}

Place = tuple[int, int, int, int]
"""Sample, step, place of the population in the network's order, neuron: time order."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a recording differs from the golden result.

    Parameters
    ----------
    spikes, membranes, currents : int
        How many golden spikes, of either sign, membranes and currents were compared.
    spike_mismatches, membrane_mismatches, current_mismatches : int
        How many neurons, each step counted, have another spike, membrane or current; or none, because the word is
        missing.
    answer_mismatches : int
        Samples whose scores or answer differ.
    stream_mismatches : int
        Words that are missing, repeated or out of order, counted once for each stream; unknown control signals.
    first_difference : str
        In words; empty if there is none.
    """

    spikes: int
    membranes: int
    currents: int
    spike_mismatches: int
    membrane_mismatches: int
    current_mismatches: int
    answer_mismatches: int
    stream_mismatches: int
    first_difference: str

    @property
    def mismatches(self) -> int:
        """All of them."""
        neurons = self.spike_mismatches + self.membrane_mismatches + self.current_mismatches
        return neurons + self.answer_mismatches + self.stream_mismatches


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """Words of one population, put in their samples and steps.

    Parameters
    ----------
    present : array of bool, (B, T)
        Whether every word of the step came.
    values : mapping of str to Field
        By what the probe shows, ``(B, T, N)``; 0 where nothing came.
    extra : int
        Steps beyond the last.
    faults : tuple of (sample, step, str)
        What is wrong with the stream, in words.
    """

    present: NDArray[np.bool_]
    values: Mapping[str, Field]
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

    def spread(words: NDArray[Any]) -> NDArray[Any]:
        flat = words[: whole * probe.sweeps].reshape(whole, probe.sweeps * probe.units)
        target = np.zeros((samples, steps, probe.size), words.dtype)
        target[at] = flat[inside][:, probe.places]
        return target

    def spread_field(field: Field) -> Field:
        unknown = None if field.unknown is None else spread(field.unknown)
        return Field(values=spread(field.values), unknown=unknown)

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
        values={name: spread_field(field) for name, field in words.values.items()},
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


def compare(
    bench: Testbench, recording: Recording, golden: Result, *, decided: NDArray[np.int64] | None, start: int = 0
) -> Comparison:
    """Compare a recording with the golden result, which holds spikes, membranes and currents.

    Parameters
    ----------
    bench : Testbench
    recording : Recording
    golden : Result
    decided : array of int, (B,), optional
        Step in which a sample is decided: the design may stop after it. None: every step must come.
    start : int
        Number of the first sample, for the words.
    """
    return _Check(bench, recording, golden, decided, start).comparison


class _Check:
    def __init__(
        self,
        bench: Testbench,
        recording: Recording,
        golden: Result,
        decided: NDArray[np.int64] | None,
        start: int,
    ):
        self.bench, self.recording, self.golden, self.start = bench, recording, golden, start
        samples, steps = golden.spikes[bench.probes[0].name].shape[:2]
        least = np.full(samples, steps) if decided is None else np.minimum(decided + 1, steps)
        self.traced = [
            place(probe, fill(probe, words), samples=samples, steps=steps, least=least)
            for probe, words in zip(bench.probes, recording.words, strict=True)
        ]
        self.required = np.arange(steps) < least[:, np.newaxis]
        self.steps = steps

    def _expected(self, kind: str, order: int) -> NDArray[Any]:
        values: NDArray[Any] = getattr(self.golden, kind)[self.bench.probes[order].name]
        return values

    @cached_property
    def differs(self) -> dict[str, dict[int, NDArray[np.bool_]]]:
        """By kind and place of the population, (B, T, N), where a word came."""
        return {
            kind: {
                order: self._differs(kind, order)
                for order, probe in enumerate(self.bench.probes)
                if kind in probe.values
            }
            for kind in KINDS
        }

    def _differs(self, kind: str, order: int) -> NDArray[np.bool_]:
        traced = self.traced[order]
        field = traced.values[kind]
        differs = field.values != self._expected(kind, order)
        if field.unknown is not None:
            differs |= field.unknown
        differs &= traced.present[..., np.newaxis]
        return differs

    def _lost(self, kind: str) -> int:
        """Neurons of steps that did not come, or that should not have."""
        return sum(
            probe.size * (int((self.required & ~traced.present).sum()) + traced.extra)
            for probe, traced in zip(self.bench.probes, self.traced, strict=True)
            if kind in probe.values
        )

    def _compared(self, kind: str) -> int:
        return sum(
            self.bench.probes[order].size * int(self.traced[order].present.sum()) for order in self.differs[kind]
        )

    @property
    def comparison(self) -> Comparison:
        faults = self._faults()
        answers, answer_faults = self._answers()
        wrong = {
            kind: self._lost(kind) + sum(int(differs.sum()) for differs in parts.values())
            for kind, parts in self.differs.items()
        }
        return Comparison(
            spikes=sum(
                int(np.count_nonzero(self._expected("spikes", order)[traced.present]))
                for order, traced in enumerate(self.traced)
            ),
            membranes=self._compared("membranes"),
            currents=self._compared("currents"),
            spike_mismatches=wrong["spikes"],
            membrane_mismatches=wrong["membranes"],
            current_mismatches=wrong["currents"],
            answer_mismatches=answers,
            stream_mismatches=len(faults) + (1 if self.recording.unknown else 0),
            first_difference=self._first({**answer_faults, **faults}),
        )

    def _faults(self) -> dict[Place, str]:
        return {
            (sample, step, order, -1): f"{self._sample(sample)}, step {step}, population {probe.name!r}: {text}"
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
            faults[after] = f"{self._sample(int(sample))}, {what}"
        if extra > 0:
            faults[samples, 0, 0, 0] = f"{extra} output beats came after the last answer"
        return len(wrong) + max(0, extra), faults

    def _first(self, faults: Mapping[Place, str]) -> str:
        """The earliest of all, in words."""
        recording = self.recording
        if recording.unknown:
            names = [name for name, bit in zip(self.bench.control, recording.unknown, strict=True) if bit not in "01"]
            return f"signal {names[0]} is unknown (x) in cycle {recording.unknown_cycle}"
        found = {kind: _earliest(parts) for kind, parts in self.differs.items()}
        first = min((at for at in (*found.values(), min(faults, default=None)) if at is not None), default=None)
        if first is None:
            return ""
        if first in faults:
            return faults[first]
        # A wrong membrane shows itself in a spike of the same sample: that is the difference, the membrane its reason.
        same = {kind: _earliest(parts, first[0]) for kind, parts in self.differs.items()}
        (kind, at), *reasons = [(kind, at) for kind, at in same.items() if at is not None]
        what = "" if kind == "spikes" else f"{_SINGULAR[kind]} "
        text = f"{self._where(at)}: {what}{self._values(kind, at)}"
        return text + "".join(self._reason(reason, where, at[2]) for reason, where in reasons)

    def _reason(self, kind: str, where: Place, order: int) -> str:
        population = "" if where[2] == order else f"population {self._name(where)!r}, "
        values = f"{population}neuron {where[3]}: {self._values(kind, where)}"
        return f"; first {_SINGULAR[kind]} difference at step {where[1]} ({values})"

    def _name(self, where: Place) -> str:
        return self.bench.probes[where[2]].name

    def _sample(self, sample: int) -> str:
        return f"sample {self.start + sample}"

    def _where(self, where: Place) -> str:
        return f"{self._sample(where[0])}, step {where[1]}, population {self._name(where)!r}, neuron {where[3]}"

    def _values(self, kind: str, where: Place) -> str:
        at = where[0], where[1], where[3]
        field = self.traced[where[2]].values[kind]
        known = field.unknown is None or not field.unknown[at]
        return f"golden {self._expected(kind, where[2])[at]}, rtl {field.values[at] if known else 'x'}"


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


def _earliest(parts: Mapping[int, NDArray[np.bool_]], sample: int | None = None) -> Place | None:
    """First set element of parts (B, T, N), by place of the population, in time order; of one sample, or of all."""
    places: list[Place] = []
    for order, part in parts.items():
        if sample is None:
            begin, chosen = 0, part
        else:
            begin, chosen = sample, part[sample : sample + 1]
        flat = chosen.reshape(-1)
        first = int(flat.argmax())
        if flat[first]:
            number, step, neuron = (int(item) for item in np.unravel_index(first, chosen.shape))
            places.append((begin + number, step, order, neuron))
    return min(places, default=None)
