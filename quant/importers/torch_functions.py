"""Functions of torch on values: what a connection can hold becomes a step of its way, all else is opaque."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from quant.errors import UnsupportedError
from quant.fold import Fold
from quant.graph import Shape

from .options import maps_of
from .torch_values import BATCH, MERGED, ONE, TIME, Opaque, Step, Term, Value, numbers

__all__ = ["FUNCTIONS", "LIKENESS", "SAME", "WrongAxes", "plain_name"]

#: Functions that change nothing that matters here.
SAME = {
    *("detach", "clone", "contiguous", "to", "float", "double", "half", "type", "type_as", "cpu", "cuda", "alias"),
    *("requires_grad", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout"),
}


#: Functions that make constants in the likeness of a tensor.
LIKENESS = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}


class WrongAxes(Exception):
    """The module has taken samples for time steps: its input has other axes."""


def plain_name(function: Any) -> str:
    """``add`` of ``Tensor.__iadd__``, ``Tensor.add_`` and ``torch.add``."""
    name: str = getattr(function, "__name__", str(function)).strip("_")
    return name[1:] if name in ("iadd", "isub", "imul", "itruediv", "radd", "rmul") else name


class Call:
    """One call of a function, with the values of its tensors.

    Parameters
    ----------
    label : str
        The layer, in errors.
    values : callable
        Value of a tensor, or None.
    """

    def __init__(
        self, label: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any, values: Callable[..., Any]
    ):
        self.label, self.args, self.kwargs, self.result, self.values = label, list(args), kwargs, result, values

    def named(self, *names: str) -> dict[str, Any]:
        """Arguments by name."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    @property
    def first(self) -> Value:
        value = self.values(self.args[0] if self.args else self.kwargs["input"])
        assert isinstance(value, Value)
        return value

    def features(self, value: Value, tensor: torch.Tensor | None = None) -> Shape:
        return tuple((self.result if tensor is None else tensor).shape[len(value.lead) :])

    def then(self, value: Value, grow: Callable[[Fold, bool], None]) -> Value:
        return value.then(Step(self.label, grow, self.features(value)))

    def opaque(self, words: str) -> Opaque:
        return Opaque(f"{self.label} {words}")


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


def _reshape(call: Call) -> Value | Opaque:
    """flatten, view, reshape, squeeze, unsqueeze, unflatten: the axes before the features may be merged or split."""
    value, before, after = call.first, tuple(call.args[0].shape), tuple(call.result.shape)
    lead, sizes = value.lead, before[: len(value.lead)]
    options = [(lead, sizes)]
    if lead == (TIME, BATCH):
        options.append(((MERGED,), (sizes[0] * sizes[1],)))
    if lead == (MERGED,) and len(after) > 1:
        options.append(((TIME, BATCH), after[:2]))
    if lead == (BATCH,):
        options.append(((ONE, BATCH), (1, *sizes)))
    for axes, counts in options:
        if after[: len(axes)] == counts and prod(counts) * prod(after[len(axes) :]) == prod(before):
            if prod(counts) != prod(sizes):
                continue
            moved = Value(value.terms, axes, value.reduced)
            return moved if before[len(lead) :] == after[len(axes) :] else _reshaped(call, moved)
    return call.opaque(f"reshapes {before} into {after}, across samples or steps")


def _reshaped(call: Call, value: Value) -> Value:
    shape = call.features(value)

    def grow(fold: Fold, _: bool) -> None:
        if len(shape) == 1:
            fold.flatten(what=call.label)
        else:
            fold.reshape(maps_of(shape), what=call.label)

    return value.then(Step("reshape", grow, shape))


def _item(call: Call) -> Value | Opaque:
    """``x[t]`` and ``x[:, t]`` of an axis of time."""
    value, index = call.first, call.args[1]
    entries = index if isinstance(index, tuple) else (index,)
    axis = next((place for place, entry in enumerate(entries) if entry != slice(None)), None)
    if axis is None:
        return value
    if axis < len(value.lead) and value.lead[axis] == BATCH and isinstance(entries[axis], int):
        raise WrongAxes
    rest = all(entry == slice(None) or entry is Ellipsis for entry in entries[axis + 1 :])
    if axis >= len(value.lead) or value.lead[axis] != TIME or not isinstance(entries[axis], int) or not rest:
        return call.opaque(f"takes a part of the values, {index!r}; only a step of a sequence can be taken")
    step = entries[axis] % call.args[0].shape[axis]
    return _at(value, axis, step)


def _select(call: Call) -> Value | Opaque:
    given = call.named("input", "dim", "index")
    call.args = [given["input"], (*[slice(None)] * given["dim"], given["index"])]
    return _item(call)


def _at(value: Value, axis: int, step: int) -> Value:
    terms = (Term(t.source, None if t.step is None else t.step + step, t.way) for t in value.terms)
    return Value(tuple(terms), value.lead[:axis] + value.lead[axis + 1 :], value.reduced)


def _unbind(call: Call) -> Any:
    value, axis = call.first, call.named("input", "dim").get("dim", 0)
    if value.lead[:1] == (BATCH,) and axis == 0:
        raise WrongAxes
    if axis >= len(value.lead) or value.lead[axis] != TIME:
        return call.opaque("takes the values apart")
    return [_at(value, axis, step) for step in range(len(call.result))]


def _repeat(call: Call) -> Value | Opaque:
    """``x.unsqueeze(0).repeat(T, 1, ...)``: the same in every step."""
    value = call.first
    if value.lead[:1] == (ONE,) and call.result.shape[1:] == call.args[0].shape[1:]:
        return Value(value.terms, (TIME, *value.lead[1:]))
    if value.lead == (BATCH,) and call.result.shape[1:] == call.args[0].shape:
        return Value(value.terms, (TIME, BATCH))
    if call.result.shape == call.args[0].shape:
        return value
    return call.opaque("repeats values")


def _swap(call: Call) -> Value | Opaque:
    """Axes of samples and of time may change places."""
    value, before, after = call.first, call.args[0].shape, call.result.shape
    swapped = len(value.lead) == 2 and after[:2] == (before[1], before[0]) and after[2:] == before[2:]
    order = call.args[1] if len(call.args) == 2 else call.args[1:]
    count = len(before)
    axes = [int(axis) % count for axis in order]
    plain = sorted(axes) == [0, 1] if len(axes) == 2 else axes == [1, 0, *range(2, count)]
    if swapped and plain:
        return Value(value.terms, (value.lead[1], value.lead[0]), value.reduced)
    return call.opaque("changes the order of axes")


def _stack(call: Call) -> Value | Opaque:
    given = call.named("tensors", "dim")
    axis, values = given.get("dim", 0), [call.values(tensor) for tensor in given["tensors"]]
    if axis == 0 and all(isinstance(value, Value) and value.lead == (BATCH,) for value in values):
        first = values[0]
        if all(_follows(first, value, place) for place, value in enumerate(values)):
            return Value(first.terms, (TIME, BATCH))
    return call.opaque("stacks values")


def _follows(first: Value, value: Value, steps: int) -> bool:
    """Whether ``value`` is what ``first`` was, some steps later."""
    before = {(id(t.source), None if t.step is None else t.step + steps, len(t.way)) for t in first.terms}
    return before == {(id(t.source), t.step, len(t.way)) for t in value.terms}


def _cat(call: Call) -> Value | Opaque:
    """Features side by side: each is brought to its place by a matrix of ones."""
    given = call.named("tensors", "dim")
    tensors, result = given["tensors"], call.result
    values = [call.values(tensor) for tensor in tensors]
    axis = given.get("dim", 0) % result.ndim
    lead = next(value.lead for value in values if value is not None)
    if (axis == 0 and lead[:1] == (ONE,)) or axis < len(lead):
        return call.opaque("joins samples or steps")
    if axis != len(lead) or any(value is not None and value.lead != lead for value in values):
        return call.opaque("joins values along another axis than that of the channels")
    terms: list[Term] = []
    offset = 0
    for tensor, value in zip(tensors, values, strict=True):
        width, total = tensor.shape[axis], result.shape[axis]
        if value is None:
            if tensor.any():
                return call.opaque("joins constants that are not 0")
        else:
            step = Step(f"{call.label} cat {offset}", _placed(offset, width, total, call.label), call.features(value))
            terms += value.then(step).terms
        offset += width
    return Value(tuple(terms), lead)


def _placed(offset: int, width: int, total: int, label: str) -> Callable[[Fold, bool], None]:
    matrix = np.zeros((total, width))
    matrix[offset : offset + width] = np.eye(width)

    def grow(fold: Fold, _: bool) -> None:
        if len(fold.shape) == 1:
            fold.linear(matrix, what=label)
        else:
            fold.conv2d(matrix[:, :, None, None], what=label)

    return grow


def _sum(call: Call, *, mean: bool) -> Value | Opaque:
    """Sum or mean over the steps."""
    value, given = call.first, call.named("input", "dim", "keepdim")
    if value.lead[:1] != (TIME,) or given.get("dim") not in (0, (0,), [0]) or given.get("keepdim"):
        return call.opaque("sums over something else than the steps")
    count = call.args[0].shape[0]

    def grow(fold: Fold, _: bool) -> None:
        bias = fold.connection("x")[1]
        fold.scale(1.0, (count - 1) * bias, what=call.label)
        if mean:
            fold.scale(1 / count, what=call.label)

    summed = Value(value.terms, value.lead[1:], True)
    return summed.then(Step("sum", grow, call.features(summed)))


def _add(call: Call, *, sign: float = 1.0) -> Value | Opaque:
    given = call.named("input", "other", "alpha")
    if given.get("alpha", 1) != 1:
        return call.opaque("adds with a factor alpha")
    one, other = (_operand(call, given[key]) for key in ("input", "other"))
    if isinstance(one, Opaque) or isinstance(other, Opaque):
        return one if isinstance(one, Opaque) else other
    if sign < 0:
        other = other.then(Step("minus", lambda fold, _: fold.scale(-1.0, what=call.label), call.features(other)))
    leads = {value.lead for value in (one, other) if any(not term.constant for term in value.terms)}
    shapes = {call.values(given[key]) and tuple(given[key].shape) for key in ("input", "other")} - {None}
    if len(leads) != 1 or shapes != {tuple(call.result.shape)}:
        return call.opaque("adds values of different shapes")
    return Value((*one.terms, *other.terms), leads.pop(), one.reduced or other.reduced)


def _operand(call: Call, item: Any) -> Any:
    """Value of an operand; a constant is what it adds to every sample and step."""
    value = call.values(item)
    if value is not None:
        return value
    array = _constant(call, item)
    if array is None:
        return call.opaque("combines values with a constant that differs between samples or steps")
    terms = (Term(array, None),) if array.any() else ()
    return Value(terms, ())


def _constant(call: Call, item: Any) -> Any:
    """Features of a constant as it takes part in the result, or None if they differ between samples or steps."""
    axes = next(
        len(value.lead) for key in (*call.args, *call.kwargs.values()) if isinstance(value := call.values(key), Value)
    )
    full = np.broadcast_to(numbers(item), tuple(call.result.shape))
    flat = full.reshape(-1, *full.shape[axes:])
    return np.array(flat[0]) if (flat == flat[:1]).all() else None


def _multiply(call: Call, *, divide: bool = False) -> Value | Opaque:
    given = call.named("input", "other")
    one, other = call.values(given["input"]), given["other"]
    if one is None and not divide:
        one, other = call.values(given["other"]), given["input"]
    if one is None or call.values(other) is not None or given.get("rounding_mode"):
        return call.opaque("multiplies or divides values by one another")
    factor = _constant(call, other)
    if factor is None or tuple(call.result.shape) != tuple(_tensor_of(call, one).shape):
        return call.opaque("multiplies values by a constant that differs between samples or steps")
    # Division as the module does it: a tenth is not exactly 1 / 10.
    factor = 1 / factor if divide else factor

    def grow(fold: Fold, _: bool) -> None:
        fold.scale(factor.reshape(fold.shape), what=call.label)

    return call.then(one, grow)


def _tensor_of(call: Call, value: Value) -> torch.Tensor:
    tensor = next(item for item in (*call.args, *call.kwargs.values()) if call.values(item) is value)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def _negative(call: Call) -> Value | Opaque:
    return call.then(call.first, lambda fold, _: fold.scale(-1.0, what=call.label))


FUNCTIONS: dict[str, Callable[[Call], Any]] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _conv_transpose),
    "batch_norm": _norm,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), lambda call: _pool(call, highest=False)),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), lambda call: _pool(call, highest=True)),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _adaptive),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"), _reshape),
    "getitem": _item,
    "select": _select,
    "unbind": _unbind,
    **dict.fromkeys(("repeat", "expand", "tile"), _repeat),
    **dict.fromkeys(("transpose", "swapaxes", "permute"), _swap),
    "stack": _stack,
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "sum": lambda call: _sum(call, mean=False),
    "mean": lambda call: _sum(call, mean=True),
    "add": _add,
    **dict.fromkeys(("sub", "subtract"), lambda call: _add(call, sign=-1.0)),
    **dict.fromkeys(("mul", "multiply"), _multiply),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), lambda call: _multiply(call, divide=True)),
    **dict.fromkeys(("neg", "negative"), _negative),
}
