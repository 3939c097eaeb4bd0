"""MNIST and Fashion-MNIST, and the IDX files that they come in."""

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .base import Dataset
from .errors import DatasetError
from .folders import find

__all__ = ["load", "read_idx"]

_UBYTE = 8
_MOST_IMAGES = 1 << 20
_LARGEST_SIDE = 1 << 10
_MOST_BYTES = 1 << 28


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """MNIST or Fashion-MNIST."""
    folder = find(name, folder, there=lambda place: _file(place, "train-images", 3) is not None, files="IDX files")
    images, labels = {}, {}
    for part in ("train", "t10k"):
        images[part] = _read_part(folder, f"{part}-images", 3)
        labels[part] = _read_part(folder, f"{part}-labels", 1)
        if len(images[part]) != len(labels[part]):
            raise DatasetError(
                f"Data set {name} in {folder} must have one label an image, not "
                f"{len(labels[part])} labels for {len(images[part])} images of {part}"
            )
        if labels[part].max() > 9:
            raise DatasetError(f"Label in {folder} must be between 0 and 9, not {labels[part].max()}")
    rows, columns = size = images["train"].shape[1:]
    other = images["t10k"].shape[1:]
    if other != size:
        raise DatasetError(f"Images in {folder} must have one size, not {other} and {size}")
    return Dataset(
        name=name,
        train_x=images["train"].reshape(-1, rows * columns),
        train_y=labels["train"].astype(np.int64),
        test_x=images["t10k"].reshape(-1, rows * columns),
        test_y=labels["t10k"].astype(np.int64),
        shape=(1, rows, columns),
        classes=10,
        high=255,
    )


def _file(folder: Path, part: str, dimensions: int) -> Path | None:
    names = (f"{part}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_part(folder: Path, part: str, dimensions: int) -> NDArray[np.uint8]:
    path = _file(folder, part, dimensions)
    if path is None:
        raise DatasetError(f"File {folder / f'{part}-idx{dimensions}-ubyte'} does not exist, nor one ending in .gz")
    return read_idx(path, dimensions=dimensions)


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Array of unsigned bytes in an IDX file, plain or gzipped; its sizes are checked before it is read.

    Raises
    ------
    DatasetError
        If the file is missing, truncated, too long, of absurd size, or not an IDX file of ``dimensions``.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            return _read_open(file, path, dimensions)
    except FileNotFoundError:
        raise DatasetError(f"File {path} does not exist") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"File {path} is not a whole gzip file: {error}") from None
    except OSError as error:
        raise DatasetError(f"File {path} cannot be read: {error.strerror or error}") from None


def _read_open(file: IO[bytes], path: Path, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    magic = bytes((0, 0, _UBYTE, dimensions))
    if header[:4] != magic:
        raise DatasetError(f"File {path} must start with {magic.hex(' ')} (IDX of bytes), not {header[:4].hex(' ')!r}")
    if len(header) != 4 + 4 * dimensions:
        raise DatasetError(f"File {path} is truncated: its header has {len(header)} of {4 + 4 * dimensions} bytes")
    count, *sides = shape = tuple(int(extent) for extent in np.frombuffer(header, ">u4", offset=4))
    size = prod(shape)
    if not 1 <= count <= _MOST_IMAGES or any(not 1 <= side <= _LARGEST_SIDE for side in sides) or size > _MOST_BYTES:
        raise DatasetError(
            f"File {path} must hold 1 to {_MOST_IMAGES} items, at most {_LARGEST_SIDE} a side and {_MOST_BYTES} bytes, "
            f"not {' x '.join(map(str, shape))}"
        )
    data = file.read(size + 1)
    if len(data) != size:
        what = f"only {len(data)}" if len(data) < size else "more"
        raise DatasetError(f"File {path} must hold {size} bytes after its header, not {what}")
    return np.frombuffer(data, np.uint8).reshape(shape)
