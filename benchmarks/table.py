"""Measurements as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from quant.file import write_beside

__all__ = ["RESULTS", "Measurement", "show", "write"]

RESULTS = Path(__file__).resolve().parent / "results.json"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number, and what it stands beside.

    Parameters
    ----------
    id : str
        What was measured; the same from run to run.
    value : float
    unit : str
    peer : str
        What the value is to be read against.
    command : str
        What gives it.
    """

    id: str
    value: float
    unit: str
    peer: str
    command: str


def show(measurements: Sequence[Measurement]) -> None:
    """Print a table."""
    table = Table(title="Benchmarks", title_justify="left")
    for column in ("what", "value", "unit", "beside"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for item in measurements:
        table.add_row(item.id, f"{item.value:,.2f}".removesuffix(".00"), item.unit, item.peer)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=160)
    console.print(table)


def write(measurements: Sequence[Measurement], path: Path = RESULTS) -> None:
    """Write a JSON list."""
    write_beside(path, (json.dumps([asdict(item) for item in measurements], indent=1) + "\n").encode())
