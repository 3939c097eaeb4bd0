"""DVS128 Gesture: eleven gestures before an event camera (Amir and others 2017).

As published, in a folder: ``trials_to_train.txt`` and ``trials_to_test.txt`` name the recordings; beside each
``user01_lab.aedat`` lies ``user01_lab_labels.csv`` of ``class,startTime_usec,endTime_usec``, one gesture a line, its
class 1 to 11. A sample is the events from a gesture's start up to its end; its time begins with it.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .aedat import read_aedat
from .base import Dataset
from .errors import DatasetError
from .events import Events, Sample, check_sample, gathered
from .folders import find

__all__ = ["load"]

SHAPE = (2, 128, 128)

_CLASSES = 11
_LISTS = ("trials_to_train.txt", "trials_to_test.txt")
_COLUMNS = ["class", "startTime_usec", "endTime_usec"]
_MOST_TEXT = 1 << 20
_TRIAL = re.compile(r"[A-Za-z0-9_-]{1,100}\.aedat")


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """DVS128 Gesture, in the order of its lists."""
    folder = find(
        name,
        folder,
        there=lambda place: (place / _LISTS[0]).is_file(),
        files="trials_to_train.txt",
    )
    (train_x, train_y), (test_x, test_y) = (
        _read_part(folder, part, most) for part, most in zip(_LISTS, (train, test), strict=True)
    )
    return Dataset(
        name=name,
        kind="events",
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        shape=SHAPE,
        classes=_CLASSES,
        high=1,
    )


def _read_part(folder: Path, part: str, most: int | None) -> tuple[Events, NDArray[np.int64]]:
    samples: list[Sample] = []
    labels: list[int] = []
    for trial in _lines(folder / part):
        if most is not None and len(samples) >= most:
            break
        # A list is no way out of the folder.
        if _TRIAL.fullmatch(trial) is None:
            raise DatasetError(f"File {folder / part} must list recordings such as user01_lab.aedat, not {trial!r}")
        for label, sample in _gestures(folder / trial):
            labels.append(label)
            samples.append(sample)
    return gathered(samples, SHAPE), np.array(labels, np.int64)


def _gestures(path: Path) -> list[tuple[int, Sample]]:
    windows = _windows(path.with_name(f"{path.stem}_labels.csv"))
    x, y, polarity, time = read_aedat(path)
    found = []
    for label, start, end in windows:
        inside = (time >= start) & (time < end)
        sample = x[inside], y[inside], polarity[inside], time[inside] - start
        check_sample(f"Gesture of class {label + 1} from {start} us of {path}", sample, SHAPE)
        found.append((label, sample))
    return found


def _windows(path: Path) -> list[tuple[int, int, int]]:
    """Class from 0, start and end of every gesture."""
    first, *lines = _lines(path)
    if first.split(",") != _COLUMNS:
        raise DatasetError(f"File {path} must begin with {','.join(_COLUMNS)}, not {first[:40]!r}")
    windows = []
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
            raise DatasetError(f"File {path} must have lines of three numbers, not {line[:40]!r}")
        label, start, end = map(int, parts)
        if not 1 <= label <= _CLASSES or start >= end:
            raise DatasetError(
                f"File {path} must have classes of 1 to {_CLASSES} that start before they end, not {line!r}"
            )
        windows.append((label - 1, start, end))
    return windows


def _lines(path: Path) -> list[str]:
    """Lines of a text file that are not blank, at least one."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_TEXT + 1).decode("ascii")
    except FileNotFoundError:
        raise DatasetError(f"File {path} does not exist") from None
    except OSError as error:
        raise DatasetError(f"File {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"File {path} must be text") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or len(text) > _MOST_TEXT:
        raise DatasetError(f"File {path} must hold 1 to {_MOST_TEXT} bytes of lines")
    return lines
