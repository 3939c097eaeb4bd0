"""Data sets, described and drawn."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.file import write_beside
from snn.datasets import DATASETS, Dataset, DatasetError, load
from snn.datasets.folders import WAYS
from snn.encode import Encoder

from .source import UsageError

__all__ = ["dataset_facts", "dataset_rows", "draw"]

_SHOWN = 6
_STEPS = 8


def dataset_rows() -> list[dict[str, Any]]:
    """Every data set by name: its kind and size if it is here, else how to get it."""
    rows = []
    for name in DATASETS:
        try:
            rows.append({"name": name, **_summary(load(name, train=1, test=1)), "way": None})
        except DatasetError:
            way = WAYS.get(name, "install spikeloom[data]")
            rows.append({"name": name, "kind": None, "shape": None, "classes": None, "way": way})
    return rows


def _summary(data: Dataset) -> dict[str, Any]:
    return {"kind": data.kind, "shape": list(data.shape), "classes": data.classes}


def dataset_facts(data: Dataset) -> dict[str, Any]:
    """What there is to know of a data set, as JSON values."""
    facts: dict[str, Any] = {"name": data.name, **_summary(data), "low": data.low, "high": data.high}
    for part, values, labels in (("train", data.train_x, data.train_y), ("test", data.test_x, data.test_y)):
        facts[part] = {"samples": len(labels), "by_class": np.bincount(labels, minlength=data.classes).tolist()}
        if data.kind == "events" and len(labels):
            facts[part]["events_per_sample"] = round(float(values.counts.mean()), 1)
            facts[part]["longest_ms"] = round(int(values.time_us.max(initial=0)) / 1000, 1)
        if data.kind == "sequences":
            facts[part]["steps"] = values.shape[1]
    return facts


def draw(data: Dataset, path: Path, *, encoder: str | None = None) -> Path:
    """A training sample of each of some classes as an encoder makes it, in a file of the kind that its name ends with.

    A row is a sample. Of images and events a column is a step (red: brighter, blue: darker); of sequences the steps go
    from left to right, the channels from top to bottom.

    Raises
    ------
    UsageError
        If matplotlib is not installed, or cannot write such a file.
    EncoderError
        If the encoder is unknown, or not one of such samples.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("Plots need matplotlib; install spikeloom[report]") from None
    if not len(data.train_y):
        raise UsageError(f"Data set {data.name} must have training samples to draw")
    name = encoder or {"images": "direct", "events": "frames/time^9", "sequences": "spikes"}[data.kind]
    chosen = [int(np.flatnonzero(data.train_y == label)[0]) for label in np.unique(data.train_y)][:_SHOWN]
    rows = _pictures(data, Encoder.parse(name), chosen)
    wide = data.kind == "sequences"
    figure = Figure(figsize=(9 if wide else 1 + 1.1 * len(rows[0]), 0.6 + 1.1 * len(rows)), layout="constrained")
    figure.suptitle(f"{data.name}, {name}", fontsize=9)
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for index, axes_of_row, pictures in zip(chosen, grid, rows, strict=True):
        axes_of_row[0].set_ylabel(f"class {data.train_y[index]}", fontsize=8)
        for axes, picture in zip(axes_of_row, pictures, strict=True):
            axes.imshow(picture, aspect="auto" if wide else "equal", cmap="gray_r", interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
    return _saved(figure, path)


def _pictures(data: Dataset, encoder: Encoder, chosen: list[int]) -> list[list[NDArray[Any]]]:
    """Pictures of each chosen sample: one of a sequence, else one of every step."""
    steps = data.train_x.shape[1] if data.kind == "sequences" else _STEPS
    inputs = encoder(data.train_x[chosen], steps)
    if data.kind == "sequences":
        return [[sample.T] for sample in inputs]
    maps = inputs.reshape(len(chosen), -1, *encoder.shape(data.shape))
    return [[_picture(step) for step in sample] for sample in maps]


def _picture(values: NDArray[Any]) -> NDArray[Any]:
    """One channel in grey; the first of two in blue on white, the second in red."""
    if len(values) != 2:
        return values.sum(axis=0)
    darker, brighter = values / max(1, values.max())
    return np.clip(1 - np.stack([darker, darker + brighter, brighter], axis=-1), 0, 1)


def _saved(figure: Any, path: Path) -> Path:
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise UsageError(f"File of a plot must end with .png, .svg or .pdf, not {path.name!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=120)
    write_beside(path, buffer.getvalue())
    return path
