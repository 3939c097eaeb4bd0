"""Samples: the inputs that a network runs on, from its data set, from a file, or at random."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import FileError
from quant.ir import Input
from snn.datasets import Dataset, load
from snn.encode import Encoder

from .source import UsageError

__all__ = [
    "CALIBRATION",
    "Samples",
    "calibration_inputs",
    "dataset_samples",
    "file_samples",
    "random_samples",
    "search_samples",
]

#: Samples to calibrate on.
CALIBRATION = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs, and what is known of them.

    Parameters
    ----------
    origin : str
        Where they come from, in words.
    inputs : array of int
        ``(B, T, N)`` of kind ``events``, else ``(B, N)``.
    labels : array of int, (B,), or None
        The right answers.
    """

    origin: str
    inputs: NDArray[Any]
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, count: int | None) -> "Samples":
        """The first ``count`` of them.

        Raises
        ------
        UsageError
            If there are not so many.
        """
        if count is None:
            return self
        if not 1 <= count <= len(self):
            raise UsageError(f"Samples must be between 1 and the {len(self)} of {self.origin}, not {count}")
        labels = None if self.labels is None else self.labels[:count]
        return Samples(origin=self.origin, inputs=self.inputs[:count], labels=labels)


def dataset_samples(metadata: Mapping[str, Any], steps: int, *, folder: Path | None = None) -> Samples:
    """Test samples of the data set that a network was trained on, as its encoder makes them.

    Raises
    ------
    UsageError
        If the metadata does not name them.
    DatasetError
        If the data set is not there.
    """
    data, encoder = _dataset(metadata, folder, "--inputs", train=0)
    return Samples(origin=f"{data.name}'s test set", inputs=encoder(data.test_x, steps), labels=data.test_y)


def calibration_inputs(metadata: Mapping[str, Any], steps: int, *, folder: Path | None = None) -> NDArray[Any]:
    """Training samples enough to calibrate on; errors as of :func:`dataset_samples`."""
    data, encoder = _dataset(metadata, folder, "--calibration", train=CALIBRATION, test=0)
    return encoder(data.train_x, steps)


def search_samples(
    metadata: Mapping[str, Any], steps: int, *, count: int, folder: Path | None = None, given: Samples | None = None
) -> tuple[Samples, NDArray[Any]]:
    """Training samples to choose with, and others to calibrate on; errors as of :func:`dataset_samples`.

    Parameters
    ----------
    metadata, steps, folder
        As of :func:`dataset_samples`.
    count : int
        How many to choose with, at most; a small data set gives three quarters of its training samples.
    given : Samples, optional
        To be shared in the same way, instead of the data set's training samples.
    """
    if count < 1:
        raise UsageError(f"Samples must be at least 1, not {count}")
    if given is not None:
        if given.labels is None or len(given) < 2:
            raise UsageError(f"Samples of {given.origin} must be at least 2, with labels, to choose widths with")
        held = min(CALIBRATION, -(-len(given) // 4))
        some, labels = given.inputs[held : held + count], given.labels[held : held + count]
        origin = f"{len(some)} samples of {given.origin}"
        return Samples(origin=origin, inputs=some, labels=labels), given.inputs[:held]
    data, encoder = _dataset(metadata, folder, "--calibration", train=CALIBRATION + count, test=0)
    held = CALIBRATION if len(data.train_x) == CALIBRATION + count else min(CALIBRATION, -(-len(data.train_x) // 4))
    inputs = encoder(data.train_x, steps)
    origin = f"{len(inputs) - held} training samples of {data.name}"
    return Samples(origin=origin, inputs=inputs[held:], labels=data.train_y[held:]), inputs[:held]


def _dataset(
    metadata: Mapping[str, Any],
    folder: Path | None,
    option: str,
    *,
    train: int | None = None,
    test: int | None = None,
) -> tuple[Dataset, Encoder]:
    """Data set and encoder; ``option`` is what takes other samples."""
    for key in ("dataset", "encoder"):
        if key not in metadata:
            raise UsageError(f"Network names no {key} in its metadata; give samples with {option} FILE")
    return load(str(metadata["dataset"]), folder, train=train, test=test), Encoder.parse(str(metadata["encoder"]))


def file_samples(path: Path) -> Samples:
    """Samples of a ``.npy`` file of inputs, or of a ``.npz`` file of ``inputs`` and, perhaps, ``labels``.

    Raises
    ------
    FileError
        If the file is not that.
    """
    try:
        arrays = _arrays(path)
    except FileNotFoundError:
        raise FileError(f"File {path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SyntaxError, MemoryError) as error:
        raise FileError(f"File {path} must hold inputs as .npy or .npz: {error}") from None
    if "inputs" not in arrays:
        raise FileError(f"File {path} must hold an array called inputs, not {', '.join(arrays) or 'nothing'}")
    inputs, labels = arrays["inputs"], arrays.get("labels")
    if inputs.ndim == 0 or not len(inputs):
        raise FileError(f"File {path} must hold at least one sample, not an array of shape {inputs.shape}")
    if labels is not None and (labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu"):
        raise FileError(f"File {path} must hold {len(inputs)} integer labels, not {labels.dtype} {labels.shape}")
    return Samples(origin=str(path), inputs=inputs, labels=labels)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        return {"inputs": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}


def random_samples(source: Input, steps: int, *, count: int, seed: int = 0) -> Samples:
    """Inputs at random, uniformly in the input's range."""
    if count < 1:
        raise UsageError(f"Samples must be at least 1, not {count}")
    shape = (count, steps, source.size) if source.kind == "events" else (count, source.size)
    inputs = np.random.default_rng(seed).integers(source.low, source.high, shape, endpoint=True)
    return Samples(origin=f"random inputs of seed {seed}", inputs=inputs)
