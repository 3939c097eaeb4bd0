"""Spiking neurons over many steps: currents (T, B, ...) in, spikes (T, B, ...) out.

``X`` is the current of a step, ``V`` the membrane that is carried on, ``u`` its resting value and lam = 1 - 1/tau::

    LIF    H = lam*V + u/tau + g*X                 g = 1/tau if decay_input, else 1
    IF     H = V + X
    KLIF   H = ReLU(k * (lam*V + u/tau + g*X))     k is learned
    TTFS   H = V + X, and once it has fired a neuron stays silent, its membrane 0

    S = 1 if H >= theta else 0
    V = u where S, H elsewhere (reset "zero") | H - S*theta ("subtract") | H ("none")

``scale_reset`` of KLIF carries on a membrane that k did not scale: H/k in the place of H, and theta/k in that of theta.
A sample starts at V = u. With ``recurrent``, X also has that module's output on the spikes of the step before.
"""

from math import isfinite

import torch
from torch import Tensor, nn

from quant.errors import NetworkError

from .surrogate import Sigmoid, Surrogate

__all__ = ["IF", "KLIF", "LIF", "TTFS", "Neuron"]

RESETS = ("zero", "subtract", "none")
_SIGMOID = Sigmoid()


class Neuron(nn.Module):
    """What all neurons share: the loop over the steps.

    Parameters
    ----------
    threshold : float
        theta, positive.
    surrogate : Surrogate
        Gradient of a spike by the membrane's distance from the threshold.
    recurrent : module, optional
        From spikes (B, ...) of the step before to currents of the same shape.

    Attributes
    ----------
    record : bool
        Keep ``membranes``, (T, B, ...): V after each step of the last forward pass.
    """

    def __init__(
        self, *, threshold: float = 1.0, surrogate: Surrogate = _SIGMOID, recurrent: nn.Module | None = None
    ) -> None:
        super().__init__()
        if not (isfinite(threshold) and threshold > 0):
            raise NetworkError(f"Threshold must be positive, not {threshold!r}")
        self.threshold = float(threshold)
        self.surrogate = surrogate
        self.recurrent = recurrent
        self.record = False
        self.membranes: Tensor | None = None

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes of ``currents``, both (T, B, ...)."""
        state = self.start(currents[0])
        spikes: list[Tensor] = []
        membranes: list[Tensor] = []
        for current in currents:
            if self.recurrent is not None:
                current = current + self.recurrent(spikes[-1] if spikes else torch.zeros_like(current))
            spike, state = self.step(current, state)
            spikes.append(spike)
            if self.record:
                membranes.append(self.membrane(state).detach())
        self.membranes = torch.stack(membranes) if self.record else None
        return torch.stack(spikes)

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        """State at the start of a sample, V first; of the shape of ``like``."""
        return (torch.zeros_like(like),)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spikes and next state of one step."""
        raise NotImplementedError

    def membrane(self, state: tuple[Tensor, ...]) -> Tensor:
        """V of a state."""
        return state[0]


class LIF(Neuron):
    """Leaky integrate-and-fire neuron; the rule is that of :mod:`snn.neurons`.

    Parameters
    ----------
    tau : float
        Time constant in steps, at least 1; 1 keeps nothing.
    decay_input : bool
        Divide the current by tau, too.
    reset : str
        ``"zero"`` (to ``reset_value``), ``"subtract"`` (of the threshold) or ``"none"``.
    reset_value : float
        u; 0 unless the reset is ``"zero"``.
    detach_reset : bool
        Let no gradient through the spike that resets.
    threshold, surrogate, recurrent
        See :class:`Neuron`.
    """

    def __init__(
        self,
        *,
        tau: float = 2.0,
        decay_input: bool = False,
        reset: str = "zero",
        reset_value: float = 0.0,
        detach_reset: bool = False,
        threshold: float = 1.0,
        surrogate: Surrogate = _SIGMOID,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__(threshold=threshold, surrogate=surrogate, recurrent=recurrent)
        if not tau >= 1:
            raise NetworkError(f"Time constant tau must be at least 1 step, not {tau!r}")
        if reset not in RESETS:
            raise NetworkError(f"Reset must be one of {', '.join(RESETS)}, not {reset!r}")
        if reset != "zero" and reset_value:
            raise NetworkError(f"Reset value must be 0 with reset {reset!r}, not {reset_value!r}")
        self.tau = float(tau)
        self.decay_input = decay_input
        self.reset = reset
        self.reset_value = float(reset_value)
        self.detach_reset = detach_reset

    @property
    def leak(self) -> float:
        """lam: what a membrane keeps from step to step."""
        return 1 - 1 / self.tau

    @property
    def gain(self) -> float:
        """g: what a current is multiplied by."""
        return 1 / self.tau if self.decay_input else 1.0

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        return (torch.full_like(like, self.reset_value),)

    def charge(self, current: Tensor, membrane: Tensor) -> Tensor:
        """lam*V + u/tau + g*X."""
        total = self.leak * membrane + (self.gain * current if self.decay_input else current)
        return total + self.reset_value / self.tau if self.reset_value else total

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        total = self.charge(current, state[0])
        spike = self.surrogate(total - self.threshold)
        return spike, (self.after(total, spike, self.threshold),)

    def after(self, total: Tensor, spike: Tensor, amount: float | Tensor) -> Tensor:
        """V of the next step, from H and S."""
        if self.detach_reset:
            spike = spike.detach()
        if self.reset == "zero":
            return total * (1 - spike) + self.reset_value * spike
        return total - spike * amount if self.reset == "subtract" else total


class IF(LIF):
    """Integrate-and-fire neuron: an :class:`LIF` that does not leak."""

    def __init__(
        self,
        *,
        reset: str = "zero",
        reset_value: float = 0.0,
        detach_reset: bool = False,
        threshold: float = 1.0,
        surrogate: Surrogate = _SIGMOID,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__(
            tau=float("inf"),
            reset=reset,
            reset_value=reset_value,
            detach_reset=detach_reset,
            threshold=threshold,
            surrogate=surrogate,
            recurrent=recurrent,
        )


class KLIF(LIF):
    """LIF whose slope k is learned and whose membrane is never negative (Jiang and Zhang, 2023).

    Parameters
    ----------
    scale_reset : bool
        Carry on a membrane that k did not scale.
    k : float
        Where the slope starts.
    tau, decay_input, reset, reset_value, detach_reset, threshold, surrogate, recurrent
        See :class:`LIF`; ``decay_input`` is true by default, as the authors have it.
    """

    def __init__(
        self,
        *,
        scale_reset: bool = False,
        k: float = 1.0,
        tau: float = 2.0,
        decay_input: bool = True,
        reset: str = "zero",
        reset_value: float = 0.0,
        detach_reset: bool = False,
        threshold: float = 1.0,
        surrogate: Surrogate = _SIGMOID,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__(
            tau=tau,
            decay_input=decay_input,
            reset=reset,
            reset_value=reset_value,
            detach_reset=detach_reset,
            threshold=threshold,
            surrogate=surrogate,
            recurrent=recurrent,
        )
        self.scale_reset = scale_reset
        self.k = nn.Parameter(torch.tensor(float(k)))

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        total = self.k * self.charge(current, state[0])
        # The threshold is positive: this spikes as the rectified membrane does, and a dead neuron still learns.
        spike = self.surrogate(total - self.threshold)
        total = torch.relu(total)
        if self.scale_reset:
            return spike, (self.after(total / self.k, spike, self.threshold / self.k),)
        return spike, (self.after(total, spike, self.threshold),)


class TTFS(Neuron):
    """Integrate-and-fire neuron that fires at most once a sample (Che et al., 2024).

    The gradient of the latch is kept: a spike that comes earlier takes the later one away. For its sake the state
    integrates on behind the latch.
    """

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(like), torch.zeros_like(like)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        membrane, fired = state
        total = membrane + current
        spike = self.surrogate(total - self.threshold) * (1 - fired)
        return spike, (total, fired + spike)

    def membrane(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[0] * (1 - state[1])
