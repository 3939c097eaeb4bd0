"""Planner: how many lanes each core gets, from what fires and from what the chip has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.plan import CorePlan, NetworkPlan, plan_network
from quant.graph import INPUT
from quant.ir import Network
from sim import golden

from .board import Board
from .estimate import Estimate, estimate
from .usage import FitError

__all__ = ["Activity", "Choice", "Load", "assumed", "choose", "loads", "measured"]

#: Share of the logic that may be planned with: what is fuller is hard to place.
_LOGIC_SHARE = 0.85
_ASSUMED_DENSITY = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Events of an average sample.

    Parameters
    ----------
    events : mapping of str to array of float, (N,)
        Of each neuron of a population, or of ``"input"``, over all steps.
    samples : int
        How many it was measured on; 0 if it is assumed.
    """

    events: Mapping[str, NDArray[np.float64]]
    samples: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """Cycles of one core in an average sample.

    Parameters
    ----------
    core : CorePlan
    events : float
        That come in.
    accumulate, sweep, send : float
        Cycles of their rows, of the sweeps, and of the spikes and ticks that leave beside them.
    """

    core: CorePlan
    events: float
    accumulate: float
    sweep: float
    send: float

    @property
    def cycles(self) -> float:
        """Between two samples, at least."""
        return max(self.accumulate + self.sweep, self.send)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A plan that fits, and why it is not faster.

    Parameters
    ----------
    plan : NetworkPlan
    loads : tuple of Load
    expected : Estimate
    reason : str
    samples : int
        How many the activity was measured on.
    """

    plan: NetworkPlan
    loads: tuple[Load, ...]
    expected: Estimate
    reason: str
    samples: int

    @property
    def cycles(self) -> float:
        """Between two samples, at least: those of the busiest core."""
        return max(load.cycles for load in self.loads)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "cycles": self.cycles,
            "reason": self.reason,
            "samples": self.samples,
            "expected": {
                "logic_cells": self.expected.logic_cells,
                "block_rams": self.expected.block_rams,
                "dsps": self.expected.dsps,
            },
            "cores": [
                {
                    "population": load.core.name,
                    "lanes": load.core.lanes,
                    "units": load.core.units,
                    "events": load.events,
                    "accumulate": load.accumulate,
                    "sweep": load.sweep,
                    "cycles": load.cycles,
                    "share": load.cycles / self.cycles,
                }
                for load in self.loads
            ],
        }


def measured(network: Network, inputs: NDArray[Any]) -> Activity:
    """What the golden model sees of samples."""
    result = golden.run(network, inputs, record=("spikes",))
    events = {name: np.abs(found).sum(axis=1).mean(axis=0) for name, found in result.spikes.items()}
    port, values = network.input, np.asarray(inputs)
    if port.kind == "events":
        events[INPUT] = (values != 0).sum(axis=1).mean(axis=0)
    elif port.kind == "rate":
        events[INPUT] = values.mean(axis=0) / (port.high + 1) * network.steps
    else:
        events[INPUT] = (values != 0).mean(axis=0)
    return Activity(events=events, samples=len(values))


def assumed(network: Network) -> Activity:
    """A tenth of all neurons fires in every step."""
    once = network.input.kind in ("current", "latency")
    events = {
        population.name: np.full(population.size, _ASSUMED_DENSITY * network.steps)
        for population in network.populations
    }
    events[INPUT] = np.full(network.input.size, 1.0 if once else _ASSUMED_DENSITY * network.steps)
    return Activity(events=events, samples=0)


def loads(plan: NetworkPlan, activity: Activity) -> tuple[Load, ...]:
    """Cycles of every core."""
    steps = plan.network.steps
    found = []
    for core in plan.cores:
        ports = [(port, activity.events[port.source]) for port in core.ports]
        sweeps = core.sweeps if core.at_end else steps * (core.sweeps + core.cooldown)
        shown = core.population.size * (1 if core.at_end else steps)
        sent = shown if core.shows else float(activity.events[core.name].sum())
        found.append(
            Load(
                core=core,
                events=float(sum(events.sum() for _, events in ports)),
                accumulate=float(sum((port.geometry.operations * events).sum() for port, events in ports)),
                sweep=float(sweeps),
                send=sent + steps,
            )
        )
    return tuple(found)


def choose(
    network: Network,
    board: Board,
    activity: Activity,
    *,
    target_cycles: float | None = None,
    smallest: bool = False,
    early_stop: bool = True,
) -> Choice:
    """Lanes for the highest throughput that fits, core by core: the busiest gets more until nothing is gained.

    Parameters
    ----------
    network : Network
    board : Board
    activity : Activity
    target_cycles : float, optional
        Cycles between two samples that are fast enough.
    smallest : bool
        One lane a core.
    early_stop : bool
        See :func:`hw.plan.plan_network`.

    Raises
    ------
    FitError
        If not even one lane a core fits: what is short, by how much, and what would help.
    """
    widths = {name: _widths(network[name].shape[0]) for name in network.order}
    lanes = {name: options[0] for name, options in widths.items()}

    def planned(wanted: Mapping[str, int]) -> Choice:
        plan = plan_network(network, lanes=wanted, early_stop=early_stop)
        return Choice(
            plan=plan,
            loads=loads(plan, activity),
            expected=estimate(plan, board.family),
            reason="",
            samples=activity.samples,
        )

    chosen = planned(lanes)
    short = _short(chosen.expected, board)
    if short:
        raise FitError(
            f"Network {network.name} does not fit {board.title}: {short}, with one lane a core; "
            "fewer weight bits, fewer neurons or a larger board would help"
        )
    reason = "asked for the smallest"
    while not smallest:
        if target_cycles is not None and chosen.cycles <= target_cycles:
            reason = f"it takes no more than {target_cycles:g} cycles, as asked for"
            break
        busiest = max(chosen.loads, key=lambda load: load.cycles)
        name = busiest.core.name
        wider = [width for width in widths.get(name, []) if width > lanes.get(name, 0)]
        if not wider or busiest.send >= busiest.accumulate + busiest.sweep:
            what = "its spikes leave one a cycle" if wider else "it has a lane for every channel"
            reason = f"{name} is the busiest, and {what}"
            break
        following = planned(lanes | {name: wider[0]})
        short = _short(following.expected, board)
        if short:
            reason = f"{name} is the busiest; with {following.plan.cores[0].lanes} lanes {short}"
            break
        lanes, chosen = lanes | {name: wider[0]}, following
    return Choice(
        plan=chosen.plan, loads=chosen.loads, expected=chosen.expected, reason=reason, samples=activity.samples
    )


def _widths(channels: int) -> list[int]:
    """Lanes that make a difference, fewest first: each saves a row."""
    return sorted({-(-channels // rows) for rows in range(1, channels + 1)})


def _short(expected: Estimate, board: Board) -> str:
    """What there is too little of, in words; empty if nothing is."""
    for name, needed, there in (
        ("logic cells", expected.logic_cells, int(board.logic_cells * _LOGIC_SHARE)),
        ("block RAMs", expected.block_rams, board.block_rams),
        ("DSPs", expected.dsps, board.dsps),
    ):
        if needed > there:
            return f"{needed} {name} would be needed, {needed - there} more than the {there} that can be used"
    return ""
