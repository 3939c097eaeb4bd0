"""Neurons of NIR in steps: what forward Euler makes of their equations, and what the file does not say.

NIR: ``tau dv/dt = (v_leak - v) + r I``, a spike where ``v > v_threshold``, then ``v = v_reset``. In steps of ``dt``::

    v[t] = (1 - dt/tau) v[t-1] + (dt/tau) v_leak + (r dt/tau) I[t]            LIF, LI
    v[t] = v[t-1] + r dt I[t]                                                 IF, I
    i[t] = (1 - dt/tau_syn) i[t-1] + w_in (dt/tau_syn) I[t]                   CubaLIF, CubaLI: I is then this i

Membranes start at rest: at ``v_leak``, or at ``v_reset`` where nothing leaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assembly import Assembly
from ..errors import NetworkError, UnsupportedError
from .nir_graph import Node
from .options import COMPARES, ImportOptions

__all__ = ["Conventions", "Euler", "number", "numbers", "text"]

Floats = NDArray[np.float64]

_DT = 1e-4
_RESETS = ("zero", "subtract", "none")
_SHORT = (4096.0, 10000.0)
_AGREE = 1e-3


def text(value: Any) -> str:
    """Text of a node's or a graph's metadata."""
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)


def number(value: Any, what: str) -> float:
    """One finite number of a file's metadata or of a node's field."""
    values = numbers(value, what)
    if values.size != 1:
        raise NetworkError(f"{what} must be one number, not {values.size}")
    return float(values.reshape(()))


def numbers(value: Any, what: str) -> Floats:
    """Finite numbers of a node's field."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        raise NetworkError(f"{what} must be numbers, not {type(value).__name__}") from None
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise NetworkError(f"{what} must be numbers, not {text(value)[:40]!r}")
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise NetworkError(f"{what} must be finite, but {wrong} of {array.size} are NaN or infinite; train it again")
    return array.astype(np.float64)


def _field(node: Node, name: str) -> Floats:
    return numbers(getattr(node.inner, name, None), f"{node.what}: {name}")


def _rounding(node: Node, *names: str) -> float:
    """Relative error that the precision of a node's fields leaves in their quotients."""
    dtypes = [np.asarray(getattr(node.inner, name)).dtype for name in names]
    return 8 * float(max(np.finfo(item).eps if item.kind == "f" else 0.0 for item in dtypes) or np.finfo(float).eps)


def short(values: Any, error: float) -> Floats:
    """Numbers that a file holds as quotients: the short ones that are meant, where they are as near as rounding leaves.

    A membrane that keeps 0.75 is written as a ``tau`` of ``dt / 0.25``, rounded, and so comes back as 0.75.
    """
    found = np.asarray(values, np.float64)
    for unit in _SHORT:
        near = np.round(found * unit) / unit
        found = np.where(np.abs(near - found) <= error * np.abs(found), near, found)
    return found


@dataclass(frozen=True, kw_only=True)
class Euler:
    """A layer of neurons in steps.

    Parameters
    ----------
    gain : array
        What a current is multiplied by.
    fields : mapping
        Of :class:`quant.model.FloatPopulation`.
    """

    gain: Floats
    fields: Mapping[str, Any]


class Conventions:
    """What a NIR file leaves open, from its metadata, else the options, else inferred or assumed, and then told.

    Parameters
    ----------
    metadata : mapping
        Of the graph: ``dt``, ``reset``, ``compare`` and ``reset_delay``; those of a node come before them.
    options : ImportOptions
    assembly : Assembly
        That is told of what is assumed.
    nodes : sequence of Node
        All with neurons.

    Attributes
    ----------
    dt : float
        Seconds of a step.
    """

    def __init__(
        self, metadata: Mapping[str, Any], options: ImportOptions, assembly: Assembly, nodes: Sequence[Node]
    ) -> None:
        self.metadata = metadata
        self.options = options
        self.assembly = assembly
        self._told: set[str] = set()
        given = self._given("dt", None, lambda value: number(value, "Metadata dt"))
        self.certain = given is not None
        self.dt = float(given) if given is not None else self._infer(nodes)
        if not self.dt > 0:
            raise NetworkError(f"Metadata dt must be positive, not {self.dt:g}")

    def _given(self, name: str, node: Node | None, parse: Any) -> Any:
        """What the file, or else the user, says of ``name``."""
        chosen = getattr(self.options, name)
        for hints in (node.hints if node else {}, self.metadata):
            if name in hints:
                found = parse(hints[name])
                if chosen is not None and chosen != found:
                    raise NetworkError(
                        f"Option --{name.replace('_', '-')} must be left out or {_option(found)}, which the file says, "
                        f"not {_option(chosen)}"
                    )
                return found
        return chosen

    def _assume(self, name: str, words: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self.assembly.assume("", words)

    def _infer(self, nodes: Sequence[Node]) -> float:
        """The step that the neurons are written for."""
        implied = {node: dt for node in nodes if (dt := _implied(node)) is not None}
        if not implied:
            steps = [node for node in nodes if _in_steps(node)]
            if steps:
                self._assume("dt", f"time step: 1, since {steps[0].what} has r = 1 and counts its tau in steps")
                return 1.0
            if any(node.kind != "Threshold" for node in nodes):
                self._assume("dt", f"time step: {_DT:g} s, since nothing tells it; --dt gives another")
            return _DT
        (first, dt), *others = implied.items()
        for node, other in others:
            if abs(other - dt) > _AGREE * dt:
                raise UnsupportedError(
                    f"{first.what} is written for a time step of {dt:g} and {node.what} for {other:g}; "
                    "give the right one with --dt"
                )
        self._assume("dt", f"time step: {dt:g}, which {first.what} is written for")
        return dt

    def euler(self, node: Node) -> Euler:
        """The neurons of a node in steps.

        Raises
        ------
        SpikeloomError
            Naming the node, if steps cannot have what its equation has.
        """
        fields: dict[str, Any]
        if node.kind == "Threshold":
            gain, leak, rest = np.ones(()), np.ones(()), np.zeros(())
            fields = {"decay": np.zeros(()), "bias": np.zeros(())}
        elif node.kind in ("IF", "I"):
            gain, leak = self._integrated(node), np.zeros(())
            rest = _field(node, "v_reset") if node.kind == "IF" else np.zeros(())
            fields = {"decay": np.ones(()), "bias": np.zeros(())}
        else:
            name = "tau_mem" if node.kind in ("CubaLIF", "CubaLI") else "tau"
            leak = self._leak(node, name)
            gain = self._gain(node, name, "r")
            rest = _field(node, "v_leak")
            fields = {"decay": _kept(node, leak, "decay"), "bias": leak * rest}
        if node.kind in ("CubaLIF", "CubaLI"):
            gain = gain * self._gain(node, "tau_syn", "w_in")
            fields["current_decay"] = _kept(node, self._leak(node, "tau_syn"), "current_decay")
        start = fields["decay"] * rest
        if node.kind in ("LI", "CubaLI", "I"):
            fields |= {"threshold": None, "reset": "none"}
        else:
            zero = self._spiking(node, fields)
            # All membranes are counted from ``zero``, so that they rise by what leaks back to it.
            fields["bias"] = fields["bias"] - leak * zero
            start = start - fields["decay"] * zero
        fields["initial"] = _initial(node, start)
        if fields["initial"].any() and "initial" not in node.hints:
            self.assembly.assume(node.name, "starts a sample at rest")
        return Euler(gain=gain, fields=fields)

    def _spiking(self, node: Node, fields: dict[str, Any]) -> Floats:
        """Fields of a spike: threshold, comparison and reset; and what membranes are counted from."""
        threshold = _field(node, "threshold" if node.kind == "Threshold" else "v_threshold")
        reset_value = np.zeros(()) if node.kind == "Threshold" else _field(node, "v_reset")
        compare = self._compare(node)
        reset = "none" if node.kind == "Threshold" else self._reset(node)
        zero = np.zeros(())
        if threshold.min() < 0 or (threshold.min() == 0 and compare != ">"):
            zero = reset_value
            if (threshold - zero).min() < 0:
                raise UnsupportedError(
                    f"{node.what} has a threshold below its reset value, so that it never stops firing; "
                    "the threshold must be the larger one"
                )
        fields |= {"threshold": threshold - zero, "strict": compare == ">", "reset": reset}
        if reset == "zero":
            fields["reset_value"] = reset_value - zero
        if reset == "subtract":
            fields["reset_amount"] = self._amount(node, threshold, fields["decay"])
        return zero

    def _amount(self, node: Node, threshold: Floats, decay: Floats) -> Floats:
        if "reset_amount" in node.hints:
            return numbers(node.hints["reset_amount"], f"{node.what}: reset_amount")
        late = self._given("reset_delay", node, lambda value: bool(number(value, f"{node.what}: reset_delay")))
        if late is None:
            self._assume("reset_delay", "reset by subtraction: at once, not a step later; --reset-delay for later")
        if not late:
            return threshold
        if decay.min() <= 0:
            raise UnsupportedError(
                f"{node.what} forgets its membrane within a step, so that a late reset by subtraction has nothing to "
                "take from; train it with a beta above 0, or with reset_delay=False"
            )
        return threshold / decay

    def _reset(self, node: Node) -> str:
        reset = self._given("reset", node, text)
        if reset is None:
            self._assume(
                "reset", "reset: to v_reset, as NIR defines it; if it was trained otherwise, --reset subtract or none"
            )
            return "zero"
        if reset not in _RESETS:
            raise NetworkError(f"{node.what}: reset must be one of {', '.join(_RESETS)}, not {reset!r}")
        return str(reset)

    def _compare(self, node: Node) -> str:
        compare = self._given("compare", node, text)
        if compare is None:
            self._assume("compare", "comparison: fires above its threshold, as NIR defines it; --compare '>=' for from")
            return ">"
        if compare not in COMPARES:
            raise NetworkError(f"{node.what}: compare must be one of {', '.join(COMPARES)}, not {compare!r}")
        return str(compare)

    def _leak(self, node: Node, name: str) -> Floats:
        tau = _field(node, name)
        if tau.min() <= 0:
            raise NetworkError(f"{node.what}: {name} must be positive, not {tau.min():g}")
        leak = short(self.dt / tau, _rounding(node, name))
        if leak.max() > 1:
            raise UnsupportedError(
                f"{node.what} has a {name} of {tau.min():g} s, less than the time step of {self.dt:g} s, so that its "
                f"decay would be negative; give a step of at most {tau.min():g} s with --dt"
            )
        return leak

    def _gain(self, node: Node, tau: str, factor: str) -> Floats:
        gain = _field(node, factor) * self.dt / _field(node, tau)
        return short(gain, 2 * _rounding(node, factor, tau))

    def _integrated(self, node: Node) -> Floats:
        """Gain of neurons that do not leak; if they count in steps, that is r itself."""
        r = _field(node, "r")
        if not self.certain and (r == 1).all() and self.dt != 1:
            self.assembly.assume(node.name, "r = 1 counts in steps, not in seconds")
            return r
        return short(r * self.dt, _rounding(node, "r"))


def _option(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _kept(node: Node, leak: Floats, name: str) -> Floats:
    """What is left after a step; what the metadata say to more digits, if it is the same."""
    kept = 1 - leak
    if name not in node.hints:
        return kept
    exact = numbers(node.hints[name], f"{node.what}: {name}")
    same = exact.shape == kept.shape and np.allclose(exact, kept, rtol=0, atol=1e-9)
    return exact if same else kept


def _initial(node: Node, rest: Floats) -> Floats:
    return numbers(node.hints["initial"], f"{node.what}: initial") if "initial" in node.hints else rest


def _implied(node: Node) -> float | None:
    """The step that makes a neuron's gain 1, if it is the same for all; r = 1 says nothing."""
    if node.kind in ("IF", "I"):
        quotient = 1 / _field(node, "r") if (_field(node, "r") > 0).all() else np.ones(())
        names: tuple[str, ...] = ("r",)
    elif node.kind in ("LIF", "LI", "CubaLIF", "CubaLI"):
        name = "tau_mem" if node.kind.startswith("Cuba") else "tau"
        r = _field(node, "r")
        quotient = _field(node, name) / r if (r > 0).all() and not (r == 1).all() else np.ones(())
        names = (name, "r")
    else:
        return None
    dt = float(quotient.reshape(-1)[0])
    if dt == 1 or not 0 < dt < 1 or np.abs(quotient - dt).max() > _AGREE * dt:
        return None
    return float(short(dt * 1e6, _rounding(node, *names)) / 1e6)


def _in_steps(node: Node) -> bool:
    """Whether a neuron is written in steps: r is 1, and tau no shorter than one."""
    if node.kind == "Threshold" or not (_field(node, "r") == 1).all():
        return False
    if node.kind in ("IF", "I"):
        return True
    return bool((_field(node, "tau_mem" if node.kind.startswith("Cuba") else "tau") >= 1).all())
