"""Measurements as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from quant.file import write_beside

__all__ = ["RESULTS", "Measurement", "merge", "show"]

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
    for column in ("id", "value", "unit", "beside"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for item in measurements:
        table.add_row(item.id, f"{item.value:,.3f}".rstrip("0").rstrip("."), item.unit, item.peer)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=160)
    console.print(table)


def merge(measurements: Sequence[Measurement], path: Path = RESULTS) -> list[Measurement]:
    """Write measurements into a JSON list, in place of those of the same ids; all that are in it now."""
    found = {}
    if path.exists():
        found = {item["id"]: Measurement(**item) for item in json.loads(path.read_text(encoding="utf-8"))}
    found |= {item.id: item for item in measurements}
    write_beside(path, (json.dumps([asdict(item) for item in found.values()], indent=1) + "\n").encode())
    return list(found.values())
