"""Functions of torch on values: what a connection can hold becomes a step of its way, all else is opaque."""

from collections.abc import Callable, Mapping
from typing import Any

from .torch_arithmetic import ARITHMETIC
from .torch_call import Call
from .torch_layers import LAYERS
from .torch_shapes import SHAPES

__all__ = ["FUNCTIONS"]

#: By name, as of :func:`quant.importers.torch_call.plain_name`.
FUNCTIONS: Mapping[str, Callable[[Call], Any]] = {**LAYERS, **SHAPES, **ARITHMETIC}
