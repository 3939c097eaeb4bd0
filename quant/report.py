"""Reports: what quantization has rounded by how much, and float and integer results side by side."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .ir import Network
from .result import Result

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Comparison",
    "ConnectionReport",
    "Firing",
    "PopulationReport",
    "QuantizationReport",
    "compare_results",
    "comparison_table",
    "quantization_table",
]

_SILENT = 0.1
_BUSY = 0.9
_AT_RAIL = 0.01


@dataclass(frozen=True, kw_only=True)
class ConnectionReport:
    """What became of the weights of one connection.

    Parameters
    ----------
    label : str
        Source and target.
    bits : int
        Width of a weight.
    max_error, rms_error : float
        Largest error relative to the largest weight, and root mean square error relative to that of the weights.
    clipped, zero : float
        Share of the weights, 0 to 1, that were clipped by more than half an LSB, and that are 0.
    """

    label: str
    bits: int
    max_error: float
    rms_error: float
    clipped: float
    zero: float


@dataclass(frozen=True, kw_only=True)
class PopulationReport:
    """What became of the numbers of one population.

    Parameters
    ----------
    name : str
    scale_origin : str
        ``"trained"`` or ``"calibrated"``.
    connections : tuple of ConnectionReport
    threshold : tuple of int, or None
        Smallest and largest, in membrane LSB.
    threshold_error, amount_error : float
        Largest error of a threshold, and of a bias, reset or initial membrane, relative to its neuron's threshold
        (to the unit, without one). Raising a threshold to the next membrane that can occur counts too.
    decay : str
        As a fraction.
    decay_error : float
        Largest error of a decay, of the current's too.
    rails : tuple of int
        ``state_min`` and ``state_max``.
    rails_origin : str
        Proven, or measured with what margin.
    state_width : int
        Width of a stored membrane, in bits.
    warnings : tuple of str
    """

    name: str
    scale_origin: str
    connections: tuple[ConnectionReport, ...]
    threshold: tuple[int, int] | None
    threshold_error: float
    amount_error: float
    decay: str
    decay_error: float
    rails: tuple[int, int]
    rails_origin: str
    state_width: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class QuantizationReport:
    """What quantization has done to a model, population by population.

    Parameters
    ----------
    populations : tuple of PopulationReport
    remarks : tuple of str
        What is to be said of the whole.
    """

    populations: tuple[PopulationReport, ...]
    remarks: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Remarks, and warnings of all populations."""
        return self.remarks + tuple(warning for item in self.populations for warning in item.warnings)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"populations": [asdict(item) for item in self.populations], "warnings": list(self.warnings)}


@dataclass(frozen=True, kw_only=True)
class Firing:
    """How one population fires, in the float and in the integer network, on the same samples.

    Parameters
    ----------
    name : str
    float_rate, rate : float
        Spikes per neuron and step.
    float_silent, silent : float
        Share of the neurons whose spikes add up to 0 in every sample.
    at_rail : float or None
        Share of the stored membranes at a rail that can clip, other than 0; None if the membranes were not recorded.
    flags : tuple of str
        ``"silent"``: fires at less than a tenth of the float network's rate, or not at all. ``"saturated"``: at more
        than 0.9 spikes per neuron and step, or with more than 1 % of its membranes at a rail.
    """

    name: str
    float_rate: float
    rate: float
    float_silent: float
    silent: float
    at_rail: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A float and an integer network on the same samples.

    Parameters
    ----------
    samples : int
    float_accuracy, accuracy : float or None
        Shares of right answers, 0 to 1; None without labels.
    agreement : float
        Share of the samples with the same answer.
    firing : tuple of Firing
        By population.
    """

    samples: int
    float_accuracy: float | None
    accuracy: float | None
    agreement: float
    firing: tuple[Firing, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence per flag."""
        return tuple(_sentence(item, flag) for item in self.firing for flag in item.flags)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {**asdict(self), "warnings": list(self.warnings)}


def _sentence(item: Firing, flag: str) -> str:
    rates = f"{item.rate:.4f} spikes per neuron and step, the float network {item.float_rate:.4f}"
    if flag == "silent":
        return f"Population {item.name} has gone silent: {rates}"
    rail = "" if item.at_rail is None else f"; {item.at_rail:.1%} of its membranes are at a rail"
    return f"Population {item.name} is saturated: {rates}{rail}"


def compare_results(
    network: Network,
    float_result: Result,
    result: Result,
    labels: NDArray[Any] | None = None,
    *,
    steps: int | None = None,
) -> Comparison:
    """Compare results of the float network and of the integer network on the same samples.

    Parameters
    ----------
    network : Network
        The integer network.
    float_result, result : Result
        Of the float and of the integer network. With the membranes of the latter, rails are looked at too.
    labels : array of int, (B,), optional
    steps : int, optional
        Steps of a sample, if its events carry others than ``network.steps``.

    Raises
    ------
    NetworkError
        If the results are not of the same number of samples, or of none.
    """
    samples = len(result.answers)
    for count, what in (
        (len(float_result.answers), "float samples"),
        (samples if labels is None else len(labels), "labels"),
    ):
        if count != samples or not samples:
            raise NetworkError(
                f"Comparison needs as many {what} as integer samples, and at least 1, not {count} and {samples}"
            )
    return Comparison(
        samples=samples,
        float_accuracy=None if labels is None else float_result.accuracy(labels),
        accuracy=None if labels is None else result.accuracy(labels),
        agreement=float(np.mean(result.answers == float_result.answers)),
        firing=tuple(
            _firing(network, name, float_result, result, steps or network.steps)
            for name in network.order
            if network[name].threshold is not None
        ),
    )


def _firing(network: Network, name: str, float_result: Result, result: Result, steps: int) -> Firing:
    places = steps * network[name].size
    float_rate, rate = (float(item.totals[name].mean()) / places for item in (float_result, result))
    at_rail = _at_rail(network, name, result)
    flags = []
    if rate <= _SILENT * float_rate:
        flags.append("silent")
    if rate > _BUSY or (at_rail is not None and at_rail > _AT_RAIL):
        flags.append("saturated")
    return Firing(
        name=name,
        float_rate=float_rate,
        rate=rate,
        float_silent=_silent(float_result, name),
        silent=_silent(result, name),
        at_rail=at_rail,
        flags=tuple(flags),
    )


def _silent(result: Result, name: str) -> float:
    return float(np.mean(~result.counts[name].any(axis=0)))


def _at_rail(network: Network, name: str, result: Result) -> float | None:
    if name not in result.membranes:
        return None
    population, product = network[name], network.bounds(name).product
    low, high = (end >> population.decay.shift for end in (product.low, product.high))
    rails = [population.state_min] if low < population.state_min < 0 else []
    rails += [population.state_max] if high > population.state_max > 0 else []
    return float(np.mean(np.isin(result.membranes[name], rails)))


def quantization_table(report: QuantizationReport) -> "Table":
    """The report for a terminal."""
    from rich.table import Table

    table = Table(title="Quantization")
    for column in (
        "population",
        "weights",
        "rms error",
        "max error",
        "clipped",
        "zero",
        "threshold",
        "decay",
        "membrane",
    ):
        table.add_column(column, justify="left" if column == "population" else "right")
    for item in report.populations:
        for index, connection in enumerate(item.connections):
            first = index == 0
            threshold = "none" if item.threshold is None else " to ".join(map(str, sorted(set(item.threshold))))
            table.add_row(
                item.name if first else "",
                f"{connection.bits} bits",
                *(f"{value:.2%}" for value in (connection.rms_error, connection.max_error)),
                *(f"{value:.1%}" for value in (connection.clipped, connection.zero)),
                f"{threshold} ({item.threshold_error:.2%})" if first else "",
                item.decay if first else "",
                f"{item.state_width} bits, {item.rails_origin}" if first else "",
            )
    return table


def comparison_table(comparison: Comparison) -> "Table":
    """The comparison for a terminal; flagged populations stand out."""
    from rich.table import Table

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.2%}"

    title = (
        f"{comparison.samples} samples: float {share(comparison.float_accuracy)}, integer {share(comparison.accuracy)}"
        f", agreement {share(comparison.agreement)}"
    )
    table = Table(title=title)
    for column in ("population", "float rate", "rate", "float silent", "silent", "at a rail", "flags"):
        table.add_column(column, justify="left" if column in ("population", "flags") else "right")
    for item in comparison.firing:
        table.add_row(
            item.name,
            f"{item.float_rate:.4f}",
            f"{item.rate:.4f}",
            *(share(value) for value in (item.float_silent, item.silent, item.at_rail)),
            " ".join(flag.upper() for flag in item.flags),
            style="bold red" if item.flags else None,
        )
    return table
