"""The integer network: what the golden model runs and what the hardware is generated from.

One time step, for every population in the topological order of the delay-0 connections, for each of its
neurons, all in integers::

    H  = V + b + sum over incoming events of weight * value       exact, no rounding, order-free
    H  = max(H, 0)                                                if rectify
    S  = 1 if H >= theta (and not latched); -1 if ternary and H <= -theta; else 0
    V' = reset_value if S (zero) | H - S*rho (subtract) | H (none) | 0 once latched (latch)
    V  = clip((V'*m + half) >> f, state_min, state_max)           >> is floor; half = 2**(f-1), 0 when f = 0

``V`` starts a sample at ``initial`` and is stored already decayed. With a ``current_decay`` of m_i / 2**f_i the
neuron is of second order (CUBA) and has a current ``I``, 0 at the start of a sample::

    I' = I + sum over incoming events of weight * value
    H  = V + b + I'
    I  = clip((I'*m_i + half_i) >> f_i, current_min, current_max)

``latch``: a neuron that has fired (+1 or -1) does not fire again in the sample, and its ``V'`` is 0 from the step
it fires in. A population without a threshold never fires, and ``V' = H``.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import LIMIT, flag, integer, integers
from .errors import NetworkError
from .graph import INPUT, Shape, Synapses, check_name, check_shape, topological_order
from .ports import Input, Readout, lfsr_thresholds
from .ranges import Bounds, Range, bounds_of, fan_in

__all__ = ["RESETS", "Connection", "Decay", "Input", "Network", "Population", "Readout", "lfsr_thresholds"]

RESETS = ("zero", "subtract", "none", "latch")

_MAX_SHIFT = 24
_MAX_STEPS = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Decay:
    """Fraction ``numerator / 2**shift`` that a value keeps from step to step.

    Parameters
    ----------
    numerator : int or array of int
        m, not negative; one for the population, or per channel, or per neuron. May exceed ``2**shift`` (KLIF).
    shift : int
        f, 0 to 24 bits.
    """

    numerator: Any = 1
    shift: int = 0

    def __post_init__(self) -> None:
        numerator = integers(self.numerator, "Decay numerator", low=0)
        object.__setattr__(self, "shift", integer(self.shift, "Decay shift", low=0, high=_MAX_SHIFT))
        object.__setattr__(self, "numerator", numerator)

    @property
    def half(self) -> int:
        """What is added before the shift, so that it rounds to nearest, halves up."""
        return (1 << self.shift) >> 1

    @property
    def is_one(self) -> bool:
        """Whether nothing is lost: no leak."""
        return bool((self.numerator == 1 << self.shift).all())


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """Neurons of one kind. The update rule is that of :mod:`quant.ir`.

    Integers written "per neuron" are one for the population, or one per channel (shape ``(C,)`` or
    ``(C, 1, 1)``), or one per neuron (``shape``). Membranes are in LSB of the incoming weights times values.

    Parameters
    ----------
    name : str
        Letters, digits and underscores; not ``"input"``.
    shape : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    threshold : int or array, or None
        theta, at least 1, per neuron. None: a readout that never fires.
    reset : str
        ``"zero"``, ``"subtract"``, ``"none"`` or ``"latch"``.
    reset_value : int or array
        Membrane after a spike under reset ``"zero"``, per neuron, before the decay.
    reset_amount : int or array, optional
        rho of reset ``"subtract"``, per neuron; default theta.
    decay : Decay
        m / 2**f; 1 is no leak, 0 a memoryless neuron.
    rectify : bool
        Clamp H at 0 before the comparison and the write-back.
    ternary : bool
        Also fire -1 at H <= -theta.
    bias : int or array
        b, added every step, per neuron.
    initial : int or array
        V at the start of a sample, per neuron.
    state_min, state_max : int
        Rails of the stored membrane; they hold 0.
    current_decay : Decay, optional
        Decay of the current of a second-order neuron.
    current_min, current_max : int
        Rails of the stored current; they hold 0. Given with ``current_decay`` only.
    """

    name: str
    shape: Shape
    threshold: Any
    reset: str = "zero"
    reset_value: Any = 0
    reset_amount: Any = None
    decay: Decay = field(default_factory=Decay)
    rectify: bool = False
    ternary: bool = False
    bias: Any = 0
    initial: Any = 0
    state_min: int
    state_max: int
    current_decay: Decay | None = None
    current_min: int = 0
    current_max: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, "Population")
        if self.name == INPUT:
            raise NetworkError(f"Population name must not be {INPUT!r}, which is the network's input")
        what = f"Population {self.name}"
        self._set("shape", check_shape(self.shape, what))
        if self.reset not in RESETS:
            raise NetworkError(f"{what}: reset must be one of {', '.join(RESETS)}, not {self.reset!r}")
        for name in ("rectify", "ternary"):
            self._set(name, flag(getattr(self, name), f"{what}: {name}"))
        for name in ("state", "current"):
            self._check_rails(name, what)
        for name in ("decay", "current_decay"):
            decay = getattr(self, name)
            if not isinstance(decay, Decay) and not (name == "current_decay" and decay is None):
                raise NetworkError(f"{what}: {name} must be a Decay, not {decay!r}")
            if decay is not None:
                self._check_shape(decay.numerator, f"{what}: {name}")
        self._check_threshold(what)
        rails = {"low": self.state_min, "high": self.state_max}
        self._set_integers("reset_value", what)
        self._set_integers("bias", what)
        self._set_integers("initial", what, **rails)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_rails(self, name: str, what: str) -> None:
        low, high = f"{name}_min", f"{name}_max"
        self._set(low, integer(getattr(self, low), f"{what}: {low}", low=-LIMIT, high=0))
        self._set(high, integer(getattr(self, high), f"{what}: {high}", low=0, high=LIMIT - 1))
        if name == "current" and self.current_decay is None and (self.current_min or self.current_max):
            raise NetworkError(f"{what}: current_min and current_max must be 0 without a current_decay")

    def _check_threshold(self, what: str) -> None:
        if self.threshold is None:
            if self.reset != "none" or self.ternary or self.reset_amount is not None:
                raise NetworkError(f"{what}: without a threshold, reset must be 'none' and ternary false")
            return
        self._set_integers("threshold", what, low=1)
        if self.reset != "subtract":
            if self.reset_amount is not None:
                raise NetworkError(f"{what}: reset_amount must be given with reset 'subtract' only")
        elif self.reset_amount is None:
            self._set("reset_amount", self.threshold)
        else:
            self._set_integers("reset_amount", what)

    def _set_integers(self, name: str, what: str, **limits: int) -> None:
        values = integers(getattr(self, name), f"{what}: {name}", **limits)
        self._check_shape(values, f"{what}: {name}")
        self._set(name, values)

    def _check_shape(self, values: NDArray[np.int64], what: str) -> None:
        if values.shape not in ((), self.shape, (self.shape[0],), (self.shape[0],) + (1,) * (len(self.shape) - 1)):
            raise NetworkError(f"{what} of shape {values.shape} must be one, per channel or per neuron of {self.shape}")

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    def per_neuron(self, values: Any) -> NDArray[np.int64]:
        """Values of a field spread over the neurons: shape ``(size,)``, in C order."""
        array = np.asarray(values, np.int64)
        if array.shape == (self.shape[0],):
            array = array.reshape(-1, *(1,) * (len(self.shape) - 1))
        return np.broadcast_to(array, self.shape).reshape(-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Connection(Synapses):
    """Integer synapses; the geometry is that of :class:`quant.graph.Synapses`.

    Parameters
    ----------
    weights : array of int
        Within ``weight_bits`` signed bits.
    weight_bits : int
        Width of a weight in memory, in bits, including the sign: 1 to 16. (1 bit holds -1 and 0.)
    """

    weight_bits: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("weight_bits", integer(self.weight_bits, f"{self.label}: weight_bits", low=1, high=16))
        half = 1 << (self.weight_bits - 1)
        self._set("weights", integers(self.weights, f"{self.label}: weights", low=-half, high=half - 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Populations, connections, an input and a readout: the whole integer contract, checked.

    Parameters
    ----------
    name : str
        Letters, digits and underscores: it becomes the Verilog module's name.
    steps : int
        Time steps of a sample.
    input : Input
    populations : sequence of Population
    connections : sequence of Connection
        Every population needs at least one.
    readout : Readout
    metadata : mapping
        JSON values that travel with the network and change nothing: recipe, data set, encoder, accuracy.

    Raises
    ------
    NetworkError
        Naming the field, its bound and its value.
    """

    name: str
    steps: int
    input: Input
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readout: Readout
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "Network")
        object.__setattr__(self, "steps", integer(self.steps, "Network steps", low=1, high=_MAX_STEPS))
        object.__setattr__(self, "populations", tuple(self.populations))
        object.__setattr__(self, "connections", tuple(self.connections))
        try:
            object.__setattr__(self, "metadata", json.loads(json.dumps(dict(self.metadata), allow_nan=False)))
        except (TypeError, ValueError) as error:
            raise NetworkError(f"Network metadata must be JSON values: {error}") from None
        names = [population.name for population in self.populations]
        if not names:
            raise NetworkError("Network must have at least one population")
        for name in names:
            if names.count(name) > 1:
                raise NetworkError(f"Population name must be unique, but {name!r} stands {names.count(name)} times")
        self._check_connections(names)
        self._check_readout(names)
        for name in self.order:
            self.bounds(name)

    def _check_connections(self, names: list[str]) -> None:
        for connection in self.connections:
            for end, allowed in ((connection.source, [INPUT, *names]), (connection.target, names)):
                if end not in allowed:
                    raise NetworkError(f"{connection.label}: {end!r} must be one of {', '.join(allowed)}")
            if connection.source != INPUT and self[connection.source].threshold is None:
                raise NetworkError(f"{connection.label}: the source must have a threshold, or it never fires")
            shape, target = connection.target_shape(self.shape_of(connection.source)), self[connection.target].shape
            if shape != target and (connection.kind != "dense" or shape != (prod(target),)):
                raise NetworkError(f"{connection.label}: gives shape {shape}, but the target has {target}")
            if connection.kind == "max_pool" and self.value_range(connection.source) != Range(0, 1):
                raise NetworkError(f"{connection.label}: max_pool needs a source of binary spikes")
            if connection.source == INPUT and connection.delay and self.input.kind == "current":
                raise NetworkError(f"{connection.label}: an input of kind current must have delay 0")
        for name in names:
            if not self.incoming(name):
                raise NetworkError(f"Population {name} must have at least one incoming connection")

    def _check_readout(self, names: list[str]) -> None:
        readout = self.readout
        if readout.population not in names:
            raise NetworkError(f"Readout population must be one of {', '.join(names)}, not {readout.population!r}")
        population = self[readout.population]
        if (population.threshold is None) != (readout.kind == "membrane"):
            raise NetworkError(
                f"Readout {readout.kind} must read a population {'without' if readout.kind == 'membrane' else 'with'} "
                f"a threshold, not {population.name}"
            )
        if readout.kind == "linear" and readout.weights.shape[1] != population.size:
            raise NetworkError(f"Readout weights take {readout.weights.shape[1]} counts, not {population.size}")

    def __getitem__(self, name: str) -> Population:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {population.name: population for population in self.populations}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of the populations in the order in which a step computes them."""
        return topological_order(self._by_name, self.connections)

    def incoming(self, name: str) -> tuple[Connection, ...]:
        """Connections into a population."""
        return tuple(connection for connection in self.connections if connection.target == name)

    def outgoing(self, name: str) -> tuple[Connection, ...]:
        """Connections out of a population, or out of ``"input"``."""
        return tuple(connection for connection in self.connections if connection.source == name)

    def shape_of(self, name: str) -> Shape:
        """Shape of a population, or of ``"input"``."""
        return self.input.shape if name == INPUT else self[name].shape

    def value_range(self, name: str) -> Range:
        """Range of the values that a population, or ``"input"``, sends."""
        if name == INPUT:
            return self.input.value_range
        return Range(-1 if self[name].ternary else 0, 1)

    def bounds(self, name: str) -> Bounds:
        """Ranges of every sum of a population, from its rails and its worst neuron: the widths of the hardware."""
        return self._bounds[name]

    @cached_property
    def _bounds(self) -> dict[str, Bounds]:
        return {name: self._derive_bounds(name) for name in self._by_name}

    def _derive_bounds(self, name: str) -> Bounds:
        population = self[name]
        drive = Range(0, 0)
        for connection in self.incoming(name):
            shape = self.shape_of(connection.source)
            drive = drive + fan_in(connection, shape, self.value_range(connection.source))
        return bounds_of(population, drive)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that the network computes with; the metadata is left out."""
        from .file import network_parts

        header, arrays = network_parts(self)
        header = {key: value for key, value in header.items() if key != "metadata"}
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        for key in sorted(arrays):
            digest.update(f"{key}{arrays[key].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[key], "<i8").tobytes())
        return digest.hexdigest()
