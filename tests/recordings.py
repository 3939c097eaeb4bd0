"""A recording as a right design makes it, and the ways to spoil it."""

from dataclasses import replace

import numpy as np

from quant.ranges import Range
from quant.result import Result
from sim.compare import compare
from sim.testbench import Probe, Testbench
from sim.traces import Field, Recording, Words

__all__ = [
    "ALL_SPIKES",
    "BENCH",
    "CURRENTS",
    "MEMBRANES",
    "SAMPLES",
    "SCORES",
    "SPIKES",
    "STEPS",
    "check",
    "counts",
    "edit",
    "lane",
    "membrane",
    "put",
    "recording",
    "spike",
    "word",
]

SAMPLES, STEPS = 3, 4
BENCH = Testbench(
    module="m",
    data_width=8,
    answer_width=8,
    classes=2,
    binary=True,
    cores=2,
    probes=(
        Probe(
            name="hidden",
            neurons=np.array([[2, 0], [-1, 1]]),
            values={"spikes": Range(-1, 1), "membranes": Range(-8, 7), "currents": Range(-4, 3)},
            index_width=1,
        ),
        Probe(
            name="out",
            neurons=np.array([[0, 1]]),
            values={"spikes": Range(0, 1), "membranes": Range(-8, 7)},
            index_width=0,
        ),
    ),
)
rng = np.random.default_rng(0)


def drawn(kind):
    return {
        probe.name: rng.integers(probe.values[kind].low, probe.values[kind].high + 1, (SAMPLES, STEPS, probe.size))
        for probe in BENCH.probes
        if kind in probe.values
    }


SPIKES = {name: values.astype(np.int8) for name, values in drawn("spikes").items()}
MEMBRANES, CURRENTS = drawn("membranes"), drawn("currents")
SCORES = SPIKES["out"].sum(axis=1).astype(np.int64)
GOLDEN = Result(
    answers=SCORES.argmax(axis=1),
    scores=SCORES,
    counts={},
    totals={},
    spikes=SPIKES,
    membranes=MEMBRANES,
    currents=CURRENTS,
)
ALL_SPIKES = sum(int(np.abs(spikes).sum()) for spikes in SPIKES.values())


def words(probe, steps=(STEPS,) * SAMPLES):
    """What the hardware must send; of sample s the first ``steps[s]`` steps. Lanes without a neuron send anything."""
    values = {}
    for kind in probe.values:
        golden = getattr(GOLDEN, kind)[probe.name]
        sent = np.concatenate([golden[sample, :count] for sample, count in enumerate(steps)])
        lanes = np.where(probe.neurons < 0, 1, sent[:, probe.neurons]).reshape(-1, probe.units)
        values[kind] = Field(values=lanes, unknown=np.zeros(lanes.shape, bool))
    last = np.concatenate([np.arange(count) == count - 1 for count in steps])
    return Words(
        last=np.repeat(last, probe.sweeps).astype(np.int64),
        index=np.arange(len(last) * probe.sweeps) % probe.sweeps,
        values=values,
    )


def recording(**steps):
    answers = np.column_stack([SCORES, GOLDEN.answers]).reshape(-1)
    return Recording(
        words=tuple(words(probe, steps.get(probe.name, (STEPS,) * SAMPLES)) for probe in BENCH.probes),
        answer_cycle=np.arange(len(answers)),
        first_cycle=np.arange(len(answers)),
        answer_last=np.arange(len(answers)) % 3 // 2,
        answer_data=answers,
        answer_known=np.ones(len(answers), bool),
        cycles=100,
        accepted=10,
        answered=SAMPLES,
        timed_out=False,
        overflow=False,
        unknown="",
        unknown_cycle=0,
    )


def check(seen, decided=None, start=0):
    return compare(BENCH, seen, GOLDEN, decided=decided, start=start)


def counts(result):
    """Mismatches of spikes, membranes, currents, answers and streams."""
    neurons = result.spike_mismatches, result.membrane_mismatches, result.current_mismatches
    return (*neurons, result.answer_mismatches, result.stream_mismatches)


def word(probe, sample, step, index=0):
    return (sample * STEPS + step) * BENCH.probes[probe].sweeps + index


def lane(probe, sample, step, neuron):
    """Where a neuron's values are among the words."""
    index, number = np.argwhere(BENCH.probes[probe].neurons == neuron)[0]
    return word(probe, sample, step, index), number


def put(seen, kind, probe, sample, step, neuron, value):
    seen.words[probe].values[kind].values[lane(probe, sample, step, neuron)] = value


def spike(seen, probe, sample, step, neuron):
    """Another spike; its value."""
    golden = SPIKES[BENCH.probes[probe].name][sample, step, neuron]
    put(seen, "spikes", probe, sample, step, neuron, 1 - abs(golden))
    return 1 - abs(golden)


def membrane(seen, probe, sample, step, neuron, value):
    put(seen, "membranes", probe, sample, step, neuron, value)


def edit(seen, probe, change):
    """``change`` applied to every array of a population's words."""
    words = seen.words[probe]
    values = {
        kind: Field(values=change(field.values), unknown=change(field.unknown)) for kind, field in words.values.items()
    }
    edited = Words(last=change(words.last), index=change(words.index), values=values)
    return replace(seen, words=tuple(edited if k == probe else w for k, w in enumerate(seen.words)))
