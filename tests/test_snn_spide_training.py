"""Learning of feedback networks: the descent, the grid of the integers, and whole trainings of tiny networks."""

import numpy as np
import pytest
import torch

from quant.calibrate import as_float
from quant.model import FloatInput, load_model, save_model
from quant.quantize import quantize
from quant.simulate import run_float
from snn.datasets import Dataset
from snn.encode import Encoder
from snn.recipes.spide import SPIDE, SpideRecipe
from snn.spide.export import Grid, from_float, to_float
from snn.spide.network import build_network
from snn.spide.stages import forward_stage
from snn.spide.training import in_reals, train_spide, with_integers
from snn.spide.update import Descent


def blobs(samples=240, seed=0):
    """Three classes of 4 x 4 images: one bright row each, and noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % 3
    pixels = random.integers(0, 5, (samples, 4, 4))
    pixels[np.arange(samples), labels] += random.integers(4, 11, (samples, 4))
    pixels = pixels.reshape(samples, 16)
    half = samples // 2
    return Dataset(
        name="blobs",
        train_x=pixels[:half],
        train_y=labels[:half],
        test_x=pixels[half:],
        test_y=labels[half:],
        shape=(1, 4, 4),
        classes=3,
        high=15,
    )


def tiny(**changes):
    common = {
        "name": "tiny-spide",
        "summary": "tiny",
        "dataset": "blobs",
        "encoder": "direct",
        "layers": "8",
        "feedback": "F8",
        "steps": 10,
        "back_steps": 20,
        "gain": 2.0,
        "epochs": 8,
        "qat_epochs": 3,
        "batch": 20,
        "lr": 0.3,
    }
    return SpideRecipe(**(common | changes))


def small(feedback="F5"):
    return build_network("5", feedback, shape=(1, 2, 2), classes=2)


def test_descent_by_hand():
    network = small("")
    named = {name: torch.zeros_like(tensor) for name, tensor in network.tensors().items()}
    named["weights0"][0, 0], named["bias0"][0] = 2.0, 4.0
    network.tensors()["weights0"].fill_(1.0)
    network.tensors()["bias0"].fill_(1.0)
    descent = Descent(momentum=0.5, weight_decay=0.1, feedback_norm=2.0)
    descent.step(network, named, 0.1)
    # 1 - 0.1 (2 + 0.1); a bias does not decay.
    assert float(network.tensors()["weights0"][0, 0]) == pytest.approx(0.79)
    assert float(network.tensors()["weights0"][1, 1]) == pytest.approx(0.99)
    assert float(network.tensors()["bias0"][0]) == pytest.approx(0.6)
    descent.step(network, named, 0.1)
    # Velocity 2.1 / 2 + 2 + 0.079, and 4 / 2 + 4.
    assert float(network.tensors()["weights0"][0, 0]) == pytest.approx(0.79 - 0.3129)
    assert float(network.tensors()["bias0"][0]) == pytest.approx(0.0, abs=1e-6)


def test_feedback_keeps_its_norm():
    network = small()
    weights = network.tensors()["feedback"]
    direction = weights / weights.norm()
    for norm, kept in ((1.5, 1.5), (6.0, 2.0)):
        weights.copy_(direction * norm)
        Descent(momentum=0.9, weight_decay=0.0, feedback_norm=2.0).restrict(network)
        torch.testing.assert_close(weights, direction * kept)


@pytest.mark.parametrize(
    ("layers", "feedback"), [("8", "F8"), ("4C3s2-5C3", "F4C3u1"), ("4C3-AP2-5C3-6", "F64"), ("8-7", "")]
)
def test_a_grid_is_what_quantization_makes(layers, feedback):
    data, recipe = blobs(), tiny(layers=layers, feedback=feedback, epochs=1, qat_epochs=1)
    rounded = train_spide(recipe, data, seed=0)[1]
    integers, report = quantize(rounded, weight_bits=4, inputs=data.train_x)
    for item in integers.connections:
        assert np.abs(item.weights).max() > 3
    for population in report.populations:
        assert population.amount_error < 0.2
        for connection in population.connections:
            assert connection.max_error == 0
    # The spikes of the stage that was trained are those of the integers.
    network = build_network(layers, feedback, shape=data.shape, classes=3)
    stage = Grid(rounded, bits=4).rounded(from_float(network, rounded))
    maps = torch.from_numpy(data.test_x / 16).float().reshape(-1, *network.layers[0].projection.source)
    forward = forward_stage(stage, maps, steps=10, record=True)
    result = run_float(as_float(integers), data.test_x, record=("spikes",))
    for index, spikes in enumerate(forward.spikes, 1):
        np.testing.assert_array_equal(result.spikes[f"layer{index}"], spikes.flatten(2).swapaxes(0, 1).numpy())
    scores = stage.scores(forward.counts / 10).numpy()
    assert (result.answers == scores.argmax(1)).mean() > 0.98
    assert np.abs(integers.readout.weights).max() <= 128


def test_there_and_back_from_a_float_network():
    network = build_network("4C3-AP2-5C3-6", "F64", shape=(1, 4, 4), classes=3)
    halves = network.with_tensors({name: tensor.half().float() for name, tensor in network.tensors().items()})
    source = FloatInput(shape=(1, 4, 4), kind="current", high=15, lsb=1 / 16)
    model = to_float(halves, name="net", steps=8, source=source)
    other = from_float(build_network("4C3-AP2-5C3-6", "F64", shape=(1, 4, 4), classes=3, seed=1), model)
    for name, tensor in halves.tensors().items():
        torch.testing.assert_close(other.tensors()[name], tensor)


@pytest.mark.parametrize(
    ("layers", "feedback", "leak"), [("8", "F8", 1.0), ("8", "F8", 0.9), ("4C3s2-6C3s2", "F4C3u2", 1.0)]
)
def test_tiny_networks_learn(layers, feedback, leak):
    data, said = blobs(), []
    recipe = tiny(layers=layers, feedback=feedback, leak=leak, decay_bits=8)
    model, rounded = train_spide(recipe, data, seed=0, report=lambda *line: said.append(line))
    assert [line[:3] for line in said] == [
        *(("float", epoch, 8) for epoch in range(1, 9)),
        *(("4 bits", epoch, 3) for epoch in range(1, 4)),
    ]
    assert said[7][3] < 0.6 * said[0][3]
    assert said[-1][4] > 0.9
    inputs = Encoder.parse("direct")(data.test_x, 10)
    assert run_float(model, inputs).accuracy(data.test_y) > 0.9
    integers, _ = quantize(rounded, weight_bits=4, decay_bits=8, inputs=inputs)
    assert run_float(as_float(integers), inputs).accuracy(data.test_y) > 0.9


def test_the_feedback_learns():
    data = blobs()
    before = build_network("8", "F8", shape=data.shape, classes=3, seed=3).tensors()["feedback"]
    before = before * min(1.0, 2 / float(before.norm()))
    model = in_reals(tiny(epochs=2, lr=0.1), data, seed=3)
    after = model.connections[1]
    assert (after.source, after.target, after.delay) == ("layer1", "layer1", 1)
    assert float(np.abs(after.weights - before.numpy()).max()) > 0.01


def test_the_same_seed_gives_the_same_network(tmp_path):
    data, recipe = blobs(), tiny(epochs=1, qat_epochs=1, noise=0.05, shift=1)
    files = []
    for index, seed in enumerate((4, 4, 5)):
        files.append(tmp_path / f"{index}.npz")
        save_model(files[-1], train_spide(recipe, data, seed=seed)[1])
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_training_goes_on_from_a_file(tmp_path):
    data, recipe = blobs(), tiny(epochs=2, qat_epochs=1)
    model, rounded = train_spide(recipe, data, seed=4)
    save_model(tmp_path / "model.npz", model)
    again = with_integers(load_model(tmp_path / "model.npz"), recipe, data, seed=5)
    for one, other in zip(rounded.connections, again.connections, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("recipe", SPIDE, ids=lambda recipe: recipe.name)
def test_recipes_can_be_built(recipe):
    shape = (1, 8, 8) if recipe.dataset == "digits" else (1, 28, 28)
    network = build_network(recipe.layers, recipe.feedback, shape=shape, classes=10)
    assert network.feedback is not None
    assert recipe.readout == "linear"
