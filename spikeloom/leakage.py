"""The study of leakage, reset and recurrence, as tables and a plot."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from quant.file import write_beside
from sim import golden
from snn.datasets import load
from snn.recipes import SurrogateRecipe
from snn.recipes.study import PUBLISHED, TASKS, VARIANTS

from .source import UsageError
from .studies import Study
from .tables import percent

if TYPE_CHECKING:
    from snn.study import Outcome
    from snn.train import Report

__all__ = ["leakage"]

_SHOWN = (("dropped", 0.2), ("added", 0.05), ("flipped", 0.05))


def leakage(
    task: str,
    *,
    folder: Path,
    variants: Sequence[str] = (),
    epochs: int | None = None,
    samples: int | None = None,
    seeds: int = 1,
    data: Path | None = None,
    report: "Report | None" = None,
) -> tuple[Study, dict[str, Any], Path | None]:
    """Train the variants; write ``leakage-TASK.json`` and ``leakage-TASK.svg`` into ``folder``.

    Returns
    -------
    Study, dict, Path or None
        The table, everything that was measured as JSON values, and the plot if matplotlib is there.

    Raises
    ------
    UsageError
        If there is no such task or variant, or torch is missing.
    """
    if task not in TASKS:
        raise UsageError(f"Task must be one of {', '.join(TASKS)}, not {task!r}")
    for name in variants:
        if name not in VARIANTS:
            raise UsageError(f"Variant must be one of {', '.join(VARIANTS)}, not {name!r}")
    try:
        from snn.study import study
    except ImportError as error:
        raise UsageError(
            f"A study needs {error.name}, which is not installed: pip install 'spikeloom[torch]'"
        ) from None
    recipe = TASKS[task] if epochs is None else replace(TASKS[task], epochs=epochs)
    chosen = load(recipe.dataset, data, train=samples)
    outcomes = study(
        recipe, chosen, run=golden.run, chosen=tuple(variants) or tuple(VARIANTS), seeds=seeds, report=report
    )
    table = _study(task, recipe, outcomes, seeds=seeds, trained=len(chosen.train_y), tested=len(chosen.test_y))
    values = {**table.as_dict(), "outcomes": [asdict(item) for item in outcomes]}
    table.write(folder / f"leakage-{task}.json")
    return table, values, _plot(folder / f"leakage-{task}.svg", table.title, outcomes)


def _study(
    task: str, recipe: SurrogateRecipe, outcomes: Sequence["Outcome"], *, seeds: int, trained: int, tested: int
) -> Study:
    published = PUBLISHED.get(task, {})
    bins = [steps for steps in outcomes[0].bins if steps != recipe.steps]
    names = list(dict.fromkeys(item.variant for item in outcomes))
    words = f"{trained} training samples, {recipe.epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''}"
    return Study(
        title=f"Leakage, reset and recurrence on {task}",
        command=f"spikeloom study leakage --task {task} --epochs {recipe.epochs} --samples {trained} --seeds {seeds}",
        columns=(
            "variant",
            "published",
            "float",
            f"{recipe.weight_bits}-bit integers",
            *(["lowest", "highest"] if seeds > 1 else []),
            "spikes a neuron and step",
            *(f"{steps} steps" for steps in bins),
            *(f"{level:.0%} {kind}" for kind, level in _SHOWN),
        ),
        rows=[
            _row([item for item in outcomes if item.variant == name], published.get(name), bins, seeds)
            for name in names
        ],
        note=(
            f"{recipe.layers} hidden neurons, {recipe.steps} steps, threshold {recipe.threshold:g}, "
            f"tau {recipe.tau:g} of the baseline: {words}; accuracy on all {tested} test samples, which chose nothing. "
            f"Trained in real numbers, then rounded; all but the column float is of the integer network. "
            f"Other bins and noise: on the first {min(tested, 1000)} test samples. Published: arXiv 2403.16674, "
            "of larger trainings in real numbers."
        ),
    )


def _row(outcomes: Sequence["Outcome"], published: float | None, bins: Sequence[int], seeds: int) -> list[str]:
    accuracies = [item.accuracy for item in outcomes]
    return [
        outcomes[0].variant,
        percent(published),
        percent(fmean(item.float_accuracy for item in outcomes)),
        percent(fmean(accuracies)),
        *([percent(min(accuracies)), percent(max(accuracies))] if seeds > 1 else []),
        f"{fmean(item.rate for item in outcomes):.3f}",
        *(percent(fmean(item.bins[steps] for item in outcomes)) for steps in bins),
        *(percent(fmean(item.noise[kind][level] for item in outcomes)) for kind, level in _SHOWN),
    ]


def _plot(path: Path, title: str, outcomes: Sequence["Outcome"]) -> Path | None:
    """Accuracy, rate, other bins and noise of every variant; None without matplotlib."""
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError:
        return None
    names = list(dict.fromkeys(item.variant for item in outcomes))
    groups = [[item for item in outcomes if item.variant == name] for name in names]
    colours = [colormaps["tab10"](index % 10) for index in range(len(names))]
    figure = Figure(figsize=(13, 7), layout="constrained")
    (accuracy, rate, bins), noises = figure.subplots(2, 3)
    places = range(len(names))
    for axes, label, measured in (
        (accuracy, "right answers, %", [[100 * item.accuracy for item in group] for group in groups]),
        (rate, "spikes a hidden neuron and step", [[item.rate for item in group] for group in groups]),
    ):
        axes.barh(places, [fmean(values) for values in measured], color=colours)
        points = [(value, place) for place, values in zip(places, measured, strict=True) for value in values]
        axes.plot(*zip(*points, strict=True), "k.", markersize=4)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel(label)
    lowest = min(100 * item.accuracy for item in outcomes)
    accuracy.set_xlim(left=max(0, lowest - 0.2 * (100 - lowest)))
    curves: list[tuple[Any, str, list[list[Mapping[Any, float]]]]] = [
        (bins, "steps", [[item.bins for item in group] for group in groups])
    ]
    curves += [
        (axes, f"share of inputs {kind}, %", [[item.noise[kind] for item in group] for group in groups])
        for axes, kind in zip(noises, outcomes[0].noise, strict=True)
    ]
    for axes, label, series in curves:
        unit = 1 if axes is bins else 100
        for name, colour, values in zip(names, colours, series, strict=True):
            levels = list(values[0])
            shown = [100 * fmean(one[level] for one in values) for level in levels]
            axes.plot([unit * level for level in levels], shown, ".-", color=colour, label=name)
        axes.set_xlabel(label)
        axes.set_ylabel("right answers, %")
    bins.set_xscale("log", base=2)
    bins.set_xticks(list(outcomes[0].bins), [str(steps) for steps in outcomes[0].bins])
    bins.minorticks_off()
    figure.legend(*bins.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(title)
    file = io.BytesIO()
    figure.savefig(file, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)
    write_beside(path, file.getvalue())
    return path
