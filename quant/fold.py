"""What stands between a source and its neurons, folded into one connection.

Training and every importer go through here: dense layers, convolutions, pooling, scaling and normalisation are linear
maps, so that in a row they are one. What a connection cannot hold exactly is refused by the name of its layer.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError, UnsupportedError
from .graph import INPUT, Shape, Synapses, check_shape
from .kernels import composed
from .ops import apply

__all__ = ["Fold", "narrowed", "spread"]

Floats = NDArray[np.float64]
Pair = int | Sequence[int]

_LARGEST_PRODUCT = 1 << 22


def _numbers(values: object, what: str) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise NetworkError(f"{what} must have numbers, not {values!r}")
    array = array.astype(np.float64)
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise NetworkError(
            f"{what} must have finite numbers, but {wrong} of {array.size} are NaN or infinite; train it again"
        )
    return array


def _two(value: Pair) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, (int, np.integer)) else value
    return int(first), int(second)


def spread(values: Floats, shape: Shape) -> Floats:
    """One, per channel or per neuron, as one for every neuron of ``shape``."""
    return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1)) if values.ndim == 1 else values, shape)


def narrowed(values: Floats) -> Floats:
    """The same numbers per channel, or one, where that says as much."""
    if values.ndim > 1 and (values == values[:, :1, :1]).all():
        values = values[:, 0, 0]
    return values[0] if values.ndim == 1 and (values == values[0]).all() else values


class Fold:
    """A connection in the making: it grows layer by layer, from the source on.

    Every layer is given ``what`` it is called in errors, as ``"Layer fc1 (Linear)"``.

    Parameters
    ----------
    source : str
        Name of a population, or ``"input"``.
    shape : tuple of int
        Of the source: ``(N,)`` or ``(C, H, W)``. Maps of one dimension, ``(C, L)``, have height 1.

    Attributes
    ----------
    shape : tuple of int
        Of what has been folded so far.
    relay : Fold or None
        What feeds the relay that is the source, instead of a population: neurons without memory, which pass the
        spikes of a max pooling on within the step. :class:`Assembly` makes and names them.
    """

    def __init__(self, source: str, shape: Shape) -> None:
        self.shape: Shape = check_shape(shape, f"Source {source}")
        self.relay: Fold | None = None
        self._start(source)

    def _start(self, source: str) -> None:
        self.source = source
        self._map, self._source_shape = self.shape, self.shape
        self._kind, self._pool = "identity", (1, 1)
        self._weights: Floats = np.ones(())
        self._bias: Floats = np.zeros(())
        self._geometry: dict[str, Any] = {}

    def copy(self) -> "Fold":
        """The same fold, to grow apart; a relay stays shared."""
        twin = Fold.__new__(Fold)
        twin.__dict__.update(self.__dict__)
        return twin

    def linear(self, weights: Any, bias: Any = None, *, what: str) -> None:
        """A dense layer: ``weights`` of ``(N_out, N_in)`` on everything so far, flattened in C order."""
        matrix = _numbers(weights, what)
        if matrix.ndim != 2 or matrix.shape[1] != prod(self.shape):
            takes = matrix.shape[1] if matrix.ndim == 2 else f"weights of shape {matrix.shape}"
            raise NetworkError(f"{what} must take all {prod(self.shape)} neurons, not {takes}")
        self._apply(matrix, bias, what, kind="dense")

    def conv2d(
        self,
        weights: Any,
        bias: Any = None,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        what: str,
    ) -> None:
        """A cross-correlation with zero padding, ``weights`` of ``(C_out, C_in / groups, kh, kw)``.

        A dilated kernel is written out, its holes weights of 0.
        """
        kernel, steps = _numbers(weights, what), _two(dilation)
        if steps != (1, 1) and kernel.ndim == 4:
            sides = [(side - 1) * step + 1 for side, step in zip(kernel.shape[2:], steps, strict=True)]
            wide = np.zeros((*kernel.shape[:2], *sides))
            wide[:, :, :: steps[0], :: steps[1]] = kernel
            kernel = wide
        geometry = {"stride": _two(stride), "padding": _two(padding), "groups": groups}
        self._apply(kernel, bias, what, kind="conv2d", **geometry)

    def conv_transpose2d(
        self,
        weights: Any,
        bias: Any = None,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        what: str,
    ) -> None:
        """A transposed convolution, ``weights`` of ``(C_in, C_out / groups, kh, kw)``."""
        geometry = {"stride": _two(stride), "padding": _two(padding), "output_padding": _two(output_padding)}
        self._apply(_numbers(weights, what), bias, what, kind="conv_transpose2d", groups=groups, **geometry)

    def sum_pool(self, kernel: Pair, stride: Pair | None = None, *, padding: Pair = 0, what: str) -> None:
        """Sum of each window; what is left over at the border is dropped, what lies outside counts 0."""
        self._pooling(kernel, stride, padding, 1.0, what)

    def avg_pool(self, kernel: Pair, stride: Pair | None = None, *, padding: Pair = 0, what: str) -> None:
        """As :meth:`sum_pool`, divided by the size of the whole window."""
        self._pooling(kernel, stride, padding, 1 / prod(_two(kernel)), what)

    def _pooling(self, kernel: Pair, stride: Pair | None, padding: Pair, gain: float, what: str) -> None:
        sides = _two(kernel)
        steps = sides if stride is None else _two(stride)
        self._need_maps(what)
        if min(sides) < 1 or min(steps) < 1:
            raise NetworkError(f"{what} must have a kernel and a stride of at least 1, not {sides} and {steps}")
        self._pass_spikes_on()
        plain = self._kind == "identity" and self._weights.ndim < 2 and self._bias.ndim < 2
        if (
            not plain
            or steps != sides
            or _two(padding) != (0, 0)
            or sides[0] > self.shape[1]
            or sides[1] > self.shape[2]
        ):
            weights = np.full((self.shape[0], 1, *sides), gain)
            self.conv2d(weights, stride=steps, padding=padding, groups=self.shape[0], what=what)
            return
        self._pool = (self._pool[0] * sides[0], self._pool[1] * sides[1])
        self._map = self.shape = self.shape[0], self.shape[1] // sides[0], self.shape[2] // sides[1]
        self._source_shape = self.shape
        self._weights, self._bias = self._weights * gain, self._bias * (gain * prod(sides))

    def max_pool(self, kernel: Pair, stride: Pair | None = None, *, padding: Pair = 0, what: str) -> None:
        """Whether any neuron of each window spikes; it must stand straight after the neurons."""
        self._need_maps(what)
        self._pass_spikes_on()
        spikes = self._kind == "identity" and self._pool == (1, 1) and self._weights.ndim < 2 and self._bias.ndim < 2
        if not spikes or self._weights.min() < 0:
            raise UnsupportedError(
                f"{what} takes the maximum of sums, not of spikes; put the neurons before it, or use average pooling"
            )
        sides = _two(kernel)
        geometry = {"stride": sides if stride is None else _two(stride), "padding": _two(padding), "kernel": sides}
        self._map = self.shape = self._shape_of(self._weights, what, kind="max_pool", **geometry)
        self._kind, self._geometry = "max_pool", geometry

    def scale(self, values: Any, shift: Any = None, *, what: str) -> None:
        """Multiply by ``values`` and add ``shift``: each one, per channel or per neuron."""
        factor = self._per(values, what)
        self._weights = self._scaled(factor, what)
        self._bias = self._times(self._bias, factor)
        if shift is not None:
            self._bias = self._plus(self._bias, self._per(shift, what))

    def norm(
        self, mean: Any, variance: Any, gain: Any = None, bias: Any = None, eps: float = 0.0, *, what: str
    ) -> None:
        """Batch normalisation with the statistics of training: ``(x - mean) / sqrt(variance + eps) * gain + bias``."""
        squares = _numbers(variance, what) + eps
        if squares.min() <= 0:
            raise NetworkError(f"{what} must have a positive variance, not {squares.min()}")
        factor = (1.0 if gain is None else _numbers(gain, what)) / np.sqrt(squares)
        shift = -_numbers(mean, what) * factor
        self.scale(factor, shift if bias is None else shift + _numbers(bias, what), what=what)

    def flatten(self, *, what: str = "Flatten") -> None:
        """All neurons in a row, in C order."""
        self.shape = (prod(self.shape),)

    def reshape(self, shape: Shape, *, what: str) -> None:
        """The same neurons, in C order, in another shape."""
        shape = check_shape(shape, what)
        if prod(shape) != prod(self.shape):
            raise NetworkError(f"{what} must keep all {prod(self.shape)} neurons, not {prod(shape)}")
        self.shape = shape
        if shape == self._map or (len(shape) == 1 and self._kind != "dense"):
            return
        if self._kind != "dense":
            self._weights, self._kind, self._geometry = self._matrix(what), "dense", {}
        self._bias = narrowed(spread(self._bias, self._map).reshape(shape))
        self._map = shape

    def connection(self, target: str, gain: Any = 1.0, *, delay: int = 0) -> tuple[Synapses, Floats]:
        """The connection into ``target``, and what is added to its neurons in each step, one, per channel or each.

        Parameters
        ----------
        target : str
        gain : float or array
            What the neuron multiplies its current by: one, per channel or per neuron of :attr:`target_shape`.
        delay : int
            0, or 1 for the spikes of the step before.
        """
        twin = self.copy()
        twin.shape = self._map
        twin.scale(gain, what=f"Gain of {target}")
        return twin._synapses(target=target, source=self.source, pool=self._pool, delay=delay), twin._bias

    @property
    def target_shape(self) -> Shape:
        """Shape of the population that the connection fits: ``(C, H, W)`` even where maps were flattened."""
        return self._map

    @property
    def any_shape(self) -> bool:
        """Whether the population may have any shape of as many neurons."""
        return self._kind == "dense"

    @property
    def dead(self) -> bool:
        """Whether no event of the source brings anything."""
        return not self._weights.any()

    def _synapses(self, *, target: str = "target", source: str = INPUT, **fields: Any) -> Synapses:
        return Synapses(
            source=source, target=target, kind=self._kind, weights=self._weights, **self._geometry, **fields
        )

    def _shape_of(self, weights: Floats, what: str, **geometry: Any) -> Shape:
        try:
            step = Synapses(source=INPUT, target="target", weights=weights, **geometry)
            return step.target_shape(self.shape)
        except NetworkError as error:
            raise NetworkError(f"{what}: {str(error).partition(': ')[2]}") from None

    def _apply(self, weights: Floats, bias: Any, what: str, **geometry: Any) -> None:
        """One more linear map."""
        if geometry["kind"] != "dense":
            self._need_maps(what)
        after = self._shape_of(weights, what, **geometry)
        self._pass_spikes_on()
        step = Synapses(source=INPUT, target="target", weights=weights, **geometry)
        carried = np.zeros(())
        if self._bias.any():
            added = spread(self._bias, self._map).reshape(1, -1)
            carried = narrowed(apply(step, self.shape, added)[0].reshape(after))
        self._multiply(step, what)
        self._map = self.shape = after
        self._bias = carried if bias is None else self._plus(carried, self._per(bias, what))

    def _multiply(self, step: Synapses, what: str) -> None:
        geometry = {"stride": step.stride, "padding": step.padding, "groups": step.groups}
        if self._kind == "identity" and (self._weights.ndim < 2 or step.kind == "dense"):
            self._weights = self._before(step)
            self._geometry = {} if step.kind == "dense" else geometry
            if step.kind == "conv_transpose2d":
                self._geometry["output_padding"] = step.output_padding
        elif self._kind == "conv2d" == step.kind and step.padding == (0, 0):
            self._weights, groups = composed(
                self._weights,
                step.weights,
                stride=self._geometry["stride"],
                first_groups=self._geometry["groups"],
                second_groups=step.groups,
            )
            strides = zip(self._geometry["stride"], step.stride or (1, 1), strict=True)
            self._geometry = {**self._geometry, "stride": tuple(a * b for a, b in strides), "groups": groups}
        else:
            matrix = self._weights if self._kind == "dense" else self._matrix(what)
            after = prod(step.target_shape(self.shape))
            if self._kind != "dense" and matrix.shape[1] * after > _LARGEST_PRODUCT:
                raise self._too_large(what)
            self._weights = step.weights @ matrix if step.kind == "dense" else apply(step, self.shape, matrix.T).T
            self._kind, self._geometry = "dense", {}
            return
        self._kind = step.kind

    def _before(self, step: Synapses) -> Floats:
        """Weights of ``step`` with the factors of its sources multiplied in."""
        factor, weights = self._weights, step.weights
        if factor.ndim == 0:
            return weights * factor
        if step.kind == "dense":
            return weights * spread(factor, self._map).reshape(-1)
        if step.kind == "conv_transpose2d":
            return weights * factor.reshape(-1, 1, 1, 1)
        outputs, inputs = weights.shape[:2]
        each = np.repeat(factor.reshape(step.groups, inputs), outputs // step.groups, axis=0)
        return weights * each[:, :, None, None]

    def _scaled(self, factor: Floats, what: str) -> Floats:
        """The weights with the factors of their targets multiplied in."""
        if factor.ndim == 0:
            return self._weights * factor
        if self._kind == "max_pool" and factor.ndim == 3:
            self._pass_spikes_on()
        if self._kind in ("identity", "max_pool"):
            return self._times(self._weights, factor)
        if factor.ndim == 3 and self._kind != "dense":
            self._weights, self._kind, self._geometry = self._matrix(what), "dense", {}
        if self._kind == "dense":
            return self._weights * spread(factor, self._map).reshape(-1, 1)
        if self._kind == "conv2d":
            return self._weights * factor.reshape(-1, 1, 1, 1)
        groups = self._geometry["groups"]
        each = np.repeat(factor.reshape(groups, -1), len(self._weights) // groups, axis=0)
        return self._weights * each[:, :, None, None]

    def _matrix(self, what: str) -> Floats:
        """The weights as those of a dense layer."""
        sources = prod(self._source_shape)
        if sources * prod(self._map) > _LARGEST_PRODUCT:
            raise self._too_large(what)
        matrix: Floats = apply(self._synapses(), self._source_shape, np.eye(sources)).T
        return matrix

    def _too_large(self, what: str) -> UnsupportedError:
        return UnsupportedError(
            f"{what} follows another layer with weights, and the product of both is too large; "
            "put neurons between them, or leave one of them out"
        )

    def _pass_spikes_on(self) -> None:
        """Whatever follows a max pooling starts from a relay of its spikes."""
        if self._kind != "max_pool":
            return
        weights, bias = self._weights, self._bias
        feed, shape = self.copy(), self.shape
        feed._weights, feed._bias = np.ones(()), np.zeros(())
        self.relay, self.shape = feed, self._map
        self._start("")
        self._weights, self._bias, self.shape = weights, bias, shape

    def _need_maps(self, what: str) -> None:
        if len(self.shape) != 3:
            raise NetworkError(f"{what} must be given maps (C, H, W), not {self.shape}")

    def _per(self, values: Any, what: str) -> Floats:
        """Numbers given as one, per channel or per neuron of :attr:`shape`, as few as say the same."""
        array, ones = _numbers(values, what), (1,) * (len(self.shape) - 1)
        if array.shape not in ((), (1,), self.shape, self.shape[:1], self.shape[:1] + ones):
            raise NetworkError(
                f"{what}: numbers of shape {array.shape} must be one, per channel or per neuron of {self.shape}"
            )
        if array.size == 1:
            return array.reshape(())
        if array.shape == self.shape:
            return narrowed(array.reshape(self._map))
        return narrowed(array.reshape(-1))

    def _times(self, one: Floats, other: Floats) -> Floats:
        return one * other if one.ndim == 0 or other.ndim == 0 else self._both(one, other, np.multiply)

    def _plus(self, one: Floats, other: Floats) -> Floats:
        return one + other if one.ndim == 0 or other.ndim == 0 else self._both(one, other, np.add)

    def _both(self, one: Floats, other: Floats, operator: np.ufunc) -> Floats:
        same = one.ndim == other.ndim
        result: Floats = operator(one, other) if same else operator(spread(one, self._map), spread(other, self._map))
        return result
