"""Results: every recipe's checkpoint on its whole test set, kept in ``docs/results.json`` and ``docs/results.md``."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quant.errors import FileError, NetworkError
from quant.file import write_beside
from quant.measurement import float_accuracy, measure, memory_of
from sim import golden
from snn.datasets import DatasetError
from snn.recipes import RECIPES, Recipe, find

from .pipeline import quantized
from .results_page import page
from .samples import Samples, dataset_samples
from .screen import Advance
from .source import checkpoint, find_source
from .studies import Study

__all__ = ["JSON_FILE", "PAGE_FILE", "Results", "results"]

JSON_FILE, PAGE_FILE, STUDIES = "results.json", "results.md", "studies"

_PTQ_BITS = 8
_ROOT = Path(__file__).resolve().parent.parent

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was measured, and what was known before.

    Parameters
    ----------
    rows : list of dict
        A network each, in the order of the recipes.
    measured : tuple of str
        Networks that were measured now.
    skipped : mapping of str to str
        Why others were not.
    studies : tuple of Study
    """

    rows: list[Row]
    measured: tuple[str, ...]
    skipped: Mapping[str, str]
    studies: tuple[Study, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "networks": self.rows,
            "measured": list(self.measured),
            "skipped": dict(self.skipped),
            "studies": [study.as_dict() for study in self.studies],
        }


def results(
    folder: Path,
    *,
    only: Sequence[str] = (),
    data: Mapping[str, Path] | None = None,
    progress: Advance = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda words: None,
) -> Results:
    """Measure recipes with checkpoints, and write ``results.json`` and ``results.md`` after each.

    A network that is not measured, because it is not wanted or its data set is not there, keeps the row that the file
    has of it, as long as its checkpoint is the same.

    Parameters
    ----------
    folder : Path
        Where the two files are, and the studies in ``studies/``.
    only : sequence of str
        Recipes to measure; default: all.
    data : mapping of str to Path
        Folders of data sets that are not in their usual places.
    progress, say : callables

    Raises
    ------
    SpikeloomError
        If a recipe is unknown or has no checkpoint, or a file is not what it should be.
    """
    wanted = [find(name) for name in only] or [recipe for recipe in RECIPES.values() if _has_checkpoints(recipe)]
    known = {row["network"]: row for row in read_rows(folder / JSON_FILE)}
    known = {name: row for name, row in known.items() if _is_current(name, row)}
    studies = read_studies(folder / STUDIES)
    measured, skipped = [], {}
    for recipe in wanted:
        try:
            known[recipe.name] = measured_row(recipe, (data or {}).get(recipe.dataset), progress)
            measured.append(recipe.name)
        except DatasetError as error:
            skipped[recipe.name] = str(error)
            kept = "its former row is kept" if recipe.name in known else "it has no row"
            say(f"{recipe.name} is skipped, {kept}: {error}")
        rows = [known[name] for name in RECIPES if name in known]
        _write(folder, rows, studies)
    return Results(rows=rows, measured=tuple(measured), skipped=skipped, studies=studies)


def _write(folder: Path, rows: list[Row], studies: Sequence[Study]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_beside(folder / JSON_FILE, (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode())
    write_beside(folder / PAGE_FILE, page(rows, studies).encode())


def _has_checkpoints(recipe: Recipe) -> bool:
    return all(checkpoint(recipe, integers=integers).is_file() for integers in (True, False))


def _digest(recipe: Recipe) -> str:
    """Of both checkpoints."""
    contents = [checkpoint(recipe, integers=integers).read_bytes() for integers in (True, False)]
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()


def _is_current(name: str, row: Row) -> bool:
    """Whether the checkpoints are those that the row is of."""
    return name in RECIPES and _has_checkpoints(RECIPES[name]) and row.get("checkpoints") == _digest(RECIPES[name])


def measured_row(recipe: Recipe, folder: Path | None, progress: Advance) -> Row:
    """One network's row; see :data:`snn.recipes.RECIPES`.

    Raises
    ------
    DatasetError
        If its data set is not there.
    """
    source = find_source(recipe.name)
    assert source.model is not None
    assert source.reference is not None
    samples = dataset_samples(source.model.metadata, source.model.steps, folder=folder)
    assert samples.labels is not None

    def stage(words: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{recipe.name}: {words}", done, total)

    progress(f"{recipe.name}: quantizing", 0, 1)
    network, _ = quantized(source.model, data=folder)
    found = measure(network, samples.inputs, samples.labels, golden.run, progress=stage("integer network"))
    in_floats = float_accuracy(source.reference, samples.inputs, samples.labels, progress=stage("float network"))
    memory = memory_of(network)
    path = checkpoint(recipe, integers=True)
    values = found.as_dict()
    return {
        "network": recipe.name,
        "dataset": recipe.dataset,
        "float_accuracy": in_floats,
        "accuracy": values.pop("accuracy"),
        "samples": values.pop("samples"),
        "weight_bits": recipe.weight_bits,
        "steps": recipe.steps,
        "spikes_per_sample": values.pop("spikes_per_sample"),
        "sops_per_sample": values.pop("sops_per_sample"),
        "file": path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else path.name,
        **values,
        "ptq_bits": _PTQ_BITS,
        "ptq_accuracy": _ptq(source.reference, samples, folder, stage(f"rounded to {_PTQ_BITS} bits")),
        "neuron": recipe.neuron,
        "layers": recipe.layers,
        "neurons": sum(item.size for item in network.populations),
        "weights": sum(item.weights.size for item in network.connections),
        "weight_memory_bits": memory.weights,
        "membrane_memory_bits": memory.membranes,
        "checkpoints": _digest(recipe),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
    }


def _ptq(reference: Any, samples: Samples, folder: Path | None, progress: Callable[[int, int], None]) -> float | None:
    """Accuracy of the float network rounded after training; None if it cannot be."""
    assert samples.labels is not None
    try:
        network, _ = quantized(reference, weight_bits=_PTQ_BITS, data=folder)
    except NetworkError:
        return None
    return measure(network, samples.inputs, samples.labels, golden.run, progress=progress).accuracy


def _commit() -> str | None:
    """Short name of the commit that is checked out; None outside a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def read_rows(path: Path) -> list[Row]:
    """Rows that a file has; none if it does not exist.

    Raises
    ------
    FileError
        If it is not such a file.
    """
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "network" in row for row in rows):
        raise FileError(f"File {path} must be a list of networks, as `spikeloom results` writes it; remove it")
    return rows


def read_studies(folder: Path) -> tuple[Study, ...]:
    """Studies that other commands have left, by name of their files.

    Raises
    ------
    FileError
        If a file is not a study.
    """
    return tuple(_study(path) for path in sorted(folder.glob("*.json")))


def _study(path: Path) -> Study:
    try:
        values = json.loads(path.read_bytes())
        study = Study(**values)
        words = (study.title, study.command, study.note, *study.columns)
        if all(isinstance(word, str) for word in words) and all(len(row) == len(study.columns) for row in study.rows):
            return study
    except (ValueError, TypeError, RecursionError):
        pass
    raise FileError(f"File {path} must be a study, as `spikeloom study` writes it; remove it")
