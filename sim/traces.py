"""What a testbench wrote, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.ranges import Range

from .testbench import ANSWERS, SUMMARY, Probe, Record, Testbench

__all__ = ["Field", "Lines", "Recording", "Words", "fill", "read_recording"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """Values of a field.

    Parameters
    ----------
    values : array of integers
    unknown : array of bool, or None
        Where a bit was unknown, and the value means nothing; None if there is no such place.
    """

    values: NDArray[Any]
    unknown: NDArray[np.bool_] | None = None

    def marked(self) -> NDArray[np.int64]:
        """Values, not negative; -1 where unknown."""
        values = self.values.astype(np.int64)
        return values if self.unknown is None else np.where(self.unknown, -1, values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """Numbers of a file, in words of 64 bits, the lowest first.

    Parameters
    ----------
    record : Record
    ones, unknown : array of uint64, (lines, words)
        Bits that are 1, and bits that are x or z; the latter None in a file of hexadecimal digits.
    """

    record: Record
    ones: NDArray[np.uint64]
    unknown: NDArray[np.uint64] | None

    @classmethod
    def read(cls, text: bytes, record: Record) -> "Lines":
        """Numbers of a text.

        Raises
        ------
        ValueError
            If the text is not made of such lines.
        """
        if len(text) % record.length:
            raise ValueError(f"Trace must be lines of {record.length} characters, not {len(text)} in all")
        if not record.binary:
            numbers = np.frombuffer(bytes.fromhex(text.decode("ascii")), np.uint8)
            return cls(record=record, ones=_words(numbers.reshape(-1, record.bytes)), unknown=None)
        digits = np.frombuffer(text, np.uint8).reshape(-1, record.length)[:, :-1]
        ones = digits == ord("1")
        unknown = ~ones & (digits != ord("0"))
        return cls(record=record, ones=_words(np.packbits(ones, axis=1)), unknown=_words(np.packbits(unknown, axis=1)))

    def field(self, name: str) -> Field:
        """A field of all lines, not negative."""
        low, width = self.record.place(name)
        unknown = None if self.unknown is None else _bits(self.unknown, low, width) != 0
        return Field(values=_bits(self.ones, low, width), unknown=unknown)

    def lanes(self, name: str, lanes: int, values: Range) -> Field:
        """A field of as many numbers of a range, the first in the lowest bits: ``(lines, lanes)``."""
        low, _ = self.record.place(name)
        width = values.width
        dtype = np.int8 if width < 8 else np.int32 if width < 32 else np.int64
        made = np.empty((len(self.ones), lanes), dtype)
        unknown = None if self.unknown is None else np.empty(made.shape, bool)
        for lane in range(lanes):
            bits = _bits(self.ones, low + lane * width, width).view(np.int64)
            made[:, lane] = bits - ((bits >> (width - 1)) << width) if values.signed else bits
            if unknown is not None:
                unknown[:, lane] = _bits(self.unknown, low + lane * width, width) != 0
        return Field(values=made, unknown=unknown)


def _words(numbers: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Words of 64 bits, the lowest first, of bytes with the highest first."""
    lines, size = numbers.shape
    words = np.zeros((lines, -(-size // 8) * 8), np.uint8)
    words[:, :size] = numbers[:, ::-1]
    return words.view("<u8").astype(np.uint64, copy=False)


def _bits(words: Any, low: int, width: int) -> NDArray[np.uint64]:
    """Bits of each line, ``width`` of them from ``low`` on; at most 64."""
    word, shift = divmod(low, 64)
    bits = words[:, word] >> np.uint64(shift)
    if shift + width > 64:
        bits |= words[:, word + 1] << np.uint64(64 - shift)
    masked: NDArray[np.uint64] = bits & np.uint64((1 << width) - 1)
    return masked


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """Words of one population, in the order in which they came.

    Parameters
    ----------
    last, index : array of int64, (words,)
        -1 where a bit was unknown.
    values : mapping of str to Field
        By what a probe shows, ``(words, lanes)``.
    """

    last: NDArray[np.int64]
    index: NDArray[np.int64]
    values: Mapping[str, Field]


def fill(probe: Probe, words: Words) -> Words:
    """Words with those that the hardware left out: no spike, and the membranes and currents of the step before.

    A step is over with its last word. Words from the first step that is not whole, or out of order, are as they came.
    """
    initial = probe.initial
    if initial is None:
        return words
    ends = words.index == probe.sweeps - 1
    before = np.concatenate([[-1], np.where(ends, -1, words.index)[:-1]])
    wrong = np.flatnonzero(words.index <= before)
    final = np.flatnonzero(ends[: wrong[0] if len(wrong) else len(ends)])
    good = int(final[-1]) + 1 if len(final) else 0

    # The line that tells of each word, or of the last step in which it came; none since its sample began: -1.
    step = np.cumsum(ends[:good]) - ends[:good]
    came = np.full((len(final), probe.sweeps), -1)
    came[step, words.index[:good]] = np.arange(good)
    over = words.last[final] == 1
    begin = np.concatenate([[0], final + 1])[
        np.maximum.accumulate(np.where(np.roll(over, 1), np.arange(len(final)), 0))
    ]
    line = np.maximum.accumulate(came, axis=0)
    line = np.where(line < begin[:, np.newaxis], -1, line).reshape(-1)

    def filled(name: str, field: Field) -> Field:
        lines = came.reshape(-1) if name == "spikes" else line
        start = np.tile(initial if name == "membranes" else np.zeros_like(initial), (len(final), 1))
        there = (lines >= 0)[:, np.newaxis]
        values = np.where(there, field.values[lines], start).astype(field.values.dtype)
        unknown = None
        if field.unknown is not None:
            unknown = np.concatenate([field.unknown[lines] & there, field.unknown[good:]])
        return Field(values=np.concatenate([values, field.values[good:]]), unknown=unknown)

    return Words(
        last=np.concatenate([np.repeat(words.last[final], probe.sweeps), words.last[good:]]),
        index=np.concatenate([np.tile(np.arange(probe.sweeps), len(final)), words.index[good:]]),
        values={name: filled(name, field) for name, field in words.values.items()},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What a run left behind.

    Parameters
    ----------
    words : tuple of Words
        By probe.
    answer_cycle, first_cycle : array of int64, (beats,)
        Cycle of each output beat, and that of the first input beat of its sample.
    answer_last : array, (beats,)
    answer_data : array of int64, (beats,)
    answer_known : array of bool, (beats,)
    cycles, accepted, answered : int
        Cycles of the run, input beats taken, samples answered.
    timed_out, overflow : bool
        Nothing moved for too long; more came out than there should be.
    unknown : str
        Control signals, one digit each, where one of them was unknown; else empty.
    unknown_cycle : int
    """

    words: tuple[Words, ...]
    answer_cycle: NDArray[np.int64]
    first_cycle: NDArray[np.int64]
    answer_last: NDArray[np.int64]
    answer_data: NDArray[np.int64]
    answer_known: NDArray[np.bool_]
    cycles: int
    accepted: int
    answered: int
    timed_out: bool
    overflow: bool
    unknown: str
    unknown_cycle: int


def read_recording(bench: Testbench, folder: Path) -> Recording:
    """Read what a finished run left in ``folder``."""
    cycles, accepted, answered, timed_out, overflow, unknown, unknown_cycle, *_ = (folder / SUMMARY).read_text().split()
    beats = Lines.read((folder / ANSWERS).read_bytes(), bench.answer_record)
    half = 1 << (bench.answer_width - 1)
    data = beats.lanes("data", 1, Range(-half, half - 1))
    known = np.ones(len(data.values), bool) if data.unknown is None else ~data.unknown[:, 0]
    return Recording(
        words=tuple(_read_words(bench, index, folder) for index in range(len(bench.probes))),
        answer_cycle=beats.field("cycle").marked(),
        first_cycle=beats.field("first").marked(),
        answer_last=beats.field("last").marked(),
        answer_data=data.values[:, 0].astype(np.int64),
        answer_known=known,
        cycles=int(cycles),
        accepted=int(accepted),
        answered=int(answered),
        timed_out=timed_out == "1",
        overflow=overflow == "1",
        unknown=unknown if unknown.strip("01") else "",
        unknown_cycle=int(unknown_cycle),
    )


def _read_words(bench: Testbench, index: int, folder: Path) -> Words:
    probe = bench.probes[index]
    lines = Lines.read((folder / bench.trace_file(index)).read_bytes(), bench.trace_record(index))
    return Words(
        last=lines.field("last").marked(),
        index=lines.field("index").marked(),
        values={name: lines.lanes(name, probe.units, values) for name, values in probe.values.items()},
    )
