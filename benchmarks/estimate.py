"""Accuracy of the estimate: what synthesis and packing make of networks, beside what was expected of them.

The networks are not those, or not with those lanes, that the costs of :mod:`boards.costs` were fitted to.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from boards.build import plan_build
from boards.steps import LOGS, STAGES
from boards.tools import find_tools
from boards.usage import resources_in_log
from quant.ir import Connection, Decay, Network, Population, Readout
from spikeloom.pipeline import quantized
from spikeloom.source import find_source

from .golden import network as dense_network
from .table import Measurement, show

__all__ = ["Design", "designs", "measurements", "pack"]

COMMAND = "python -m benchmarks.estimate"


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network on a board, with so many lanes a core.

    Parameters
    ----------
    network : Network
    board : str
    lanes : int
    """

    network: Network
    board: str
    lanes: int


def designs() -> list[Design]:
    """Small networks of many kinds: each takes a minute or less."""
    recipes = {name: quantized(_checkpoint(name))[0] for name in ("digits-klif", "digits-ttfs", "digits-spide")}
    return [
        Design(network=recipes["digits-klif"], board="icebreaker", lanes=4),
        Design(network=recipes["digits-ttfs"], board="icebreaker", lanes=2),
        Design(network=recipes["digits-spide"], board="ulx3s-85f", lanes=16),
        Design(network=recipes["digits-klif"], board="ulx3s-85f", lanes=24),
        Design(network=maps(), board="icebreaker", lanes=6),
        Design(network=maps(), board="ulx3s-85f", lanes=12),
        Design(network=replace(dense_network(), name="dense"), board="ulx3s-85f", lanes=8),
    ]


def _checkpoint(recipe: str):  # type: ignore[no-untyped-def]
    return find_source(recipe).model


def maps() -> Network:
    """A convolution, averages, a recurrence and second-order neurons."""
    random = np.random.default_rng(7)

    def weights(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
        return random.integers(-15, 16, shape)

    kernels, dense, back, last = weights(12, 2, 3, 3), weights(40, 12 * 6 * 6), weights(40, 40), weights(11, 40)
    common = {"state_min": -300, "state_max": 300}
    populations = (
        Population(name="maps", shape=(12, 12, 12), threshold=30, reset="zero", rectify=True, **common),
        Population(
            name="hidden",
            shape=(40,),
            threshold=random.integers(30, 60, 40),
            reset="subtract",
            decay=Decay(numerator=13, shift=4),
            current_decay=Decay(numerator=3, shift=2),
            current_min=-200,
            current_max=200,
            **common,
        ),
        Population(
            name="out", shape=(11,), threshold=40, reset="subtract", decay=Decay(numerator=7, shift=3), **common
        ),
    )
    ends = {"weight_bits": 5}
    connections = (
        Connection(source="input", target="maps", kind="conv2d", weights=kernels, padding=(1, 1), **ends),
        Connection(source="maps", target="hidden", kind="dense", weights=dense, pool=(2, 2), **ends),
        Connection(source="hidden", target="hidden", kind="dense", weights=back, delay=1, **ends),
        Connection(source="hidden", target="out", kind="dense", weights=last, **ends),
    )
    from quant.ir import Input

    return Network(
        name="maps",
        steps=6,
        input=Input(shape=(2, 12, 12)),
        populations=populations,
        connections=connections,
        readout=Readout(population="out"),
    )
