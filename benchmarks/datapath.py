"""Cycles of the datapath, from the cycle model, beside their bound: 784-128-10, 25 steps, 128 lanes."""

from dataclasses import dataclass

import numpy as np

from hw.design import generate
from sim import golden

from .golden import DENSITY, SIZES, STEPS, network
from .table import Measurement

__all__ = ["Cycles", "measure", "measurements"]

LANES, SAMPLES = 128, 16
DENSITIES = (DENSITY, 0.01)

#: What Spiker+ takes for this network at either density.
SPIKER_PLUS = 23_641


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """Means over the samples.

    Parameters
    ----------
    density : float
        Share of the input events that are there.
    cycles : float
        Of a sample, from its first input beat to its answer.
    bound : float
        Of the busiest core: rows of its events and words of its sweeps, one a cycle.
    """

    density: float
    cycles: float
    bound: float


def measure(density: float) -> Cycles:
    """Cycles of random samples of a density."""
    model = network()
    design = generate(model, lanes=LANES)
    events = (np.random.default_rng(1).random((SAMPLES, STEPS, SIZES[0])) < density).astype(np.uint8)
    found = golden.run(model, events, record=("spikes",))
    bounds, arriving = [], found.totals["input"]
    for core in design.cores:
        bounds.append(arriving * core.rows + STEPS * core.sweeps)
        arriving = found.totals[core.name]
    cycles = design.predict(found, events)
    return Cycles(density=density, cycles=float(np.mean(cycles)), bound=float(np.mean(np.max(bounds, axis=0))))


def measurements() -> list[Measurement]:
    """Cycles at both densities."""
    made = []
    for density in DENSITIES:
        cycles = measure(density)
        made.append(
            Measurement(
                id=f"cycles a sample, {'-'.join(map(str, SIZES))}, {STEPS} steps, {density:.0%} density, {LANES} lanes",
                value=cycles.cycles,
                unit="cycles",
                peer=f"bound of the busiest core {cycles.bound:,.1f}; Spiker+ {SPIKER_PLUS:,}",
                command="make bench",
            )
        )
    return made
