"""What float and integer networks share: the geometry of connections and the order of a step."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError

__all__ = ["INPUT", "KINDS", "Shape", "Synapses", "check_name", "check_shape", "frozen", "topological_order"]

INPUT = "input"
KINDS = ("dense", "conv2d", "conv_transpose2d", "max_pool", "identity")

_DIMENSIONS = {"dense": (2,), "conv2d": (4,), "conv_transpose2d": (4,), "max_pool": (0, 1), "identity": (0, 1, 3)}

Shape = tuple[int, ...]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_LARGEST_POPULATION = 1 << 24


def check_name(name: object, what: str) -> None:
    """Refuse a name that could not also be a Verilog identifier."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NetworkError(
            f"{what} name must be a letter followed by at most 62 letters, digits or underscores, not {name!r}"
        )


def check_shape(shape: object, what: str) -> Shape:
    """Shape as a tuple of (N,) or (C, H, W), or an error."""
    try:
        sizes = tuple(index(size) for size in shape)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise NetworkError(f"{what}: shape must be (N,) or (C, H, W), not {shape!r}") from None
    if len(sizes) not in (1, 3) or min(sizes) < 1 or prod(sizes) > _LARGEST_POPULATION:
        raise NetworkError(
            f"{what}: shape must be (N,) or (C, H, W) of 1 to {_LARGEST_POPULATION} neurons, not {shape!r}"
        )
    return sizes


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only, C-ordered array that nobody else holds."""
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy


def _pair(value: object, what: str, *, least: int) -> tuple[int, int]:
    try:
        pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)  # type: ignore[arg-type]
        first, second = (index(item) for item in pair)
    except (TypeError, ValueError):
        raise NetworkError(f"{what} must be one integer or two, not {value!r}") from None
    if first < least or second < least:
        raise NetworkError(f"{what} must be at least {least}, not {value!r}")
    return first, second


@dataclass(frozen=True, kw_only=True, eq=False)
class Synapses:
    """Connection of a population, or of the input, to a population.

    Parameters
    ----------
    source, target : str
        Names of populations; the source may be ``"input"``.
    kind : str
        What ``weights`` mean, and their shape, as in PyTorch:

        ``dense``
            ``(target neurons, source neurons)``, both flattened in C order.
        ``conv2d``
            ``(C_out, C_in / groups, kh, kw)``; cross-correlation with ``stride`` and zero ``padding``.
        ``conv_transpose2d``
            ``(C_in, C_out / groups, kh, kw)`` with ``stride``, ``padding`` and ``output_padding``.
        ``max_pool``
            One weight, or one per channel, times the OR of the spikes of this step in each window of
            ``kernel`` with ``stride`` (default: the kernel). What lies outside the map never spikes.
        ``identity``
            One weight, one per channel, or one per neuron, times the spike of the same neuron.
    pool : int or (int, int)
        Sum pooling of the source's addresses, before anything else: the event at ``(c, y, x)`` counts at
        ``(c, y // pool, x // pool)``. Events beyond the pooled map are ignored, as in the floor mode of
        PyTorch's ``AvgPool2d``; the ``1 / pool**2`` of an average belongs into the weights.
    delay : int
        0: the target sees the source's spikes of the same step. 1: of the step before.
    """

    source: str
    target: str
    kind: str
    weights: NDArray[Any]
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] = (0, 0)
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1
    kernel: tuple[int, int] | None = None
    pool: tuple[int, int] = (1, 1)
    delay: int = 0

    def __post_init__(self) -> None:
        if self.source != INPUT:
            check_name(self.source, "Connection source")
        check_name(self.target, "Connection target")
        if self.kind not in KINDS:
            raise NetworkError(f"{self.label}: kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.delay not in (0, 1):
            raise NetworkError(f"{self.label}: delay must be 0 or 1 step, not {self.delay!r}")
        if not isinstance(self.groups, (int, np.integer)) or self.groups < 1:
            raise NetworkError(f"{self.label}: groups must be at least 1, not {self.groups!r}")
        if (self.kind == "max_pool") != (self.kernel is not None):
            raise NetworkError(f"{self.label}: kernel must be given for max_pool and for nothing else")
        if self.kernel is not None:
            self._set("kernel", _pair(self.kernel, f"{self.label}: kernel", least=1))
        stride = self.stride if self.stride is not None else self.kernel or (1, 1)
        self._set("stride", _pair(stride, f"{self.label}: stride", least=1))
        for field, least in (("padding", 0), ("output_padding", 0), ("pool", 1)):
            self._set(field, _pair(getattr(self, field), f"{self.label}: {field}", least=least))
        self._set("weights", frozen(np.asarray(self.weights)))
        if self.weights.ndim not in _DIMENSIONS[self.kind] or self.weights.size == 0:
            raise NetworkError(f"{self.label}: weights of shape {self.weights.shape} do not fit kind {self.kind}")

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    @property
    def label(self) -> str:
        """Name of the connection in messages."""
        return f"Connection {self.source} -> {self.target}"

    def pooled_shape(self, source: Shape) -> Shape:
        """Shape of the source after address pooling."""
        if self.pool == (1, 1):
            return source
        if len(source) != 3 or source[1] < self.pool[0] or source[2] < self.pool[1]:
            raise NetworkError(f"{self.label}: pool {self.pool} does not fit a source of shape {source}")
        return source[0], source[1] // self.pool[0], source[2] // self.pool[1]

    def target_shape(self, source: Shape) -> Shape:
        """Shape that this connection makes of a source of shape ``source``; an error if they do not fit.

        A dense connection gives ``(N,)``; its target may have any shape of N neurons.
        """
        pooled = self.pooled_shape(source)
        shape = self.weights.shape
        if self.kind == "dense":
            if shape[1] != prod(pooled):
                raise NetworkError(f"{self.label}: weights take {shape[1]} inputs, but the source has {prod(pooled)}")
            return (shape[0],)
        if self.kind == "identity":
            if shape not in ((), pooled, (pooled[0],)):
                raise NetworkError(f"{self.label}: weights of shape {shape} do not fit a source of shape {pooled}")
            return pooled
        if len(pooled) != 3:
            raise NetworkError(f"{self.label}: {self.kind} needs a source of shape (C, H, W), not {pooled}")
        channels, size = self._channels(pooled[0]), self._map(pooled[1:])
        if min(size) < 1:
            raise NetworkError(f"{self.label}: nothing is left of a map of {pooled[1]} x {pooled[2]}")
        return (channels, *size)

    def _channels(self, source: int) -> int:
        shape, groups = self.weights.shape, self.groups
        if self.kind == "max_pool":
            fits, channels = shape in ((), (source,)), source
        elif self.kind == "conv2d":
            fits, channels = shape[1] * groups == source and shape[0] % groups == 0, shape[0]
        else:
            fits, channels = shape[0] == source and source % groups == 0, shape[1] * groups
        if not fits:
            raise NetworkError(
                f"{self.label}: weights of shape {shape} in {groups} groups do not fit {source} source channels"
            )
        return channels

    def _map(self, source: Sequence[int]) -> tuple[int, ...]:
        assert self.stride is not None
        kernel = self.kernel or self.weights.shape[2:]
        axes = zip(source, kernel, self.stride, self.padding, self.output_padding, strict=True)
        if self.kind == "conv_transpose2d":
            return tuple((n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in axes)
        return tuple((n + 2 * p - k) // s + 1 for n, k, s, p, _ in axes)


def topological_order(names: Iterable[str], connections: Iterable[Synapses]) -> tuple[str, ...]:
    """Names in an order in which every delay-0 connection leads forward; the given order breaks ties."""
    waiting = list(names)
    sources: Mapping[str, set[str]] = {name: set() for name in waiting}
    for connection in connections:
        if connection.delay == 0 and connection.source != INPUT:
            sources[connection.target].add(connection.source)
    done: list[str] = []
    while waiting:
        ready = next((name for name in waiting if sources[name] <= set(done)), None)
        if ready is None:
            raise NetworkError(
                f"Connections of delay 0 must not form a loop, but they do among {', '.join(waiting)}; "
                "give the one that leads back delay 1"
            )
        done.append(ready)
        waiting.remove(ready)
    return tuple(done)
