"""The ablation of ETTFS: its variants, what they measure, and its command."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from quant.simulate import run_float
from snn.ablation import PARTS, Variant, ablate, variants, with_parts
from snn.build import build
from snn.datasets import load
from snn.encode import encode
from snn.export import to_float
from snn.recipes.ttfs import ABLATIONS
from spikeloom.studies import Study, bars

torch.set_num_threads(1)

RECIPE = replace(ABLATIONS["digits"], layers="4C3-AP2-8", steps=4, epochs=1)
ALL = frozenset(PARTS)


@pytest.fixture(scope="module")
def data():
    """The digits, few of them to train on."""
    return load("digits", train=192)


def losses(data, parts, **options):
    found = []
    outcome = ablate(
        replace(RECIPE, **options),
        data,
        chosen=[Variant(name="x", parts=frozenset(parts))],
        report=lambda *values: found.append(values[3]),
    )
    return found, outcome[0]


def test_variants_are_none_one_all_but_one_and_all():
    made = variants()
    assert [len(item.parts) for item in made] == [0, 1, 1, 1, 1, 1, 4, 4, 4, 4, 4, 5]
    assert len({item.name for item in made}) == len({item.parts for item in made}) == 12
    assert made[2].name == "only weight normalization"
    assert made[2].parts == {"normalization"}
    assert made[8].name == "without affine"
    assert made[8].parts == ALL - {"affine"}


def test_every_part_is_a_field_of_the_recipe():
    assert with_parts(RECIPE, ALL) == RECIPE
    none = with_parts(RECIPE, frozenset())
    assert (none.temporal_init, none.weight_norm, none.affine, none.decoder, none.layers) == (
        False,
        False,
        False,
        "count",
        "4C3-MP2-8",
    )
    assert with_parts(replace(RECIPE, decoder="exponential"), frozenset({"decoder"})).decoder == "exponential"


def test_every_part_changes_what_is_learned(data):
    everything = losses(data, ALL)[0]
    found = [losses(data, ALL - {part})[0] for part in PARTS]
    assert len({*map(tuple, found), tuple(everything)}) == 6


def test_the_exponential_decoder_is_another(data):
    assert losses(data, ALL, decoder="exponential")[0] != losses(data, ALL)[0]


def test_measures_what_the_exported_network_does(data):
    torch.manual_seed(0)
    network = build(RECIPE, data).eval()
    model = to_float(network, name="net", readout=RECIPE.readout)
    result = run_float(model, encode(RECIPE.encoder, data.test_x, RECIPE.steps))
    spikes = sum(result.counts[name].sum() for name in ("hidden1", "hidden2"))
    # 256 neurons behind the convolution.
    outcome = losses(data, ALL, epochs=0)[1]
    assert outcome.accuracies == (pytest.approx(result.accuracy(data.test_y), abs=0.01),)
    assert outcome.spikes == (pytest.approx(spikes / (256 + 8) / len(data.test_x), rel=0.01),)


def test_seeds_are_trainings_of_their_own(data):
    found = []
    torch.set_num_threads(2)
    try:
        outcomes = ablate(
            RECIPE, data, chosen=variants()[-1:], seeds=2, report=lambda *values: found.append((values[0], values[3]))
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert [name for name, _ in found] == ["all on, seed 0", "all on, seed 1"]
    assert found[0][1] == losses(data, ALL)[0][0] != found[1][1]
    assert len(outcomes[0].accuracies) == len(outcomes[0].spikes) == 2


def test_command(spikeloom, tmp_path):
    found = spikeloom("study", "ettfs", "--dataset", "digits", "--epochs", 1, "--samples", 64, "--out", "x", "--json")
    assert found.code == 0
    study = found.json
    assert study == json.loads((tmp_path / "x" / "ettfs.json").read_text())
    assert list(study) == ["title", "command", "columns", "rows", "note"]
    assert study["command"] == "spikeloom study ettfs --dataset digits --epochs 1 --samples 64 --seeds 1"
    assert study["columns"] == ["variant", *PARTS, "accuracy", "spikes a neuron"]
    assert [row[0] for row in study["rows"]] == [item.name for item in variants()]
    assert study["rows"][6][1:6] == ["", "on", "on", "on", "on"]
    assert all(row[6].endswith("%") for row in study["rows"])
    plot = (tmp_path / "x" / "ettfs.svg").read_text()
    assert plot.lstrip().startswith("<?xml")
    assert all(item.name in plot for item in variants())


def test_a_study_that_there_is_not(spikeloom, tmp_path):
    found = spikeloom("study", "ettfs", "--dataset", "n-mnist")
    assert (found.code, found.out) == (2, "")
    assert found.err.splitlines()[-1] == "Data set must be one of fashion-mnist, mnist, digits, not 'n-mnist'"
    assert list(tmp_path.iterdir()) == []


def test_table_and_file_of_a_study(tmp_path):
    study = Study(title="t", command="c", columns=("name", "x", "y"), rows=[["a", "on", 1], ["b", "", None]], note="n")
    assert [column.justify for column in study.as_table().columns] == ["left", "left", "right"]
    assert json.loads(study.write(tmp_path / "new" / "t.json").read_text()) == study.as_dict()


def test_no_plot_without_matplotlib(tmp_path, monkeypatch):
    drawn = {"title": "t", "names": ["a", "b"], "series": [[1.0, 2.0], [3.0]], "unit": "%"}
    first, again = (bars(tmp_path / name, **drawn) for name in ("a/x.svg", "b/x.svg"))
    assert first.read_bytes() == again.read_bytes()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert bars(tmp_path / "c.svg", **drawn) is None
    assert not (tmp_path / "c.svg").exists()
