"""Studies: what an experiment found, as a table, as JSON and as a plot."""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from quant.file import write_beside

from .tables import table

__all__ = ["Study", "bars"]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What an experiment found.

    Parameters
    ----------
    title : str
    command : str
        That gives it again.
    columns : sequence of str
    rows : sequence of sequences
        Strings, numbers or None, one a column.
    note : str
        What one must know to read it.
    """

    title: str
    command: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """JSON values of it."""
        return {**asdict(self), "columns": list(self.columns), "rows": [list(row) for row in self.rows]}

    def as_table(self) -> Table:
        """For a terminal; left-flush where all are strings."""
        left = [
            name
            for name, values in zip(self.columns, zip(*self.rows, strict=True), strict=True)
            if all(isinstance(value, str) for value in values)
        ]
        return table(self.title, self.columns, self.rows, left=left)

    def write(self, path: Path) -> Path:
        """Write it as JSON; the path."""
        write_beside(path, (json.dumps(self.as_dict(), indent=1) + "\n").encode())
        return path


def bars(path: Path, *, title: str, names: Sequence[str], series: Sequence[Sequence[float]], unit: str) -> Path | None:
    """Plot a bar for each name, the mean of its series, and a point for each value; the path of the SVG file.

    None if matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8, 0.7 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    places = range(len(names))
    axes.barh(places, [sum(values) / len(values) for values in series], color="#7aa6c2")
    points = [(value, place) for place, values in zip(places, series, strict=True) for value in values]
    axes.plot(*zip(*points, strict=True), ".", color="#1d3a4c")
    low, high = min(value for value, _ in points), max(value for value, _ in points)
    axes.set_xlim(left=max(0.0, low - max(0.2 * (high - low), 1e-3)))
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
    file = io.BytesIO()
    # Words stay words, and the same plot is the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    write_beside(path, file.getvalue())
    return path
