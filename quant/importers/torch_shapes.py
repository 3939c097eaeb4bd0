"""Functions of torch that move values: between shapes, steps and samples, and side by side."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from quant.fold import Fold

from .options import maps_of
from .torch_call import Call, WrongAxes
from .torch_values import BATCH, MERGED, ONE, TIME, Opaque, Step, Term, Value

__all__ = ["SHAPES"]


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


SHAPES: Mapping[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"), _reshape),
    "getitem": _item,
    "select": _select,
    "unbind": _unbind,
    **dict.fromkeys(("repeat", "expand", "tile"), _repeat),
    **dict.fromkeys(("transpose", "swapaxes", "permute"), _swap),
    "stack": _stack,
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
}
