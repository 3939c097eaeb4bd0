import numpy as np
import pytest
from networks import random_inputs, random_network
from runs import Rig, assert_answers

from hw.cycles import predict_cycles
from hw.design import generate
from quant.errors import NetworkError
from quant.ir import Connection, Input, Network, Population, Readout
from sim import golden


def check(network, inputs, *, lanes=None, early_stop=True):
    """Predicted cycles are those of the simulated hardware, sample by sample."""
    design = generate(network, lanes=lanes, early_stop=early_stop)
    result = golden.run(network, inputs, record=("spikes",))
    rig = Rig(design=design, inputs=inputs, alone=True).run()
    assert_answers(rig, result)
    assert design.predict(result, inputs).tolist() == rig.cycles
    return rig.cycles


@pytest.mark.parametrize("seed", range(200, 220))
def test_predicts_the_cycles_of_random_networks(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    check(network, random_inputs(network, rng, 4), lanes=int(rng.integers(1, 20)), early_stop=bool(seed % 3))


@pytest.mark.parametrize("kind", ["events", "current"])
@pytest.mark.parametrize("lanes", [None, 1, 3])
def test_predicts_the_cycles_of_early_stops(kind, lanes):
    rng = np.random.default_rng(7)
    network = random_network(rng, layers=2, kind=kind, readout="first_spike", steps=8)
    inputs = random_inputs(network, rng, 6)
    stopped, whole = (check(network, inputs, lanes=lanes, early_stop=early_stop) for early_stop in (True, False))
    assert sum(stopped) < sum(whole)


def layers(*sizes, steps=3, weight=1, threshold=1):
    """Layers in which every neuron hears every neuron of the one before."""
    names = ["input", *(f"p{number}" for number in range(len(sizes) - 1))]
    return Network(
        name="counted",
        steps=steps,
        input=Input(shape=(sizes[0],)),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=threshold, state_min=-8, state_max=7)
            for name, size in zip(names[1:], sizes[1:], strict=True)
        ),
        connections=tuple(
            Connection(
                source=source,
                target=target,
                kind="dense",
                weights=np.full((targets, sources), weight),
                weight_bits=3,
            )
            for source, target, sources, targets in zip(names[:-1], names[1:], sizes[:-1], sizes[1:], strict=True)
        ),
        readout=Readout(population=names[-1]),
    )


def test_predicts_the_cycles_of_a_full_queue():
    """Every neuron fires into a layer of many rows: sweeps wait for places in the queue of spikes."""
    network = layers(2, 60, 40, steps=4)
    inputs = np.ones((2, 4, 2), int)
    inputs[1, 2:] = 0
    slow = check(network, inputs, lanes={"p0": 60, "p1": 2})
    assert slow[0] > 4 * 60 * 20, "the second layer takes 20 cycles for each of 60 events"


def test_predicts_the_cycles_of_samples_shorter_than_the_steps():
    network = layers(3, 5, steps=6)
    check(network, np.ones((2, 2, 3), int), lanes=2)


def test_an_event_costs_its_rows_and_a_step_its_sweep():
    """A layer of 32 neurons on 4 lanes and 4 units: 8 cycles an event, 8 a sweep, and nothing beside."""
    network = layers(10, 32, steps=6, weight=-1)
    inputs = np.zeros((3, 6, 10), int)
    inputs[1, 2, :4] = 1
    inputs[2] = 1
    silent, some, full = check(network, inputs, lanes=4)
    assert some - silent == 4 * 8
    assert full - silent == 60 * 8
    (core,) = generate(network, lanes=4).cores
    assert (core.rows, core.sweeps, core.cooldown) == (8, 8, 0)
    single = check(layers(10, 32, steps=1, weight=-1), inputs[:1, :1], lanes=4)
    assert silent - single[0] == 5 * 8


def test_refuses_a_result_without_spikes():
    network = layers(2, 3)
    inputs = np.ones((1, 3, 2), int)
    with pytest.raises(NetworkError, match=r"^Spikes of population p0 must be recorded to predict cycles$"):
        predict_cycles(generate(network).plan, inputs, golden.run(network, inputs).spikes)
