"""The study of leakage, reset and recurrence: its variants, its other time bins, its noise, its command."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn.build import build
from snn.datasets import load
from snn.datasets.xor import delayed_xor
from snn.encode import Encoder
from snn.export import to_float
from snn.integrator import Integrator
from snn.neurons import IF
from snn.recipes.study import PUBLISHED, TASKS, VARIANTS, variant
from snn.study import NOISE, noisy, rebinned, study
from spikeloom.cli import app
from spikeloom.leakage import leakage
from spikeloom.source import UsageError

SHORT = delayed_xor(delay=12, train=60, test=40)
TINY = replace(TASKS["delayed-xor"], dataset="delayed-xor/12", steps=32, layers="12", spread=1.0, epochs=1, batch=30)


def test_variants_change_what_they_name():
    networks = {name: build(variant(TINY, name), SHORT) for name in VARIANTS}
    hidden = {name: network.neurons[0] for name, network in networks.items()}
    assert {name for name, item in hidden.items() if item.recurrent is not None} == {
        "recurrence",
        "no reset and recurrence",
    }
    assert {name for name, item in hidden.items() if type(item) is IF} == {"no leak", "no leak and no reset"}
    assert {name for name, item in hidden.items() if item.learned_leak is not None} == {
        "learned leak",
        "learned leak and no reset",
    }
    assert {name for name, item in hidden.items() if item.reset == "none"} == {
        "no reset",
        "learned leak and no reset",
        "no reset and recurrence",
        "no leak and no reset",
    }
    assert hidden["reset by subtraction"].reset == "subtract"
    assert [float(hidden[name].leak) for name in ("baseline", "no leak", "complete leak")] == [63 / 64, 1.0, 0.0]
    assert float(hidden["learned leak"].leak.detach()) == pytest.approx(63 / 64)
    for network in networks.values():
        assert isinstance(network.neurons[-1], Integrator)
        assert network.neurons[-1].leak == pytest.approx(0.8)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_hidden_neuron_of_a_variant_by_the_equation(name):
    """u[t] = k u[t-1] (1 - o[t-1]) + W o + V o_own[t-1], o = u >= theta, of the paper, in numpy."""
    recipe = replace(variant(TINY, name), tau=4.0 if VARIANTS[name].get("tau") is None else 1.0)
    torch.manual_seed(2)
    network = build(recipe, SHORT).double().eval()
    inputs = SHORT.test_x[:5]
    hidden = network.neurons[0]
    weights = network.layers[0].weight.detach().numpy()
    own = hidden.recurrent.weight.detach().numpy() if hidden.recurrent is not None else np.zeros((12, 12))
    k = {"no leak": 1.0, "no leak and no reset": 1.0, "complete leak": 0.0}.get(name, 0.75)
    u, o = np.zeros((5, 12)), np.zeros((5, 12))
    expected = []
    for step in range(inputs.shape[1]):
        kept = u if "no reset" in name else u - 0.5 * o if name == "reset by subtraction" else u * (1 - o)
        u = k * kept + inputs[:, step] @ weights.T + o @ own.T
        o = (u >= 0.5).astype(float)
        expected.append(o)
    with torch.no_grad():
        spikes = network.spikes(torch.from_numpy(inputs))[0].numpy()
    assert 0.02 < spikes.mean() < 0.98
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_becomes_integers_that_golden_runs(name):
    torch.manual_seed(4)
    network = build(variant(TINY, name), SHORT).eval()
    model = to_float(network, name="net", readout="membrane")
    inputs = SHORT.test_x.astype(np.int64)
    with torch.no_grad():
        totals = network(torch.from_numpy(inputs).float())[-1].numpy()
    reals = run_float(model, inputs)
    np.testing.assert_allclose(reals.scores, totals, atol=1e-4)
    integer, _ = quantize(model, weight_bits=8, decay_bits=8, inputs=inputs)
    result = golden.run(integer, inputs)
    counts = result.counts["hidden"], reals.counts["hidden"]
    assert counts[0].sum() > 0
    assert np.abs(counts[0] - counts[1]).sum() < 0.1 * counts[1].sum()


def test_steps_are_joined_by_hand():
    inputs = np.array([[[1, 0], [0, 0], [0, 1], [0, 1], [1, 0]]], np.int8)
    assert rebinned(inputs, Fraction(1, 2)).tolist() == [[[1, 0], [0, 1], [1, 0]]]
    assert rebinned(inputs, Fraction(1, 4)).tolist() == [[[1, 1], [1, 0]]]
    assert rebinned(inputs, Fraction(1)).tolist() == inputs.tolist()


def test_steps_are_parted():
    inputs = np.random.default_rng(0).integers(0, 2, (20, 6, 9)).astype(np.int8)
    parted = rebinned(inputs, Fraction(3), seed=1)
    assert parted.shape == (20, 18, 9)
    assert parted.dtype == np.int8
    # Each event is there once, in one of the three steps of its own.
    np.testing.assert_array_equal(parted.reshape(20, 6, 3, 9).sum(2), inputs)
    shares = parted.reshape(-1, 3, 9).sum((0, 2)) / inputs.sum()
    assert ((shares > 0.28) & (shares < 0.39)).all()


@pytest.mark.parametrize(
    ("kind", "silent", "spiking"), [("dropped", 0.0, 0.75), ("added", 0.25, 1.0), ("flipped", 0.25, 0.75)]
)
def test_noise_changes_what_it_names(kind, silent, spiking):
    inputs = np.random.default_rng(0).integers(0, 2, (50, 20, 10)).astype(np.int8)
    changed = noisy(inputs, kind, 0.25, seed=1)
    assert changed.dtype == np.int8
    assert set(np.unique(changed)) == {0, 1}
    for value, share in ((0, silent), (1, spiking)):
        measured = changed[inputs == value].mean()
        assert measured == share if share in (0.0, 1.0) else abs(measured - share) < 0.02
    np.testing.assert_array_equal(noisy(inputs, kind, 0.0), inputs)


def test_study_measures_the_integer_network_on_what_it_says():
    shapes = []

    def run(network, inputs):
        shapes.append(inputs.shape)
        return golden.run(network, inputs)

    stages = []
    (outcome, other) = study(
        TINY,
        SHORT,
        run=run,
        chosen=["no reset and recurrence"],
        seeds=2,
        probes=10,
        report=lambda *told: stages.append(told[0]),
    )
    levels = sum(map(len, NOISE.values()))
    assert shapes[: levels + 3] == [(40, 32, 20), (10, 16, 20), (10, 64, 20), *[(10, 32, 20)] * levels]
    assert stages == ["no reset and recurrence, seed 0", "no reset and recurrence, seed 1"]
    assert list(outcome.bins) == [16, 32, 64]
    assert {kind: list(values) for kind, values in outcome.noise.items()} == {
        kind: [0.0, *levels] for kind, levels in NOISE.items()
    }
    assert all(values[0.0] == outcome.bins[32] for values in outcome.noise.values())
    assert 0 < outcome.rate < 1
    assert (outcome.seed, other.seed) == (0, 1)
    assert outcome != replace(other, seed=0)


def test_events_and_images_are_encoded_in_other_steps():
    digits = load("digits", train=80, test=30)
    shapes = []

    def run(network, inputs):
        shapes.append(inputs)
        return golden.run(network, inputs)

    study(replace(TASKS["digits"], layers="8", epochs=1), digits, run=run, chosen=["no leak"], probes=20)
    for inputs, steps in zip(shapes[1:3], (4, 16), strict=True):
        np.testing.assert_array_equal(inputs, Encoder.parse("rate/16")(digits.test_x[:20], steps))


def test_command_writes_the_table_the_values_and_the_plot(tmp_path):
    arguments = ["study", "leakage", "--task", "digits", "--variants", "baseline, no reset", "--epochs", "1"]
    result = CliRunner().invoke(app, [*arguments, "--samples", "60", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert [row[0] for row in values["rows"]] == ["baseline", "no reset"]
    assert [item["variant"] for item in values["outcomes"]] == ["baseline", "no reset"]
    assert all(len(row) == len(values["columns"]) for row in values["rows"])
    assert set(values["outcomes"][0]["noise"]) == set(NOISE)
    written = json.loads((tmp_path / "leakage-digits.json").read_text())
    assert written == {key: values[key] for key in ("title", "command", "columns", "rows", "note")}
    assert (tmp_path / "leakage-digits.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "cifar"}, "Task must be one of mnist, digits, delayed-xor, nmnist, not 'cifar'"),
        ({"task": "digits", "variants": ["leaky"]}, "Variant must be one of baseline, .*, not 'leaky'"),
    ],
)
def test_mistakes_are_named(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        leakage(**arguments, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_paper_is_quoted_for_variants_that_there_are():
    assert set(TASKS) >= set(PUBLISHED)
    assert all(set(column) <= set(VARIANTS) for column in PUBLISHED.values())
