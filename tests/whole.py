"""Random small networks of the whole contract, and inputs for them; also as what Hypothesis draws, and shrinks."""

from math import prod

import numpy as np
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.graph import INPUT
from quant.ir import Connection, Decay, Input, Network, Population, Readout

__all__ = ["Draws", "random_connection", "random_inputs", "random_network", "random_population"]


class Draws:
    """In place of numpy's generator: numbers that Hypothesis draws, so that a failure shrinks to a small network.

    Numbers shrink to 0, or to what is nearest to it; chances to none; choices to the first. A larger array is drawn as
    a seed, and shrinks to one number all over.
    """

    def __init__(self, draw):
        self._draw = draw

    def random(self, size=None):
        if size is None:
            return self._draw(st.integers(0, 63).map(lambda number: 1 - (number + 1) / 64))
        seed = self._draw(st.integers(0, 255))
        return np.random.default_rng(seed).random(size) if seed else np.zeros(size)

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        number = st.integers(int(low), int(high) - 1)
        if size is None:
            return np.int64(self._draw(number))
        if np.prod(size, dtype=int) <= 3:
            return np.array([self._draw(number) for _ in range(np.prod(size, dtype=int))], np.int64).reshape(size)
        seed = self._draw(st.integers(0, 255))
        random = np.random.default_rng(seed)
        return random.integers(low, high, size) if seed else np.full(size, min(max(1, low), high - 1))

    def choice(self, items):
        return self._draw(st.sampled_from(list(items)))


def random_shape(rng):
    if rng.random() < 0.4:
        return (int(rng.integers(1, 7)),)
    return int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 6))


def random_network(rng, *, steps=8, neurons=100):
    """A network of 1 to 4 populations of so many neurons at most, and of 1 to ``steps`` steps."""
    kind = str(rng.choice(["events", "current", "rate", "latency"]))
    port = random_input(rng, kind)
    shapes, connections = {INPUT: port.shape}, []
    binary = {INPUT} if port.value_range.low == 0 and port.value_range.high == 1 else set()
    settings = {}
    for index in range(int(rng.integers(1, 5))):
        name, source = f"p{index}", str(rng.choice(list(shapes)[-2:]))
        delay = int(rng.random() < 0.2) if not (source == INPUT and kind == "current") else 0
        connection = random_connection(
            rng, source, name, shapes[source], binary=source in binary, delay=delay, neurons=neurons
        )
        shapes[name] = connection.target_shape(shapes[source])
        settings[name] = {"ternary": bool(rng.random() < 0.3)}
        binary |= set() if settings[name]["ternary"] else {name}
        connections.append(connection)
    names = list(settings)
    readout = str(rng.choice(["count", "first_spike", "membrane", "linear"]))
    sources = [name for name in shapes if readout != "membrane" or name != names[-1]]
    for _ in range(int(rng.integers(0, 4))):
        source, target = str(rng.choice(sources)), str(rng.choice(names))
        forward = source == INPUT or names.index(source) < names.index(target)
        delay = 0 if source == INPUT and kind == "current" else max(1 - forward, int(rng.random() < 0.3))
        connections.append(fitting_connection(rng, source, target, shapes, delay))
    steps = int(rng.integers(1, steps + 1))
    populations = [
        random_population(rng, name, shapes[name], spiking=not (readout == "membrane" and name == names[-1]), **setting)
        for name, setting in settings.items()
    ]
    return Network(
        name="random",
        steps=steps,
        input=port,
        populations=tuple(populations),
        connections=tuple(connections),
        readout=random_readout(rng, readout, populations[-1]),
    )


def random_input(rng, kind):
    low, high = 0, 1
    if kind in ("rate", "latency"):
        high = (1 << int(rng.integers(1, 9))) - 1
    elif rng.random() < 0.6:
        low, high = -int(rng.integers(0, 4)), int(rng.integers(1, 6))
    return Input(shape=random_shape(rng), kind=kind, low=low, high=high, seed=int(rng.integers(1, 65536)))


def random_readout(rng, kind, population):
    weights = rng.integers(-9, 10, (int(rng.integers(1, 5)), population.size)) if kind == "linear" else None
    bias = rng.integers(-9, 10, len(weights)) if kind == "linear" and rng.random() < 0.5 else None
    reduce = str(rng.choice(["last", "sum", "max"]))
    return Readout(population=population.name, kind=kind, weights=weights, bias=bias, reduce=reduce)


def random_connection(rng, source, target, shape, *, binary, delay=0, neurons=100):
    """A connection of any kind and geometry that fits a source of ``shape``, to so many neurons at most."""
    kinds = ["dense", "identity"]
    if len(shape) == 3:
        kinds += ["conv2d", "conv_transpose2d"] * 2 + ["max_pool"] * 2 * binary
    while True:
        pool = (1, 1)
        if len(shape) == 3 and rng.random() < 0.3:
            pool = int(rng.integers(1, shape[1] + 1)), int(rng.integers(1, shape[2] + 1))
        pooled = (shape[0], shape[1] // pool[0], shape[2] // pool[1]) if len(shape) == 3 else shape
        options = random_geometry(rng, str(rng.choice(kinds)), pooled, min(neurons, 40))
        try:
            connection = Connection(
                source=source, target=target, pool=pool, delay=delay, weight_bits=int(rng.integers(4, 9)), **options
            )
            if prod(connection.target_shape(shape)) <= neurons:
                return connection
        except NetworkError:
            continue


def random_geometry(rng, kind, pooled, neurons):
    if kind == "dense":
        return {"kind": kind, "weights": rng.integers(-8, 8, (int(rng.integers(1, neurons + 1)), prod(pooled)))}
    channels = [(), (pooled[0],)]
    if kind == "identity":
        shapes = [*channels, pooled]
        return {"kind": kind, "weights": rng.integers(-8, 8, shapes[rng.integers(len(shapes))])}
    stride, padding, extra = (
        (int(a), int(b)) for a, b in (rng.integers(1, 4, 2), rng.integers(0, 3, 2), rng.integers(0, 3, 2))
    )
    kernel = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    options = {"kind": kind, "stride": stride, "padding": padding}
    if kind == "max_pool":
        return options | {"weights": rng.integers(-8, 8, channels[rng.integers(2)]), "kernel": kernel}
    groups = int(rng.choice([g for g in range(1, 4) if pooled[0] % g == 0]))
    outputs, inputs = int(rng.integers(1, 3)), pooled[0] // groups
    if kind == "conv2d":
        shape = (outputs * groups, inputs, *kernel)
    else:
        shape, options = (pooled[0], outputs, *kernel), options | {"output_padding": extra}
    return options | {"weights": rng.integers(-8, 8, shape), "groups": groups}


def fitting_connection(rng, source, target, shapes, delay):
    """A connection between two given shapes."""
    common = {"source": source, "target": target, "delay": delay, "weight_bits": 4}
    if shapes[source] == shapes[target] and rng.random() < 0.5:
        return Connection(kind="identity", weights=np.array(int(rng.integers(-8, 8))), **common)
    weights = rng.integers(-8, 8, (prod(shapes[target]), prod(shapes[source])))
    return Connection(kind="dense", weights=weights, **common)


def random_population(rng, name, shape, *, spiking=True, ternary=False):
    def spread(low, high):
        shapes = [(), (shape[0],), (shape[0],) + (1,) * (len(shape) - 1), shape]
        return rng.integers(low, high, shapes[rng.integers(len(shapes))])

    def decay():
        shift = int(rng.choice([0, 1, 3, 6]))
        kind = rng.integers(4)
        if kind == 0:
            return Decay(numerator=1 << shift, shift=shift)
        top = (1 << shift) + 2 if kind == 1 else 1 << shift
        return Decay(numerator=spread(0, top + 1), shift=shift)

    rail = int(rng.choice([6, 30, 300, 40000]))
    reset = str(rng.choice(["zero", "subtract", "none", "latch"])) if spiking else "none"
    second = rng.random() < 0.3
    low, high = -int(rng.integers(0, rail)), int(rng.integers(1, rail))
    return Population(
        name=name,
        shape=shape,
        threshold=spread(1, 25) if spiking else None,
        reset=reset,
        reset_value=spread(-9, 9) if rng.random() < 0.5 else 0,
        reset_amount=spread(0, 40) if reset == "subtract" and rng.random() < 0.5 else None,
        decay=decay(),
        rectify=bool(rng.random() < 0.3),
        ternary=ternary and spiking,
        bias=spread(-5, 6) if rng.random() < 0.5 else 0,
        initial=spread(max(low, -5), min(high, 9) + 1) if rng.random() < 0.5 else 0,
        state_min=low,
        state_max=high,
        current_decay=decay() if second else None,
        current_min=-int(rng.integers(0, 50)) if second else 0,
        current_max=int(rng.integers(0, 50)) if second else 0,
    )


def random_inputs(rng, network, samples):
    """Samples of any value within the range: the first silent, the second full, the others sparse."""
    port = network.input
    steps = int(rng.integers(1, network.steps + 1))
    shape = (samples, steps, port.size) if port.kind == "events" else (samples, port.size)
    density = rng.random((samples,) + (1,) * (len(shape) - 1))
    density[:2] = np.array([0.0, 1.0]).reshape(2, *density.shape[1:])[:samples]
    return rng.integers(port.low, port.high + 1, shape) * (rng.random(shape) < density)
