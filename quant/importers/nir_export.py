"""Float networks as NIR files: what the format says, and metadata for what it does not.

Nodes are those of :mod:`quant.importers.nir_neurons` with a gain of 1, connections are Linear, Affine, Conv2d or Scale
nodes after pooling. Metadata of the graph: ``dt``, ``reset``, ``compare``, ``reset_delay``, ``steps``, the input, the
readout, ``spikeloom`` (version of these metadata) and ``model`` (the network's own, as JSON). Metadata of a node come
before those of the graph.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import FileError, UnsupportedError
from ..file import write_beside
from ..graph import INPUT, Shape, Synapses
from ..model import FloatNetwork, FloatPopulation

__all__ = ["graph_of", "to_nir"]

_VERSION = 1
_DT = 1e-4
_CANNOT = "which NIR cannot carry; keep the network in Spikeloom's own file"

Floats = NDArray[np.float64]


def to_nir(model: FloatNetwork, path: Path) -> None:
    """Write a float network as a NIR file; what it means is in its metadata too, so that it comes back the same.

    Raises
    ------
    UnsupportedError
        Naming the population that NIR cannot carry.
    FileError
        If the file cannot be written; nothing half-written is left.
    """
    graph = graph_of(model)
    descriptor, name = tempfile.mkstemp(suffix=".nir")
    os.close(descriptor)
    try:
        nir.write(name, graph)
        data = Path(name).read_bytes()
    except OSError as error:
        raise FileError(f"File {path} cannot be written: {error.strerror or error}") from None
    finally:
        Path(name).unlink(missing_ok=True)
    write_beside(path, data)


def graph_of(model: FloatNetwork) -> nir.NIRGraph:
    """The NIR graph of a float network.

    Raises
    ------
    UnsupportedError
        Naming the population that NIR cannot carry.
    """
    return _Export(model).graph()


class _Export:
    """Nodes and edges in the making."""

    def __init__(self, model: FloatNetwork) -> None:
        self.model = model
        dt = model.metadata.get("dt", _DT)
        self.dt = float(dt) if isinstance(dt, (int, float)) and 0 < dt <= 1 else _DT
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.conventions = _conventions(model)

    def graph(self) -> nir.NIRGraph:
        """All of it."""
        model, last = self.model, self.model.readout.population
        self.names = {INPUT: "input"}
        self.names |= {population.name: population.name for population in model.populations}
        output = self._free("output")
        self.names["output node"] = output
        self.nodes["input"] = nir.Input(np.array(model.input.shape))
        biased: dict[str, Floats] = {}
        for population in model.populations:
            self._neurons(population, biased)
        for connection in model.connections:
            takes = connection.target in biased and _takes_bias(connection, model[connection.target])
            self._connect(connection, biased.pop(connection.target) if takes else None)
        end, size = self.names[last], np.array(model[last].shape)
        if model.readout.kind == "linear":
            readout = model.readout
            end = self._after(end, "Flatten", nir.Flatten(size, 0, -1)) if len(size) == 3 else end
            affine = nir.Affine(np.array(readout.weights), np.array(readout.bias) / model.steps)
            end, size = self._after(end, "readout", affine), np.array(readout.bias.shape)
        self.nodes[output] = nir.Output(size)
        self.edges.append((end, output))
        return nir.NIRGraph(self.nodes, self.edges, metadata=self._metadata(), type_check=False)

    def _metadata(self) -> dict[str, Any]:
        model, source = self.model, self.model.input
        own = {key: value for key, value in model.metadata.items() if key not in ("layers", "assumptions", "source")}
        found: dict[str, Any] = {
            "spikeloom": _VERSION,
            "name": model.name,
            "steps": model.steps,
            "dt": self.dt,
            "readout": model.readout.kind,
            "reduce": model.readout.reduce,
            "model": json.dumps(own),
            **self.conventions,
        }
        return found | {f"input_{key}": getattr(source, key) for key in ("kind", "low", "high", "seed", "lsb")}

    def _after(self, name: str, wanted: str, node: nir.NIRNode) -> str:
        """Add a node after another; its name."""
        self.nodes[found := self._free(wanted)] = node
        self.edges.append((name, found))
        return found

    def _free(self, wanted: str) -> str:
        taken, name, count = {*self.names.values(), *self.nodes}, wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted}_{count}"
        return name

    # Neurons.

    def _neurons(self, population: FloatPopulation, biased: dict[str, Floats]) -> None:
        """Node of a population; its biases go into ``biased``, for its first connection, or into ``v_leak``."""
        what = f"Population {population.name}"
        for given, feature in (
            (population.rectify, "clamps its membrane at 0 (KLIF)"),
            (population.ternary, "fires negative spikes too"),
            (population.reset == "latch", "fires once a sample"),
            (population.decay.max() > 1, "has a decay above 1"),
            (population.aftermath != "none", f"has an aftermath, {population.aftermath!r},"),
        ):
            if given:
                raise UnsupportedError(f"{what} {feature}, {_CANNOT}")
        shape = population.shape
        decay, bias = self._spread(population, "decay"), self._spread(population, "bias")
        fields: dict[str, Any] = {}
        if population.threshold is not None:
            fields["v_threshold"] = self._spread(population, "threshold")
            value = population.reset_value if population.reset == "zero" else 0.0
            fields["v_reset"] = population.per_neuron(value).reshape(shape)
        leak, rest = 1 - decay, np.zeros(shape)
        if bias.any() and not self._into_weights(population):
            if leak.min() <= 0:
                raise UnsupportedError(f"{what} has a bias for each neuron after maps, {_CANNOT}")
            rest = bias / leak
        elif bias.any():
            biased[population.name] = bias
        self.nodes[self.names[population.name]] = self._node(population, leak, rest, fields)

    def _into_weights(self, population: FloatPopulation) -> bool:
        """Whether the biases can be those of a connection: not if that adds to a current."""
        takes = any(_takes_bias(item, population) for item in self.model.incoming(population.name))
        return takes and population.current_decay is None

    def _node(self, population: FloatPopulation, leak: Floats, rest: Floats, fields: dict[str, Any]) -> nir.NIRNode:
        hints, dt, shape = self._hints(population), self.dt, population.shape
        spiking = population.threshold is not None
        if population.current_decay is not None:
            current = 1 - self._spread(population, "current_decay")
            if leak.min() <= 0 or current.min() <= 0:
                raise UnsupportedError(f"Population {population.name} is of second order and does not leak, {_CANNOT}")
            both = {"tau_mem": dt / leak, "r": 1 / leak, "tau_syn": dt / current, "w_in": 1 / current, "v_leak": rest}
            return (nir.CubaLIF if spiking else nir.CubaLI)(**both, **fields, metadata=hints)
        if not leak.any():
            r = np.full(shape, 1 / dt)
            return nir.IF(r=r, **fields, metadata=hints) if spiking else nir.I(r=r, metadata=hints)
        if leak.min() <= 0:
            raise UnsupportedError(
                f"Population {population.name} has neurons that leak and others that do not, {_CANNOT}"
            )
        both = {"tau": dt / leak, "r": 1 / leak, "v_leak": rest}
        return (nir.LIF if spiking else nir.LI)(**both, **fields, metadata=hints)

    def _hints(self, population: FloatPopulation) -> dict[str, Any]:
        """Metadata of a node: where it differs from those of the graph, and numbers to the last digit."""
        hints: dict[str, Any] = {"initial": self._spread(population, "initial")}
        told = self.conventions
        for name in ("decay", "current_decay"):
            if getattr(population, name) is not None:
                hints[name] = self._spread(population, name)
        if population.name in self.model.scales:
            hints["scale"] = np.atleast_1d(self.model.scales[population.name])
        if population.threshold is not None:
            hints |= {key: value for key, value in _conventions_of(population).items() if told[key] != value}
            amount = population.reset_amount
            if amount is not None and not _amount_told(population):
                hints["reset_amount"] = self._spread(population, "reset_amount")
        return hints

    def _spread(self, population: FloatPopulation, name: str) -> Floats:
        return np.array(population.per_neuron(getattr(population, name)).reshape(population.shape))

    # Connections.

    def _connect(self, connection: Synapses, bias: Floats | None) -> None:
        """Nodes from the source to the target of a connection."""
        shape = self.model.shape_of(connection.source)
        end, target = self.names[connection.source], self.names[connection.target]
        if connection.pool != (1, 1):
            pool = np.array(connection.pool)
            end, shape = (
                self._after(end, f"pool_{target}", nir.SumPool2d(pool, pool, np.array([0, 0]))),
                connection.pooled_shape(shape),
            )
        for name, node in self._weights(connection, shape, bias):
            end = self._after(end, name, node)
        if connection.delay:
            if self._closes(connection):
                self.nodes[end].metadata["delay"] = 1
            else:
                size = connection.target_shape(self.model.shape_of(connection.source))
                end = self._after(end, f"delay_{target}", nir.Delay(np.full(size, self.dt)))
        self.edges.append((end, target))

    def _weights(self, item: Synapses, shape: Shape, bias: Floats | None) -> list[tuple[str, nir.NIRNode]]:
        """Nodes of the weights, with their names."""
        weights = np.array(item.weights, np.float64)
        into = f"{item.kind}_{self.names[item.target]}"
        if item.kind == "dense":
            before: list[tuple[str, nir.NIRNode]] = []
            if len(shape) == 3:
                before = [(f"flatten_{self.names[item.target]}", nir.Flatten(np.array(shape), 0, -1))]
            plain = nir.Linear(weights) if bias is None else nir.Affine(weights, bias.reshape(-1))
            return [*before, (into, plain)]
        if item.kind == "conv2d":
            added = np.zeros(len(weights)) if bias is None else bias.reshape(len(weights), -1)[:, 0]
            return [(into, _conv(item, shape, weights, np.array(added)))]
        if item.kind == "identity":
            ones = (-1, 1, 1) if weights.ndim == 1 and len(shape) == 3 else weights.shape
            return [(into, nir.Scale(np.broadcast_to(weights.reshape(ones), shape).copy()))]
        raise UnsupportedError(f"Population {item.target} has an incoming {item.kind}, {_CANNOT}")

    def _closes(self, connection: Synapses) -> bool:
        """Whether a delayed connection leads back to where its source comes from."""
        found, waiting = {connection.source}, [connection.source]
        while waiting:
            for item in self.model.incoming(waiting.pop()):
                if item.delay == 0 and item.source not in found and item.source != INPUT:
                    found.add(item.source)
                    waiting.append(item.source)
        return connection.target in found


def _conv(item: Synapses, shape: Shape, weights: Floats, bias: Floats) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=shape[1:],
        weight=weights,
        stride=item.stride,
        padding=item.padding,
        dilation=(1, 1),
        groups=int(item.groups),
        bias=bias,
    )


def _takes_bias(item: Synapses, population: FloatPopulation) -> bool:
    """Whether a connection can bring a population's biases: one a channel, or one a neuron if it is dense."""
    per_channel = population.bias.ndim < 2 or population.bias.shape != population.shape
    return item.kind == "dense" or (item.kind == "conv2d" and per_channel)


def _conventions_of(population: FloatPopulation) -> Mapping[str, Any]:
    """What NIR leaves open of a population that fires."""
    late = population.reset == "subtract" and not _is_threshold(population, 1.0) and _is_late(population)
    return {"reset": population.reset, "compare": ">" if population.strict else ">=", "reset_delay": int(late)}


def _conventions(model: FloatNetwork) -> Mapping[str, Any]:
    """What NIR leaves open, as it is in the first population that fires."""
    spiking = [item for item in model.populations if item.threshold is not None]
    return _conventions_of(spiking[0]) if spiking else {}


def _is_threshold(population: FloatPopulation, factor: Any) -> bool:
    amount, threshold = (population.per_neuron(item) for item in (population.reset_amount, population.threshold))
    return bool((amount * factor == threshold).all())


def _is_late(population: FloatPopulation) -> bool:
    decay = population.per_neuron(population.decay)
    amount, threshold = (population.per_neuron(item) for item in (population.reset_amount, population.threshold))
    return bool(decay.min() > 0 and (amount == threshold / np.where(decay > 0, decay, 1)).all())


def _amount_told(population: FloatPopulation) -> bool:
    """Whether the threshold and the delay of the reset say what is subtracted."""
    return _is_threshold(population, 1.0) or _is_late(population)
