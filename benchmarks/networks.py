"""Networks of random 4-bit weights that benchmarks share."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.ir import Connection, Decay, Input, Network, Population, Readout

__all__ = ["BETA", "CONV_STEPS", "SIZES", "STEPS", "THRESHOLD", "conv", "dense", "events", "recurrent"]

SIZES = (784, 128, 10)
STEPS, CONV_STEPS = 25, 4
BETA, THRESHOLD = 230 / 256, 120
_DECAY = Decay(numerator=230, shift=8)


def dense(sizes: Sequence[int] = SIZES, *, steps: int = STEPS, decay: Decay = _DECAY) -> Network:
    """Leaky layers that see each other in turn, reset by subtraction.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, then neurons of every layer.
    steps : int
    decay : Decay
    """
    rng = np.random.default_rng(0)
    populations, connections = [], []
    for index, (sources, targets) in enumerate(pairwise(sizes)):
        source, name = f"layer{index - 1}" if index else "input", f"layer{index}"
        weights = rng.integers(-7, 8, (targets, sources))
        connections.append(Connection(source=source, target=name, kind="dense", weights=weights, weight_bits=4))
        populations.append(_leaky(name, (targets,), decay))
    return _network("dense", sizes[:1], steps, populations, connections)


def conv() -> Network:
    """28x28, 16C3-AP2-32C3-AP2-128-10, 4 steps."""
    rng = np.random.default_rng(0)
    shapes = {"conv0": (16, 28, 28), "conv1": (32, 14, 14), "layer0": (128,), "layer1": (10,)}
    populations = [_leaky(name, shape, _DECAY) for name, shape in shapes.items()]

    def connection(source: str, target: str, kind: str, weights: tuple[int, ...], **fields: Any) -> Connection:
        numbers = rng.integers(-7, 8, weights)
        return Connection(source=source, target=target, kind=kind, weights=numbers, weight_bits=4, **fields)

    taps: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1)}
    connections = [
        connection("input", "conv0", "conv2d", (16, 1, 3, 3), **taps),
        connection("conv0", "conv1", "conv2d", (32, 16, 3, 3), pool=(2, 2), **taps),
        connection("conv1", "layer0", "dense", (128, 32 * 7 * 7), pool=(2, 2)),
        connection("layer0", "layer1", "dense", (10, 128)),
    ]
    return _network("conv", (1, 28, 28), CONV_STEPS, populations, connections)


def events(network: Network, samples: int, density: float) -> NDArray[np.uint8]:
    """Binary events of random places, ``(samples, steps, N)``."""
    shape = samples, network.steps, network.input.size
    return (np.random.default_rng(1).random(shape) < density).astype(np.uint8)


def _leaky(name: str, shape: tuple[int, ...], decay: Decay) -> Population:
    return Population(
        name=name, shape=shape, threshold=THRESHOLD, reset="subtract", decay=decay, state_min=-4096, state_max=4095
    )


def _network(
    name: str, shape: Sequence[int], steps: int, populations: list[Population], connections: list[Connection]
) -> Network:
    return Network(
        name=name,
        steps=steps,
        input=Input(shape=tuple(shape)),
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=populations[-1].name),
    )


def recurrent() -> Network:
    """64-96-10, 25 steps, of a low threshold; the 96 also see what they sent a step before."""
    network = dense((64, 96, 10))
    populations = [replace(item, threshold=24, reset_amount=24) for item in network.populations]
    weights = np.random.default_rng(2).integers(-7, 8, (96, 96))
    loop = Connection(source="layer0", target="layer0", kind="dense", weights=weights, weight_bits=4, delay=1)
    return replace(network, name="recurrent", populations=tuple(populations), connections=(*network.connections, loop))
