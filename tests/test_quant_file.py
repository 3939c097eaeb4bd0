"""Files of networks and of other parts: what is written comes back, whole or not at all."""

import json
import os
import stat
from dataclasses import fields

import numpy as np
import pytest

from quant.errors import FileError
from quant.file import load_network, load_parts, network_parts, save_network, save_parts, write_beside
from quant.ir import Connection, Network, Population, Readout
from tests.specimen import same, saved_fixture, small  # noqa: F401
from tests.whole import random_network


def test_every_field_comes_back(saved):
    assert same(load_network(saved), small())


def test_random_networks_come_back(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        network = random_network(rng)
        save_network(tmp_path / "network", network)
        assert same(load_network(tmp_path / "network"), network)


def test_the_same_network_gives_the_same_bytes(saved, tmp_path):
    save_network(tmp_path / "again", load_network(saved))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_numpy_and_json_read_it_too(saved):
    with np.load(saved, allow_pickle=False) as arrays:
        assert arrays["connections.0.weights"].dtype == np.int8
        assert arrays["populations.p.threshold"].tolist() == [4, 5, 70000]
        header = json.loads(arrays["header.json"])
    assert (header["format"], header["version"], header["content"]) == ("spikeloom", 1, "network")


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    write_beside(path, b"first")
    assert path.read_bytes() == b"first"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FileError, match=r"^File .*file cannot be written: No space left on device$"):
        write_beside(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(path.parent) == ["file"]


def test_nothing_is_left_when_writing_is_interrupted(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "chmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_beside(tmp_path / "file", b"data")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["file/below", "folder"])
def test_places_that_cannot_be_written_are_refused(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"^File .* cannot be written: "):
        write_beside(tmp_path / place, b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_written_files_have_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write_beside(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_parts_of_any_content_come_back(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3).T, "b": np.array(2.5), "c": np.zeros((0, 3), np.float32)}
    save_parts(tmp_path / "parts", "other", {"x": [1, "y"]}, arrays)
    header, loaded = load_parts(tmp_path / "parts", "other")
    assert header == {"x": [1, "y"]}
    assert list(loaded) == ["a", "b", "c"]
    assert all(same(loaded[name], array) for name, array in arrays.items())


def test_arrays_are_stored_as_narrow_as_they_fit():
    _, arrays = network_parts(small())
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "readout.weights": "int16",
        "readout.bias": "int8",
        "populations.p.threshold": "int32",
        "populations.p.reset_amount": "int32",
        "populations.p.decay.numerator": "int8",
        "connections.0.weights": "int8",
    }


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (127, "int8"),
        (128, "int16"),
        (-128, "int8"),
        (-129, "int16"),
        (32767, "int16"),
        (32768, "int32"),
        (-32768, "int16"),
        (-32769, "int32"),
    ],
)
def test_no_value_is_lost_by_narrowing(tmp_path, value, dtype):
    population = Population(name="p", shape=(2,), threshold=1, bias=np.array([0, value]), state_min=0, state_max=0)
    network = Network(
        **{**{entry.name: getattr(small(), entry.name) for entry in fields(Network)}}
        | {
            "populations": (population,),
            "connections": (
                Connection(source="input", target="p", kind="dense", weights=np.eye(2, dtype=int), weight_bits=2),
            ),
            "readout": Readout(population="p"),
        }
    )
    assert network_parts(network)[1]["populations.p.bias"].dtype == dtype
    save_network(tmp_path / "network", network)
    assert same(load_network(tmp_path / "network"), network)
