"""Arithmetic of torch on values: sums, factors, and the sum over the steps."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from quant.fold import Fold

from .torch_call import Call
from .torch_values import TIME, Opaque, Step, Term, Value, numbers

__all__ = ["ARITHMETIC"]


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


ARITHMETIC: Mapping[str, Callable[[Call], Any]] = {
    "sum": lambda call: _sum(call, mean=False),
    "mean": lambda call: _sum(call, mean=True),
    "add": _add,
    **dict.fromkeys(("sub", "subtract"), lambda call: _add(call, sign=-1.0)),
    **dict.fromkeys(("mul", "multiply"), _multiply),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), lambda call: _multiply(call, divide=True)),
    **dict.fromkeys(("neg", "negative"), _negative),
}
