"""Design: everything that is generated for a network."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.ir import Network
from quant.result import Result

from .cycles import predict_cycles
from .layout import BeatLayout
from .plan import CorePlan, NetworkPlan, plan_network
from .verilog import to_verilog

__all__ = ["Design", "generate"]


@dataclass(frozen=True, kw_only=True)
class Design:
    """Hardware of a network. What takes time is made when it is asked for.

    Parameters
    ----------
    plan : NetworkPlan
    """

    plan: NetworkPlan

    @property
    def network(self) -> Network:
        """The network that this computes."""
        return self.plan.network

    @property
    def name(self) -> str:
        """Name of the Verilog module."""
        return f"spikeloom_{self.network.name}"

    @property
    def cores(self) -> tuple[CorePlan, ...]:
        """Cores in the order of a step."""
        return self.plan.cores

    @property
    def classes(self) -> int:
        """Number of scores of an answer."""
        return self.plan.readout.classes

    @property
    def score_width(self) -> int:
        """Width in bits of a score, signed."""
        return self.plan.score_width

    @property
    def input_layout(self) -> BeatLayout:
        """Layout of an input beat."""
        return self.plan.input_layout

    @cached_property
    def verilog(self) -> str:
        """Verilog of the module, for use in other designs."""
        return to_verilog(self.plan, self.name)

    @cached_property
    def instrumented(self) -> str:
        """Verilog of the same cores, with ports that trace and pause."""
        return to_verilog(self.plan, self.name, instrumented=True)

    def predict(self, result: Result, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """Cycles of each sample; the parameters and the rule are those of :func:`hw.cycles.predict_cycles`."""
        return predict_cycles(self.plan, inputs, result.spikes, (result.membranes, result.currents))


def generate(network: Network, **options: Any) -> Design:
    """Hardware of a network; the options and errors are those of :func:`hw.plan.plan_network`."""
    return Design(plan=plan_network(network, **options))
