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
With ``learn_leak``, lam = sigmoid(w) and tau = 1 / (1 - lam), where w is learned.

Numbers "per channel" are one, or one per channel of maps (B, C, H, W), or one per neuron of a flat layer (B, N).
"""

from math import inf, isfinite, log

import torch
from torch import Tensor, nn

from quant.errors import NetworkError

from .scan import Number, Rule, latched, leaky
from .surrogate import Sigmoid, Surrogate

__all__ = ["IF", "KLIF", "LIF", "TTFS", "Neuron", "Stepper"]

RESETS = ("zero", "subtract", "none")
_SIGMOID = Sigmoid()


class Neuron(nn.Module):
    """What all neurons share: the loop over the steps.

    Parameters
    ----------
    threshold : float or tensor
        theta, positive; per channel.
    surrogate : Surrogate
        Gradient of a spike by the membrane's distance from the threshold.
    recurrent : module, optional
        From spikes (B, ...) of the step before to currents of the same shape.

    Attributes
    ----------
    record : bool
        Keep ``membranes``, (T, B, ...): V after each step of the last forward pass.
    """

    threshold: Number

    def __init__(
        self, *, threshold: Number = 1.0, surrogate: Surrogate = _SIGMOID, recurrent: nn.Module | None = None
    ) -> None:
        super().__init__()
        if isinstance(threshold, Tensor) and threshold.numel() > 1:
            least = float(threshold.min())
            self.register_buffer("threshold", threshold.detach().clone())
        else:
            self.threshold = least = float(threshold)
        if not (isfinite(least) and least > 0):
            raise NetworkError(f"Threshold must be positive, not {least!r}")
        self.surrogate = surrogate
        self.recurrent = recurrent
        self.record = False
        self.membranes: Tensor | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # What is written out for all steps holds for one rule only.
        if "step" in vars(cls) and "at_once" not in vars(cls):
            cls.at_once = Neuron.at_once  # type: ignore[method-assign]

    def forward(self, currents: Tensor) -> Tensor:
        """Spikes of ``currents``, both (T, B, ...)."""
        if self.recurrent is not None or self.record:
            return self.step_by_step(currents)
        self.membranes = None
        return self.at_once(currents)

    def at_once(self, currents: Tensor) -> Tensor:
        """The spikes of :meth:`step_by_step`, and its gradients, without ``recurrent`` and ``record``."""
        return self.step_by_step(currents)

    def step_by_step(self, currents: Tensor) -> Tensor:
        """Spikes of ``currents`` by :meth:`step`."""
        stepper = Stepper(self)
        for current in currents:
            stepper(current)
        return stepper.spikes()

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        """State at the start of a sample, V first; of the shape of ``like``."""
        return (torch.zeros_like(like),)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spikes and next state of one step."""
        raise NotImplementedError

    def membrane(self, state: tuple[Tensor, ...]) -> Tensor:
        """V of a state."""
        return state[0]

    def fire(self, total: Tensor) -> Tensor:
        """Step of H, (B, ...), at the threshold."""
        return self.surrogate(total - _spread(self.threshold, total))


class Stepper:
    """One sample of a neuron, a step a call: from currents (B, ...) to spikes."""

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron
        self._state: tuple[Tensor, ...] = ()
        self._spikes: list[Tensor] = []
        self._membranes: list[Tensor] = []

    def __call__(self, current: Tensor) -> Tensor:
        neuron = self.neuron
        if not self._state:
            self._state = neuron.start(current)
        if neuron.recurrent is not None:
            current = current + neuron.recurrent(self._spikes[-1] if self._spikes else torch.zeros_like(current))
        spike, self._state = neuron.step(current, self._state)
        self._spikes.append(spike)
        if neuron.record:
            self._membranes.append(neuron.membrane(self._state).detach())
        return spike

    def spikes(self) -> Tensor:
        """Spikes of all steps so far, (T, B, ...); the neuron is given their membranes if it records."""
        self.neuron.membranes = torch.stack(self._membranes) if self.neuron.record else None
        return torch.stack(self._spikes)


def _spread(values: Number, like: Tensor) -> Number:
    """Numbers per channel, for ``like`` (B, ...)."""
    if isinstance(values, Tensor) and values.ndim == 1:
        return values.reshape(-1, *(1,) * (like.ndim - 2))
    return values


class LIF(Neuron):
    """Leaky integrate-and-fire neuron; the rule is that of :mod:`snn.neurons`.

    Parameters
    ----------
    tau : float
        Time constant in steps, at least 1; 1 keeps nothing, infinity everything.
    decay_input : bool
        Divide the current by tau, too.
    reset : str
        ``"zero"`` (to ``reset_value``), ``"subtract"`` (of the threshold) or ``"none"``.
    reset_value : float
        u; 0 unless the reset is ``"zero"``.
    detach_reset : bool
        Let no gradient through the spike that resets.
    learn_leak : bool
        Learn lam, starting from ``tau``, as a parametric LIF does (Fang et al., 2021).
    leaks : int
        How many are learned: 1, or as many as there are channels.
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
        learn_leak: bool = False,
        leaks: int = 1,
        threshold: Number = 1.0,
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
        self.learned_leak: nn.Parameter | None = None
        if learn_leak:
            if not 1 < tau < inf:
                raise NetworkError(f"Time constant tau must be above 1 and finite for a learned leak, not {tau!r}")
            start = torch.tensor(log(tau - 1))
            self.learned_leak = nn.Parameter(start if leaks == 1 else start.repeat(leaks))

    @property
    def leak(self) -> Number:
        """lam, per channel: what a membrane keeps from step to step."""
        return 1 - 1 / self.tau if self.learned_leak is None else torch.sigmoid(self.learned_leak)

    @property
    def loss(self) -> Number:
        """1 - lam."""
        return 1 / self.tau if self.learned_leak is None else torch.sigmoid(-self.learned_leak)

    @property
    def gain(self) -> Number:
        """g, per channel: what a current is multiplied by."""
        return self.loss if self.decay_input else 1.0

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        return (torch.full_like(like, self.reset_value),)

    def charge(self, current: Tensor, membrane: Tensor) -> Tensor:
        """lam*V + u/tau + g*X."""
        leak, loss = _spread(self.leak, membrane), _spread(self.loss, membrane)
        total = leak * membrane + (loss * current if self.decay_input else current)
        return total + self.reset_value * loss if self.reset_value else total

    def at_once(self, currents: Tensor) -> Tensor:
        return self._all_steps(currents, None)

    def _all_steps(
        self, currents: Tensor, k: Tensor | None, scale_reset: bool = False, dead_learn: bool = True
    ) -> Tensor:
        like = currents[0]
        rule = Rule(
            threshold=_spread(self.threshold, like),
            decay_input=self.decay_input,
            reset=self.reset,
            reset_value=self.reset_value,
            detach_reset=self.detach_reset,
            scale_reset=scale_reset,
            dead_learn=dead_learn,
            surrogate=self.surrogate,
        )
        return leaky(currents, _spread(self.leak, like), _spread(self.loss, like), k, rule)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        total = self.charge(current, state[0])
        spike = self.fire(total)
        return spike, (self.after(total, spike, _spread(self.threshold, total)),)

    def after(self, total: Tensor, spike: Tensor, amount: Number) -> Tensor:
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
        threshold: Number = 1.0,
        surrogate: Surrogate = _SIGMOID,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__(
            tau=inf,
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
    dead_learn : bool
        Let the gradient of a spike through where the membrane is rectified, so that a neuron that is below 0 learns,
        too. False: none goes through, as the authors have it.
    tau, decay_input, reset, reset_value, detach_reset, learn_leak, leaks, threshold, surrogate, recurrent
        See :class:`LIF`; ``decay_input`` is true by default, as the authors have it.
    """

    def __init__(
        self,
        *,
        scale_reset: bool = False,
        k: float = 1.0,
        dead_learn: bool = True,
        tau: float = 2.0,
        decay_input: bool = True,
        reset: str = "zero",
        reset_value: float = 0.0,
        detach_reset: bool = False,
        learn_leak: bool = False,
        leaks: int = 1,
        threshold: Number = 1.0,
        surrogate: Surrogate = _SIGMOID,
        recurrent: nn.Module | None = None,
    ) -> None:
        super().__init__(
            tau=tau,
            decay_input=decay_input,
            reset=reset,
            reset_value=reset_value,
            detach_reset=detach_reset,
            learn_leak=learn_leak,
            leaks=leaks,
            threshold=threshold,
            surrogate=surrogate,
            recurrent=recurrent,
        )
        self.scale_reset, self.dead_learn = scale_reset, dead_learn
        self.k = nn.Parameter(torch.tensor(float(k)))

    def at_once(self, currents: Tensor) -> Tensor:
        # What k = 0 scaled away cannot be had back from H.
        return (
            self._all_steps(currents, self.k, self.scale_reset, self.dead_learn)
            if self.k
            else self.step_by_step(currents)
        )

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        total = self.k * self.charge(current, state[0])
        held, threshold = torch.relu(total), _spread(self.threshold, total)
        # The threshold is positive, so that both spike alike.
        spike = self.fire(total if self.dead_learn else held)
        if self.scale_reset:
            return spike, (self.after(held / self.k, spike, threshold / self.k),)
        return spike, (self.after(held, spike, threshold),)


class TTFS(Neuron):
    """Integrate-and-fire neuron that fires at most once a sample (Che et al., 2024).

    The gradient of the latch is kept: a spike that comes earlier takes the later one away. For its sake the state
    integrates on behind the latch.

    Attributes
    ----------
    distances : bool
        Give (H - theta) / theta of every step, as if there were no latch, in place of spikes: for a loss.
    """

    distances = False

    def start(self, like: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(like), torch.zeros_like(like)

    def at_once(self, currents: Tensor) -> Tensor:
        threshold = _spread(self.threshold, currents[0])
        if self.distances:
            return currents.cumsum(0) / threshold - 1
        return latched(currents, threshold, self.surrogate)

    def step(self, current: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        membrane, fired = state
        total = membrane + current
        spike = self.fire(total) * (1 - fired)
        return spike, (total, fired + spike)

    def membrane(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[0] * (1 - state[1])
