import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.errors import NetworkError
from quant.model import load_model
from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn import datasets, train
from snn.architecture import parse
from snn.encode import Encoder, encode
from snn.loss import excess_rate, logits_of
from snn.recipes import RECIPES, RecipeError, find
from snn.samples import Samples

torch.set_num_threads(1)


def tiny(name, **options):
    """A recipe that trains in a second or two."""
    return replace(find(name), **{"layers": "24", "epochs": 8, "qat_epochs": 3, "batch": 32, "lr": 5e-3, **options})


@pytest.fixture
def few(monkeypatch):
    """Three classes of the digits, 300 samples to train on."""
    data = datasets.load("digits")
    train_, test = data.train_y < 3, data.test_y < 3
    small = replace(
        data,
        train_x=data.train_x[train_][:300],
        train_y=data.train_y[train_][:300],
        test_x=data.test_x[test],
        test_y=data.test_y[test],
        classes=3,
    )
    monkeypatch.setattr(train, "load", lambda name, folder: small)
    return small


@pytest.mark.parametrize("name", ["digits-lif", "digits-klif", "digits-ttfs"])
def test_learns_and_writes_what_it_measured(name, few, tmp_path):
    recipe, epochs = tiny(name, dropout=0.0), []
    result = train.train(recipe, seed=3, out=tmp_path, report=lambda *values: epochs.append(values))

    assert (result.model.name, result.quantized.name) == (f"{name}.npz", f"{name}-w4.npz")
    assert result.float_accuracy > 0.9
    assert result.accuracy > 0.9
    assert [(stage, epoch, count) for stage, epoch, count, _, _ in epochs] == [
        *(("float", epoch, 8) for epoch in range(1, 9)),
        *(("4 bits", epoch, 3) for epoch in range(1, 4)),
    ]
    assert epochs[7][3] < epochs[0][3] / 2

    inputs = encode(recipe.encoder, few.test_x, recipe.steps)
    model, quantized = load_model(result.model), load_model(result.quantized)
    assert run_float(model, inputs).accuracy(few.test_y) == result.float_accuracy == model.metadata["accuracy"]
    network, _ = quantize(quantized, weight_bits=4, inputs=inputs)
    measured = golden.run(network, inputs)
    assert measured.accuracy(few.test_y) == result.accuracy == quantized.metadata["accuracy"]
    for population in network.populations:
        rate = measured.totals[population.name].mean() / population.size / recipe.steps
        assert result.rates[population.name] == pytest.approx(rate, abs=1e-4)
        assert population.decay.shift <= recipe.decay_bits
    assert quantized.metadata["command"] == f"spikeloom train {name} --seed 3"
    assert quantized.metadata["encoder"] == recipe.encoder


def test_a_seed_gives_the_same_files(few, tmp_path):
    recipe = tiny("digits-ttfs", epochs=2, qat_epochs=1, noise=0.1, shift=1)
    first, again, other = (
        train.train(recipe, seed=seed, out=tmp_path / name) for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert first.model.read_bytes() == again.model.read_bytes()
    assert first.quantized.read_bytes() == again.quantized.read_bytes()
    assert not np.array_equal(*(load_model(item.model).connections[0].weights for item in (first, other)))


def test_training_leaves_the_number_of_threads(few, tmp_path):
    torch.set_num_threads(2)
    try:
        train.train(tiny("digits-lif", epochs=1, qat_epochs=1), out=tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_missing_set_leaves_nothing_behind(tmp_path):
    with pytest.raises(datasets.DatasetError):
        train.train(tiny("fashion-klif"), out=tmp_path / "out", folder=tmp_path)
    assert not (tmp_path / "out").exists()


def test_recipes_are_what_they_say():
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert Encoder.parse(recipe.encoder)
        assert parse(recipe.layers)
        assert recipe.dataset in datasets.DATASETS
    assert RECIPES["digits-lif"].encoder.startswith("rate/")
    assert RECIPES["digits-ttfs"].readout == "first_spike"
    assert RECIPES["fashion-klif"].layers == "128"


def test_unknown_recipe():
    names = ", ".join(RECIPES)
    with pytest.raises(RecipeError, match=f"^Recipe must be one of {names}, not 'digits'$"):
        find("digits")


SPIKES = torch.tensor([[[0.0, 0, 0]], [[0, 1, 0]], [[1, 1, 0]], [[0, 1, 0]]])


@pytest.mark.parametrize(
    ("decoder", "expected"),
    [
        ("count", [2, 6, 0]),
        ("linear", [1, 3, 0]),
        ("exponential", [2 / 9, 2 / 3 + 2 / 9 + 2 / 27, 0]),
        ("membrane", [0, 2, 0]),
    ],
)
def test_logits_by_hand(decoder, expected):
    assert logits_of(SPIKES, decoder, gain=2.0, base=3.0).tolist() == [pytest.approx(expected)]


def test_unknown_decoder():
    with pytest.raises(NetworkError, match=r"^Decoder must be one of count, linear, .*, not 'max'$"):
        logits_of(SPIKES, "max", gain=1.0)


@pytest.mark.parametrize(("readout", "answer"), [("count", 1), ("first_spike", 1)])
def test_answers_by_hand(readout, answer):
    assert train.answers(SPIKES, readout).tolist() == [answer]
    assert train.answers(torch.zeros(4, 1, 3), readout).tolist() == [0]
    assert train.answers(SPIKES.flip(2)[1:3].roll(1, 0), readout).tolist() == [1]


def test_the_first_spike_answers_not_the_most():
    spikes = torch.tensor([[[0.0, 0, 1]], [[1, 0, 0]], [[1, 0, 0]]])
    assert (train.answers(spikes, "first_spike").item(), train.answers(spikes, "count").item()) == (2, 0)


def test_rate_costs_only_above_what_is_allowed():
    spikes = torch.zeros(4, 2, 10)
    spikes[:, 0, :5] = 1
    assert excess_rate(spikes, 0.5).item() == 0
    assert excess_rate(spikes, 0.25).item() == pytest.approx(0.25**2 / 2)


def samples(**options):
    pixels = np.arange(2 * 12, dtype=np.uint8).reshape(2, 12) % 9
    fields = {"pixels": pixels, "labels": np.array([0, 1]), "shape": (1, 3, 4), "high": 8}
    encoder = train.Encoder.parse("direct")
    return Samples(**{**fields, "encoder": encoder, "steps": 4, **options})


def test_every_sample_comes_once_an_epoch():
    many = samples(pixels=np.arange(50)[:, None] * np.ones(12, np.int64) % 9, labels=np.arange(50))
    random = np.random.default_rng(0)
    epochs = [list(many.batches(batch=8, shift=0, noise=0, random=random)) for _ in range(2)]
    orders = [np.concatenate([labels.numpy() for _, labels in epoch]) for epoch in epochs]
    assert [len(labels) for _, labels in epochs[0]] == [8] * 6 + [2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0].tolist() != orders[1].tolist()
    for inputs, labels in epochs[0]:
        assert (inputs[:, 0] == labels % 9).all()


def test_shift_moves_whole_images():
    one = samples()
    moved = one._shifted(one.pixels, np.array([[1, 0], [0, -1]])).reshape(2, 3, 4)
    original = np.pad(one.pixels.reshape(2, 3, 4), ((0, 0), (1, 1), (1, 1)))
    np.testing.assert_array_equal(moved[0], original[0, 2:5, 1:5])
    np.testing.assert_array_equal(moved[1], original[1, 1:4, 0:4])


def test_noise_stays_within_the_pixels():
    noisy = samples(pixels=np.tile([0, 8], (40, 6)), labels=np.zeros(40, np.int64))
    ((inputs, _),) = noisy.batches(batch=40, shift=0, noise=0.5, random=np.random.default_rng(0))
    assert (inputs.min(), inputs.max()) == (0, 8)
    assert len(inputs.unique()) > 5


def test_metadata_is_json(few, tmp_path):
    result = train.train(tiny("digits-klif", epochs=1, qat_epochs=1), out=tmp_path)
    metadata = json.loads(json.dumps(dict(load_model(result.quantized).metadata)))
    assert metadata["training"]["layers"] == "24"


def test_a_running_mean_of_the_parameters_is_kept(few):
    recipe = tiny("digits-lif", epochs=2)
    samples = train.samples_of(recipe, few)

    def trained(average):
        torch.manual_seed(0)
        layer, path = torch.nn.Linear(64, 3), []

        def forward(inputs):
            path.append(layer.weight.detach().clone())
            return [torch.stack([layer(step) for step in inputs.movedim(1, 0)])]

        train.fit(forward, layer, samples, recipe, stage="", epochs=2, lr=1e-2, seed=0, average=average)
        return path, layer.weight.detach()

    path, last = trained(0.0)
    again, kept = trained(0.75)
    assert len(path) == len(again) == 20
    assert all(torch.equal(*pair) for pair in zip(path, again, strict=True)), "it changes nothing of the training"
    mean = path[0]
    for weights in [*path[1:], last]:
        mean = 0.75 * mean + 0.25 * weights
    torch.testing.assert_close(kept, mean)
    assert not torch.allclose(kept, last, atol=1e-4)
