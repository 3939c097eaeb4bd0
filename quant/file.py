"""Files: one zip of a JSON header and plain arrays, checked before it is believed.

Layout: ``header.json`` with ``format``, ``version``, ``content`` (which kind of file) and ``sha256`` of the rest, and
one ``<name>.npy`` per array, so that ``numpy.load`` opens it too. Nothing is ever unpickled.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FileError, NetworkError
from .ir import Connection, Decay, Input, Network, Population, Readout

__all__ = [
    "build_item",
    "content_of",
    "described",
    "item_parts",
    "load_network",
    "load_parts",
    "network_parts",
    "save_network",
    "save_parts",
    "write_beside",
]

FORMAT = "spikeloom"
VERSION = 1
_CONTENTS = ("network", "model")
_MAX_BYTES = 1 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)

Header = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def write_beside(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then renamed.

    Raises
    ------
    FileError
        If it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"File {path} cannot be written: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digest(header: Header, arrays: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + b"\0" + len(arrays[name]).to_bytes(8, "little") + arrays[name])
    return digest.hexdigest()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def save_parts(path: Path, content: str, header: Header, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file of kind ``content``. The same parts give the same bytes."""
    packed = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    full = {"format": FORMAT, "version": VERSION, "content": content, "body": header}
    full["sha256"] = _digest(full, packed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("header.json", _EPOCH), json.dumps(full, indent=1), zipfile.ZIP_DEFLATED)
        for name in sorted(packed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), packed[name], zipfile.ZIP_DEFLATED)
    write_beside(path, buffer.getvalue())


def content_of(path: Path) -> str:
    """Kind of a file: ``"network"`` or ``"model"``.

    Raises
    ------
    FileError
        If it is of no kind that this version knows.
    """
    header = _read_header(path, _unzip(path).pop("header.json", b""))
    if header.get("content") not in _CONTENTS:
        raise FileError(f"File {path} must hold a {' or a '.join(_CONTENTS)}, not a {header.get('content')!r}")
    return str(header["content"])


def load_parts(path: Path, content: str) -> tuple[Header, Arrays]:
    """Read a file of kind ``content``.

    Raises
    ------
    FileError
        If the file is missing, truncated, altered, or of another kind or version.
    """
    packed = _unzip(path)
    header = _check_header(path, content, packed.pop("header.json", b""), packed)
    try:
        arrays = {name.removesuffix(".npy"): _array(data) for name, data in packed.items()}
    except (ValueError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError) as error:
        raise FileError(f"File {path} holds an array that cannot be read: {error}") from None
    return header, arrays


def _unzip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpacked(archive, path)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"File {path} does not exist") from None
    except OSError as error:
        raise FileError(f"File {path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError):
        raise FileError(
            f"File {path} is not a whole Spikeloom file: it is truncated, altered or of another kind"
        ) from None


def _unpacked(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > _MAX_BYTES:
        raise FileError(f"File {path} must unpack to at most {_MAX_BYTES} bytes")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise zipfile.BadZipFile
    return {info.filename: archive.read(info) for info in infos}


def _array(data: bytes) -> NDArray[Any]:
    """The array in the bytes of a ``.npy``: numbers alone, and as many as the bytes hold."""
    buffer = io.BytesIO(data)
    version = np.lib.format.read_magic(buffer)
    if version != (1, 0):
        raise ValueError(f"its version must be (1, 0), not {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    if dtype.kind not in "iuf":
        raise ValueError(f"it must be of numbers, not of {dtype}")
    if prod(shape) * dtype.itemsize != len(data) - buffer.tell():
        raise ValueError(f"shape {shape} of {dtype} does not fit {len(data) - buffer.tell()} bytes")
    return np.frombuffer(data, dtype, offset=buffer.tell()).reshape(shape, order="F" if fortran else "C")


def _check_header(path: Path, content: str, text: bytes, packed: Mapping[str, bytes]) -> Header:
    header = _read_header(path, text)
    if header.get("content") != content:
        raise FileError(f"File {path} must hold a {content}, not a {header.get('content')!r}")
    stated = header.pop("sha256", None)
    try:
        digest = _digest(header, packed)
    except RecursionError:
        raise FileError(f"File {path} has a header nested too deeply") from None
    if stated != digest:
        raise FileError(f"File {path} was altered: its contents do not have the digest in its header")
    body = header.get("body")
    if not isinstance(body, dict):
        raise FileError(f"File {path} has no body in its header")
    return body


def _read_header(path: Path, text: bytes) -> Header:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileError(f"File {path} is not a Spikeloom file: it has no header")
    if header.get("version") != VERSION:
        raise FileError(f"File {path} must have format version {VERSION}, not {header.get('version')!r}")
    return header


def item_parts(item: Any, prefix: str, arrays: Arrays) -> Header:
    """Fields of a dataclass as JSON; arrays go to ``arrays`` under ``prefix.field``."""
    header: Header = {}
    for entry in fields(item):
        value, key = getattr(item, entry.name), f"{prefix}.{entry.name}"
        if isinstance(value, np.ndarray) and value.ndim:
            arrays[key] = _narrow(value) if value.dtype.kind in "iu" else value
            header[entry.name] = {"array": key}
        elif isinstance(value, (np.ndarray, np.number)):
            header[entry.name] = value.item()
        elif isinstance(value, Decay):
            header[entry.name] = item_parts(value, key, arrays)
        else:
            header[entry.name] = list(value) if isinstance(value, tuple) else value
    return header


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values


def network_parts(network: Network) -> tuple[Header, Arrays]:
    """Header and arrays of a network, as its file holds them."""
    arrays: Arrays = {}
    header: Header = {"name": network.name, "steps": network.steps, "metadata": dict(network.metadata)}
    header["input"] = item_parts(network.input, "input", arrays)
    header["readout"] = item_parts(network.readout, "readout", arrays)
    header["populations"] = [item_parts(item, f"populations.{item.name}", arrays) for item in network.populations]
    header["connections"] = [
        item_parts(item, f"connections.{index}", arrays) for index, item in enumerate(network.connections)
    ]
    return header, arrays


def save_network(path: Path, network: Network) -> None:
    """Write an integer network."""
    save_parts(path, "network", *network_parts(network))


def load_network(path: Path) -> Network:
    """Read an integer network, checked as if it had just been made.

    Raises
    ------
    FileError
        If the file is missing, truncated, altered, of another kind or version, or inconsistent.
    """
    header, arrays = load_parts(path, "network")
    with described(path, "network"):
        return Network(
            name=header["name"],
            steps=header["steps"],
            metadata=header["metadata"],
            input=build_item(Input, header["input"], arrays),
            readout=build_item(Readout, header["readout"], arrays),
            populations=tuple(build_item(Population, item, arrays) for item in header["populations"]),
            connections=tuple(build_item(Connection, item, arrays) for item in header["connections"]),
        )


@contextmanager
def described(path: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong in making ``what`` of a file's parts is a fault of the file: a :class:`FileError`."""
    try:
        yield
    except NetworkError as error:
        raise FileError(f"File {path} is inconsistent. {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise FileError(f"File {path} is inconsistent: its header does not describe a {what} ({error!r})") from None


def build_item(kind: type[Any], header: Header, arrays: Arrays) -> Any:
    """The dataclass that :func:`item_parts` took apart."""
    values = {}
    for key, value in header.items():
        if isinstance(value, dict) and set(value) == {"array"}:
            values[key] = arrays[value["array"]]
        elif isinstance(value, dict):
            values[key] = build_item(Decay, value, arrays)
        else:
            values[key] = value
    return kind(**values)
