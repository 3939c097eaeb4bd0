"""The neuron that is read, not heard: it adds up its currents and never fires."""

import torch
from torch import Tensor

from quant.errors import NetworkError

from .neurons import Neuron

__all__ = ["Integrator"]


class Integrator(Neuron):
    """``H = lam*V + X``, ``V = H``; what it gives is H of every step, for a readout of kind ``membrane``.

    Parameters
    ----------
    tau : float, optional
        Time constant in steps, at least 1: lam = 1 - 1/tau. Default: lam = 1, it keeps everything.
    """

    def __init__(self, *, tau: float | None = None) -> None:
        super().__init__()
        if tau is not None and not tau >= 1:
            raise NetworkError(f"Time constant tau must be at least 1 step, not {tau!r}")
        self.leak = 1.0 if tau is None else 1 - 1 / tau

    def forward(self, currents: Tensor) -> Tensor:
        """H of every step, (T, B, ...), of ``currents`` of that shape."""
        if self.leak == 1:
            totals = currents.cumsum(0)
        else:
            steps = torch.arange(len(currents), dtype=currents.dtype)
            worth = torch.where(steps[:, None] >= steps, self.leak ** (steps[:, None] - steps).clamp(min=0), 0)
            totals = torch.tensordot(worth.to(currents.dtype), currents, 1)
        self.membranes = totals.detach() if self.record else None
        return totals
