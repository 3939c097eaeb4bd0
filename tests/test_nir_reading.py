from contextlib import suppress

import h5py
import nir
import numpy as np
import pytest

from quant.errors import FileError
from quant.importers.nir import load_nir
from quant.importers.nir_reading import read_graph


@pytest.fixture
def small(tmp_path):
    """A NIR file of four inputs and two neurons."""
    one = np.ones(2)
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Linear(np.ones((2, 4))),
        "lif": nir.LIF(tau=2e-4 * one, r=2 * one, v_leak=0 * one, v_threshold=one),
        "output": nir.Output(np.array([2])),
    }
    nir.write(tmp_path / "small.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    return tmp_path / "small.nir"


def changed(path, change):
    with h5py.File(path, "r+") as file:
        change(file["node"])
    return path


def refused(path, words):
    with pytest.raises(FileError, match=words) as found:
        load_nir(path)
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


def test_a_whole_file_is_read(small):
    assert sorted(read_graph(small).nodes) == ["fc", "input", "lif", "output"]
    assert load_nir(small).name == "small"


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "none.nir", "does not exist")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not at all", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_not_hdf5(tmp_path, data):
    (tmp_path / "other.nir").write_bytes(data)
    refused(tmp_path / "other.nir", "is not a whole NIR file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short(small, share):
    data = small.read_bytes()
    small.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FileError, match=f"^File {small} "):
        load_nir(small)


@pytest.mark.parametrize("seed", range(40))
def test_a_file_altered_anywhere_is_read_or_refused(small, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(small.read_bytes())
    for place in rng.integers(0, len(data), 12):
        data[place] = rng.integers(256)
    small.write_bytes(data)
    with suppress(FileError):
        read_graph(small)


def test_hdf5_of_something_else(tmp_path):
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["weights"] = np.ones(3)
    refused(tmp_path / "other.nir", "is HDF5, but not of NIR: it has no group 'node'")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda node: node.__delitem__("nodes"), "has a graph without nodes"),
        (lambda node: node.__delitem__("edges"), "has a graph without edges"),
        (lambda node: node.__delitem__("type"), "has a graph without a type"),
        (lambda node: node["nodes/fc"].__delitem__("type"), "has a node fc without a type"),
        (lambda node: node["nodes/fc"].__delitem__("weight"), "holds a node that NIR cannot read"),
        (lambda node: node["nodes"].__setitem__("x", 3), "has a node x that is no group"),
    ],
)
def test_something_missing(small, change, words):
    refused(changed(small, change), words)


def put(node, key, value):
    if key in node:
        del node[key]
    node[key] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda node: put(node, "nodes/fc/type", "Telepathy"), "has a node fc of type 'Telepathy', which is none of"),
        (lambda node: put(node, "nodes/fc/type", "NIRNode"), "has a node fc of type 'NIRNode', which is none of"),
        (lambda node: put(node, "type", "LIF"), "has a graph of type 'LIF', not NIRGraph"),
        (lambda node: put(node, "edges", np.ones(3)), "has a graph whose edges are not pairs"),
        (lambda node: put(node, "nodes/fc/weight", h5py.SoftLink("/node/nodes")), "has a link at weight"),
        (lambda node: put(node, "nodes/fc/weight", h5py.ExternalLink("a.nir", "/x")), "has a link at weight"),
        (lambda node: put(node, "nodes/loop", node), "must be nested at most 12 deep"),
        (lambda node: put(node, "nodes/fc/weight", np.ones((2, 4), complex)), "complex128 at node fc, weight, not"),
        (lambda node: put(node, "nodes/fc/weight", h5py.Empty("f8")), "has nothing at node fc, weight"),
    ],
)
def test_something_that_cannot_be(small, change, words):
    refused(changed(small, change), words)


def test_a_huge_array_is_refused_before_it_is_read(small):
    def change(node):
        del node["nodes/fc/weight"]
        node["nodes/fc"].create_dataset("weight", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024))

    refused(changed(small, change), r"must unpack to at most 1073741824 bytes, but node fc, weight is of shape")
    assert small.stat().st_size < 1 << 20


def test_an_array_in_another_file_is_refused(small, tmp_path):
    def change(node):
        del node["nodes/fc/weight"]
        external = [(str(tmp_path / "raw"), 0, 64)]
        node["nodes/fc"].create_dataset("weight", shape=(2, 4), dtype="f8", external=external)

    refused(changed(small, change), "keeps node fc, weight in another file")


def test_edges_that_lead_nowhere(small):
    with pytest.raises(ValueError, match=r"Edge fc -> lost must join nodes of the graph"):
        load_nir(changed(small, lambda node: put(node, "edges", np.array([["fc", "lost"]], "S4"))))
