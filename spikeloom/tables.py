"""Tables: results for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .check import Account, CheckedNetwork
from .pipeline import Evaluation

if TYPE_CHECKING:
    from boards.build import BuildReport
    from sim.cosim import CosimReport

    from .board import BoardRun

__all__ = [
    "account_tables",
    "board_run_table",
    "boards_rows",
    "build_table",
    "check_table",
    "cosim_table",
    "estimate_words",
    "evaluation_table",
    "facts",
    "lanes_words",
    "percent",
    "plan_table",
    "report_table",
    "resource_words",
    "results_table",
    "span",
    "table",
]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, left: Sequence[str] = ()) -> Table:
    """A table of strings and numbers; columns in ``left`` and the first are flush left."""
    made = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        made.add_column(
            column, justify="left" if index == 0 or column in left else "right", overflow="fold", no_wrap=index == 0
        )
    for row in rows:
        made.add_row(*("-" if value is None else str(value) for value in row))
    return made


def facts(title: str, values: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    made = Table(title=title, title_justify="left", show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(name, str(value))
    return made


def percent(share: float | None) -> str:
    """A share, 0 to 1, in percent."""
    return "-" if share is None else f"{share:.2%}"


def span(values: Sequence[int]) -> str:
    """Mean of numbers, and their ends if they differ."""
    if not values:
        return "-"
    ends = f", {min(values)} to {max(values)}" if min(values) != max(values) else ""
    return f"{sum(values) / len(values):.1f}{ends}"


def resource_words(resources: Mapping[str, Mapping[str, int]]) -> str:
    """What is used of a chip."""
    return ", ".join(f"{item['used']} of {item['available']} {name}" for name, item in resources.items())


def lanes_words(plan: Mapping[str, Any]) -> str:
    """Lanes of every core of a plan, and what limits it."""
    lanes = [f"{part['name']} {part['lanes']}" for part in plan["parts"] if "lanes" in part]
    return f"{', '.join(lanes)}; {plan['limit']}"


def estimate_words(plan: Mapping[str, Any], off: Mapping[str, float] | None = None) -> str:
    """What was estimated of a chip, and how far off that was."""
    words = []
    for name, number in plan["estimate"].items():
        error = f" ({off[name]:+.1%})" if off and name in off else ""
        words.append(f"{number} {name}{error}")
    return ", ".join(words)


def plan_table(plan: Mapping[str, Any]) -> Table:
    """A plan, part by part: :meth:`boards.planner.Choice.as_dict`."""
    columns = (
        "part",
        "lanes",
        "units",
        "rows",
        "events",
        "cycles",
        "of them rows",
        "sweeps",
        "a step",
        "share",
        "block RAMs",
    )
    rows = [
        (
            part["name"],
            *(part.get(name) for name in ("lanes", "units", "rows")),
            f"{part['events']:,.1f}",
            f"{part['cycles']:,.0f}",
            f"{part['accumulate']:,.0f}",
            f"{part['sweep']:,.0f}",
            f"{part['cycles'] / part['steps']:,.1f}",
            f"{part['share']:.0%}",
            part.get("block_rams"),
        )
        for part in plan["parts"]
    ]
    title = (
        f"Plan for {plan['board']}: {plan['interval_cycles']:,.0f} cycles between two samples, "
        f"{plan['latency_cycles']:,.0f} for one alone (events {plan['activity']})"
    )
    made = table(title, columns, rows)
    made.caption = f"Limit: {plan['limit']}. Estimate: {estimate_words(plan)}"
    made.caption_justify = "left"
    return made


def account_tables(account: Account) -> list[Table | str]:
    """Layers of the source model and what they have become, and what was assumed; nothing if nothing is known."""
    made: list[Table | str] = []
    if account.layers:
        columns = ("layer", "type", "becomes")
        made.append(table("Layers of the source", columns, account.layers, left=columns))
    if account.assumptions:
        made.append(
            "\n".join(["Assumed, since the source does not say:", *(f"  {item}" for item in account.assumptions)])
        )
    return made


def check_table(checked: CheckedNetwork) -> Table:
    """Layers, and what they become."""
    columns = ("population", "connections", "neurons", "becomes", "threshold", "decay", "membrane", "sum", "hardware")
    rows = [
        (
            item.name,
            "\n".join(item.connections),
            item.neurons,
            item.becomes,
            item.threshold,
            item.decay,
            f"{item.membrane_bits} bits",
            f"{item.sum_bits} bits",
            f"{item.lanes} lanes, {item.rows} rows, {item.sweeps} sweeps",
        )
        for item in checked.layers
    ]
    title = f"{checked.network}: {checked.steps} steps, input of {checked.input}, readout {checked.readout}"
    return table(title, columns, rows, left=("connections", "becomes", "hardware"))


def evaluation_table(evaluation: Evaluation) -> Table:
    """Rates of an integer network by itself."""
    title = f"{evaluation.samples} samples of {evaluation.origin}: accuracy {percent(evaluation.accuracy)}"
    rows = [(name, f"{rate:.4f}") for name, rate in evaluation.rates.items()]
    return table(title, ("population", "spikes a neuron and step"), rows)


def cosim_table(report: "CosimReport") -> Table:
    """What was compared."""
    resumed = f" ({report.resumed} of them by an earlier run)" if report.resumed else ""
    currents = f"{report.currents}, {report.current_mismatches} differ"
    return facts(
        f"Co-simulation of {report.network}",
        {
            "simulator": f"{report.simulator} {report.version}",
            "samples": f"{report.samples}{resumed}",
            "stalls": f"{report.stall:.0%} of the time, seed {report.seed}",
            "spikes compared": f"{report.spikes}, {report.spike_mismatches} differ",
            "membranes compared": f"{report.membranes}, {report.membrane_mismatches} differ",
            **({"currents compared": currents} if report.currents else {}),
            "answers": f"{report.answer_mismatches} differ",
            "streams": f"{report.stream_mismatches} differ",
            "cycles a sample, predicted": span(report.cycles_predicted),
            "cycles a sample, measured": span(report.cycles),
            "cycles in all": f"{report.total_cycles} in {report.seconds:.1f} s, by {report.jobs} simulators at a time",
        },
    )


def build_table(report: "BuildReport") -> Table:
    """What was built."""
    return facts(
        f"{report.network} on {report.board}",
        {
            "device": report.device,
            "clock": f"{report.clock_mhz:g} MHz, of at most {report.fmax_mhz:.2f} MHz"
            f"{'' if report.timing_met else ': TIMING NOT MET'}",
            "resources": resource_words(report.resources),
            "estimated before": estimate_words(report.plan, report.estimate_off),
            "bitstream": report.bitstream,
            "build hash": report.build_hash,
            "time": f"{report.seconds:.1f} s{', from the cache' if report.cached else ''}",
        },
    )


def board_run_table(run: "BoardRun") -> Table:
    """What a board answered."""
    mean = sum(run.cycles) / max(1, len(run.cycles))
    return facts(
        f"{run.network} at {run.port}",
        {
            "samples": f"{run.samples}, {run.mismatches} differ from the golden model",
            "accuracy": percent(run.accuracy),
            "cycles a sample": f"{span(run.cycles)} ({mean / run.clock_hz * 1e6:.1f} us)"
            if run.clock_hz
            else span(run.cycles),
            "build hash": run.build_hash,
        },
    )


def boards_rows() -> list[dict[str, Any]]:
    """All boards, as JSON values."""
    from boards.board import BOARDS

    fields = ("name", "title", "family", "device", "logic_cells", "block_rams", "block_ram_bits", "dsps")
    return [
        {**{field: getattr(board, field) for field in fields}, "default_clock_mhz": board.default_clock_hz / 1e6}
        for board in BOARDS.values()
    ]


def results_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Networks, and what they reach and cost; the page has more."""
    columns = ("network", "data set", "samples", "float", "integer", "bits", "steps", "spikes", "SOPs", "measured")
    cells = [
        (
            row["network"],
            row["dataset"],
            row["samples"],
            percent(row["float_accuracy"]),
            percent(row["accuracy"]),
            row["weight_bits"],
            row["steps"],
            f"{row['spikes_per_sample']:,.1f}",
            f"{row['sops_per_sample']:,.0f}",
            row["date"],
        )
        for row in rows
    ]
    return table("Results, on all test samples", columns, cells, left=("data set",))


def report_table(report: Mapping[str, Any]) -> Table:
    """A line or two of what every step has found."""
    rows: dict[str, str] = {"network": f"{report.get('network')}, SHA-256 {report.get('digest')}"}
    for step, values in report.items():
        if isinstance(values, dict):
            rows[step] = _summary(step.partition(" ")[0], values)
    return facts("Report", rows)


def _summary(step: str, values: Mapping[str, Any]) -> str:
    """What matters of a step's values; unknown ones are left to ``--json``."""
    names = {
        "quantize": ("warnings",),
        "evaluate": ("samples", "float_accuracy", "accuracy", "agreement"),
        "generate": ("verilog", "module"),
        "cosim": ("samples", "mismatches", "spikes", "membranes", "stall", "first_difference"),
        "build": ("bitstream", "clock_mhz", "fmax_mhz", "timing_met", "build_hash"),
        "run": ("port", "samples", "mismatches", "accuracy"),
    }.get(step, ())
    return "\n".join(f"{name}: {values[name]}" for name in names if values.get(name) not in (None, "", []))
