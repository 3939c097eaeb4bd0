# amaranth: UnusedElaboratable=no
from typing import Any

import pytest
from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume
from formal import Refuted, keeps, past, prove
from test_hw_address import GEOMETRIES, port_of

from hw.address import Addresser
from hw.delay import Delay
from hw.gate import Gate
from hw.layout import BeatLayout
from hw.serialiser import PlaceLayout, Serialiser
from quant.ranges import Range

LAYOUT = BeatLayout((3,), Range(-1, 1))  # address 3 is of no neuron
SMALL = BeatLayout((2,), Range(0, 1))
UNITS = 2


def stage(dut):
    """A module with a stage between two streams, of which the first keeps what it offers; and its inputs."""
    m = Module()
    m.submodules.dut = dut
    m.d.comb += Assume(keeps(m, dut.i))
    return m, [dut.i.payload, dut.i.valid, dut.o.ready]


@pytest.mark.parametrize("name", ["dense", "conv2d", "pooled", "identity"])
def test_an_addresser_keeps_what_it_offers(name):
    dut = Addresser(port_of(GEOMETRIES[name]))
    m, inputs = stage(dut)
    m.d.comb += Assert(keeps(m, dut.o))
    prove(m, inputs, steps=3)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_gate_keeps_what_it_offers(steps):
    dut = Gate(LAYOUT, steps=steps)
    m, inputs = stage(dut)
    m.d.comb += Assert(keeps(m, dut.o))
    prove(m, [*inputs, dut.stop], steps=4)


def gate_claim(dut, steps):
    """Every beat passes in its cycle, unchanged but for its end, or is one of those that are to be dropped."""
    m, inputs = stage(dut)
    beat, out = dut.i.payload, dut.o.payload
    rest, made = Signal(), Signal(range(max(1, steps)))
    strange = ~beat.tick & (beat.address == 3)
    waited = past(m, dut.o.valid & ~dut.o.ready)
    over = made == steps - 1 if steps else beat.last
    passed, taken = dut.o.valid & dut.o.ready, dut.i.valid & dut.i.ready
    if steps:
        m.d.comb += Assume(~beat.tick | beat.last)
    with m.If(rest & taken & beat.tick & beat.last):
        m.d.sync += rest.eq(0)
    with m.If(passed & out.tick):
        m.d.sync += made.eq(Mux(out.last, 0, made + 1))
        m.d.sync += rest.eq(out.last & ~beat.last)
    m.d.comb += [
        Assert(keeps(m, dut.o)),
        Assert(dut.o.valid == (dut.i.valid & ~rest & ~strange)),
        Assert(~dut.o.valid | (Cat(out.address, out.value, out.tick) == Cat(beat.address, beat.value, beat.tick))),
        Assert(waited | ~dut.o.valid | (out.last == (out.tick & (over | dut.stop)))),
        Assert(dut.finished == (passed & out.tick & out.last)),
        Assert(dut.dropped == (taken & strange & ~rest)),
    ]
    # A beat is taken when it passes; that of a made step is, with the last of them.
    together = dut.o.ready & (~beat.tick | out.last) if steps else dut.o.ready
    m.d.comb += Assert(~dut.i.valid | (dut.i.ready == Mux(rest | strange, 1, together)))
    return m, [*inputs, dut.stop]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_gate_passes_every_beat_or_drops_it_for_a_reason(steps):
    prove(*gate_claim(Gate(LAYOUT, steps=steps), steps), steps=14, always=False)


@pytest.mark.parametrize(("made", "meant"), [(0, 3), (2, 3), (4, 3)])
def test_a_gate_of_other_steps_is_refuted(made, meant):
    with pytest.raises(Refuted):
        prove(*gate_claim(Gate(LAYOUT, steps=made), meant), steps=8, always=False)


def delay_claim(dut):
    """Watches one beat, any: it comes out as it went in, behind those before it; what is there is offered, no more."""
    m, inputs = stage(dut)
    beat, out, foretold = dut.i.payload, dut.o.payload, dut.foretold
    if not foretold:
        m.d.comb += Assume(beat.tick | ~beat.last)
    begun, ready, waiting = Signal(), Signal(range(16)), Signal(range(16))
    taken, accepted = dut.o.valid & dut.o.ready, dut.i.valid & dut.i.ready
    stores = accepted & (beat.tick | ~beat.last)
    forgets = accepted & beat.tick & beat.last & (not foretold)
    m.d.sync += begun.eq(1)
    kept = Mux(forgets, 0, waiting)
    with m.If(~begun):
        m.d.sync += ready.eq(1)
    with m.Elif(stores & (beat.tick | foretold)):
        m.d.sync += [ready.eq(ready - taken + kept + 1), waiting.eq(0)]
    with m.Else():
        m.d.sync += [ready.eq(ready - taken), waiting.eq(kept + stores)]

    # The beat that is watched: how many are before it, and whether its step has ended.
    choose, watched, sure, ahead = Signal(), Signal(), Signal(), Signal(range(16))
    content = Cat(beat.address, beat.value, beat.tick)
    seen = Signal.like(content)
    with m.If(watched & taken):
        m.d.sync += [ahead.eq(ahead - 1), watched.eq(ahead != 0)]
    with m.If(watched & ~sure & stores & beat.tick):
        m.d.sync += [sure.eq(1), watched.eq(~forgets)]
    with m.If(~watched & choose & stores):
        m.d.sync += [watched.eq(1), sure.eq(beat.tick | foretold), seen.eq(content), ahead.eq(ready + kept - taken)]
    first = Signal(init=1)
    with m.If(taken):
        m.d.sync += first.eq(0)
    arrives = dut.o.valid & watched & (ahead == 0)
    m.d.comb += [
        Assert(keeps(m, dut.o)),
        Assert(dut.o.valid == (past(m, ready - taken) != 0)),
        Assert(dut.i.ready == (begun & (ready + waiting != dut.depth))),
        Assert(ready + waiting <= dut.depth),
        Assert(~(dut.o.valid & first) | out.tick),
        Assert(~arrives | (sure & (Cat(out.address, out.value, out.tick) == seen))),
    ]
    return m, [*inputs, choose]


@pytest.mark.parametrize("foretold", [False, True])
def test_a_delay_keeps_every_beat_and_its_order(foretold):
    prove(*delay_claim(Delay(SMALL, foretold=foretold)), steps=12, always=False)


@pytest.mark.parametrize("foretold", [False, True])
def test_a_delay_that_has_less_room_than_it_counts_is_refuted(foretold):
    dut = Delay(SMALL, foretold=foretold)
    room, dut.depth = dut.depth, 8
    m, inputs = delay_claim(dut)
    dut.depth = room
    with pytest.raises(Refuted):
        prove(m, inputs, steps=12, always=False)


def serialiser_claim(dut: Any, depth: int):
    """Watches one event or tick, any: it comes out once, as it is, behind those before it, and none else does."""
    m = Module()
    m.submodules.dut = dut
    out, fired = dut.o.payload, dut.fired
    taken = dut.o.valid & dut.o.ready
    says = sum(fired[lane] for lane in range(UNITS)) + dut.end
    pending, places, silence = Signal(range(32)), Signal(range(16), init=depth), Signal(range(8))
    m.d.comb += Assume(~dut.push | (places != 0))
    m.d.sync += [
        pending.eq(pending + Mux(dut.push, says, 0) - taken),
        places.eq(places - dut.push + dut.dropped + dut.released),
        silence.eq(Mux((pending != 0) & ~dut.o.valid, silence + 1, 0)),
    ]

    choose, watched, lane, ahead = Signal(), Signal(), Signal(range(UNITS + 1)), Signal(range(32))
    content = Cat(dut.place.low, Mux(lane == 1, 1, 0)[0], dut.place.high, dut.last)
    seen, is_tick = Signal.like(content), Signal()
    there = (
        Mux(lane == 0, fired[0], 0) | Mux(lane == 1, fired[1], 0) | Mux(lane == UNITS, dut.end, 0)
    )  # fmt: skip
    before = Mux(lane == 0, 0, Mux(lane == 1, fired[0], fired[0] + fired[1]))
    with m.If(watched & taken):
        m.d.sync += [ahead.eq(ahead - 1), watched.eq(ahead != 0)]
    with m.If(~watched & choose & dut.push & there):
        m.d.sync += [watched.eq(1), ahead.eq(pending - taken + before), seen.eq(content), is_tick.eq(lane == UNITS)]
    arrives = dut.o.valid & watched & (ahead == 0)
    m.d.comb += [
        Assert(keeps(m, dut.o)),
        Assert(~dut.o.valid | (pending != 0)),
        Assert(silence <= 4),
        Assert(dut.dropped == (dut.push & (says == 0))),
        Assert(places <= depth),
        Assert((pending != 0) | (places == depth)),
        Assert(~arrives | ((out.tick == is_tick) & (out.last == seen[-1]))),
        Assert(~arrives | is_tick | ((out.address == seen[:-1]) & (out.value == 1))),
    ]
    return m, [dut.push, dut.place, dut.fired, dut.end, dut.last, dut.o.ready, choose, lane]


def serialiser(depth):
    shape = (4, 1, 2)
    return Serialiser(shape=shape, units=UNITS, depth=depth, place=PlaceLayout.of(shape, UNITS), values=Range(0, 1))


@pytest.mark.parametrize("depth", [3, 4])
def test_a_serialiser_sends_every_event_once_and_in_order(depth):
    prove(*serialiser_claim(serialiser(depth), depth), steps=12, always=False)


def test_a_serialiser_whose_sender_counts_a_place_too_many_is_refuted():
    with pytest.raises(Refuted):
        prove(*serialiser_claim(serialiser(3), 4), steps=12, always=False)
