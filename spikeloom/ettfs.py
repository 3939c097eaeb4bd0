"""The ablation of ETTFS, as a study."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from snn.datasets import load
from snn.recipes.ttfs import ABLATIONS

from .source import UsageError
from .studies import Study, bars
from .tables import percent

if TYPE_CHECKING:
    from snn.ablation import Outcome
    from snn.train import Report

__all__ = ["ablation"]

_PUBLISHED = (
    "The authors publish 89.61 % with all off and 92.90 % with all on, of a larger network on all of Fashion-MNIST."
)


def ablation(
    dataset: str,
    *,
    folder: Path,
    epochs: int | None = None,
    samples: int | None = None,
    seeds: int = 1,
    data: Path | None = None,
    report: "Report | None" = None,
) -> tuple[Study, Path | None]:
    """Train the variants, and write ``ettfs.json`` and ``ettfs.svg`` into ``folder``; the study and the plot.

    Raises
    ------
    UsageError
        If there is no such study of the data set, or torch is missing.
    """
    if dataset not in ABLATIONS:
        raise UsageError(f"Data set must be one of {', '.join(ABLATIONS)}, not {dataset!r}")
    try:
        from snn.ablation import PARTS, ablate
    except ImportError as error:
        raise UsageError(
            f"A study needs {error.name}, which is not installed: pip install 'spikeloom[torch]'"
        ) from None
    recipe = ABLATIONS[dataset]
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    chosen = load(dataset, data, train=samples)
    outcomes = ablate(recipe, chosen, seeds=seeds, report=report)
    words = f"{len(chosen.train_x)} training samples, {recipe.epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''}"
    options = f"--dataset {dataset} --epochs {recipe.epochs} --samples {len(chosen.train_x)} --seeds {seeds}"
    study = Study(
        title=f"ETTFS on {dataset}, part by part",
        command=f"spikeloom study ettfs {options}",
        columns=("variant", *PARTS, "accuracy", *(["lowest", "highest"] if seeds > 1 else []), "spikes a neuron"),
        rows=[_row(item, tuple(PARTS)) for item in outcomes],
        note=(
            f"{recipe.layers}, {recipe.steps} steps, in real numbers: {words}; accuracy on all {len(chosen.test_x)} "
            "test samples, which chose nothing. A small network and a short training: only large differences say "
            f"something, a few points may be chance. {_PUBLISHED}"
        ),
    )
    study.write(folder / "ettfs.json")
    plot = bars(
        folder / "ettfs.svg",
        title=study.title,
        names=[item.variant.name for item in outcomes],
        series=[[100 * value for value in item.accuracies] for item in outcomes],
        unit="right answers, %",
    )
    return study, plot


def _row(outcome: "Outcome", parts: tuple[str, ...]) -> list[str]:
    accuracies = outcome.accuracies
    marks = ["on" if part in outcome.variant.parts else "" for part in parts]
    ends = [percent(min(accuracies)), percent(max(accuracies))] if len(accuracies) > 1 else []
    spikes = f"{fmean(outcome.spikes):.2f}"
    return [outcome.variant.name, *marks, percent(fmean(accuracies)), *ends, spikes]
