"""Cycles of the datapath, from the cycle model, beside their bound: 784-128-10, 25 steps, 128 lanes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.design import generate
from sim import golden

from . import networks
from .table import Measurement

__all__ = ["Cycles", "measure", "measurements"]

LANES, SAMPLES = 128, 16
DENSITIES = {"10pct": 0.1, "1pct": 0.01}

#: Of this network at either density, and of its lanes.
SPIKER_PLUS, SPIKER_PLUS_SOP = 23_641, 0.078


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """Means over the samples.

    Parameters
    ----------
    cycles : float
        Of a sample alone, from its first input beat to its answer.
    bound : float
        Of the busiest core: rows of its events and its ticks, or words of its sweeps, one a cycle.
    useful : float
        Synaptic operations of the busiest core: events times their targets.
    dense : float
        What they would be if every input sent an event in every step.
    per_lane_cycle : float
        ``useful`` for each lane of the busiest core and each cycle of the sample.
    """

    cycles: float
    bound: float
    useful: float
    dense: float
    per_lane_cycle: float


def measure(density: float) -> Cycles:
    """Cycles of random samples of a density."""
    model = networks.dense()
    design = generate(model, lanes=LANES)
    events = networks.events(model, SAMPLES, density)
    found = golden.run(model, events, record=("spikes",))
    bounds, operations, arriving = [], [], found.totals["input"]
    for core in design.cores:
        added, swept = arriving * core.rows, model.steps * core.sweeps
        bounds.append(np.maximum(added + model.steps, swept) if core.aside else added + swept)
        operations.append(arriving * core.population.size)
        arriving = found.totals[core.name]
    busiest = int(np.argmax(np.mean(bounds, axis=1)))
    bound, useful = float(np.mean(bounds[busiest])), float(np.mean(operations[busiest]))
    core = design.cores[busiest]
    cycles = float(np.mean(design.predict(found, events)))
    return Cycles(
        cycles=cycles,
        bound=bound,
        useful=useful,
        dense=float(model.steps * model.connections[busiest].weights.size),
        per_lane_cycle=useful / (core.lanes * cycles),
    )


def measurements() -> Iterator[Measurement]:
    """Cycles at both densities, and how many of them are synaptic operations."""
    for name, density in DENSITIES.items():
        found = measure(density)
        yield Measurement(
            id=f"cycles_dense_{name}",
            value=found.cycles,
            unit="cycles a sample",
            peer=f"Spiker+ {SPIKER_PLUS:,}; bound of the busiest core {found.bound:,.0f}",
            command=f"python -m benchmarks cycles_dense_{name}",
        )
        if name == "10pct":
            yield Measurement(
                id="sop_per_lane_cycle",
                value=found.per_lane_cycle,
                unit="synaptic operations",
                peer=f"Spiker+ {SPIKER_PLUS_SOP}; a sample is {found.useful:,.0f} that events bring, "
                f"{found.dense:,.0f} if all inputs are counted",
                command="python -m benchmarks sop_per_lane_cycle",
            )
