"""Reading NIR files: HDF5 that is looked through before anything of it is believed."""

import warnings
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from ..errors import FileError

__all__ = ["read_graph"]

_MAX_BYTES = 1 << 30
_MAX_ITEMS = 100_000
_MAX_DEPTH = 12
_TYPES = frozenset(nir.ir.__all__) - {"NIRNode", "str2NIRNode", "dict2NIRNode"}
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_graph(path: Path) -> nir.NIRGraph:
    """The graph in a NIR file.

    The file is walked first: it may hold numbers and text alone, no links to elsewhere, and not more than a gigabyte
    however well it is compressed. Then it is read with NIR's own check of shapes, and without where that is too strict:
    :mod:`quant.importers.nir` checks them all.

    Raises
    ------
    FileError
        If it is missing, truncated, no HDF5, no NIR, or too large.
    """
    if not path.is_file():
        raise FileError(f"File {path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            _Walk(path).graph(_node(path, file))
    except FileError:
        raise
    except _FAULTS as error:
        raise FileError(f"File {path} is not a whole NIR file: {_words(error)}") from None
    with warnings.catch_warnings(action="ignore"):
        try:
            return nir.read(path)
        except _FAULTS:
            pass
        try:
            return nir.read(path, type_check=False)
        except _FAULTS as error:
            raise FileError(f"File {path} holds a node that NIR cannot read: {_words(error)}") from None


def _words(error: Exception) -> str:
    """What a library says, in one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _node(path: Path, file: h5py.File) -> h5py.Group:
    found = file.get("node") if file.get("node", getlink=True) is not None else None
    if not isinstance(found, h5py.Group):
        raise FileError(f"File {path} is HDF5, but not of NIR: it has no group 'node'")
    return found


class _Walk:
    """Looks at every group and data set without reading the large ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.items = 0

    def graph(self, group: h5py.Group, name: str = "", depth: int = 0) -> None:
        """A graph: its nodes, its edges, and whatever else lies in it."""
        what = f"graph {name}" if name else "graph"
        if self._type(group, what) != "NIRGraph":
            raise self._fault(f"has a {what} of type {self._type(group, what)!r}, not NIRGraph")
        for part, kind in (("nodes", h5py.Group), ("edges", h5py.Dataset)):
            if not isinstance(self._get(group, part), kind):
                raise self._fault(f"has a {what} without {part}")
        edges = group["edges"]
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2):
            raise self._fault(f"has a {what} whose edges are not pairs of names")
        for key in group:
            if key != "nodes":
                self._item(group, key, f"{what}, {key}", depth + 1)
        for key in group["nodes"]:
            self._node(group["nodes"], key, f"{name}.{key}" if name else key, depth + 1)

    def _node(self, nodes: h5py.Group, key: str, name: str, depth: int) -> None:
        group = self._get(nodes, key)
        if not isinstance(group, h5py.Group):
            raise self._fault(f"has a node {name} that is no group")
        kind = self._type(group, f"node {name}")
        if kind not in _TYPES:
            raise self._fault(f"has a node {name} of type {kind!r}, which is none of {', '.join(sorted(_TYPES))}")
        if kind == "NIRGraph":
            self._deeper(depth)
            self.graph(group, name, depth)
            return
        for field in group:
            self._item(group, field, f"node {name}, {field}", depth + 1)

    def _item(self, group: h5py.Group, key: str, what: str, depth: int) -> None:
        self._deeper(depth)
        item = self._get(group, key)
        if isinstance(item, h5py.Dataset):
            self._numbers(item, what)
            return
        if not isinstance(item, h5py.Group):
            raise self._fault(f"has a {type(item).__name__} at {what}")
        for name in item:
            self._item(item, name, f"{what}, {name}", depth + 1)

    def _deeper(self, depth: int) -> None:
        self.items += 1
        if depth > _MAX_DEPTH or self.items > _MAX_ITEMS:
            raise self._fault(f"must be nested at most {_MAX_DEPTH} deep, and hold at most {_MAX_ITEMS} items")

    def _get(self, group: h5py.Group, key: str) -> Any:
        link = group.get(key, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise self._fault(f"has a link at {key}, which could lead anywhere; a NIR file must hold all that it names")
        return group[key]

    def _type(self, group: h5py.Group, what: str) -> str:
        item = self._get(group, "type")
        if not isinstance(item, h5py.Dataset) or item.shape != ():
            raise self._fault(f"has a {what} without a type")
        self._numbers(item, what)
        value = item[()]
        return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)

    def _numbers(self, item: h5py.Dataset, what: str) -> None:
        if item.is_virtual or item.external:
            raise self._fault(f"keeps {what} in another file")
        text = h5py.check_string_dtype(item.dtype) is not None
        if not text and item.dtype.kind not in "iufb":
            raise self._fault(f"has {item.dtype} at {what}, not numbers or text")
        if item.shape is None:
            raise self._fault(f"has nothing at {what}")
        self.bytes += int(np.prod(item.shape, dtype=object)) * item.dtype.itemsize
        if self.bytes > _MAX_BYTES:
            raise self._fault(f"must unpack to at most {_MAX_BYTES} bytes, but {what} is of shape {item.shape}")

    def _fault(self, words: str) -> FileError:
        return FileError(f"File {self.path} {words}")
