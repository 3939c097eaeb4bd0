"""N-MNIST: MNIST's digits seen by a moving event camera (Orchard, Jayawant, Cohen, Thakor 2015).

As published, in a folder: ``Train/0/00002.bin`` and so on, ``Test`` likewise, or ``Train.zip`` and ``Test.zip`` of the
same. An event takes five bytes, the highest first: x in 8 bits, y in 8, the polarity in 1, microseconds in 23.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .base import Dataset
from .errors import DatasetError
from .events import Events, Sample, check_sample, gathered
from .folders import find

__all__ = ["load", "read_events"]

SHAPE = (2, 34, 34)

_EVENT = 5
_MOST_BYTES = _EVENT << 20
_MOST_FILES = 1 << 20
_NAME = re.compile(r"(?:.*/)?(?P<part>Train|Test)/(?P<label>\d)/(?P<number>\d{1,9})\.bin")


@dataclass(frozen=True, order=True)
class _Entry:
    """One event file, in a folder or in a zip file; in order of their numbers."""

    number: int
    label: int
    what: str = field(compare=False)
    open: Callable[[], IO[bytes]] = field(compare=False)

    def read(self) -> bytes:
        with self.open() as file:
            return file.read(_MOST_BYTES + 1)


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """N-MNIST, each part in the order of its files' numbers."""
    folder = find(
        name,
        folder,
        there=lambda place: any(_source(place, part) is not None for part in ("Train", "Test")),
        files="folders Train and Test",
    )
    (train_x, train_y), (test_x, test_y) = _read_part(folder, "Train", train), _read_part(folder, "Test", test)
    return Dataset(
        name=name,
        kind="events",
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        shape=SHAPE,
        classes=10,
        high=1,
    )


def _source(folder: Path, part: str) -> Path | None:
    if (folder / part).is_dir():
        return folder / part
    packed = folder / f"{part}.zip"
    return packed if packed.is_file() else None


def _read_part(folder: Path, part: str, most: int | None) -> tuple[Events, NDArray[np.int64]]:
    if most == 0:
        return gathered([], SHAPE), np.zeros(0, np.int64)
    source = _source(folder, part)
    if source is None:
        raise DatasetError(f"Folder {folder} must hold a folder {part} or a file {part}.zip of N-MNIST")
    with _entries(source, part) as found:
        if not 1 <= len(found) <= _MOST_FILES:
            raise DatasetError(
                f"{source} must hold 1 to {_MOST_FILES} event files such as {part}/0/00001.bin, not {len(found)}"
            )
        entries = sorted(found)[:most]
        samples = [read_events(entry.read(), what=entry.what) for entry in entries]
    return gathered(samples, SHAPE), np.array([entry.label for entry in entries], np.int64)


@contextmanager
def _entries(source: Path, part: str) -> Iterator[list[_Entry]]:
    """Event files of a part; what goes wrong while they are read is a fault of ``source``."""
    try:
        if source.is_dir():
            yield [
                _Entry(number=number, label=label, what=f"File {path}", open=partial(_binary, path))
                for path in source.glob("[0-9]/*.bin")
                for label, number in _place(f"{part}/{path.parent.name}/{path.name}", part)
            ]
            return
        with zipfile.ZipFile(source) as archive:
            if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in archive.infolist()):
                raise zipfile.BadZipFile
            yield [
                _Entry(
                    number=number,
                    label=label,
                    what=f"File {info.filename} in {source}",
                    open=partial(archive.open, info),
                )
                for info in archive.infolist()
                for label, number in _place(info.filename, part)
            ]
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
        raise DatasetError(f"File {source} is not a whole zip file: it is truncated or altered") from None


def _binary(path: Path) -> IO[bytes]:
    return path.open("rb")


def _place(name: str, part: str) -> list[tuple[int, int]]:
    """Label and number of an event file, from its name; nothing of any other file."""
    match = _NAME.fullmatch(name)
    return [(int(match["label"]), int(match["number"]))] if match and match["part"] == part else []


def read_events(data: bytes, *, what: str, shape: tuple[int, int, int] = SHAPE) -> Sample:
    """x, y, polarity and microseconds of the five-byte events of a file; ``what`` begins the sentence of an error.

    Raises
    ------
    DatasetError
        If the bytes are cut short or too many, or an event is outside the sensor or out of order.
    """
    if len(data) > _MOST_BYTES:
        raise DatasetError(f"{what} must hold at most {_MOST_BYTES} bytes")
    if not data or len(data) % _EVENT:
        raise DatasetError(f"{what} must hold whole events of {_EVENT} bytes, at least one, not {len(data)} bytes")
    x, y, high, middle, low = np.frombuffer(data, np.uint8).reshape(-1, _EVENT).T
    time = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    sample = x, y, high >> 7, time
    check_sample(what, sample, shape)
    return sample
