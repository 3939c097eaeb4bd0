"""What an importer is told besides the model: what the model does not say of itself."""

from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from quant.errors import NetworkError
from quant.graph import Shape, check_shape
from quant.model import FloatInput

__all__ = ["COMPARES", "ImportOptions", "maps_of"]

COMPARES = (">", ">=")

_MAX_STEPS = 1 << 16

_CHOICES = {
    "reset": ("zero", "subtract", "none"),
    "compare": COMPARES,
    "input_kind": ("events", "current", "rate", "latency"),
    "readout": ("count", "first_spike", "membrane"),
    "reduce": ("last", "sum", "max"),
}


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Choices of the user; None where the model says it, or else what is assumed and printed.

    Parameters
    ----------
    name : str, optional
        Of the network.
    steps : int, optional
        Time steps of a sample.
    dt : float, optional
        Seconds of a time step, for models in continuous time.
    reset : str, optional
        ``"zero"``, ``"subtract"`` or ``"none"``.
    compare : str, optional
        Fires at membranes ``">"`` or ``">="`` than the threshold.
    reset_delay : bool, optional
        A reset by subtraction comes a step after its spike, and does not decay.
    input_shape : tuple of int, optional
        Of one step of one sample: ``(N,)``, ``(C, L)`` or ``(C, H, W)``.
    input_kind : str, optional
        ``"events"``, ``"current"``, ``"rate"`` or ``"latency"``, as :class:`quant.ir.Input` has them.
    input_high : int, optional
        Largest integer of the input.
    input_lsb : float, optional
        Real value of the integer 1.
    readout : str, optional
        ``"count"``, ``"first_spike"``, or ``"membrane"`` of a last layer without spikes.
    reduce : str, optional
        Of readout ``"membrane"``: ``"last"``, ``"sum"`` or ``"max"`` over the steps.

    Raises
    ------
    NetworkError
        Naming the option.
    """

    name: str | None = None
    steps: int | None = None
    dt: float | None = None
    reset: str | None = None
    compare: str | None = None
    reset_delay: bool | None = None
    input_shape: Shape | None = None
    input_kind: str | None = None
    input_high: int | None = None
    input_lsb: float | None = None
    readout: str | None = None
    reduce: str | None = None

    def __post_init__(self) -> None:
        for field, allowed in _CHOICES.items():
            value = getattr(self, field)
            if value is not None and value not in allowed:
                raise NetworkError(f"Option {_option(field)} must be one of {', '.join(allowed)}, not {value!r}")
        for field in ("dt", "input_lsb"):
            value = getattr(self, field)
            if value is not None and not (isfinite(value) and value > 0):
                raise NetworkError(f"Option {_option(field)} must be a positive number, not {value!r}")
        for field in ("steps", "input_high"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise NetworkError(f"Option {_option(field)} must be at least 1, not {value!r}")
        if self.steps is not None and self.steps > _MAX_STEPS:
            raise NetworkError(f"Option --steps must be at most {_MAX_STEPS}, not {self.steps}")
        if self.input_shape is not None:
            shape = tuple(self.input_shape)
            check_shape(maps_of(shape), f"Option {_option('input_shape')}")
            object.__setattr__(self, "input_shape", shape)

    def input(self, shape: Shape, **assumed: Any) -> FloatInput:
        """The network's input of ``shape``, with the options where they are given, else what is ``assumed``."""
        if self.input_shape is not None and prod(self.input_shape) != prod(shape):
            raise NetworkError(f"Option --input-shape must have {prod(shape)} values, not {prod(self.input_shape)}")
        chosen = {"kind": self.input_kind, "high": self.input_high, "lsb": self.input_lsb}
        return FloatInput(
            shape=shape, **{**assumed, **{key: value for key, value in chosen.items() if value is not None}}
        )


def maps_of(shape: Shape) -> Shape:
    """A shape with maps of one dimension, ``(C, L)``, as maps of height 1."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
