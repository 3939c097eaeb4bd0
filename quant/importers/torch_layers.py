"""Layers of torch as functions: products with weights, norms and pooling become steps of a way."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch

from quant.errors import UnsupportedError
from quant.fold import Fold

from .options import maps_of
from .torch_call import Call
from .torch_values import Opaque, Value, numbers

__all__ = ["LAYERS"]


def _pair(value: Any, flat: bool, fill: int) -> tuple[int, int] | None:
    """Sizes of a layer of two dimensions; those of one have height 1."""
    if value is None:
        return None
    sizes = tuple(value) if isinstance(value, (tuple, list, torch.Size)) else (value,)
    if flat:
        return fill, int(sizes[0])
    return (int(sizes[0]), int(sizes[-1]))


def _linear(call: Call) -> Value | Opaque:
    given = call.named("input", "weight", "bias")
    weights, bias = given["weight"], given.get("bias")

    def grow(fold: Fold, whole: bool) -> None:
        if len(fold.shape) != 1:
            raise UnsupportedError(f"{call.label} must be given flat values, not {fold.shape}; flatten them before it")
        fold.linear(numbers(weights), None if bias is None or not whole else numbers(bias), what=call.label)

    return call.then(call.first, grow)


def _conv(call: Call) -> Value | Opaque:
    given = call.named("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    weights, bias = numbers(given["weight"]), given.get("bias")
    flat = weights.ndim == 3
    if weights.ndim == 5:
        return call.opaque("is a convolution of three dimensions, and maps have two")
    kernel = weights[:, :, None] if flat else weights
    dilation = _pair(given.get("dilation", 1), flat, 1) or (1, 1)
    padding = given.get("padding", 0)
    if isinstance(padding, str):
        spans = [step * (side - 1) for step, side in zip(dilation, kernel.shape[2:], strict=True)]
        if padding == "same" and any(span % 2 for span in spans):
            return call.opaque("pads one side more than the other; use a kernel of odd size")
        sides = (spans[0] // 2, spans[1] // 2) if padding == "same" else (0, 0)
    else:
        sides = _pair(padding, flat, 0) or (0, 0)
    stride = _pair(given.get("stride", 1), flat, 1) or (1, 1)

    def grow(fold: Fold, whole: bool) -> None:
        added = None if bias is None or not whole else numbers(bias)
        groups = given.get("groups", 1)
        fold.conv2d(kernel, added, stride=stride, padding=sides, dilation=dilation, groups=groups, what=call.label)

    return call.then(call.first, grow)


def _conv_transpose(call: Call) -> Value | Opaque:
    given = call.named("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    weights, bias = numbers(given["weight"]), given.get("bias")
    flat = weights.ndim == 3
    if weights.ndim == 5 or set(np.ravel(given.get("dilation", 1)).tolist()) != {1}:
        return call.opaque("is a transposed convolution that is dilated, or of three dimensions")
    kernel = weights[:, :, None] if flat else weights
    sizes = {key: _pair(given.get(key, 0), flat, 0) or (0, 0) for key in ("padding", "output_padding")}
    stride = _pair(given.get("stride", 1), flat, 1) or (1, 1)

    def grow(fold: Fold, whole: bool) -> None:
        added = None if bias is None or not whole else numbers(bias)
        fold.conv_transpose2d(kernel, added, stride=stride, groups=given.get("groups", 1), **sizes, what=call.label)

    return call.then(call.first, grow)


def _norm(call: Call) -> Value | Opaque:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = call.named(*names)
    if given.get("training") or given.get("running_mean") is None:
        return call.opaque("normalises with the statistics of the batch; train it with track_running_stats=True")
    tensors = [given.get(key) for key in ("running_mean", "running_var", "weight", "bias")]
    mean, variance, gain, bias = (None if tensor is None else numbers(tensor) for tensor in tensors)

    def grow(fold: Fold, whole: bool) -> None:
        centre = mean if whole else np.zeros_like(variance)
        fold.norm(centre, variance, gain, bias if whole else None, given.get("eps", 1e-5), what=call.label)

    return call.then(call.first, grow)


def _pool(call: Call, *, highest: bool) -> Value | Opaque:
    names = ["input", "kernel_size", "stride", "padding"]
    names += ["dilation", "ceil_mode", "return_indices"] if highest else ["ceil_mode", "count_include_pad", "divisor"]
    given, value = call.named(*names), call.first
    flat = len(call.features(value, call.args[0] if call.args else given["input"])) == 2
    sizes = {
        key: _pair(given.get(key), flat, fill) for key, fill in (("kernel_size", 1), ("stride", 1), ("padding", 0))
    }
    kernel, padding = sizes["kernel_size"] or (1, 1), sizes["padding"] or (0, 0)
    stride = sizes["stride"] or kernel
    if set(np.ravel(given.get("dilation", 1)).tolist()) != {1}:
        return call.opaque("is a dilated pooling; use one without dilation")
    if highest and len(value.terms) > 1:
        return call.opaque("takes the maximum of a sum, not of spikes; put neurons before it")
    divisor = given.get("divisor") or given.get("divisor_override")
    inner = padding != (0, 0) and not given.get("count_include_pad", True)

    def grow(fold: Fold, _: bool) -> None:
        if highest:
            fold.max_pool(kernel, stride, padding=padding, what=call.label)
            return
        ones = np.ones(fold.shape)
        fold.avg_pool(kernel, stride, padding=padding, what=call.label)
        if divisor:
            fold.scale(prod(kernel) / divisor, what=call.label)
        elif inner:
            fold.scale(_shares(ones, kernel, stride, padding), what=call.label)

    return call.then(value, grow)


def _shares(ones: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    """What of each window lies within the map, inverted."""
    pool = torch.nn.functional.avg_pool2d(torch.from_numpy(ones)[None], kernel, stride, padding)
    return 1 / pool[0].numpy()


def _adaptive(call: Call) -> Value | Opaque:
    given, value = call.named("input", "output_size"), call.first
    before, after = (maps_of(call.features(value, tensor)) for tensor in (call.args[0], call.result))
    if any(wide % narrow for wide, narrow in zip(before[1:], after[1:], strict=True)):
        return call.opaque(f"averages windows of several sizes: {before[1:]} is no multiple of {given['output_size']}")
    kernel = (before[1] // after[1], before[2] // after[2])

    def grow(fold: Fold, _: bool) -> None:
        fold.avg_pool(kernel, what=call.label)

    return call.then(value, grow)


LAYERS: Mapping[str, Callable[[Call], Any]] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _conv_transpose),
    "batch_norm": _norm,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), lambda call: _pool(call, highest=False)),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), lambda call: _pool(call, highest=True)),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _adaptive),
}
