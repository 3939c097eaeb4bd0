from math import prod

import numpy as np
import pytest
from streams import Sink, Source, simulate
from test_hw_geometry import connection, geometry, walk
from whole import random_connection, random_shape

from hw.address import Addresser
from hw.layout import Fields
from hw.port import PortPlan
from quant.ranges import Range

NAMES = ("address", "value", "tick", "last")
TICK, LAST = ("tick", 0), ("tick", 1)
SMALL = Range(-3, 3)


def port_of(made, values=SMALL):
    return PortPlan(geometry=made, values=values, weight_bits=8)


def random_port(rng):
    source = random_shape(rng)
    made = random_connection(rng, "input", "a", source, binary=bool(rng.random() < 0.5))
    lanes = int(rng.integers(1, made.target_shape(source)[0] + 1))
    return port_of(geometry(made, source, lanes))


def run(port, sequence, *, stall=0.0):
    """Operations and ticks of events, ``(neuron, value)``, and ticks; and their cycles."""
    dut = Addresser(port)
    fields = Fields(port.geometry.source)
    beats = [
        (0, 0, 1, item[1]) if item[0] == "tick" else (int(fields.encode(np.array(item[0]))), item[1], 0, 0)
        for item in sequence
    ]
    source = Source(port=dut.i, payloads=[dict(zip(NAMES, beat, strict=True)) for beat in beats], stall=stall)
    sink = Sink(port=dut.o, count=len(expected(port, sequence)), stall=stall)
    simulate(dut, source.run, sink.run, progress=lambda: {"beats": source.sent, "operations": len(sink.received)})
    return [("tick", beat[5]) if beat[4] else beat[:4] for beat in sink.received], sink.cycles


def expected(port, sequence):
    """The walk of the geometry, event after event."""
    operations = []
    for item in sequence:
        if item[0] == "tick":
            operations.append(item)
        else:
            operations += [(*operation, item[1]) for operation in walk(port.geometry, item[0])]
    return operations


def random_sequence(rng, port, steps=6):
    size, sequence = prod(port.geometry.source), []
    for _ in range(steps):
        chosen = rng.permutation(size)[: rng.integers(0, min(size, 8) + 1)]
        sequence += [(int(neuron), int(rng.integers(-3, 4))) for neuron in chosen]
        sequence.append((TICK, LAST)[rng.integers(2)])
    return sequence


@pytest.mark.parametrize("seed", range(24))
def test_operations_are_the_walk_of_the_geometry(seed):
    rng = np.random.default_rng(seed)
    port = random_port(rng)
    sequence = random_sequence(rng, port)
    found, _ = run(port, sequence, stall=float(seed % 3) / 3)
    assert found == expected(port, sequence)


GEOMETRIES = {
    "dense": geometry(connection("dense", np.arange(21).reshape(7, 3)), (3,), 2),
    "dense to a map": geometry(connection("dense", np.ones((6, 3), int)), (3,), 2, target=(3, 2, 1)),
    "pooled": geometry(connection("dense", np.ones((5, 4), int), pool=(2, 3)), (2, 5, 3), 2),
    "conv2d": geometry(connection("conv2d", np.ones((5, 3, 3, 2), int), stride=(2, 1), padding=1), (3, 5, 6), 2),
    "groups": geometry(connection("conv2d", np.ones((6, 1, 2, 2), int), groups=3), (3, 3, 3), 4),
    "transposed": geometry(connection("conv_transpose2d", np.ones((2, 3, 3, 3), int), stride=2), (2, 2, 3), 2),
    "max_pool": geometry(connection("max_pool", 1, kernel=(3, 3), stride=(1, 2), padding=1), (3, 4, 4), 2),
    "identity": geometry(connection("identity", np.ones((3, 2, 2), int)), (3, 2, 2), 3),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_source_is_looked_up_and_no_cycle_is_lost(name):
    """All events of a step, then a tick: an operation in every cycle, from the second after the first beat on."""
    port = port_of(GEOMETRIES[name])
    size = prod(port.geometry.source)
    useful = [(neuron, 1 - 2 * (neuron % 2)) for neuron in range(size) if port.geometry.operations[neuron]]
    sequence = [*useful, TICK, *useful[::-1], TICK, LAST]
    found, cycles = run(port, sequence)
    assert found == expected(port, sequence)
    assert cycles == list(range(2, 2 + len(found)))


def test_events_of_no_use_cost_nothing_behind_one_that_takes_as_long():
    """Kernel 1, stride 3, three rows a place: two of three events reach nobody."""
    port = port_of(geometry(connection("conv2d", np.ones((3, 1, 1, 1), int), stride=(1, 3)), (1, 1, 7), 1))
    assert port.geometry.operations.tolist() == [3, 0, 0, 3, 0, 0, 3]
    sequence = [*((neuron, 1) for neuron in range(7)), TICK]
    found, cycles = run(port, sequence)
    assert found == expected(port, sequence)
    assert cycles == list(range(2, 12))


def test_events_of_no_use_pass_one_a_cycle():
    """Behind one row, three more of no use leave two cycles without an operation; the last of them nothing."""
    port = port_of(geometry(connection("conv2d", [[[[1]]]], stride=(1, 4)), (1, 1, 8), 1))
    found, cycles = run(port, [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), TICK, (5, 1), TICK])
    assert found == [(0, 0, 0, 1), (1, 0, 0, 1), TICK, TICK]
    assert cycles == [2, 6, 7, 9]


def test_beats_wait_behind_the_operations_of_an_event():
    """While an operation is not taken, two beats are inside and no third."""
    port = port_of(GEOMETRIES["dense"])
    dut = Addresser(port)
    seen = []

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, {"address": 2, "value": 1, "tick": 0, "last": 0})
        for _ in range(6):
            *_, ready, valid = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            seen.append((ready, valid))
        ctx.set(dut.o.ready, 1)
        for _ in range(6):
            *_, ready, valid = await ctx.tick().sample(dut.i.ready, dut.o.valid)
            seen.append((ready, valid))

    simulate(dut, bench)
    assert seen[:6] == [(1, 0), (1, 0), (0, 1), (0, 1), (0, 1), (0, 1)]
    # Four rows an event: the next beat is taken with the last of them.
    assert seen[6:] == [(0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1)]


def test_values_go_with_every_row():
    port = port_of(GEOMETRIES["dense"], Range(-2, 5))
    found, _ = run(port, [(0, -2), (2, 5)])
    assert [value for *_, value in found] == [-2] * 4 + [5] * 4
