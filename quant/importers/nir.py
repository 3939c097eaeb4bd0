"""NIR files, of whatever framework: the float network that computes what their graph says.

Linear nodes fold into connections, neurons become populations; what the file does not say is in
:mod:`quant.importers.nir_neurons`.
"""

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import nir
import numpy as np

from ..assembly import Assembly
from ..errors import NetworkError, UnsupportedError
from ..fold import Fold, spread
from ..graph import INPUT, Shape, check_shape
from ..model import FloatInput, FloatNetwork, FloatReadout
from ..ops import apply
from .nir_graph import SPIKING, FlatGraph, Node
from .nir_graph import Path as Way
from .nir_linear import fold_node
from .nir_neurons import Conventions, number, numbers, text
from .nir_reading import read_graph
from .options import ImportOptions, maps_of

__all__ = ["from_nir", "load_nir"]

STEPS = 16
_LARGEST_READOUT = 1 << 22
_WHOLE = ("low", "high", "seed")

_FOLDED = {
    "Linear": "a dense connection",
    "Affine": "a dense connection with biases",
    "Conv1d": "a convolution of height 1",
    "Conv2d": "a convolution",
    "SumPool2d": "pooling",
    "AvgPool2d": "pooling",
    "Flatten": "the same neurons in a row",
    "Scale": "factors of the weights",
    "Delay": "spikes of the step before",
    "Port": "nothing",
}


def load_nir(path: Path, options: ImportOptions | None = None) -> FloatNetwork:
    """The float network of a NIR file.

    Parameters
    ----------
    path : Path
    options : ImportOptions, optional
        What the file does not say.

    Raises
    ------
    FileError
        If it is not a whole NIR file.
    SpikeloomError
        Naming the node that cannot be kept, and the way out.
    """
    return from_nir(read_graph(path), options, name=path.stem)


def from_nir(graph: nir.NIRGraph, options: ImportOptions | None = None, *, name: str = "nir") -> FloatNetwork:
    """The float network of a NIR graph; ``name`` if neither the graph nor the options have one."""
    return _Import(graph, options or ImportOptions(), name).network()


class _Import:
    """One import: populations in the order of the flow, then the loops that lead back to them."""

    def __init__(self, graph: nir.NIRGraph, options: ImportOptions, name: str) -> None:
        self.flat = FlatGraph(graph)
        self.options = options
        self.metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
        self.assembly = Assembly()
        self.name = options.name or (text(self.metadata["name"]) if "name" in self.metadata else name)
        for source, target in self.flat.repeated:
            self.assembly.assume("", f"edge {source} -> {target} stands in the file more than once, and counts once")
        used = [item for item in self.flat.order if item in self.flat.read]
        self.nodes = [self.flat.nodes[item] for item in used]
        self._check_all_read()
        neurons = [node for node in self.nodes if node.neurons]
        if not neurons:
            raise NetworkError("Graph must have neurons between its input and its output, but it has none")
        self.conventions = Conventions(self.metadata, options, self.assembly, neurons)
        self.names = {self.flat.input: INPUT} | {node.name: self.assembly.reserve(node.name) for node in neurons}
        self.shapes: dict[str, Shape] = {self.flat.input: self._input_shape()}
        self.input = self._input()
        self.steps = self._steps()
        self.scales: dict[str, Any] = {}
        self._noted: set[str] = set()

    def _check_all_read(self) -> None:
        known = {node.name for node in self.nodes}
        for name in self.flat.read:
            if not self.flat.before[name] and name != self.flat.input:
                raise NetworkError(f"{self.flat.nodes[name].what} must have an edge that leads into it; it has none")
        if self.flat.input not in known:
            raise NetworkError(f"{self.flat.nodes[self.flat.input].what} must lead to node {self.flat.output}")
        for name, node in self.flat.nodes.items():
            if name not in known:
                self.assembly.note(name, node.kind, "left out, since it is not between the input and the output")

    def network(self) -> FloatNetwork:
        """All of it."""
        self.assembly.note(self.flat.input, "Input", f"the input, {self._words()}")
        for node in self.nodes:
            if node.neurons:
                self._shape(node)
        last, way = self._last()
        for node in self.nodes:
            if node.neurons:
                self._population(node)
        readout = self._readout(last, way)
        self._check_output(readout)
        self.assembly.note(self.flat.output, "Output", f"readout {readout.kind} of {readout.population}")
        network = self.assembly.network(
            # A file's name is no identifier; a population's would be.
            name=Assembly().reserve(self.name),
            steps=self.steps,
            input=self.input,
            readout=readout,
            metadata=self._travelling(),
        )
        return replace(network, scales=self.scales) if self.scales else network

    def _steps(self) -> int:
        if "steps" in self.metadata and self.options.steps is None:
            return _whole(number(self.metadata["steps"], "Metadata steps"), "Metadata steps")
        if self.options.steps is None:
            self.assembly.assume("", f"{STEPS} steps a sample; --steps gives another number")
        return self.options.steps or STEPS

    def _travelling(self) -> dict[str, Any]:
        """Metadata of the network: those that it was exported with, and where it comes from."""
        found: Any = {}
        if "model" in self.metadata:
            try:
                found = json.loads(text(self.metadata["model"]))
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise NetworkError("Metadata model must be a JSON object, as the export writes it")
        return {**found, "source": "NIR", "dt": self.conventions.dt}

    # The input.

    def _input_shape(self) -> Shape:
        node = self.flat.nodes[self.flat.input]
        given = (node.inner.input_type or {}).get("input")
        if self.options.input_shape is not None:
            return check_shape(maps_of(self.options.input_shape), node.what)
        sizes = _sizes(given, f"{node.what}: shape")
        channels = any(self.flat.nodes[target].kind == "Conv1d" for target in self.flat.after[node.name])
        while len(sizes) > 1 and sizes[0] == 1 and len(sizes) != 3 and not (len(sizes) == 2 and channels):
            sizes = sizes[1:]
            self.assembly.assume(node.name, "the leading 1 of its shape is that of a batch, and is left out")
        if len(sizes) not in (1, 2, 3):
            raise NetworkError(
                f"{node.what} must have a shape (N,), (C, L) or (C, H, W), not {tuple(sizes)}; give one, --input-shape"
            )
        return check_shape(maps_of(tuple(sizes)), node.what)

    def _input(self) -> FloatInput:
        known: dict[str, Any] = {}
        for key in ("kind", "low", "high", "seed", "lsb"):
            if f"input_{key}" in self.metadata:
                value = self.metadata[f"input_{key}"]
                known[key] = text(value) if key == "kind" else number(value, f"Metadata input_{key}")
                known[key] = _whole(known[key], f"Metadata input_{key}") if key in _WHOLE else known[key]
        if not known and self.options.input_kind is None:
            self.assembly.assume("", "input: events of 0 or 1 in every step; --input-kind gives another")
        return self.options.input(self.shapes[self.flat.input], **known)

    def _words(self) -> str:
        return f"{prod(self.input.shape)} values of kind {self.input.kind}, {self.input.low} to {self.input.high}"

    def _check_output(self, readout: FloatReadout) -> None:
        node = self.flat.nodes[self.flat.output]
        sizes = _sizes((node.inner.output_type or {}).get("output"), f"{node.what}: shape")
        shape = next(self.shapes[name] for name, own in self.names.items() if own == readout.population)
        made = prod(shape) if readout.weights is None else len(readout.weights)
        if sizes and prod(sizes) != made:
            raise NetworkError(f"{node.what} has a shape {tuple(sizes)}, but what leads into it makes {made}")

    # What leads into a layer.

    def _fold(self, way: Way, *, biases: bool = True) -> tuple[Fold, int]:
        """A way into a layer, folded, and its delay in steps."""
        fold = Fold(self.names[way.source], self.shapes[way.source])
        delay = way.back
        for name, biased in way.steps:
            self._check_maps(fold.shape, self.flat.nodes[name])
            delay += fold_node(fold, self.flat.nodes[name], bias=biased and biases, dt=self.conventions.dt)
        return fold, delay

    def _check_maps(self, shape: Shape, node: Node) -> None:
        """What a convolution says of the size of its maps, which it does not need; another input is another size."""
        if node.kind not in ("Conv1d", "Conv2d") or self.options.input_shape is not None:
            return
        wanted = tuple(_sizes(node.inner.input_shape, f"{node.what}: input_shape"))
        maps = shape[1:] if node.kind == "Conv2d" else shape[2:]
        if len(wanted) == len(maps) and wanted != maps:
            sides = " by ".join(map(str, wanted)), " by ".join(map(str, maps))
            raise NetworkError(
                f"{node.what} is written for maps of {sides[0]}, but what leads into it makes {sides[1]}; "
                "say which size the input has with --input-shape"
            )

    def _folds(self, node: Node) -> list[tuple[Fold, int]]:
        folds = [self._fold(way) for way in self.flat.paths(node.name)]
        for (_, delay), way in zip(folds, self.flat.paths(node.name), strict=True):
            source = self.flat.nodes[way.source]
            if source.neurons and source.kind not in SPIKING:
                raise UnsupportedError(
                    f"{source.what} sends its membranes to {node.name}, and only spikes can be sent; "
                    "make it the last layer, or one that fires"
                )
            if delay > 1:
                steps = " -> ".join([way.source, *(name for name, _ in way.steps), node.name])
                raise UnsupportedError(
                    f"Way {steps} is {delay} steps long, and only one can be kept; take its delays out, or put neurons "
                    "between them"
                )
        return folds

    def _shape(self, node: Node) -> None:
        """Shape of a layer: what leads into it makes it, or as it is written if that is as large."""
        name = "threshold" if node.kind == "Threshold" else "r"
        given = numbers(getattr(node.inner, name), f"{node.what}: {name}").shape
        made: Shape | None = None
        for way in self.flat.paths(node.name):
            if way.source in self.shapes:
                fold, _ = self._fold(way, biases=False)
                if made is not None and prod(fold.target_shape) != prod(made):
                    raise NetworkError(
                        f"{node.what} must be given sums of one shape, not of {made} and {fold.target_shape}"
                    )
                if made is None or not fold.any_shape:
                    made = fold.target_shape
        if made is None:
            # Nothing but loops leads here: the parameters tell the size.
            made = maps_of(given)
            if len(made) not in (1, 3):
                raise NetworkError(f"{node.what} must be reached from the input other than through loops")
        if prod(given) not in (1, made[0], prod(made)):
            raise NetworkError(f"{node.what} has {prod(given)} neurons, but what leads into it makes {prod(made)}")
        maps = maps_of(given)
        self.shapes[node.name] = maps if len(maps) == 3 and len(made) == 1 and prod(maps) == made[0] else made

    # Layers.

    def _population(self, node: Node) -> None:
        self._note_ways(node)
        euler = self.conventions.euler(node)
        folds = self._folds(node)
        if all(fold.dead for fold, _ in folds):
            raise NetworkError(
                f"{node.what} is dead: all weights into it are 0, so that no input can make it fire; "
                "train it again, or leave it out"
            )
        if "scale" in node.hints:
            scale = numbers(node.hints["scale"], f"{node.what}: scale")
            self.scales[self.names[node.name]] = scale.reshape(()) if scale.size == 1 else scale
        self.assembly.population(
            self.names[node.name],
            layer=node.name,
            kind=node.kind,
            folds=folds,
            gain=euler.gain,
            shape=self.shapes[node.name],
            **euler.fields,
        )

    def _note_ways(self, node: Node) -> None:
        """Tell of the linear nodes that lead into a layer, each once."""
        for way in self.flat.paths(node.name):
            for name, _ in way.steps:
                if name not in self._noted:
                    self._noted.add(name)
                    kind = self.flat.nodes[name].kind
                    self.assembly.note(name, kind, f"{_FOLDED.get(kind, kind)}, into {self.names[node.name]}")
            if way.back:
                start = way.steps[0][0] if way.steps else way.source
                self.assembly.assume(start, f"closes a loop, so that its spikes reach {node.name} a step later")

    # The readout.

    def _last(self) -> tuple[Node, Way]:
        """The layer that is read, and the way from it to the output."""
        ways = self.flat.paths(self.flat.output)
        if len(ways) != 1 or ways[0].source == self.flat.input or ways[0].back:
            sources = ", ".join(way.source for way in ways)
            raise UnsupportedError(f"Output must read one layer of neurons, not {sources}; leave one edge to it")
        return self.flat.nodes[ways[0].source], ways[0]

    def _readout(self, node: Node, way: Way) -> FloatReadout:
        name = self.names[node.name]
        linear = [step for step, _ in way.steps if self.flat.nodes[step].kind not in ("Flatten", "Port")]
        kind = self.options.readout or (text(self.metadata["readout"]) if "readout" in self.metadata else None)
        if node.kind not in SPIKING:
            if linear:
                raise UnsupportedError(
                    f"{self.flat.nodes[linear[0]].what} follows membranes; put it before {node.name}"
                )
            reduce = self.options.reduce or (text(self.metadata["reduce"]) if "reduce" in self.metadata else None)
            if reduce is None:
                self.assembly.assume(node.name, "its membranes are read in the last step; --reduce sum or max")
            return FloatReadout(population=name, kind=kind or "membrane", reduce=reduce or "last")
        if not linear:
            if kind is None:
                self.assembly.assume(node.name, "the most spikes are the answer; --readout first_spike for the first")
            return FloatReadout(population=name, kind=kind or "count")
        fold, delay = self._fold(way)
        if delay or prod(fold.shape) * prod(self.shapes[node.name]) > _LARGEST_READOUT:
            raise UnsupportedError(f"{self.flat.nodes[linear[0]].what} cannot be read; end with neurons")
        for step in linear:
            self.assembly.note(step, self.flat.nodes[step].kind, f"readout, a linear map of the spikes of {name}")
        connection, bias = fold.connection("output")
        weights = apply(connection, self.shapes[node.name], np.eye(prod(self.shapes[node.name]))).T
        total = spread(bias, fold.target_shape).reshape(-1) * self.steps
        return FloatReadout(population=name, kind="linear", weights=weights, bias=total)


def _whole(value: float, what: str) -> int:
    if value % 1:
        raise NetworkError(f"{what} must be an integer, not {value:g}")
    return int(value)


def _sizes(shape: Any, what: str) -> list[int]:
    """Sizes of a port; none if the file does not tell."""
    return [] if shape is None else [_whole(float(size), what) for size in numbers(shape, what).reshape(-1)]
