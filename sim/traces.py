"""What a testbench wrote, as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .testbench import ANSWERS, SUMMARY, Record, Testbench

__all__ = ["Bits", "Recording", "Words", "read_record", "read_recording"]

#: Bits, most significant first in the last axis: 0, 1, or 2 where unknown.
Bits = NDArray[np.uint8]

_UNKNOWN = 2


def _digit_bits(base: int) -> NDArray[np.uint8]:
    """Bits of every character as a digit: an array of (256, digits of 4 or 1 bits)."""
    width = base.bit_length() - 1
    table = np.full((256, width), _UNKNOWN, np.uint8)
    for value in range(base):
        for text in (f"{value:x}", f"{value:X}"):
            table[ord(text)] = [value >> bit & 1 for bit in reversed(range(width))]
    return table


_TABLES = {True: _digit_bits(2), False: _digit_bits(16)}


def read_record(data: bytes, record: Record) -> dict[str, Bits]:
    """Fields of all lines, as arrays of (lines, width)."""
    characters = np.frombuffer(data, np.uint8)
    if len(characters) % record.length:
        raise ValueError(f"Trace must be lines of {record.length} characters, not {len(characters)} in all")
    lines = characters.reshape(-1, record.length)
    fields, start = {}, 0
    for name, width in record.fields:
        digits = record.digits(width)
        bits = _TABLES[record.binary][lines[:, start : start + digits]]
        bits = bits.reshape(len(lines), bits.shape[1] * bits.shape[2])
        fields[name] = bits[:, bits.shape[1] - width :]
        start += digits + 1
    return fields


def integers(bits: Bits, *, signed: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values of bits in the last axis, in two's complement if ``signed``; and whether all bits were known."""
    unknown = (bits == _UNKNOWN).any(axis=-1)
    ones = bits & 1
    values = -ones[..., 0].astype(np.int64) if signed else ones[..., 0].astype(np.int64)
    for bit in range(1, bits.shape[-1]):
        values = values * 2 + ones[..., bit]
    return values, ~unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class Words:
    """Words of one population, in the order in which they came. Neurons beyond the population's size are left out.

    Parameters
    ----------
    last, index : array, (words,)
        -1 where a bit was unknown.
    spikes : array of int8, (words, units)
        -1 where unknown.
    membranes : array of int64, (words, units)
    known : array of bool, (words, units)
        Whether every bit of a membrane was known.
    """

    last: NDArray[np.int64]
    index: NDArray[np.int64]
    spikes: NDArray[np.int8]
    membranes: NDArray[np.int64]
    known: NDArray[np.bool_]


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
    beats = read_record((folder / ANSWERS).read_bytes(), bench.answer_record)
    data, known = integers(beats["data"], signed=True)
    return Recording(
        words=tuple(_read_words(bench, index, folder) for index in range(len(bench.probes))),
        answer_cycle=integers(beats["cycle"], signed=False)[0],
        first_cycle=integers(beats["first"], signed=False)[0],
        answer_last=_checked(beats["last"]),
        answer_data=data,
        answer_known=known,
        cycles=int(cycles),
        accepted=int(accepted),
        answered=int(answered),
        timed_out=timed_out == "1",
        overflow=overflow == "1",
        unknown=unknown if unknown.strip("01") else "",
        unknown_cycle=int(unknown_cycle),
    )


def _checked(bits: Bits) -> NDArray[np.int64]:
    values, known = integers(bits, signed=False)
    return np.where(known, values, -1)


def _read_words(bench: Testbench, index: int, folder: Path) -> Words:
    probe = bench.probes[index]
    fields = read_record((folder / bench.trace_file(index)).read_bytes(), bench.trace_record(index))
    # The first neuron is in the lowest bits.
    spikes = fields["spikes"][:, ::-1].astype(np.int8)
    lanes = fields["membranes"].reshape(len(spikes), probe.units, probe.state.width)[:, ::-1]
    membranes, known = integers(lanes, signed=probe.state.signed)
    return Words(
        last=_checked(fields["last"]),
        index=_checked(fields["index"]),
        spikes=np.where(spikes == _UNKNOWN, np.int8(-1), spikes),
        membranes=membranes,
        known=known,
    )
