"""Linear nodes of NIR: what each adds to a fold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError, UnsupportedError
from ..fold import Fold
from .nir_graph import Node
from .nir_neurons import number, numbers, text

__all__ = ["fold_node"]

_NEAR = 1e-6
_LONGEST = 1 << 16


def fold_node(fold: Fold, node: Node, *, bias: bool, dt: float) -> int:
    """Fold a node in.

    Parameters
    ----------
    fold : Fold
        What comes before it; it grows.
    node : Node
    bias : bool
        Whether its biases are added.
    dt : float
        Seconds of a time step.

    Returns
    -------
    int
        Steps by which it delays what it passes on.

    Raises
    ------
    SpikeloomError
        Naming the node, if it does not fit or cannot be kept.
    """
    if node.kind in ("Linear", "Affine"):
        fold.linear(_weights(node, 2), _bias(node, bias), what=node.what)
    elif node.kind in ("Conv1d", "Conv2d"):
        _convolve(fold, node, bias)
    elif node.kind in ("SumPool2d", "AvgPool2d"):
        pool = fold.sum_pool if node.kind == "SumPool2d" else fold.avg_pool
        kernel = _pair(node, "kernel_size")
        stride = kernel if node.inner.stride is None else _pair(node, "stride")
        pool(kernel, stride, padding=_pair(node, "padding", least=0), what=node.what)
    elif node.kind == "Flatten":
        _flatten(fold, node)
    elif node.kind == "Scale":
        scale = numbers(node.inner.scale, f"{node.what}: scale")
        fold.scale(scale.reshape(fold.shape) if scale.size == np.prod(fold.shape) else scale, what=node.what)
    elif node.kind == "Delay":
        return _delay(node, dt) + _late(node)
    elif node.kind != "Port":
        raise UnsupportedError(f"{node.what} cannot be imported; use the nodes that docs/nir.md lists")
    return _late(node)


def _late(node: Node) -> int:
    """Steps that the metadata of a node tell of."""
    late = number(node.hints.get("delay", 0), f"{node.what}: delay")
    if late not in (0, 1):
        raise UnsupportedError(f"{node.what}: delay in its metadata must be 0 or 1 step, not {late:g}")
    return int(late)


def _delay(node: Node, dt: float) -> int:
    seconds = numbers(node.inner.delay, f"{node.what}: delay")
    steps = seconds / dt
    if not (np.abs(steps - 1) < _NEAR).all() and seconds.any():
        raise UnsupportedError(
            f"{node.what} delays by {steps.min():g} to {steps.max():g} steps of {dt:g} s, and only a delay of one step "
            "for all can be kept; take it out, or put neurons between the steps"
        )
    return int(seconds.any())


def _weights(node: Node, dimensions: int) -> NDArray[np.float64]:
    weights = numbers(node.inner.weight, f"{node.what}: weight")
    if weights.ndim != dimensions:
        raise NetworkError(f"{node.what}: weight must have {dimensions} dimensions, not shape {weights.shape}")
    return weights


def _bias(node: Node, wanted: bool) -> NDArray[np.float64] | None:
    if not wanted or getattr(node.inner, "bias", None) is None:
        return None
    return numbers(node.inner.bias, f"{node.what}: bias")


def _convolve(fold: Fold, node: Node, bias: bool) -> None:
    flat = node.kind == "Conv1d"
    if flat and (len(fold.shape) != 3 or fold.shape[1] != 1):
        raise NetworkError(f"{node.what} must be given maps of one dimension, not {fold.shape}")
    weights = _weights(node, 3 if flat else 4)
    weights = weights[:, :, None, :] if flat else weights
    groups = int(number(node.inner.groups, f"{node.what}: groups"))
    stride, dilation = (_pair(node, field, flat=flat) for field in ("stride", "dilation"))
    reach = [(side - 1) * step + 1 for side, step in zip(weights.shape[2:], dilation, strict=True)]
    if max(reach) > _LONGEST:
        raise NetworkError(f"{node.what} must have a kernel of at most {_LONGEST} a side, not {max(reach)}")
    padding, extra = (0, 0), (0, 0)
    words = text(node.inner.padding) if isinstance(node.inner.padding, (str, bytes, np.ndarray)) else ""
    if words == "same":
        if stride != (1, 1):
            raise NetworkError(f"{node.what} with padding 'same' must have stride 1, not {stride}")
        # Of an odd sum, PyTorch puts the larger half behind: as if the kernel had one more row of 0 in front.
        extra = tuple((side - 1) % 2 for side in reach)  # type: ignore[assignment]
        padding = tuple(side // 2 for side in reach)  # type: ignore[assignment]
    elif words != "valid":
        padding = _pair(node, "padding", least=0, flat=flat)
    if any(extra):
        weights, dilation = _dilated(weights, dilation), (1, 1)
        weights = np.pad(weights, ((0, 0), (0, 0), (extra[0], 0), (extra[1], 0)))
    fold.conv2d(
        weights,
        _bias(node, bias),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        what=node.what,
    )


def _dilated(weights: NDArray[np.float64], dilation: tuple[int, int]) -> NDArray[np.float64]:
    sides = [(side - 1) * step + 1 for side, step in zip(weights.shape[2:], dilation, strict=True)]
    wide = np.zeros((*weights.shape[:2], *sides))
    wide[:, :, :: dilation[0], :: dilation[1]] = weights
    return wide


def _flatten(fold: Fold, node: Node) -> None:
    """All dimensions or some; the neurons stay in C order. Maps of height 1 may be of one dimension in NIR."""
    dimensions = len(fold.shape)
    start, end = (int(number(getattr(node.inner, name), f"{node.what}: {name}")) for name in ("start_dim", "end_dim"))
    start, end = start % dimensions, end % dimensions
    if (start, end) == (0, dimensions - 1):
        fold.flatten(what=node.what)
    elif dimensions == 3 and fold.shape[1] > 1 and start < end:
        channels, height, width = fold.shape
        fold.reshape((channels * height, 1, width) if end == 1 else (channels, 1, height * width), what=node.what)


def _pair(node: Node, name: str, *, least: int = 1, flat: bool = False) -> tuple[int, int]:
    """One integer or two; of one dimension, that of the width."""
    value: Any = getattr(node.inner, name)
    values = numbers(value, f"{node.what}: {name}").reshape(-1)
    if values.size not in (1, 2 - flat) or (values % 1).any() or values.min() < least or values.max() > _LONGEST:
        raise NetworkError(
            f"{node.what}: {name} must be {'one integer' if flat else 'one integer or two'} "
            f"of {least} to {_LONGEST}, not {text(value)[:40]}"
        )
    first, last = int(values[0]), int(values[-1])
    return (0 if least == 0 else 1, last) if flat else (first, last)
