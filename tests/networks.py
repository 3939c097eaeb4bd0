"""Random networks within what the hardware generates, and inputs for them; shared by the tests of hw and of sim."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from quant.ir import RESETS, Connection, Decay, Input, Network, Population, Readout

__all__ = ["random_inputs", "random_network"]

_NAMES = ("first", "second", "third", "fourth")


def random_network(
    rng: Generator,
    *,
    layers: int | None = None,
    kind: str | None = None,
    readout: str | None = None,
    resets: tuple[str, ...] = RESETS,
    steps: int | None = None,
    most_neurons: int = 20,
    name: str = "random",
) -> Network:
    """A feed-forward network of dense layers that fires, is silent and hits its rails, each now and then.

    What is not given is drawn: input ``kind``, ``readout``, number of ``layers``, ``steps``, and for every layer its
    size, weight bits, decay, reset out of ``resets``, rectification, bias, initial membrane, rails, and whether a
    field holds for the population, the channel or the neuron.
    """
    port = _input(rng, kind or str(rng.choice(["events", "current"])), most_neurons)
    count = layers or int(rng.integers(1, 4))
    populations: list[Population] = []
    connections: list[Connection] = []
    source, size, values = "input", port.size, (port.low, port.high)
    for layer in range(count):
        bits = int(rng.integers(2, 9))
        shape = (int(rng.integers(2, most_neurons + 1)),)
        if layer < count - 1 and rng.random() < 0.3:
            shape = (int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        weights = _weights(rng, int(np.prod(shape)), size, bits)
        scale = max(2.0, float(np.abs(weights).max(axis=0).mean()) * max(map(abs, values)))
        populations.append(_population(rng, _NAMES[layer], shape, scale, str(rng.choice(resets))))
        connections.append(
            Connection(source=source, target=_NAMES[layer], kind="dense", weights=weights, weight_bits=bits)
        )
        source, size, values = _NAMES[layer], populations[-1].size, (0, 1)
    return Network(
        name=name,
        steps=steps or int(rng.integers(1, 9)),
        input=port,
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=source, kind=readout or str(rng.choice(["count", "first_spike"]))),
    )


def random_inputs(network: Network, rng: Generator, samples: int) -> NDArray[np.int64]:
    """Samples for a network: the first silent, the second full, the others sparse, of any value within the range."""
    port = network.input
    shape = (samples, network.steps, port.size) if port.kind == "events" else (samples, port.size)
    values = rng.integers(port.low, port.high + 1, shape)
    density = rng.random((samples,) + (1,) * (len(shape) - 1)) ** 2
    density[:2] = np.array([0.0, 1.0]).reshape(2, *density.shape[1:])[:samples]
    return values * (rng.random(shape) < density)


def _input(rng: Generator, kind: str, most: int) -> Input:
    low, high = (0, 1) if kind == "events" else (0, 255)
    if rng.random() < 0.5:
        low, high = -int(rng.integers(0, 5)), int(rng.integers(1, 6))
    shape = (int(rng.integers(1, most + 1)),) if rng.random() < 0.7 else (1, 2, int(rng.integers(1, 4)))
    return Input(shape=shape, kind=kind, low=low, high=high)


def _weights(rng: Generator, targets: int, sources: int, bits: int) -> NDArray[np.int64]:
    """Any weight, both extremes among them; some rows weak, so that some neurons stay silent."""
    half = 1 << (bits - 1)
    weights = rng.integers(-half, half, (targets, sources))
    weights[:, rng.integers(sources)] = rng.choice([-half, half - 1])
    return weights >> rng.integers(0, 2, (targets, 1))


def _population(rng: Generator, name: str, shape: tuple[int, ...], scale: float, reset: str) -> Population:
    low, high = _rails(rng, scale)
    threshold = _spread(rng, shape, 1, max(2, int(scale * rng.choice([0.2, 0.7, 2.0]))))
    fields: dict[str, Any] = {}
    if reset == "subtract" and rng.random() < 0.5:
        fields["reset_amount"] = _spread(rng, shape, -int(scale), int(2 * scale))
    if reset == "zero" and rng.random() < 0.5:
        fields["reset_value"] = _spread(rng, shape, -int(scale), int(scale))
    if rng.random() < 0.5:
        fields["bias"] = _spread(rng, shape, -int(scale / 4), int(scale / 2))
    if rng.random() < 0.5:
        fields["initial"] = _spread(rng, shape, max(low, -int(scale)), min(high, int(scale)))
    return Population(
        name=name,
        shape=shape,
        threshold=threshold,
        reset=reset,
        decay=_decay(rng, shape),
        rectify=bool(rng.random() < 0.3),
        state_min=low,
        state_max=high,
        **fields,
    )


def _rails(rng: Generator, scale: float) -> tuple[int, int]:
    """Rails that are reached now and then, often or never; sometimes unsigned."""
    reach = max(1, int(scale * rng.choice([0.4, 1.3, 20.0])))
    low = -int(rng.integers(0, reach + 1)) if rng.random() < 0.7 else 0
    return low, reach


def _decay(rng: Generator, shape: tuple[int, ...]) -> Decay:
    choice = rng.integers(6)
    shift = int(rng.integers(1, 6))
    if choice == 0:
        return Decay(numerator=0)
    if choice == 1:
        return Decay()
    if choice == 2:
        return Decay(numerator=(1 << shift) - 1, shift=shift)
    if choice == 3:
        return Decay(numerator=(1 << shift) + int(rng.integers(1, 1 << shift)), shift=shift)
    return Decay(numerator=_spread(rng, shape, 0, (1 << shift) + 1), shift=shift)


def _spread(rng: Generator, shape: tuple[int, ...], low: int, high: int) -> Any:
    """An integer of ``low`` to ``high`` for the population, for every channel, or for every neuron."""
    sizes: tuple[tuple[int, ...], ...] = ((), (shape[0],), shape)
    return rng.integers(low, max(low, high) + 1, sizes[rng.integers(3)])
