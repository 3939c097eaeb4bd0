"""Calls of functions of torch, with the values of their tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from quant.fold import Fold
from quant.graph import Shape

from .torch_values import Opaque, Step, Value

__all__ = ["LIKENESS", "SAME", "Call", "WrongAxes", "plain_name"]

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
