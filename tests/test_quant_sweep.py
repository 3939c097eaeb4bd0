from dataclasses import replace

import numpy as np
import pytest

from quant.calibrate import as_float
from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.measurement import Memory, float_accuracy, measure, memory_of
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.sweep import sweep
from sim import golden


def pair(*, second_order=False):
    """An input of 4 to 3 neurons to 2, whose weights are 3 and 5 bits wide."""
    fields = {"current_decay": Decay(numerator=0), "current_min": -4, "current_max": 3} if second_order else {}
    return Network(
        name="pair",
        steps=3,
        input=Input(shape=(4,)),
        populations=(
            Population(name="a", shape=(3,), threshold=1, decay=Decay(numerator=0), state_min=0, state_max=9, **fields),
            Population(name="b", shape=(2,), threshold=1, decay=Decay(numerator=0), state_min=-1, state_max=1),
        ),
        connections=(
            Connection(source="input", target="a", kind="dense", weights=np.eye(3, 4, dtype=int), weight_bits=3),
            Connection(source="a", target="b", kind="dense", weights=np.eye(2, 3, dtype=int), weight_bits=5),
        ),
        readout=Readout(population="b"),
    )


def test_memory_by_hand():
    assert memory_of(pair()) == Memory(weights=12 * 3 + 6 * 5, membranes=3 * 4 + 2 * 2)
    assert memory_of(pair(second_order=True)) == Memory(weights=66, membranes=3 * 4 + 2 * 2 + 3 * 3)


def test_measurement_by_hand():
    # Input i makes neuron i of a fire, and that neuron i of b; nothing hears input 3.
    inputs = np.zeros((2, 3, 4), int)
    inputs[0, 0, 1] = inputs[0, 1, 2] = inputs[0, 1, 3] = inputs[1, 2, 0] = 1
    seen = []
    found = measure(pair(), inputs, np.array([1, 1]), golden.run, progress=lambda *done: seen.append(done))
    assert found.samples == 2
    assert found.accuracy == 0.5
    assert found.input_events_per_sample == 2.0
    assert found.spikes_per_sample == (3 + 2) / 2
    assert found.sops_per_sample == (4 * 3 + 3 * 2) / 2
    assert found.useful_sops_per_sample == (3 + 2) / 2
    assert found.macs_per_sample == 0
    assert found.rates == {"a": 3 / (2 * 3 * 3), "b": 2 / (2 * 3 * 2)}
    assert seen == [(2, 2)]


def test_parts_of_the_samples_add_up(monkeypatch):
    inputs, labels = np.random.default_rng(0).integers(0, 2, (25, 3, 4)), np.arange(25) % 2
    whole = measure(pair(), inputs, labels, golden.run)
    monkeypatch.setattr("quant.measurement._MOST_SAMPLES", 7)
    monkeypatch.setattr("quant.measurement._FLOAT_BATCH", 7)
    assert measure(pair(), inputs, labels, golden.run) == whole
    assert float_accuracy(as_float(pair()), inputs, labels) == whole.accuracy


def task(seed=0):
    """Four inputs of which the largest is the class, through 12 hidden neurons; a fifth class never comes."""
    random = np.random.default_rng(seed)
    hidden = np.repeat(np.eye(4), 3, axis=0) + random.normal(0, 0.01, (12, 4))
    output = np.repeat(np.eye(5, 4), 3, axis=1) * random.uniform(0.5, 1.5, (5, 12)) + random.normal(0, 0.05, (5, 12))
    model = FloatNetwork(
        name="task",
        steps=8,
        input=FloatInput(shape=(4,), kind="current", high=15, lsb=1 / 15),
        populations=(
            FloatPopulation(name="hidden", shape=(12,), threshold=1.0, reset="subtract"),
            FloatPopulation(name="output", shape=(5,), threshold=2.0, reset="subtract"),
        ),
        connections=(
            Synapses(source="input", target="hidden", kind="dense", weights=hidden),
            Synapses(source="hidden", target="output", kind="dense", weights=output),
        ),
        readout=FloatReadout(population="output"),
        scales={"hidden": 5.0, "output": 5.0},
    )
    inputs = random.integers(0, 16, (200, 4))
    return model, inputs, inputs.argmax(axis=1)


@pytest.fixture(scope="module")
def found():
    model, inputs, labels = task()
    return sweep(model, inputs, labels, run=golden.run, calibration=inputs, bits=(8, 2, 4), within=0.02)


def test_every_width_is_tried_the_narrowest_first(found):
    assert [trial.widths["hidden"] for trial in found.uniform] == [2, 4, 8]
    assert [trial.memory.weights for trial in found.uniform] == [108 * 2, 108 * 4, 108 * 8]
    assert [trial.network.connections[0].weight_bits for trial in found.uniform] == [2, 4, 8]


def test_the_widths_chosen_lose_no_more_and_cannot_be_narrowed(found):
    assert found.met
    assert found.chosen.measurement.accuracy >= found.float_accuracy - 0.02
    assert found.chosen.memory.weights <= min(
        trial.memory.weights for trial in found.uniform if trial.measurement.accuracy >= found.float_accuracy - 0.02
    )


def test_scales_of_training_are_not_used(found):
    assert found.uniform[-1].measurement.accuracy > found.float_accuracy - 0.05
    assert (found.uniform[-1].network.connections[0].weights > 50).any()


class Scripted:
    """A runner whose answers are right as often as a function of the widths says."""

    def __init__(self, labels, share):
        self.labels, self.share = labels, share

    def __call__(self, network, inputs, *, record=()):
        result = golden.run(network, inputs, record=record)
        share = self.share(*(item.weight_bits for item in network.connections))
        right = np.arange(len(inputs)) < round(share * len(inputs))
        result.answers[:] = np.where(right, self.labels[: len(inputs)], -1)
        return result


def scripted(share, *, bits=(2, 3, 4, 8), within=0.02, monkeypatch):
    model, inputs, labels = task()
    monkeypatch.setattr("quant.sweep.float_accuracy", lambda *args, **options: 0.9)
    return sweep(model, inputs, labels, run=Scripted(labels, share), calibration=inputs, bits=bits, within=within)


@pytest.mark.parametrize(
    ("share", "widths", "met"),
    [
        # Each population needs a width of its own.
        (lambda hidden, output: 0.9 if hidden >= 3 and output >= 4 else 0.5, (3, 4), True),
        (lambda hidden, output: 0.9 if hidden >= 8 and output >= 2 else 0.5, (8, 2), True),
        # Exactly the loss that is allowed.
        (lambda hidden, output: 0.88, (2, 2), True),
        (lambda hidden, output: 0.88 if hidden + output >= 7 else 0.875, (4, 3), True),
        # Either of them at 2 bits would do, but not both: the output, which has more weights.
        (lambda hidden, output: 0.9 if hidden + output >= 10 else 0.5, (8, 2), True),
        # One width for all is better than what the search finds from the widest.
        (lambda hidden, output: 0.9 if hidden == output in (2, 8) else 0.5, (2, 2), True),
        # What fails ends the search for its population: a narrower width that does would do by chance.
        (lambda hidden, output: 0.9 if hidden != 3 and output >= 4 else 0.5, (4, 4), True),
        # Nothing does: the best is taken, of equals the narrowest.
        (lambda hidden, output: 0.7 if hidden >= 4 else 0.5, (4, 4), False),
    ],
)
def test_the_search_worked_by_hand(share, widths, met, monkeypatch):
    result = scripted(share, monkeypatch=monkeypatch)
    assert (tuple(result.chosen.widths.values()), result.met) == (widths, met)


def test_a_loss_of_exactly_what_is_allowed_is_allowed(monkeypatch):
    # In binary, 0.9 - 0.21 is more than 0.69.
    assert scripted(lambda hidden, output: 0.69, within=0.21, monkeypatch=monkeypatch).met


def test_ternary_weights_are_narrower_than_two_bits(monkeypatch):
    result = scripted(lambda hidden, output: 0.9, bits=(2, "ternary", 4), monkeypatch=monkeypatch)
    assert [trial.label for trial in result.uniform] == ["ternary", "2", "4"]


def test_silent_populations_are_named():
    model, inputs, labels = task()
    # Hidden neuron 0 never fires, and makes a grid on which the weights that matter are all 0.
    hidden, output = (np.array(item.weights) for item in model.connections)
    hidden[0], output[:, 0] = -1, 40
    connections = [replace(item, weights=w) for item, w in zip(model.connections, (hidden, output), strict=True)]
    coarse = sweep(
        replace(model, connections=connections), inputs, labels, run=golden.run, bits=(2,), method="max", within=0.1
    )
    assert not coarse.met
    assert coarse.chosen.flags == {"output": ("silent",)}
    assert coarse.chosen.warnings[0].startswith("Population output has gone silent: 0.0000 spikes")
    assert coarse.as_dict()["chosen"]["flags"] == {"output": ["silent"]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"within": -0.1}, r"Loss must be at least 0 and less than 100 points, not -10"),
        ({"within": float("nan")}, r"Loss must be at least 0 and less than 100 points, not nan"),
        ({"bits": ()}, r"Widths must be at least one"),
        ({"bits": (4, 1)}, r"Population hidden: weights must be of 2 to 16 bits, or ternary, not 1"),
    ],
)
def test_what_does_not_fit_is_refused(options, sentence):
    model, inputs, labels = task()
    with pytest.raises(NetworkError, match=f"^{sentence}$"):
        sweep(model, inputs, labels, run=golden.run, **options)
