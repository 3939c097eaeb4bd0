"""Multivariate time series in the ``.ts`` files that aeon's wheel holds.

``JapaneseVowels``: nine speakers, 12 coefficients of 7 to 29 frames of an utterance (Kudo, Toyama, Shimbo 1999).
``BasicMotions``: four activities, 6 channels of a watch's accelerometer and gyroscope, 100 steps.

A line of such a file after ``@data`` is a sample: its channels with ``:`` between them, the values of one with commas
between, last its class. As integers, a channel's value is its distance from the channel's mean in 1/32 of its standard
deviation, both of the training samples, clipped to -127 to 127; a shorter sample stays at its last values.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .base import Dataset
from .errors import DatasetError
from .folders import find

__all__ = ["FILES", "load", "read_ts"]

FILES = {"japanese-vowels": "JapaneseVowels", "basic-motions": "BasicMotions"}

_UNIT = 32
_HIGH = 127
_MOST_BYTES = 1 << 26
_MOST_VALUES = 1 << 26

Series = list[NDArray[np.float64]]


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """One of :data:`FILES`."""
    stem = FILES[name]
    installed = _installed(stem)
    folder = find(
        name,
        installed if folder is None and installed is not None else folder,
        there=lambda place: (place / f"{stem}_TRAIN.ts").is_file(),
        files=f"{stem}_TRAIN.ts and {stem}_TEST.ts",
    )
    train_x, train_names, classes = read_ts(folder / f"{stem}_TRAIN.ts")
    path = folder / f"{stem}_TEST.ts"
    test_x, test_names, others = read_ts(path)
    channels = len(train_x[0])
    if others != classes or len(test_x[0]) != channels:
        raise DatasetError(
            f"File {path} must have the {channels} channels and the classes {' '.join(classes)} of the training "
            f"samples, not {len(test_x[0])} and {' '.join(others)}"
        )
    steps = max(sample.shape[1] for sample in (*train_x, *test_x))
    if steps * channels * (len(train_x) + len(test_x)) > _MOST_VALUES:
        raise DatasetError(
            f"Data set in {folder} must have at most {_MOST_VALUES} values, all samples being {steps} long"
        )
    values = np.concatenate(train_x, axis=1)
    mean, deviation = values.mean(axis=1), values.std(axis=1)
    deviation[deviation == 0] = 1
    train_i, test_i = (
        np.stack([_integers(sample, mean, deviation, steps) for sample in samples]) for samples in (train_x, test_x)
    )
    return Dataset(
        name=name,
        kind="sequences",
        train_x=train_i,
        train_y=np.array([classes.index(label) for label in train_names], np.int64),
        test_x=test_i,
        test_y=np.array([classes.index(label) for label in test_names], np.int64),
        shape=(channels, 1, 1),
        classes=len(classes),
        low=-_HIGH,
        high=_HIGH,
    )


def _installed(stem: str) -> Path | None:
    """Folder of the files in an installed aeon, which is not imported: it is heavy."""
    spec = find_spec("aeon")
    places = (spec and spec.submodule_search_locations) or []
    return next((Path(place) / "datasets" / "data" / stem for place in places), None)


def _integers(
    sample: NDArray[np.float64], mean: NDArray[np.float64], deviation: NDArray[np.float64], steps: int
) -> NDArray[np.int8]:
    scaled = np.clip(np.rint((sample.T - mean) / deviation * _UNIT), -_HIGH, _HIGH).astype(np.int8)
    return np.pad(scaled, ((0, steps - len(scaled)), (0, 0)), mode="edge")


def read_ts(path: Path) -> tuple[Series, list[str], list[str]]:
    """Samples (channels, steps), the name of each one's class, and the names of all classes.

    Raises
    ------
    DatasetError
        If the file is missing, too large, cut short, or holds anything but finite numbers.
    """
    header, lines = _parted(path)
    names = header.get("classlabel", "").split()
    if len(names) < 3 or names[0] != "true":
        raise DatasetError(f"File {path} must have a line @classLabel true and the names of its classes")
    classes = names[1:]
    samples: Series = []
    labels: list[str] = []
    for number, line in lines:
        *channels, label = line.split(":")
        if label.strip() not in classes or not channels:
            raise DatasetError(f"Line {number} of {path} must end with one of the classes, not {label.strip()[:20]!r}")
        sample = _numbers(channels, number, path)
        if samples and len(sample) != len(samples[0]):
            raise DatasetError(f"Line {number} of {path} must have {len(samples[0])} channels, not {len(sample)}")
        samples.append(sample)
        labels.append(label.strip())
    if not samples:
        raise DatasetError(f"File {path} must hold at least one sample after its line @data")
    return samples, labels, classes


def _parted(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Header and numbered data lines of a file."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        lines = [line.strip() for line in text.decode().splitlines()]
    except FileNotFoundError:
        raise DatasetError(f"File {path} does not exist") from None
    except OSError as error:
        raise DatasetError(f"File {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"File {path} must be text") from None
    if len(text) > _MOST_BYTES:
        raise DatasetError(f"File {path} must hold at most {_MOST_BYTES} bytes")
    header: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        key, _, value = line.partition(" ")
        if key.lower() == "@data":
            return header, [(other, text) for other, text in enumerate(lines[number:], number + 1) if text]
        if key.startswith("@"):
            header[key[1:].lower()] = value
    raise DatasetError(f"File {path} must have a line @data")


def _numbers(channels: list[str], number: int, path: Path) -> NDArray[np.float64]:
    try:
        values = [[float(value) for value in channel.split(",")] for channel in channels]
    except ValueError:
        raise DatasetError(f"Line {number} of {path} must hold numbers alone") from None
    if len({len(channel) for channel in values}) != 1:
        raise DatasetError(f"Line {number} of {path} must have channels of one length")
    sample = np.array(values)
    if not np.isfinite(sample).all():
        raise DatasetError(f"Line {number} of {path} must hold finite numbers alone")
    return sample
