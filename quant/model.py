"""The float network: what training writes, importers make and :mod:`quant.quantize` reads. It needs no torch.

It has the structure of :mod:`quant.ir` and its update rule, in real numbers and without rails or rounding::

    H  = V + b + sum over incoming events of weight * value
    H  = max(H, 0)                                                if rectify
    S  = 1 if H >= theta (and not latched); -1 if ternary and H <= -theta; else 0      (> and < if strict)
    V' = reset_value if S (zero) | H - S*rho (subtract) | H (none) | 0 once latched (latch)
    V  = V' * decay

``V`` is stored already decayed. What an event of the input brings is ``weight * value * lsb``.

Two oddities of snnTorch, which the integers do not have, are an ``aftermath``: in the step after a ``V'`` above theta
(``raise``) it takes H > 2*theta to fire; in the step after a spike (``mute``) H is 0, whatever comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .file import build_item, described, item_parts, load_parts, save_parts
from .graph import INPUT, Shape, Synapses, frozen
from .ir import Connection, Input, Network, Population, Readout

__all__ = ["FloatInput", "FloatNetwork", "FloatPopulation", "FloatReadout", "load_model", "save_model"]

Floats = NDArray[np.float64]

AFTERMATHS = ("none", "raise", "mute")


def _floats(value: object, what: str) -> Floats:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise NetworkError(f"{what} must be numbers, not {value!r}")
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise NetworkError(f"{what} must be finite, but {wrong} of {array.size} are NaN or infinite")
    return frozen(array.astype(np.float64))


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatInput(Input):
    """Input of a float network: the same integers as :class:`quant.ir.Input`, and what they are worth.

    Parameters
    ----------
    lsb : float
        Real value of the integer 1; 1/255 of pixels of 0 to 255 that stand for 0 to 1.
    """

    lsb: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        lsb = _floats(self.lsb, "Input lsb")
        if lsb.ndim or lsb <= 0:
            raise NetworkError(f"Input lsb must be one positive number, not {self.lsb!r}")
        object.__setattr__(self, "lsb", float(lsb))


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatPopulation:
    """Neurons of one kind, in real numbers.

    Numbers written "per neuron" are one for the population, or one per channel (shape ``(C,)`` or
    ``(C, 1, 1)``), or one per neuron (``shape``).

    Parameters
    ----------
    name : str
        Letters, digits and underscores; not ``"input"``.
    shape : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    threshold : float or array, or None
        theta, per neuron, positive (0 is allowed if ``strict``). None: a readout that never fires.
    strict : bool
        Fires at H > theta, not at H >= theta.
    reset : str
        ``"zero"``, ``"subtract"``, ``"none"`` or ``"latch"``.
    reset_value : float or array
        Membrane after a spike under reset ``"zero"``, per neuron, before the decay.
    reset_amount : float or array, optional
        rho of reset ``"subtract"``, per neuron; default theta.
    decay : float or array
        What a membrane keeps from step to step, per neuron, not negative.
    rectify : bool
        Clamp H at 0 before the comparison and the write-back.
    ternary : bool
        Also fire -1 at H <= -theta.
    bias : float or array
        b, added every step, per neuron.
    initial : float or array
        V at the start of a sample, per neuron.
    current_decay : float or array, optional
        What the current of a second-order neuron keeps from step to step, per neuron, not negative.
    aftermath : str
        ``"none"``, ``"raise"`` or ``"mute"``; see :mod:`quant.model`.
    """

    name: str
    shape: Shape
    threshold: Any
    strict: bool = False
    reset: str = "zero"
    reset_value: Any = 0.0
    reset_amount: Any = None
    decay: Any = 1.0
    rectify: bool = False
    ternary: bool = False
    bias: Any = 0.0
    initial: Any = 0.0
    current_decay: Any = None
    aftermath: str = "none"

    def __post_init__(self) -> None:
        self._set("shape", self.structure.shape)
        what = f"Population {self.name}"
        if self.aftermath not in AFTERMATHS:
            raise NetworkError(f"{what}: aftermath must be one of {', '.join(AFTERMATHS)}, not {self.aftermath!r}")
        if self.aftermath != "none" and (self.threshold is None or self.ternary):
            raise NetworkError(f"{what}: aftermath must be 'none' without a threshold, or if ternary")
        if not isinstance(self.strict, (bool, np.bool_)):
            raise NetworkError(f"{what}: strict must be true or false, not {self.strict!r}")
        self._set("strict", bool(self.strict))
        if self.reset == "subtract" and self.reset_amount is None:
            self._set("reset_amount", self.threshold)
        for name in ("threshold", "reset_value", "reset_amount", "decay", "bias", "initial", "current_decay"):
            value = getattr(self, name)
            if value is not None or name in ("reset_value", "decay", "bias", "initial"):
                values = _floats(value, f"{what}: {name}")
                spread(values, self.shape, f"{what}: {name}")
                self._set(name, values)
        self._check_signs(what)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_signs(self, what: str) -> None:
        for name in ("decay", "current_decay"):
            decay = getattr(self, name)
            if decay is not None and decay.min() < 0:
                raise NetworkError(f"{what}: {name} must not be negative, not {decay.min()}")
        if self.threshold is None:
            return
        least = self.threshold.min()
        if least < 0 or (least == 0 and not self.strict):
            bound = "at least 0" if self.strict else "greater than 0"
            raise NetworkError(f"{what}: threshold must be {bound}, not {least}")

    @cached_property
    def structure(self) -> Population:
        """The same neurons in integers, without their numbers."""
        return Population(
            name=self.name,
            shape=self.shape,
            threshold=None if self.threshold is None else 1,
            reset=self.reset,
            reset_amount=None if self.reset_amount is None else 1,
            rectify=self.rectify,
            ternary=self.ternary,
            state_min=0,
            state_max=0,
        )

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.structure.size

    def per_neuron(self, values: Any) -> Floats:
        """Values of a field spread over the neurons: shape ``(size,)``, in C order."""
        return spread(np.asarray(values, np.float64), self.shape, f"Population {self.name}")


def spread(values: Floats, shape: Shape, what: str) -> Floats:
    """Numbers that are one, per channel or per neuron, spread over the neurons of ``shape``, in C order."""
    ones = (1,) * (len(shape) - 1)
    if values.shape not in ((), shape, shape[:1], shape[:1] + ones):
        raise NetworkError(f"{what} of shape {values.shape} must be one, per channel or per neuron of {shape}")
    array = values.reshape(-1, *ones) if values.shape == shape[:1] else values
    return np.broadcast_to(array, shape).reshape(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatReadout:
    """How a population becomes scores and an answer; the kinds are those of :class:`quant.ir.Readout`.

    Parameters
    ----------
    population : str
        The population that is read.
    kind : str
        ``"count"``, ``"first_spike"``, ``"membrane"`` or ``"linear"``.
    weights, bias : array of float
        ``(classes, N)`` and ``(classes,)`` of ``linear``, in worth of one spike.
    reduce : str
        ``last`` step, ``sum`` over the steps or ``max`` over them, of ``membrane``.
    """

    population: str
    kind: str = "count"
    weights: Any = None
    bias: Any = None
    reduce: str = "last"

    def __post_init__(self) -> None:
        for name in ("weights", "bias"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _floats(getattr(self, name), f"Readout {name}"))
        if self.structure.bias is not None and self.bias is None:
            object.__setattr__(self, "bias", frozen(np.zeros(len(self.weights))))

    @cached_property
    def structure(self) -> Readout:
        """The same readout in integers, without its numbers."""
        zeros = {
            name: np.zeros_like(value, np.int64)
            for name in ("weights", "bias")
            if (value := getattr(self, name)) is not None
        }
        return Readout(population=self.population, kind=self.kind, reduce=self.reduce, **zeros)


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatNetwork:
    """Populations, connections, an input and a readout, in real numbers, checked.

    Parameters
    ----------
    name : str
        Letters, digits and underscores.
    steps : int
        Time steps of a sample.
    input : FloatInput
    populations : sequence of FloatPopulation
    connections : sequence of Synapses
        With float weights. Every population needs at least one.
    readout : FloatReadout
    scales : mapping of str to float or array
        For a population, what quantization-aware training has chosen as the LSB of its weights: one, or one per
        channel of the population. It is the LSB of the weights of its *first* incoming connection; all incoming
        connections add into one membrane, so that the LSB of another is larger by the ratio of the first source's
        worth of an event (the input's ``lsb``, 1 for spikes) to its own. A population that is not named is calibrated.
    metadata : mapping
        JSON values that travel with the network: recipe, data set, encoder, accuracy.

    Raises
    ------
    NetworkError
        Naming the field, its bound and its value.
    """

    name: str
    steps: int
    input: FloatInput
    populations: tuple[FloatPopulation, ...]
    connections: tuple[Synapses, ...]
    readout: FloatReadout
    scales: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._set("populations", tuple(self.populations))
        for item in self.connections:
            _floats(item.weights, f"{item.label}: weights")
        self._set("connections", tuple(self.connections))
        self._set("metadata", self.structure.metadata)
        self._set("scales", {name: self._scale(name, value) for name, value in dict(self.scales).items()})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _scale(self, name: str, value: object) -> Floats:
        names = [population.name for population in self.populations]
        if name not in names:
            raise NetworkError(f"Scales must be of one of {', '.join(names)}, not {name!r}")
        scale = _floats(value, f"Population {name}: scale")
        if scale.shape not in ((), self[name].shape[:1]):
            raise NetworkError(f"Population {name}: scale of shape {scale.shape} must be one or per channel")
        if scale.min() <= 0:
            raise NetworkError(f"Population {name}: scale must be positive, not {scale.min()}")
        return scale

    @cached_property
    def structure(self) -> Network:
        """The same graph in integers, all weights 0: its order, shapes and checks are this network's."""
        return Network(
            name=self.name,
            steps=self.steps,
            input=self.input,
            populations=tuple(population.structure for population in self.populations),
            connections=tuple(_skeleton(connection) for connection in self.connections),
            readout=self.readout.structure,
            metadata=self.metadata,
        )

    def __getitem__(self, name: str) -> FloatPopulation:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, FloatPopulation]:
        return {population.name: population for population in self.populations}

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the populations in the order in which a step computes them."""
        return self.structure.order

    def incoming(self, name: str) -> tuple[Synapses, ...]:
        """Connections into a population."""
        return tuple(connection for connection in self.connections if connection.target == name)

    def shape_of(self, name: str) -> Shape:
        """Shape of a population, or of ``"input"``."""
        return self.structure.shape_of(name)

    def lsb_of(self, name: str) -> float:
        """What an event of value 1 of a population, or of ``"input"``, is worth."""
        return self.input.lsb if name == INPUT else 1.0


def _skeleton(connection: Synapses) -> Connection:
    values = {entry.name: getattr(connection, entry.name) for entry in fields(Synapses)}
    values["weights"] = np.zeros(connection.weights.shape, np.int8)
    return Connection(weight_bits=1, **values)


def save_model(path: Path, model: FloatNetwork) -> None:
    """Write a float network: the checkpoint that training leaves."""
    arrays: dict[str, NDArray[Any]] = {}
    header: dict[str, Any] = {"name": model.name, "steps": model.steps, "metadata": dict(model.metadata)}
    header["input"] = item_parts(model.input, "input", arrays)
    header["readout"] = item_parts(model.readout, "readout", arrays)
    header["populations"] = [item_parts(item, f"populations.{item.name}", arrays) for item in model.populations]
    header["connections"] = [
        item_parts(item, f"connections.{index}", arrays) for index, item in enumerate(model.connections)
    ]
    header["scales"] = sorted(model.scales)
    arrays |= {f"scales.{name}": scale for name, scale in model.scales.items()}
    save_parts(path, "model", header, arrays)


def load_model(path: Path) -> FloatNetwork:
    """Read a float network, checked as if it had just been made.

    Raises
    ------
    FileError
        If the file is missing, truncated, altered, of another kind or version, or inconsistent.
    """
    header, arrays = load_parts(path, "model")
    with described(path, "model"):
        return FloatNetwork(
            name=header["name"],
            steps=header["steps"],
            metadata=header["metadata"],
            input=build_item(FloatInput, header["input"], arrays),
            readout=build_item(FloatReadout, header["readout"], arrays),
            populations=tuple(build_item(FloatPopulation, item, arrays) for item in header["populations"]),
            connections=tuple(build_item(Synapses, item, arrays) for item in header["connections"]),
            scales={name: arrays[f"scales.{name}"] for name in header["scales"]},
        )
