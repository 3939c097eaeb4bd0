# amaranth: UnusedElaboratable=no
"""One core in Amaranth's simulator, and the beats that it must send."""

from math import prod

import numpy as np
from neurons import Case, equation
from streams import Sink, Source, simulate

from hw.core import Core
from hw.layout import Fields
from hw.plan import plan_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.ops import apply

__all__ = [
    "LAST",
    "TICK",
    "beats",
    "check",
    "core_of",
    "dense",
    "expected",
    "known",
    "payloads",
    "plan",
    "population",
    "random_samples",
    "run",
    "two_ports",
]

NAMES = ("address", "value", "tick", "last")
TICK, LAST = (0, 0, 1, 0), (0, 0, 1, 1)


def population(name, shape, **fields):
    fields = {"threshold": 6, "state_min": -20, "state_max": 20, "decay": Decay(numerator=3, shift=2), **fields}
    return Population(name=name, shape=shape, **fields)


def dense(source, target, *, seed=0, bits=4, delay=0):
    """Random weights between two populations or, of the input, its ``(name, size)``."""
    weights = np.random.default_rng(seed).integers(-(1 << bits - 1), 1 << bits - 1, (target[1], source[1]))
    return Connection(source=source[0], target=target[0], kind="dense", weights=weights, weight_bits=bits, delay=delay)


def core_of(populations, connections, port, *, name="a", lanes=None, readout=None, steps=4, overlap=True):
    network = Network(
        name="core",
        steps=steps,
        input=port,
        populations=populations,
        connections=connections,
        readout=readout or Readout(population="a"),
    )
    return next(core for core in plan_network(network, lanes=lanes, overlap=overlap).cores if core.name == name)


def plan(neurons=9, inputs=5, *, lanes=None, kind="events", low=0, high=1, bits=4, overlap=True, **fields):
    """A core of one dense connection from the input."""
    port = Input(shape=(inputs,), kind=kind, low=low, high=high)
    connection = dense(("input", inputs), ("a", neurons), bits=bits)
    return core_of((population("a", (neurons,), **fields),), (connection,), port, lanes=lanes, overlap=overlap)


def two_ports(*, kind="events", high=1, delay=0, neurons=9, lanes=None, recurrent=False, overlap=True, **fields):
    """A core that hears the input, a population of four and, perhaps, itself, one step later."""
    x, a = population("x", (4,)), population("a", (neurons,), **fields)
    port = Input(shape=(5,), kind=kind, high=high)
    sources = [("input", 5), ("x", 4)] + [("a", neurons)] * recurrent
    into = [
        dense(source, ("a", neurons), seed=number, delay=max(delay * (source[0] == "x"), int(source[0] == "a")))
        for number, source in enumerate(sources)
    ]
    return core_of((x, a), (dense(("input", 5), ("x", 4)), *into), port, lanes=lanes, overlap=overlap)


def expected(core, samples):
    """Beats that a core sends for samples, each the values of every port by step: the equation, neuron by neuron."""
    neurons, sent = core.population, []
    order = [int(number) for number in core.word_tiling.neurons.ravel() if number >= 0]
    addresses = Fields(core.shape).encode(np.arange(neurons.size))
    initial = [int(value) for value in neurons.per_neuron(neurons.initial)]
    for sample in samples:
        drives = sum(
            apply(port.connection, port.geometry.source, values)
            for port, values in zip(core.ports, sample, strict=True)
        )
        if core.at_end:
            drives = drives.sum(axis=0, keepdims=True)
        states, currents, latches = initial, [0] * neurons.size, [0] * neurons.size
        for step, drive in enumerate(drives):
            last = int(step == len(drives) - 1)
            cases = [
                Case(neuron=n, state=states[n], current=currents[n], drive=int(drive[n]), latched=latches[n])
                for n in range(neurons.size)
            ]
            found = [equation(neurons, case, shows=core.shows) for case in cases]
            states, currents, latches = ([getattr(f, name) for f in found] for name in ("state", "current", "latched"))
            sent += [(int(addresses[n]), found[n].value, 0, last) for n in order if found[n].fired]
            sent.append((0, 0, 1, last))
    return sent


def beats(port, samples, *, seed=1):
    """Events of every step in any order, then ticks; of a port that is held, those of the first step alone."""
    rng, sent = np.random.default_rng(seed), []
    addresses = Fields(port.geometry.source).encode(np.arange(prod(port.geometry.source)))
    for sample in samples:
        for step, values in enumerate(sample):
            last = int(step == len(sample) - 1)
            heard = values if step == 0 or not port.held else 0 * values
            sent += [
                (int(addresses[neuron]), int(values[neuron]), 0, 0) for neuron in rng.permutation(np.flatnonzero(heard))
            ]
            # Of the step before, nobody knows which is the last.
            sent.append((0, 0, 1, int(rng.integers(2)) if port.delayed else last))
    return sent


def payloads(sequence):
    return [dict(zip(NAMES, beat, strict=True)) for beat in sequence]


def known(received):
    """Beats without what means nothing: address and value of a tick."""
    return [(0, 0, *beat[2:]) if beat[2] else beat for beat in received]


def run(core, sequences, count, *, stall=0.0, pace=None, cycles=20_000):
    """What a core sends for a sequence of beats into every port, and in which cycles."""
    dut = Core(core, pace=None if pace is None else pace[0])
    ports = [getattr(dut, f"i{index}") for index in range(len(core.ports))]
    stalls = [stall * 1.5 / (1 + index) for index in range(len(ports) + 1)]
    sequences = list(sequences)
    if pace is not None:
        ports.append(dut.pace)
        sequences.append(pace[1])
    sources = [
        Source(port=port, payloads=payloads(sequence), stall=stalls[index], seed=index)
        for index, (port, sequence) in enumerate(zip(ports, sequences, strict=True))
    ]
    sink = Sink(port=dut.o, count=count, stall=stall, seed=9, quiet=40)
    simulate(
        dut,
        *[source.run for source in sources],
        sink.run,
        progress=lambda: {"beats": [source.sent for source in sources], "events": len(sink.received)},
        cycles=cycles,
    )
    return known(sink.received), sink.cycles


def check(core, samples, *, stall=0.0, pace=None):
    """The core sends what the equation says."""
    sent = expected(core, samples)
    by_port = [[sample[index] for sample in samples] for index in range(len(core.ports))]
    sequences = [beats(port, values) for port, values in zip(core.ports, by_port, strict=True)]
    received, _ = run(core, sequences, len(sent), stall=stall, pace=pace)
    assert received == sent
    return sent


def random_samples(rng, core, *, count=3, steps=4):
    """Values of every port, by step; the same in every step of a port that is held, none in the first of a delayed."""
    samples = []
    for _ in range(count):
        sample = []
        for port in core.ports:
            values = rng.integers(port.values.low, port.values.high + 1, (steps, prod(port.geometry.source)))
            values *= rng.random(values.shape) < rng.random((steps, 1))
            if port.held:
                values[:] = values[0]
            if port.delayed:
                values[0] = 0
            sample.append(values)
        samples.append(sample)
    return samples
