"""Encoder: a sample's pixels become spikes, step by step."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from quant.graph import Shape
from quant.ports import Input
from quant.ranges import Range

from .arith import scale
from .layout import BeatLayout, Fields
from .plan import BINARY, MAX_UNITS
from .serialiser import PlaceLayout, Serialiser

__all__ = ["ENCODER_QUEUE", "Encoder", "PixelTiling"]

ENCODER_QUEUE = 6
"""Words that wait behind the encoder: few, so that it does not run far ahead of a decision."""

STATE_BITS = 16


@dataclass(frozen=True)
class PixelTiling:
    """Pixels in words, in C order: a word holds up to ``units`` pixels whose addresses follow each other.

    Parameters
    ----------
    shape : tuple of int
    """

    shape: Shape

    @cached_property
    def _rows(self) -> tuple[int, int, int]:
        """Pixels whose addresses follow each other, which is a row, or all rows that are a power of two; the rest."""
        length, rest = 1, list(Fields(self.shape).sizes)
        while rest and length & (length - 1) == 0:
            length *= rest.pop(0)
        rows, channels = [*rest, 1, 1][:2]
        return length, rows, channels

    @property
    def length(self) -> int:
        """Pixels of a row."""
        return self._rows[0]

    @property
    def units(self) -> int:
        """Lanes of a word: 4, 8 or 16, as many as leave the fewest unused at the end of a row; fewer of a tiny row."""
        if self.length < 3:
            return self.length
        return min((1 << bits for bits in range(2, MAX_UNITS.bit_length())), key=lambda u: (-self.length % u, -u))

    @property
    def lane_bits(self) -> int:
        """Bits of a pixel's address that say its lane: the lowest."""
        return (self.units - 1).bit_length()

    @property
    def blocks(self) -> int:
        """Words of a row."""
        return -(-self.length // self.units)

    @property
    def rest(self) -> int:
        """Pixels of a row's last word, if it is not full; else 0."""
        return self.length % self.units

    @property
    def fields(self) -> Fields:
        """Addresses of words: those of their pixels, without the lane."""
        _, rows, channels = self._rows
        return Fields((channels, rows, self.blocks))

    @property
    def words(self) -> int:
        """Words of the map: cycles of a step."""
        return prod(self.fields.sizes)

    @property
    def final(self) -> int:
        """Address of the last word."""
        return int(self.fields.encode(np.array(self.words - 1)))

    @cached_property
    def neurons(self) -> NDArray[np.int64]:
        """Pixel of every word and lane, ``(words, units)``, in C order; -1 where there is none."""
        rows = np.arange(prod(self.shape)).reshape(-1, self.length)
        padded = np.pad(rows, ((0, 0), (0, self.blocks * self.units - self.length)), constant_values=-1)
        return padded.reshape(self.words, self.units)


class Encoder(wiring.Component):
    """Keeps the pixels of a sample, and makes ``steps`` steps of spikes of them.

    The rule is that of :class:`quant.ports.Input`, kinds ``rate`` and ``latency``. Pixels lie in words,
    by :class:`PixelTiling`. A step goes through all ``words``, also those without a spike.

    *Cycles.* A pixel takes one cycle, and so does the tick. With the tick in cycle 0, the first word is issued in
    cycle 1, then one a cycle; a step follows the other without a pause. A word waits for

    * a free place in the queue of spikes. There are ``ENCODER_QUEUE``. A word claims one when it is issued, and reaches
      :class:`hw.serialiser.Serialiser` (``push``) 2 cycles later; a place that is ``dropped`` or ``released`` is free
      from the next cycle on;
    * the first of a sample, for the cycle after ``finished`` of the sample before.

    If a sample's last word is issued in cycle 0, the next sample's first pixel is taken in cycle 2. After a reset,
    all words are set: in cycles 0 to ``words - 1``; the first pixel is taken in cycle ``words + 1``.

    Parameters
    ----------
    port : Input
    steps : int
        Time steps of a sample.

    Members
    -------
    i : In(stream.Signature(BeatLayout(port.shape, Range(0, port.high))))
        The pixels of a sample that are not 0, in any order, then a tick.
        Addresses are of the map: :class:`hw.gate.Gate` drops others.
    o : Out(stream.Signature(BeatLayout(port.shape, Range(0, 1))))
        Spikes of a step in C order, then a tick. Those of the last step have ``last`` set, and its tick.
    stop : In(1)
        The sample is decided: a step whose first word is issued in this cycle is its last.
    finished : Out(1)
        The last tick of a sample has been taken from ``o`` in this cycle.
    """

    def __init__(self, port: Input, steps: int):
        self.port = port
        self.steps = steps
        self.layout = BeatLayout(port.shape, Range(0, port.high))
        self.tiling = PixelTiling(port.shape)
        super().__init__(
            {
                "i": In(stream.Signature(self.layout)),
                "o": Out(stream.Signature(BeatLayout(port.shape, BINARY))),
                "stop": In(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tiling = self.tiling
        beat = self.i.payload

        # Words of a step, and steps. After a reset a last step without spikes sets every word.
        running, cleaning = Signal(init=1), Signal(init=1)
        pending = Signal()
        places = Signal(range(ENCODER_QUEUE + 1), init=ENCODER_QUEUE)
        step = Signal(range(self.steps))
        place = Signal(tiling.fields.width)
        issue, end, last, over, decision = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            issue.eq(running & (cleaning | ((places != 0) & ~pending))),
            end.eq(place == tiling.final),
            last.eq(Mux(place == 0, cleaning | self.stop | (step == self.steps - 1), decision)),
            over.eq(issue & end & last),
        ]
        with m.If(issue):
            m.d.sync += [place.eq(tiling.fields.following(place)), decision.eq(last)]
            with m.If(end):
                m.d.sync += [place.eq(0), step.eq(step + 1)]
        with m.If(over):
            m.d.sync += [step.eq(0), running.eq(0), cleaning.eq(0), pending.eq(~cleaning)]

        # Pixels; the word of the cycle before, if it is of the last step, becomes 0.
        before = Signal(tiling.fields.width, reset_less=True)
        erase = Signal()
        m.d.sync += [before.eq(place), erase.eq(issue & last)]
        m.d.comb += self.i.ready.eq(~running & ~erase)
        with m.If(self.i.ready & self.i.valid & beat.tick):
            m.d.sync += running.eq(1)
        enter = self.i.ready & self.i.valid & ~beat.tick
        pixels = self._memory(m, place, before, erase, enter)

        # Rule.
        fired = Signal(tiling.units, reset_less=True)
        if self.port.kind == "rate":
            block, _, _ = tiling.fields.split(place)
            m.d.sync += fired.eq(self._above_numbers(m, pixels, block, issue, over))
        else:
            m.d.sync += fired.eq(self._in_their_step(m, pixels, step))

        # Spikes out, two cycles after the word's own.
        m.submodules.serialiser = serialiser = Serialiser(
            shape=self.port.shape,
            units=tiling.units,
            depth=ENCODER_QUEUE,
            place=PlaceLayout(low=0, high=self.layout.fields.width - tiling.lane_bits),
            values=BINARY,
        )
        claim = issue & ~cleaning
        for name, now in {"push": claim, "place": place, "end": end, "last": last}.items():
            first, second = (Signal(len(now), name=f"{name}_{stage}", reset_less=name != "push") for stage in (1, 2))
            m.d.sync += [first.eq(now), second.eq(first)]
            m.d.comb += (serialiser.place.high if name == "place" else getattr(serialiser, name)).eq(second)
        m.d.comb += serialiser.fired.eq(fired)
        m.d.sync += places.eq(places + serialiser.dropped + serialiser.released - claim)
        wiring.connect(m, **{"serialiser.o": serialiser.o, "encoder.o": wiring.flipped(self.o)})
        leaving = serialiser.o.payload
        m.d.comb += self.finished.eq(serialiser.o.valid & serialiser.o.ready & leaving.tick & leaving.last)
        with m.If(self.finished):
            m.d.sync += pending.eq(0)
        return m

    def _memory(self, m: Module, place: Signal, before: Signal, erase: Signal, enter: Value) -> list[Value]:
        """Memory that is written by lanes; pixels of the word ``place``, a cycle later."""
        tiling, bits, address = self.tiling, self.port.high.bit_length(), self.i.payload.address
        memory: Memory[Any, Any] = Memory(shape=tiling.units * bits, depth=max(2, tiling.final + 1), init=[])
        m.submodules.pixels = memory
        write, read = memory.write_port(granularity=bits), memory.read_port(domain="comb")
        word = Signal(tiling.units * bits, reset_less=True)
        m.d.comb += [
            read.addr.eq(place),
            write.addr.eq(Mux(erase, before, address[tiling.lane_bits :])),
            write.data.eq(Mux(erase, 0, self.i.payload.value.replicate(tiling.units))),
            write.en.eq(Mux(erase, ~0, enter << address[: tiling.lane_bits])),
        ]
        # What is read while it is written is not used; said here, so that it costs nothing: see hw.memory.
        with m.If(~(write.en.any() & (write.addr == read.addr))):
            m.d.sync += word.eq(read.data)
        return [word.word_select(lane, bits) for lane in range(tiling.units)]

    def _above_numbers(self, m: Module, pixels: list[Value], block: Value, issue: Signal, over: Signal) -> Value:
        """Pixels that are larger than their numbers, in the cycle after the word's own."""
        tiling, bits = self.tiling, len(pixels[0])
        state = Signal(STATE_BITS, reset_less=True)
        numbers = Signal(tiling.units * bits, reset_less=True)
        m.d.sync += numbers.eq(Cat(*(_leap(state, bits * (lane + 1))[:bits] for lane in range(tiling.units))))
        after = _leap(state, bits * tiling.units)
        if tiling.rest:
            partial = _leap(state, bits * tiling.rest)
            after = Mux(block == tiling.blocks - 1, partial, after) if tiling.blocks > 1 else partial
        with m.If(issue):
            m.d.sync += state.eq(Mux(over, self.port.seed, after))
        return Cat(*(pixel > numbers.word_select(lane, bits) for lane, pixel in enumerate(pixels)))

    def _in_their_step(self, m: Module, pixels: list[Value], step: Signal) -> Value:
        """Pixels whose step it is, in the cycle after the word's own."""
        bits = len(pixels[0])
        now = Signal.like(step, reset_less=True)
        m.d.sync += now.eq(step)
        fired = []
        for lane, pixel in enumerate(pixels):
            early = Signal(bits, name=f"early_{lane}")
            m.d.comb += early.eq(~pixel)
            when = Value.cast(scale(early, self.steps))[bits:]
            fired.append((pixel != 0) & (when[: len(now)] == now))
        return Cat(*fired)


def _leap(state: Signal, shifts: int) -> Value:
    """State of the register of :func:`quant.ports.lfsr_thresholds` after so many shifts."""
    # Every bit is the XOR of bits of the state: those of a mask.
    masks = [1 << bit for bit in range(STATE_BITS)]
    for _ in range(shifts):
        masks = [masks[15] ^ masks[14] ^ masks[12] ^ masks[3], *masks[:-1]]
    return Cat(*(Cat(*(state[bit] for bit in range(STATE_BITS) if mask >> bit & 1)).xor() for mask in masks))
