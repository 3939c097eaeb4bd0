import nir
import numpy as np
import pytest

from quant.errors import UnsupportedError
from quant.graph import Synapses
from quant.importers.nir import from_nir, load_nir
from quant.importers.nir_export import to_nir
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.simulate import run_float

DT = 1e-4


def per(rng, shape, low, high):
    """A number for the population, for every channel, or for every neuron; not short."""
    return rng.uniform(low, high, [(), shape[:1], shape][rng.integers(3)])


def population(rng, name, shape, **fixed):
    reset = str(rng.choice(["zero", "subtract", "none"]))
    fields = {"reset": reset, "threshold": per(rng, shape, 0.5, 1.5), "strict": bool(rng.integers(2))}
    fields["decay"] = 1.0 if rng.random() < 0.2 else per(rng, shape, 0.0, 0.99)
    if reset == "zero" and rng.random() < 0.5:
        fields["reset_value"] = per(rng, shape, -0.3, 0.3)
    if reset == "subtract" and rng.random() < 0.5:
        fields["reset_amount"] = per(rng, shape, 0.2, 1.2)
    if rng.random() < 0.5:
        fields["initial"] = per(rng, shape, -0.5, 0.5)
    if rng.random() < 0.7:
        fields["bias"] = rng.uniform(-0.2, 0.3, shape[:1])
    return FloatPopulation(name=name, shape=shape, **{**fields, **fixed})


def dense(rng, source, target, sources, targets, **fields):
    weights = rng.normal(0.1, 0.5, (targets, sources))
    return Synapses(source=source, target=target, kind="dense", weights=weights, **fields)


def random_network(seed, **changes):
    """A convolution, a dense layer with a loop, and a residual: everything that NIR carries, in any combination."""
    rng = np.random.default_rng(seed)
    conv = Synapses(
        source="input",
        target="maps",
        kind="conv2d",
        weights=rng.normal(0.1, 0.4, (4, 1, 3, 2)),
        groups=2,
        stride=(1, 2),
        padding=(1, 0),
    )
    maps = (4, 6, 3)
    populations = [population(rng, "maps", maps), population(rng, "hidden", (8,)), population(rng, "output", (8,))]
    connections = [
        conv,
        dense(rng, "maps", "hidden", 12, 8, pool=(2, 3)),
        dense(rng, "hidden", "hidden", 8, 8, delay=1),
        Synapses(source="hidden", target="output", kind="identity", weights=rng.normal(0, 1, ())),
        dense(rng, "hidden", "output", 8, 8),
        dense(rng, "output", "hidden", 8, 8, delay=1),
        dense(rng, "maps", "output", 72, 8, delay=1),
    ]
    values = {
        "name": "random",
        "steps": 12,
        "input": FloatInput(shape=(2, 6, 6), low=-1, high=2, lsb=0.5),
        "populations": tuple(populations),
        "connections": tuple(connections),
        "readout": FloatReadout(population="output"),
        "metadata": {"recipe": "none", "weight_bits": 4, "accuracy": 0.5},
    }
    return FloatNetwork(**values | changes)


def returned(model, folder):
    to_nir(model, folder / "model.nir")
    return load_nir(folder / "model.nir")


def inputs_of(model, samples=8):
    rng = np.random.default_rng(1)
    shape = (samples, model.steps, model.input.size)
    return rng.integers(model.input.low, model.input.high + 1, shape) * (rng.random(shape) < 0.4)


def check_same(model, again):
    inputs = inputs_of(model)
    one, two = (run_float(item, inputs, record=["spikes"]) for item in (model, again))
    for item in model.populations:
        np.testing.assert_array_equal(one.spikes[item.name], two.spikes[item.name], err_msg=item.name)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-12, atol=1e-12)
    return one


@pytest.mark.parametrize("seed", range(12))
def test_a_network_comes_back_the_same(seed, tmp_path):
    model = random_network(seed)
    again = returned(model, tmp_path)
    assert check_same(model, again).spikes["output"].any()
    assert again.metadata["assumptions"] == []
    assert [item.name for item in again.populations] == [item.name for item in model.populations]
    assert (again.name, again.steps, again.metadata["weight_bits"]) == ("random", 12, 4)
    assert vars(again.input) == vars(model.input)


@pytest.mark.parametrize("seed", range(4))
def test_what_came_from_nir_goes_there_and_back(seed, tmp_path):
    again = returned(returned(random_network(seed), tmp_path), tmp_path)
    check_same(random_network(seed), again)


def single(tmp_path, *, readout=None, scales=None, kind="dense", shape=(5,), **fields):
    rng = np.random.default_rng(3)
    values = {"name": "n", "shape": shape, "threshold": 1.0, "decay": 0.7}
    weights = {"dense": rng.normal(0, 1, (5, 6)), "conv_transpose2d": np.ones((1, 1, 2, 2))}[kind]
    return FloatNetwork(
        name="single",
        steps=9,
        input=FloatInput(shape=(6,) if kind == "dense" else (1, 2, 3)),
        populations=(FloatPopulation(**values | fields),),
        connections=(Synapses(source="input", target="n", kind=kind, weights=weights),),
        readout=readout or FloatReadout(population="n"),
        scales=scales or {},
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"current_decay": 0.6},
        {"current_decay": 0.6, "bias": 0.1},
        {"decay": 0.0},
        {"decay": 1.0, "reset": "subtract"},
        {"reset": "subtract", "reset_amount": 1 / 0.7},
        {"reset": "subtract", "reset_amount": 0.3},
    ],
)
def test_a_neuron_comes_back_the_same(fields, tmp_path):
    model = single(tmp_path, **fields)
    assert check_same(model, returned(model, tmp_path)).spikes["n"].any()


@pytest.mark.parametrize("fields", [{}, {"decay": 1.0}, {"current_decay": 0.5}])
@pytest.mark.parametrize("reduce", ["last", "sum"])
def test_membranes_come_back_the_same(fields, reduce, tmp_path):
    readout = FloatReadout(population="n", kind="membrane", reduce=reduce)
    model = single(tmp_path, readout=readout, threshold=None, reset="none", **fields)
    check_same(model, returned(model, tmp_path))


@pytest.mark.parametrize("kind", ["first_spike", "linear"])
def test_readouts_come_back_the_same(kind, tmp_path):
    rng = np.random.default_rng(4)
    more = {"weights": rng.normal(0, 1, (3, 5)), "bias": rng.normal(0, 1, 3)} if kind == "linear" else {}
    model = single(tmp_path, readout=FloatReadout(population="n", kind=kind, **more))
    again = returned(model, tmp_path)
    assert again.readout.kind == kind
    check_same(model, again)


@pytest.mark.parametrize("scale", [0.125, np.arange(1, 6) / 8])
def test_scales_of_training_come_back(scale, tmp_path):
    again = returned(single(tmp_path, scales={"n": scale}), tmp_path)
    np.testing.assert_array_equal(again.scales["n"], scale)


def test_the_metadata_say_what_nir_does_not(tmp_path):
    to_nir(single(tmp_path, reset="subtract", strict=True), tmp_path / "model.nir")
    found = nir.read(tmp_path / "model.nir").metadata
    values = {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}
    expected = {"dt": DT, "reset": "subtract", "compare": ">", "reset_delay": 0, "steps": 9, "spikeloom": 1}
    assert expected.items() <= values.items()
    node = nir.read(tmp_path / "model.nir").nodes["n"]
    np.testing.assert_allclose(1 - DT / node.tau, 0.7)
    np.testing.assert_allclose(node.r * DT / node.tau, 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rectify": True}, "Population n clamps its membrane at 0"),
        ({"ternary": True}, "Population n fires negative spikes too, which NIR cannot carry; keep the network in"),
        ({"reset": "latch"}, "Population n fires once a sample"),
        ({"decay": 1.2}, "Population n has a decay above 1"),
        ({"aftermath": "mute"}, "Population n has an aftermath, 'mute',"),
        ({"decay": np.array([1.0, 0.5, 0.5, 0.5, 0.5])}, "Population n has neurons that leak and others that do not"),
        ({"current_decay": 1.0}, "Population n is of second order and does not leak"),
        ({"kind": "conv_transpose2d", "shape": (1, 3, 4)}, "Population n has an incoming conv_transpose2d"),
    ],
)
def test_what_nir_cannot_carry_is_refused(fields, words, tmp_path):
    with pytest.raises(UnsupportedError, match=words):
        to_nir(single(tmp_path, **fields), tmp_path / "model.nir")
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written(tmp_path, monkeypatch):
    def fail(name, graph):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(ValueError, match="cannot be written: No space left on device"):
        to_nir(single(tmp_path), tmp_path / "model.nir")
    assert list(tmp_path.iterdir()) == []


def test_biases_of_second_order_neurons_go_there_and_back(tmp_path):
    one = np.ones(5)
    rng = np.random.default_rng(6)
    cell = nir.CubaLIF(tau_syn=2e-4 * one, tau_mem=4e-4 * one, r=4 * one, w_in=2 * one, v_leak=0 * one, v_threshold=one)
    weights, bias = rng.normal(0, 0.5, (5, 6)), rng.normal(0.1, 0.1, 5)
    graph = nir.NIRGraph.from_list(nir.Affine(weights, bias), cell)
    first = from_nir(graph)
    assert [item.name for item in first.populations] == ["cubalif_clock", "cubalif"]
    assert check_same(first, returned(first, tmp_path)).spikes["cubalif"].any()
