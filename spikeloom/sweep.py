"""Sweep: the widths of a network's weights, what they cost and what they reach, as a step of the pipeline."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from quant.file import write_beside
from quant.measurement import Measurement, float_accuracy, measure
from quant.rounding import Width
from quant.sweep import Sweep, Trial
from quant.sweep import sweep as sweep_model
from sim import golden

from .samples import Samples, dataset_samples, search_samples
from .screen import Advance
from .source import Source, UsageError
from .tables import percent, table
from .workspace import Workspace

__all__ = ["SweepResult", "plot", "sweep", "sweep_table"]

_DECAY_BITS, _STATE_BITS = 8, 16


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep has found, and the chosen network on the test set.

    Parameters
    ----------
    sweep : Sweep
    origin : str
        What was searched with.
    test : Measurement or None
        None if the user's own samples were searched with: then there are no others.
    float_test_accuracy : float or None
        Of the float network, 0 to 1.
    files : tuple of Path
        What was written.
    """

    sweep: Sweep
    origin: str
    test: Measurement | None
    float_test_accuracy: float | None
    files: tuple[Path, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        test = None if self.test is None else {**self.test.as_dict(), "float_accuracy": self.float_test_accuracy}
        return {
            **self.sweep.as_dict(),
            "searched_with": self.origin,
            "test": test,
            "files": [str(path) for path in self.files],
        }


def sweep(
    source: Source,
    workspace: Workspace,
    *,
    bits: Sequence[Width],
    within: float,
    samples: int,
    decay_bits: int | None = None,
    data: Path | None = None,
    inputs: Samples | None = None,
    apply: bool = False,
    progress: Advance = lambda stage, done, total: None,
) -> SweepResult:
    """Sweep over the widths of a float network's weights; plot it; measure the chosen network on the test set once.

    Parameters
    ----------
    source : Source
        Of a recipe, what was trained in real numbers is quantized, not what was trained for one width.
    workspace : Workspace
    bits, within
        As of :func:`quant.sweep.sweep`.
    samples : int
        Training samples to search with.
    decay_bits : int, optional
        Of a decay's fraction at most.
    data : Path, optional
        Folder of the data set.
    inputs : Samples, optional
        To calibrate on and to search with instead of the data set's; nothing is then measured on a test set.
    apply : bool
        Save the chosen network.
    progress : callable
    """
    model = source.reference or source.model
    if model is None:
        raise UsageError(f"Model must be a recipe or a float network, and {source.argument} is already in integers")
    chosen, calibration = search_samples(model.metadata, model.steps, count=samples, folder=data, given=inputs)
    assert chosen.labels is not None
    found = sweep_model(
        model,
        chosen.inputs,
        chosen.labels,
        run=golden.run,
        bits=bits,
        within=within,
        progress=progress,
        calibration=calibration,
        method="active",
        correct=True,
        decay_bits=_DECAY_BITS if decay_bits is None else decay_bits,
        state_bits=_STATE_BITS,
    )
    test, float_test_accuracy = None, None
    if inputs is None:
        everything = dataset_samples(model.metadata, model.steps, folder=data)
        assert everything.labels is not None
        stage = "Measuring the chosen widths on the test set"
        test = measure(
            found.chosen.network,
            everything.inputs,
            everything.labels,
            golden.run,
            progress=lambda done, total: progress(stage, done, total),
        )
        float_test_accuracy = float_accuracy(model, everything.inputs, everything.labels)
    workspace.make()
    files = [path for kind in ("svg", "png") if (path := plot(found, workspace.folder / f"sweep.{kind}")) is not None]
    if apply:
        files.append(workspace.save(found.chosen.network))
    listing = workspace.folder / "sweep.json"
    result = SweepResult(
        sweep=found,
        origin=chosen.origin,
        test=test,
        float_test_accuracy=float_test_accuracy,
        files=(listing, *files),
    )
    write_beside(listing, (json.dumps(result.as_dict(), indent=1) + "\n").encode())
    if apply:
        workspace.record(found.chosen.network, "sweep", result.as_dict())
    return result


def sweep_table(result: SweepResult) -> Table:
    """Every width, and the widths that were chosen; populations that are silent or saturated are named."""
    columns = ("weights", "accuracy", "loss", "weight memory", "membranes", "SOPs", "spikes", "silent or saturated")
    sweep, chosen = result.sweep, result.sweep.chosen
    rows = [_row(f"{trial.label} bits", trial, sweep.float_accuracy) for trial in sweep.uniform]
    rows.append(_row(f"chosen: {chosen.label}", chosen, sweep.float_accuracy))
    return table(
        f"{sweep.network}: float {percent(sweep.float_accuracy)} of {result.origin}; SOPs and spikes are of a sample",
        columns,
        rows,
        left=("silent or saturated",),
    )


def _row(name: str, trial: Trial, reference: float) -> tuple[str, ...]:
    found, memory = trial.measurement, trial.memory
    return (
        name,
        percent(found.accuracy),
        f"{100 * (reference - found.accuracy):+.2f}",
        f"{memory.weights / 8192:.1f} KiB",
        f"{memory.membranes / 8192:.1f} KiB",
        f"{found.sops_per_sample:,.0f}",
        f"{found.spikes_per_sample:,.1f}",
        ", ".join(f"{name} {' and '.join(flags).upper()}" for name, flags in trial.flags.items()),
    )


def plot(found: Sweep, path: Path) -> Path | None:
    """Plot accuracy over memory, and operations by width; the path, or None if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(f"{found.network}: widths of the weights")
    left, right = figure.subplots(1, 2)
    sizes, accuracies = zip(*map(_point, found.uniform), strict=True)
    size, accuracy = _point(found.chosen)
    left.axhline(100 * found.float_accuracy, color="#555555", linewidth=1, label="float")
    allowed = 100 * (found.float_accuracy - found.within)
    left.axhline(allowed, color="#555555", linewidth=1, linestyle=":", label=f"{100 * found.within:g} points less")
    left.plot(sizes, accuracies, "o-", color="#2b6c8f", label="one width for all")
    for trial, x, y in zip(found.uniform, sizes, accuracies, strict=True):
        left.annotate(trial.label, (x, y), xytext=(4, -12), textcoords="offset points")
    left.plot([size], [accuracy], "*", color="#c0392b", markersize=14, label=f"chosen: {found.chosen.label}")
    left.margins(x=0.1, y=0.1)
    left.set(xlabel="memory of the weights, KiB", ylabel="right answers, %")
    left.legend(loc="lower right", fontsize="small")
    trials = {**{trial.label: trial for trial in found.uniform}, "chosen": found.chosen}
    colours = ["#2b6c8f"] * (len(trials) - 1) + ["#c0392b"]
    operations = [trial.measurement.sops_per_sample for trial in trials.values()]
    right.bar(range(len(trials)), operations, color=colours)
    right.set_xticks(range(len(trials)), list(trials))
    right.set(xlabel="bits of a weight", ylabel="synaptic operations a sample")
    file = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(file, format=path.suffix[1:], metadata=metadata, dpi=120)
    write_beside(path, file.getvalue())
    return path


def _point(trial: Trial) -> tuple[float, float]:
    """KiB and percent."""
    return trial.memory.weights / 8192, 100 * trial.measurement.accuracy
