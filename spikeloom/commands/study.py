"""Studies: experiments of the papers, each a verb of ``spikeloom study``."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Json, Out
from ..screen import Screen

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Experiments of the papers, anew.")

Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Of each training.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each variant.")]


@app.command()
def ettfs(
    dataset: Annotated[str, typer.Option("--dataset", help="fashion-mnist, mnist or digits.")] = "fashion-mnist",
    epochs: Epochs = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Training samples, the first so many.")] = 4000,
    seeds: Seeds = 1,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Networks of one spike a neuron with and without each part of ETTFS."""
    from ..ettfs import ablation

    screen = Screen(as_json=as_json)
    folder = Path("build") / "study" if out is None else out
    with screen.progress() as advance:

        def report(stage: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            advance(f"Training, {stage}\nloss {loss:.4f}, {accuracy:.2%} right", epoch, epochs)

        study, plot = ablation(
            dataset, folder=folder, epochs=epochs, samples=samples, seeds=seeds, data=data, report=report
        )
    files = [folder / "ettfs.json", *([plot] if plot else [])]
    screen.show(study.as_dict(), study.as_table(), f"Files: {', '.join(map(str, files))}")
    if plot is None:
        screen.say("No plot without matplotlib: pip install 'spikeloom[report]'")


@app.command()
def leakage(
    task: Annotated[str, typer.Option("--task", help="mnist, digits, delayed-xor or nmnist.")] = "digits",
    variants: Annotated[str | None, typer.Option("--variants", help="With commas between; default: all.")] = None,
    epochs: Epochs = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Training samples, the first so many.")
    ] = None,
    seeds: Seeds = 1,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Variants of leak, reset and recurrence on one task: accuracy, rates, other time bins, noise."""
    from ..leakage import leakage as measured

    screen = Screen(as_json=as_json)
    folder = Path("build") / "study" if out is None else out
    names = [] if variants is None else variants.split(",")
    with screen.progress() as advance:

        def report(stage: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            advance(f"Training, {stage}\nloss {loss:.4f}, {accuracy:.2%} right", epoch, epochs)

        study, values, plot = measured(
            task,
            folder=folder,
            variants=[name.strip() for name in names],
            epochs=epochs,
            samples=samples,
            seeds=seeds,
            data=data,
            report=report,
        )
    files = [folder / f"leakage-{task}.json", *([plot] if plot else [])]
    screen.show(values, study.as_table(), f"Files: {', '.join(map(str, files))}")
    if plot is None:
        screen.say("No plot without matplotlib: pip install 'spikeloom[report]'")
