"""A NIR graph made flat: its order, its loops, and what stands before each layer of neurons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nir

from ..errors import NetworkError, UnsupportedError

__all__ = ["NEURONS", "SPIKING", "FlatGraph", "Node", "Path"]

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
NEURONS = (*SPIKING, "I", "LI", "CubaLI")

_MAX_NODES = 10_000
_MAX_DEPTH = 8
_MAX_PATHS = 64
_MAX_STEPS = 256

Edge = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Node:
    """A node and its name; those of a graph within the graph are called ``graph.node``."""

    name: str
    inner: Any
    nested: bool = False

    @property
    def kind(self) -> str:
        """Its type in NIR; the ports of a graph within the graph pass everything on."""
        kind = type(self.inner).__name__
        return "Port" if self.nested and kind in ("Input", "Output") else kind

    @property
    def what(self) -> str:
        """What errors call it."""
        return f"Node {self.name} ({self.kind})"

    @property
    def neurons(self) -> bool:
        """Whether it has a state of its own, so that it becomes a population."""
        return self.kind in NEURONS

    @property
    def hints(self) -> Mapping[str, Any]:
        """Its metadata."""
        metadata = getattr(self.inner, "metadata", None)
        return metadata if isinstance(metadata, dict) else {}

    @property
    def late(self) -> bool:
        """Whether it says itself that what it sends comes later."""
        return self.kind == "Delay" or "delay" in self.hints


@dataclass(frozen=True)
class Path:
    """A way into a node: the neurons, or the input, where it starts, and the nodes that it passes.

    Parameters
    ----------
    source : str
        Name of a node with neurons, or of the input.
    steps : tuple of (str, bool)
        Nodes in the order of the flow, and whether their bias comes this way: of several ways through a node, one.
    back : int
        How often it closes a loop that has no delay of its own.
    """

    source: str
    steps: tuple[tuple[str, bool], ...] = ()
    back: int = 0


class FlatGraph:
    """Nodes and edges of a NIR graph, with the graphs in it unpacked.

    Parameters
    ----------
    graph : nir.NIRGraph

    Attributes
    ----------
    nodes : dict of str to Node
    edges : list of (str, str)
        In the order of the file.
    repeated : list of (str, str)
        Edges that were given more than once.

    Raises
    ------
    NetworkError
        If an edge leads nowhere, there is not one input and one output, or a loop has no neuron in it.
    """

    def __init__(self, graph: nir.NIRGraph) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.repeated: list[Edge] = []
        self._unpack(graph, "", 0)
        self.input = self._port("Input")
        self.output = self._port("Output")
        self._check_loops()

    def _unpack(self, graph: nir.NIRGraph, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise NetworkError(f"Graph {prefix[:-1]} must be nested at most {_MAX_DEPTH} deep")
        inner = {name: node for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
        for name, node in graph.nodes.items():
            if name in inner:
                self._unpack(node, f"{prefix}{name}.", depth + 1)
            else:
                self.nodes[prefix + name] = Node(prefix + name, node, nested=bool(depth))
        if len(self.nodes) > _MAX_NODES:
            raise NetworkError(f"Graph must have at most {_MAX_NODES} nodes, not {len(self.nodes)}")
        for source, target in graph.edges:
            for end in (source, target):
                if end not in graph.nodes:
                    have = ", ".join(sorted(graph.nodes)[:20])
                    raise NetworkError(f"Edge {source} -> {target} must join nodes of the graph, {have}, not {end!r}")
            edge = (
                prefix + (_inner_port(source, inner[source], "Output") if source in inner else source),
                prefix + (_inner_port(target, inner[target], "Input") if target in inner else target),
            )
            (self.repeated if edge in self._known else self.edges).append(edge)
            self._known.add(edge)

    @cached_property
    def _known(self) -> set[Edge]:
        return set()

    def _port(self, kind: str) -> str:
        found = [name for name, node in self.nodes.items() if node.kind == kind]
        if len(found) != 1:
            have = f"{len(found)}: {', '.join(found)}" if found else "none"
            raise NetworkError(f"Graph must have one {kind} node, but it has {have}")
        return found[0]

    @cached_property
    def before(self) -> Mapping[str, Sequence[str]]:
        """Sources of the edges into every node."""
        return self._neighbours(1, 0)

    @cached_property
    def after(self) -> Mapping[str, Sequence[str]]:
        """Targets of the edges out of every node."""
        return self._neighbours(0, 1)

    def _neighbours(self, of: int, which: int) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            found[edge[of]].append(edge[which])
        return found

    def _check_loops(self) -> None:
        linear = {name for name, node in self.nodes.items() if not node.neurons}
        for _, loop in self._search(sorted(linear), linear, set()):
            raise NetworkError(
                f"Loop {' -> '.join([*loop, loop[0]])} has no neuron in it, so that its sum never settles; "
                "put neurons into it, or cut it"
            )

    def _search(self, roots: Sequence[str], within: set[str], cut: set[Edge]) -> Iterator[tuple[Edge, list[str]]]:
        """Edges that lead back to where a search in depth has come from, and the loops that they close."""
        done: set[str] = set()
        for root in roots:
            if root in done:
                continue
            done.add(root)
            trail, waiting = {root: 0}, [iter(self.after[root])]
            while trail:
                name, target = next(reversed(trail)), next(waiting[-1], None)
                if target is None:
                    trail.popitem()
                    waiting.pop()
                elif target in within and (name, target) not in cut:
                    if target in trail:
                        yield (name, target), list(trail)[trail[target] :]
                    elif target not in done:
                        done.add(target)
                        trail[target] = len(trail)
                        waiting.append(iter(self.after[target]))

    @cached_property
    def loops(self) -> frozenset[Edge]:
        """One edge of every loop, what comes over which comes a step later.

        It is the edge after a node that says so itself, else the one that leads back, seen from the input.
        """
        cut: set[Edge] = set()
        while True:
            found = list(self._search([self.input, *sorted(self.nodes)], set(self.nodes), cut))
            late = {pair for _, loop in found for pair in _pairs(loop) if self.nodes[pair[0]].late}
            if not late:
                return frozenset(cut | {edge for edge, _ in found})
            cut |= late

    def paths(self, target: str) -> tuple[Path, ...]:
        """Every way into a node, from the neurons or the input before it; none if nothing leads there."""
        return self._ways[target] if target in self._ways else self._find(target)

    @cached_property
    def _ways(self) -> dict[str, tuple[Path, ...]]:
        return {}

    def _find(self, target: str) -> tuple[Path, ...]:
        """Ways into ``target``, without recursion: a graph may be longer than Python's stack."""
        waiting = [target]
        while waiting:
            name = waiting[-1]
            missing = [item for item in self.before[name] if item not in self._ways and not self._starts(item)]
            if missing and name not in self._ways:
                waiting += missing
                continue
            waiting.pop()
            if name not in self._ways:
                self._ways[name] = tuple(self._into(name))
                ways = self._ways[name]
                if len(ways) > _MAX_PATHS or any(len(way.steps) > _MAX_STEPS for way in ways):
                    raise UnsupportedError(
                        f"{self.nodes[name].what} must be reached in at most {_MAX_PATHS} ways of at most "
                        f"{_MAX_STEPS} nodes; put neurons between them"
                    )
        return self._ways[target]

    def _starts(self, name: str) -> bool:
        return name == self.input or self.nodes[name].neurons

    def _into(self, name: str) -> Iterator[Path]:
        for source in self.before[name]:
            late = int((source, name) in self.loops and not self.nodes[source].late)
            if self._starts(source):
                yield Path(source, (), late)
                continue
            for index, path in enumerate(self._ways[source]):
                yield Path(path.source, (*path.steps, (source, index == 0)), path.back + late)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Nodes from the input and from neurons on, each after all that leads into it but for loops."""
        neurons = [name for name, node in self.nodes.items() if node.neurons]
        reached = self._reach([self.input, *neurons], self.after)
        waiting = {
            name: {source for source in self.before[name] if source in reached and (source, name) not in self.loops}
            for name in self.nodes
            if name in reached
        }
        done: list[str] = []
        ready = [name for name, sources in waiting.items() if not sources]
        while ready:
            name = ready.pop(0)
            done.append(name)
            for target in self.after[name]:
                if name in waiting.get(target, ()):
                    waiting[target].remove(name)
                    if not waiting[target]:
                        ready.append(target)
        return tuple(done)

    @cached_property
    def read(self) -> frozenset[str]:
        """Nodes from which something leads to the output."""
        return frozenset(self._reach([self.output], self.before))

    def _reach(self, start: Sequence[str], neighbours: Mapping[str, Sequence[str]]) -> set[str]:
        found, waiting = set(start), list(start)
        while waiting:
            for name in neighbours[waiting.pop()]:
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return found


def _pairs(loop: Sequence[str]) -> Iterator[Edge]:
    return zip(loop, [*loop[1:], loop[0]], strict=True)


def _inner_port(name: str, graph: nir.NIRGraph, kind: str) -> str:
    found = [f"{name}.{key}" for key, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise UnsupportedError(f"Graph {name} must have one {kind} node, not {len(found)}; split it into several")
    return found[0]
