"""Check: what every layer of a network becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from quant.ir import Connection, Decay, Network, Population

if TYPE_CHECKING:
    from quant.report import QuantizationReport

__all__ = ["Account", "CheckedNetwork", "Layer", "account", "check"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """What an importer tells of the model that a network was made from.

    Parameters
    ----------
    layers : tuple of (str, str, str)
        Every layer: its name in the model, its type, what it has become.
    assumptions : tuple of str
        What the model does not say.
    """

    layers: tuple[tuple[str, str, str], ...]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A population and the connections into it, in words and numbers.

    Parameters
    ----------
    name : str
        The population.
    connections : tuple of str
        Kind, source, shape of the weights and their bits, of each.
    weights : int
        Number of weights.
    neurons : int
    becomes : str
        The update rule.
    threshold : str
    decay : str
        As a fraction.
    membrane_bits, sum_bits : int
        Widths of the stored membrane and of the sum before the comparison.
    lanes, rows, sweeps : int
        Synaptic operations a cycle, cycles an event at most, and cycles of a step's sweep.
    """

    name: str
    connections: tuple[str, ...]
    weights: int
    neurons: int
    becomes: str
    threshold: str
    decay: str
    membrane_bits: int
    sum_bits: int
    lanes: int
    rows: int
    sweeps: int


@dataclass(frozen=True, kw_only=True)
class CheckedNetwork:
    """What a network becomes.

    Parameters
    ----------
    network : str
    input, readout : str
        In words.
    steps : int
    source : Account
        Of the model that the network was made from.
    layers : tuple of Layer
    warnings : tuple of str
        Of the quantization.
    """

    network: str
    input: str
    readout: str
    steps: int
    source: Account
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {
            **values,
            "source": [list(row) for row in self.source.layers],
            "assumptions": list(self.source.assumptions),
        }


def check(network: Network, quantization: "QuantizationReport | None" = None) -> CheckedNetwork:
    """What the hardware of an integer network would be; nothing is generated."""
    from hw.plan import plan_network

    cores = {core.name: core for core in plan_network(network).cores}
    source = network.input
    return CheckedNetwork(
        network=network.name,
        input=f"{source.size} values of kind {source.kind}, {source.low} to {source.high}",
        readout=f"{network.readout.kind} of {network.readout.population}",
        steps=network.steps,
        source=account(network.metadata),
        layers=tuple(_layer(network, name, cores[name]) for name in network.order),
        warnings=quantization.warnings if quantization else (),
    )


def account(metadata: Mapping[str, Any]) -> Account:
    """What an importer has left in a network's metadata; a file may hold anything there."""
    layers, assumptions = (_listed(metadata.get(key)) for key in ("layers", "assumptions"))
    rows = [row for row in layers if isinstance(row, (list, tuple)) and len(row) == 3]
    return Account(
        layers=tuple((str(name), str(kind), str(becomes)) for name, kind, becomes in rows),
        assumptions=tuple(map(str, assumptions)),
    )


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _layer(network: Network, name: str, core: Any) -> Layer:
    population, incoming = network[name], network.incoming(name)
    bounds = network.bounds(name)
    return Layer(
        name=name,
        connections=tuple(_connection(item) for item in incoming),
        weights=sum(item.weights.size for item in incoming),
        neurons=population.size,
        becomes=_rule(population),
        threshold="none" if population.threshold is None else _span(population.threshold),
        decay=_decay(population.decay),
        membrane_bits=bounds.state.width,
        sum_bits=bounds.total.width,
        lanes=core.lanes,
        rows=max(int(port.geometry.operations.max()) for port in core.ports),
        sweeps=core.sweeps,
    )


def _connection(connection: Connection) -> str:
    shape = "x".join(map(str, connection.weights.shape)) or "one weight"
    delay = ", a step later" if connection.delay else ""
    return f"{connection.kind} from {connection.source}: {shape} of {connection.weight_bits} bits{delay}"


def _rule(population: Population) -> str:
    words = {"zero": "reset to zero", "subtract": "reset by subtraction", "none": "no reset", "latch": "one spike"}
    flags = {
        "rectified": population.rectify,
        "ternary": population.ternary,
        "second order": population.current_decay is not None,
        "biased": bool(population.bias.any()),
    }
    return ", ".join([words[population.reset], *(word for word, given in flags.items() if given)])


def _decay(decay: Decay) -> str:
    return f"{_span(decay.numerator)} / {1 << decay.shift}" if decay.shift else _span(decay.numerator)


def _span(values: Any) -> str:
    return " to ".join(map(str, sorted({int(values.min()), int(values.max())})))
