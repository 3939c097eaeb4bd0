import json
from types import SimpleNamespace

import pytest

from snn.datasets import DatasetError
from spikeloom import results as module
from spikeloom.results import JSON_FILE, PAGE_FILE, read_studies, results
from spikeloom.results_page import BARS, Bar, page
from spikeloom.studies import Study

KEYS = (
    "network",
    "dataset",
    "float_accuracy",
    "accuracy",
    "samples",
    "weight_bits",
    "steps",
    "spikes_per_sample",
    "sops_per_sample",
    "file",
)


def test_a_network_has_its_figures_and_its_line(tmp_path, spikeloom):
    run = spikeloom("results", "--only", "digits-klif", "-o", tmp_path, "--json")
    (row,) = json.loads((tmp_path / JSON_FILE).read_text())
    assert run.json["networks"] == [row]
    assert tuple(row)[: len(KEYS)] == KEYS
    assert (row["network"], row["dataset"], row["samples"], row["steps"]) == ("digits-klif", "digits", 359, 6)
    assert row["accuracy"] == pytest.approx(354 / 359)
    assert row["float_accuracy"] == pytest.approx(352 / 359)
    assert abs(row["ptq_accuracy"] - row["float_accuracy"]) <= 0.005
    # All neurons of the hidden layer send to 10 outputs, which send nowhere.
    assert row["sops_per_sample"] == pytest.approx(10 * row["rates"]["hidden"] * 96 * 6)
    assert row["macs_per_sample"] == 64 * 96
    assert row["weights"] == 64 * 96 + 96 * 10
    assert row["file"] == "snn/checkpoints/digits-klif-w4.npz"

    text = (tmp_path / PAGE_FILE).read_text()
    assert "| digits-klif | digits | klif 96 | 6 | 4 | 98.05 | 98.61 | -0.56 |" in text


def row(name, **values):
    base = {"network": name, "dataset": "digits", "neuron": "klif", "layers": "96", "steps": 4, "weight_bits": 4}
    counts = {"samples": 10, "neurons": 1, "weights": 1, "weight_memory_bits": 1, "membrane_memory_bits": 1}
    costs = {f"{key}_per_sample": 1.0 for key in ("spikes", "sops", "useful_sops", "macs", "input_events")}
    found = {"float_accuracy": 0.9, "accuracy": 0.9, "ptq_accuracy": None, "file": "f", "date": "2026-01-01"}
    return {**base, **counts, **costs, **found, "commit": None, **values}


def digits(monkeypatch, *, missing=()):
    """Two recipes whose measurements are numbers that rise, but for data sets that are missing."""
    recipes = {name: SimpleNamespace(name=name, dataset=name) for name in ("one", "two")}
    monkeypatch.setattr(module, "RECIPES", recipes)
    monkeypatch.setattr(module, "find", recipes.__getitem__)
    monkeypatch.setattr(module, "_has_checkpoints", lambda recipe: True)
    monkeypatch.setattr(module, "_digest", lambda recipe: f"digest of {recipe.name}")
    times = iter(range(1, 100))

    def measured(recipe, folder, progress):
        if recipe.name in missing:
            raise DatasetError(f"no {recipe.dataset}")
        return row(recipe.name, checkpoints=f"digest of {recipe.name}", time=next(times), folder=folder)

    monkeypatch.setattr(module, "measured_row", measured)


def times(folder):
    return {item["network"]: item["time"] for item in json.loads((folder / JSON_FILE).read_text())}


def test_what_cannot_be_measured_keeps_its_row(tmp_path, monkeypatch):
    digits(monkeypatch)
    results(tmp_path)
    digits(monkeypatch, missing=("one",))
    said = []
    found = results(tmp_path, say=said.append)
    assert times(tmp_path) == {"one": 1, "two": 1}
    assert (found.measured, dict(found.skipped)) == (("two",), {"one": "no one"})
    assert said == ["one is skipped, its former row is kept: no one"]


def test_what_was_never_measured_has_no_row(tmp_path, monkeypatch):
    digits(monkeypatch, missing=("one",))
    said = []
    results(tmp_path, say=said.append)
    assert times(tmp_path) == {"two": 1}
    assert said == ["one is skipped, it has no row: no one"]


def test_only_what_is_wanted_is_measured(tmp_path, monkeypatch):
    digits(monkeypatch)
    results(tmp_path)
    results(tmp_path, only=["two"])
    assert times(tmp_path) == {"one": 1, "two": 3}


def test_a_row_of_other_checkpoints_is_not_kept(tmp_path, monkeypatch):
    digits(monkeypatch)
    results(tmp_path)
    monkeypatch.setattr(module, "_digest", lambda recipe: "other")
    results(tmp_path, only=["two"])
    assert times(tmp_path) == {"two": 3}


def test_folders_reach_their_data_sets(tmp_path, monkeypatch):
    digits(monkeypatch)
    found = results(tmp_path, data={"two": "folder"})
    assert [item["folder"] for item in found.rows] == [None, "folder"]


def test_bars_that_are_missed_are_marked(monkeypatch):
    monkeypatch.setitem(BARS, "good", Bar(accuracy=0.9, reference="91, theirs"))
    monkeypatch.setitem(BARS, "bad", Bar(accuracy=0.905, reference="92, theirs"))
    lines = page([row("good"), row("bad"), row("free")], []).splitlines()
    ends = {line.split(" | ")[0]: line.split(" | ")[-2:] for line in reversed(lines) if line.startswith("| ")}
    assert ends["| good"] == ["90", "91, theirs |"]
    assert ends["| bad"] == ["90.5, **missed**", "92, theirs |"]
    assert ends["| free"] == ["-", "- |"]


STUDY = {"title": "A study", "command": "spikeloom study", "columns": ["a", "b"], "rows": [[1, None]], "note": "So."}


def test_studies_are_shown_as_tables(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(STUDY))
    text = page([], read_studies(tmp_path))
    assert "### A study\n\n`spikeloom study`\n\n| a | b |\n| --- | --- |\n| 1 | - |\n\nSo.\n" in text
    assert "## Studies" not in page([], [])
    assert r"| x\|y |" in page([], [Study(**{**STUDY, "columns": ["a"], "rows": [["x|y"]]})])


@pytest.mark.parametrize(
    "text", ["", "[]", "{", json.dumps({**STUDY, "rows": [[1]]}), json.dumps({**STUDY, "title": 1}), '{"title": "x"}']
)
def test_files_that_are_no_studies_are_refused(text, tmp_path, spikeloom):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "x.json").write_text(text)
    run = spikeloom("results", "--only", "digits-klif", "-o", tmp_path)
    assert run.code == 2
    assert run.err == f"File {tmp_path}/studies/x.json must be a study, as `spikeloom study` writes it; remove it\n"
    assert not (tmp_path / JSON_FILE).exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[{}]", "[" * 100_000])
def test_files_that_are_no_results_are_refused(text, tmp_path, spikeloom):
    (tmp_path / JSON_FILE).write_text(text)
    run = spikeloom("results", "--only", "digits-klif", "-o", tmp_path)
    assert run.code == 2
    assert "must be a list of networks, as `spikeloom results` writes it; remove it" in run.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--only", "digits"), "Recipe must be one of "),
        (("--data", "folder"), "Data must be DATASET=FOLDER, not 'folder'"),
        (("--data", "=folder"), "Data must be DATASET=FOLDER, not '=folder'"),
    ],
)
def test_wrong_use_is_refused(arguments, sentence, tmp_path, spikeloom):
    run = spikeloom("results", *arguments, "-o", tmp_path)
    assert run.code == 2
    assert run.err.startswith(sentence)
