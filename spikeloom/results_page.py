"""The page of the results: tables in Markdown, and the bars that networks are held against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .studies import Study

__all__ = ["BARS", "Bar", "page"]

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a network has to reach, and what others reach.

    Parameters
    ----------
    accuracy : float or None
        Of the integer network, 0 to 1.
    reference : str
        In percent, and whose.
    """

    accuracy: float | None
    reference: str


BARS = {
    "mnist-conv-klif": Bar(accuracy=0.993, reference="99.6 to 99.7, PLIF and its kin"),
    "mnist-conv-lif": Bar(accuracy=None, reference="KLIF, above: the same budget"),
    "fashion-conv-klif": Bar(accuracy=0.92, reference="94.2 to 94.7, LIF and PLIF of 16 times the weights"),
    "fashion-conv-lif": Bar(accuracy=None, reference="KLIF, above: the same budget"),
    "mnist-ttfs": Bar(accuracy=0.99, reference="99.48, ETTFS"),
    "fashion-ttfs": Bar(accuracy=0.905, reference="92.90, ETTFS"),
    "mnist-spide": Bar(accuracy=0.98, reference="99.49, IDE"),
    "fashion-spide": Bar(accuracy=0.86, reference="90.04, IDE"),
    "mnist-lif-512": Bar(accuracy=0.97, reference="95.22, Yin et al."),
    "nmnist-conv": Bar(accuracy=0.92, reference="95 to 99, of the full set"),
}

_HEAD = """\
# Results

`make results` writes this page, and `results.json` beside it, from the checkpoints that come with the package; nothing
is typed by hand. Every accuracy is that of the whole test set that was there. *Integer* is `sim.golden`, which is bit
for bit the hardware; its weights were trained with the integers. *PTQ* is the float network rounded after training, to
weights of 8 bits: `spikeloom quantize FLOAT_FILE --weight-bits 8`. A loss is float minus integer, in points.
"""

_COST = """\
A sample takes so many **spikes**, of all neurons, and so many **synaptic operations** (SOPs): an event costs one for
every synapse that it passes. *Useful* are those whose weight is not 0. A constant input costs **MACs** instead,
multiplications once a sample, whatever its pixels. See [quantization](quantization.md). All steps are counted, also
where `first_spike` stops early.
"""


def page(rows: Sequence[Row], studies: Sequence[Study]) -> str:
    """The page in Markdown."""
    parts = [_HEAD, "## Accuracy\n", _accuracies(rows), "## Cost\n", _COST, _costs(rows)]
    parts += ["## Where from\n", _origins(rows)]
    if studies:
        parts.append("## Studies\n")
    for study in studies:
        cells = _table(study.columns, study.rows, [])
        parts += [f"### {study.title}\n", f"`{study.command}`\n", cells, f"{study.note}\n"]
    return "\n".join(parts)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _points(row: Row, name: str) -> str:
    return "-" if row.get(name) is None else f"{100 * (row['float_accuracy'] - row[name]):+.2f}"


def _bar(row: Row) -> str:
    bar = BARS.get(row["network"])
    if bar is None or bar.accuracy is None:
        return "-"
    met = "" if row["accuracy"] >= bar.accuracy else ", **missed**"
    return f"{100 * bar.accuracy:g}{met}"


def _accuracies(rows: Sequence[Row]) -> str:
    columns: dict[str, Callable[[Row], Any]] = {
        "network": lambda row: row["network"],
        "data set": lambda row: row["dataset"],
        "neurons and layers": lambda row: f"{row['neuron']} {row['layers']}",
        "steps": lambda row: row["steps"],
        "bits": lambda row: row["weight_bits"],
        "float, %": lambda row: _percent(row["float_accuracy"]),
        "integer, %": lambda row: _percent(row["accuracy"]),
        "loss": lambda row: _points(row, "accuracy"),
        "PTQ 8 bits, %": lambda row: _percent(row.get("ptq_accuracy")),
        "its loss": lambda row: _points(row, "ptq_accuracy"),
        "bar, %": _bar,
        "others, %": lambda row: BARS[row["network"]].reference if row["network"] in BARS else "-",
    }
    return _rows(columns, rows, left=("network", "data set", "neurons and layers", "others, %"))


def _costs(rows: Sequence[Row]) -> str:
    columns: dict[str, Callable[[Row], Any]] = {
        "network": lambda row: row["network"],
        "neurons": lambda row: f"{row['neurons']:,}",
        "weights": lambda row: f"{row['weights']:,}",
        "their memory, KiB": lambda row: f"{row['weight_memory_bits'] / 8192:.1f}",
        "membranes, KiB": lambda row: f"{row['membrane_memory_bits'] / 8192:.1f}",
        "input events": lambda row: f"{row['input_events_per_sample']:,.1f}",
        "spikes": lambda row: f"{row['spikes_per_sample']:,.1f}",
        "SOPs": lambda row: f"{row['sops_per_sample']:,.0f}",
        "useful": lambda row: f"{row['useful_sops_per_sample']:,.0f}",
        "MACs": lambda row: f"{row['macs_per_sample']:,.0f}",
    }
    return _rows(columns, rows, left=("network",))


def _origins(rows: Sequence[Row]) -> str:
    columns: dict[str, Callable[[Row], Any]] = {
        "network": lambda row: row["network"],
        "test samples": lambda row: f"{row['samples']:,}",
        "file": lambda row: f"`{row['file']}`",
        "measured": lambda row: row["date"],
        "at commit": lambda row: row["commit"] or "-",
    }
    return _rows(columns, rows, left=("network", "file", "measured", "at commit"))


def _rows(columns: Mapping[str, Callable[[Row], Any]], rows: Sequence[Row], *, left: Sequence[str]) -> str:
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    return _table(list(columns), cells, [name for name in columns if name not in left])


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str]) -> str:
    lines = [
        _line(columns),
        _line(["---:" if name in right else "---" for name in columns]),
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[Any]) -> str:
    words = ["-" if cell is None else str(cell).replace("|", r"\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(words)} |"
