"""The neuron that is read, not heard: it adds up its currents and never fires."""

from torch import Tensor

from .neurons import Neuron

__all__ = ["Integrator"]


class Integrator(Neuron):
    """``H = V + X``, ``V = H``; what it gives is H of every step, for a readout of kind ``membrane``."""

    def forward(self, currents: Tensor) -> Tensor:
        """H of every step, (T, B, ...), of ``currents`` of that shape."""
        totals = currents.cumsum(0)
        self.membranes = totals.detach() if self.record else None
        return totals
