"""Networks of random 4-bit weights that benchmarks share."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.ir import Connection, Decay, Input, Network, Population, Readout

__all__ = [
    "BETA",
    "CONV_STEPS",
    "SIZES",
    "STEPS",
    "THRESHOLD",
    "conv",
    "dense",
    "events",
    "recurrent",
    "sparse",
    "spots",
]

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


def sparse() -> Network:
    """A map of 2x32x32 into 8x32x32 by 3x3, then 10 neurons; 25 steps."""
    rng = np.random.default_rng(3)
    populations = [_leaky("map", (8, 32, 32), _DECAY), _leaky("output", (10,), _DECAY)]
    kernels, weights = rng.integers(-7, 8, (8, 2, 3, 3)), rng.integers(-7, 8, (10, 8 * 16 * 16))
    taps: dict[str, Any] = {"kind": "conv2d", "stride": (1, 1), "padding": (1, 1)}
    connections = [
        Connection(source="input", target="map", weights=kernels, weight_bits=4, **taps),
        Connection(source="map", target="output", kind="dense", weights=weights, weight_bits=4, pool=(2, 2)),
    ]
    return _network("sparse", (2, 32, 32), STEPS, populations, connections)


def spots(network: Network, samples: int) -> NDArray[np.uint8]:
    """What an event camera sees of a spot of 3x3 that moves on by a pixel a step: its edges, one in each polarity."""
    _, height, width = network.input.shape
    maps = np.zeros((samples, network.steps, *network.input.shape), np.uint8)
    for sample, (y, x) in enumerate(np.random.default_rng(1).integers(0, (height - 3, width), (samples, 2))):
        for step in range(network.steps):
            maps[sample, step, 0, y : y + 3, (x + step + 2) % width] = 1
            maps[sample, step, 1, y : y + 3, (x + step - 1) % width] = 1
    return maps.reshape(samples, network.steps, -1)


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
