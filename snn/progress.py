"""Training's progress on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .train import Report

__all__ = ["shown"]


@contextmanager
def shown(console: Console) -> Iterator[Report]:
    """A report for :func:`snn.train.train` that draws one bar a stage on ``console``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(f"Training, {stage}", total=epochs, state="")
            state = f"loss {loss:.4f}, {accuracy:.2%} right"
            progress.update(tasks[stage], completed=epoch, state=state)

        yield report
