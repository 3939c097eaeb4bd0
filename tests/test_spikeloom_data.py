import sys

import numpy as np
import pytest

from snn.datasets import DATASETS, DatasetError
from snn.datasets.xor import delayed_xor
from spikeloom.data import _picture, dataset_facts
from tests.test_snn_datasets_events import write_nmnist


def test_data_sets_are_listed(spikeloom, monkeypatch):
    def load(name, **parts):
        assert parts == {"train": 1, "test": 1}
        if name == "mnist":
            raise DatasetError("It is not there")
        return delayed_xor(delay=0, train=1, test=1)

    monkeypatch.setattr("spikeloom.data.load", load)
    rows = {row["name"]: row for row in spikeloom("data", "--json").json["datasets"]}
    assert list(rows) == list(DATASETS)
    assert rows["mnist"]["kind"] is None
    assert "spikeloom data mnist --fetch" in rows["mnist"]["way"]
    assert rows["delayed-xor"] == {
        **{"name": "delayed-xor", "kind": "sequences", "shape": [20, 1, 1]},
        **{"classes": 2, "way": None},
    }
    assert "20 x 1 x 1" in spikeloom("data").out


def test_events_are_described_and_drawn(spikeloom, tmp_path):
    write_nmnist(tmp_path / "tree")
    found = spikeloom("data", "n-mnist", "--data", "tree", "--plot", "a.png", "--json")
    assert (found.code, found.json["kind"], found.json["shape"], found.json["plot"]) == (
        *(0, "events", [2, 34, 34], "a.png"),
    )
    assert found.json["train"] == {
        **{"samples": 3, "by_class": [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]},
        **{"events_per_sample": 2.0, "longest_ms": 0.0},
    }
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "encoder"), [("digits", "rate/16"), ("delayed-xor/3", "spikes")])
def test_images_and_sequences_are_drawn(spikeloom, tmp_path, name, encoder):
    assert spikeloom("data", name, "--plot", "a.svg", "--encoder", encoder).code == 0
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_facts_of_sequences():
    facts = dataset_facts(delayed_xor(delay=4, train=6, test=2))
    assert (facts["train"]["samples"], facts["train"]["steps"], facts["low"], facts["high"]) == (6, 24, 0, 1)
    assert sum(facts["train"]["by_class"]) == 6


def test_colours_of_the_polarities():
    darker, brighter, both = ((2, 0), (0, 1), (2, 2))
    values = np.array([[darker, brighter, both, (0, 0)]]).transpose(2, 0, 1)
    assert _picture(values).tolist() == [[[0, 0, 1], [1, 0.5, 0.5], [0, 0, 0], [1, 1, 1]]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fetch"], "Data set must be named to be fetched or drawn"),
        (["digits", "--fetch"], "Data set to fetch must be mnist, not 'digits'; it needs no files"),
        (["digits", "--plot", "a.txt"], "File of a plot must end with .png, .svg or .pdf, not 'a.txt'"),
        (["digits", "--plot", "a.png", "--encoder", "frames/time"], "Frames must be made of events"),
        (["no"], "Data set must be one of "),
    ],
)
def test_wrong_use(spikeloom, tmp_path, arguments, words):
    found = spikeloom("data", *arguments)
    assert (found.code, found.out, list(tmp_path.iterdir())) == (2, "", [])
    assert found.err.splitlines()[-1].startswith(words)


def test_no_plot_without_matplotlib(spikeloom, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = spikeloom("data", "delayed-xor/0", "--plot", "a.png")
    assert (found.code, found.err.splitlines()[-1]) == (2, "Plots need matplotlib; install spikeloom[report]")
