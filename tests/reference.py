"""The contract a second time, slowly: the equations of quant.ir and quant.graph, one number after another."""

from itertools import product
from math import prod
from types import SimpleNamespace

import numpy as np

__all__ = ["bring", "run"]


def bring(connection, source_shape, values):
    """What one step's values bring to each target, as a flat list."""
    shape = pooled_shape(connection, source_shape)
    values = pooled(connection, source_shape, shape, list(values))
    targets = globals()[f"_{connection.kind}"](connection, shape, values)
    return [targets[key] for key in sorted(targets)]


def pooled_shape(connection, shape):
    if connection.pool == (1, 1):
        return shape
    return shape[0], shape[1] // connection.pool[0], shape[2] // connection.pool[1]


def pooled(connection, source_shape, shape, values):
    sums = dict.fromkeys(product(*map(range, shape)), 0)
    for index, value in zip(product(*map(range, source_shape)), values, strict=True):
        if connection.pool != (1, 1):
            channel, y, x = index
            index = channel, y // connection.pool[0], x // connection.pool[1]
        if index in sums:
            sums[index] += value
    return sums


def number(value):
    return value.item() if hasattr(value, "item") else value


def _dense(connection, shape, values):
    flat = list(values.values())
    return {
        target: sum(number(weight) * value for weight, value in zip(row, flat, strict=True))
        for target, row in enumerate(connection.weights)
    }


def spread(weights, index, shape):
    weights = np.asarray(weights)
    if weights.shape == ():
        return number(weights[()])
    return number(weights[index] if weights.shape == shape else weights[index[0]])


def _identity(connection, shape, values):
    return {index: spread(connection.weights, index, shape) * value for index, value in values.items()}


def _max_pool(connection, shape, values):
    (kh, kw), (sy, sx), (py, px) = connection.kernel, connection.stride, connection.padding
    height, width = (shape[1] + 2 * py - kh) // sy + 1, (shape[2] + 2 * px - kw) // sx + 1
    targets = {}
    for c, y, x in product(range(shape[0]), range(height), range(width)):
        window = [values.get((c, y * sy - py + i, x * sx - px + j), 0) for i in range(kh) for j in range(kw)]
        targets[c, y, x] = spread(connection.weights, (c,), None) * (1 if any(window) else 0)
    return targets


def _conv2d(connection, shape, values):
    outputs, inputs, kh, kw = connection.weights.shape
    (sy, sx), (py, px) = connection.stride, connection.padding
    height, width = (shape[1] + 2 * py - kh) // sy + 1, (shape[2] + 2 * px - kw) // sx + 1
    targets = {}
    for o, y, x in product(range(outputs), range(height), range(width)):
        group = o // (outputs // connection.groups)
        targets[o, y, x] = sum(
            number(connection.weights[o, c, i, j])
            * values.get((group * inputs + c, y * sy - py + i, x * sx - px + j), 0)
            for c, i, j in product(range(inputs), range(kh), range(kw))
        )
    return targets


def _conv_transpose2d(connection, shape, values):
    inputs, outputs, kh, kw = connection.weights.shape
    (sy, sx), (py, px), (ey, ex) = connection.stride, connection.padding, connection.output_padding
    height, width = (shape[1] - 1) * sy - 2 * py + kh + ey, (shape[2] - 1) * sx - 2 * px + kw + ex
    targets = dict.fromkeys(product(range(outputs * connection.groups), range(height), range(width)), 0)
    for (c, y, x), value in values.items():
        group = c // (inputs // connection.groups)
        for o, i, j in product(range(outputs), range(kh), range(kw)):
            target = group * outputs + o, y * sy - py + i, x * sx - px + j
            if target in targets:
                targets[target] += number(connection.weights[c, o, i, j]) * value
    return targets


def run(network, inputs):
    """One sample after another: answers, scores, counts, totals, spikes, membranes, currents."""
    samples = [sample(network, values.tolist()) for values in np.asarray(inputs)]
    gather = {
        key: {name: np.array([s[key][name] for s in samples]) for name in samples[0][key]}
        for key in ("counts", "totals", "spikes", "membranes", "currents")
    }
    answers, scores = (np.array([s[key] for s in samples]) for key in ("answer", "scores"))
    return SimpleNamespace(answers=answers, scores=scores, **gather)


def sample(network, values):
    frames = encode(network, values)
    states = {p.name: start(p) for p in network.populations}
    silent = {name: [0] * prod(network.shape_of(name)) for name in ("input", *states)}
    history = {key: {name: [] for name in states} for key in ("spikes", "membranes", "currents", "totals")}
    before = dict(silent)
    for frame in frames:
        now = {"input": frame}
        for name in network.order:
            population, drive = network[name], [0] * network[name].size
            for connection in network.incoming(name):
                source = before if connection.delay else now
                brought = bring(connection, network.shape_of(connection.source), source[connection.source])
                drive = [a + b for a, b in zip(drive, brought, strict=True)]
            now[name], totals = step(population, states[name], drive)
            history["spikes"][name].append(now[name])
            history["membranes"][name].append(list(states[name].v))
            history["currents"][name].append(list(states[name].i))
            history["totals"][name].append(totals)
        before = now
    scores, answer = read(network, history)
    seen = frames[:1] if network.input.kind == "current" else frames
    totals = {name: sum(abs(s) for frame in history["spikes"][name] for s in frame) for name in states}
    return {
        "scores": scores,
        "answer": answer,
        "counts": {name: [sum(column) for column in zip(*history["spikes"][name], strict=True)] for name in states},
        "totals": totals | {"input": sum(value != 0 for frame in seen for value in frame)},
        "spikes": history["spikes"],
        "membranes": history["membranes"],
        "currents": {n: history["currents"][n] for n in states if network[n].current_decay is not None},
    }


def encode(network, values):
    port = network.input
    if port.kind == "events":
        return values
    if port.kind == "current":
        return [values] * network.steps
    if port.kind == "latency":
        when = [((port.high - p) * network.steps) // (port.high + 1) if p > 0 else None for p in values]
        return [[int(step == w) for w in when] for step in range(network.steps)]
    register, frames = port.seed, []
    for _ in range(network.steps):
        frame = []
        for pixel in values:
            for _ in range(port.high.bit_length()):
                bit = (register >> 15 & 1) ^ (register >> 14 & 1) ^ (register >> 12 & 1) ^ (register >> 3 & 1)
                register = (register * 2 + bit) % 65536
            frame.append(int(pixel > register % (port.high + 1)))
        frames.append(frame)
    return frames


def start(population):
    initial = per_neuron(population, population.initial)
    return SimpleNamespace(v=initial, i=[0] * population.size, latched=[False] * population.size)


def per_neuron(population, values):
    return [spread(values, index, population.shape) for index in product(*(range(size) for size in population.shape))]


def decayed(value, numerator, shift, low, high):
    half = 2 ** (shift - 1) if shift else 0
    return min(max((value * numerator + half) // 2**shift, low), high)


def step(population, state, drive):
    """Advance a population by one step; its spikes, and H of each neuron."""
    fields = ("threshold", "reset_value", "reset_amount", "bias")
    given = {
        f: per_neuron(population, getattr(population, f)) if getattr(population, f) is not None else None
        for f in fields
    }
    decay = per_neuron(population, population.decay.numerator)
    spikes, totals = [], []
    for n in range(population.size):
        received = drive[n]
        if population.current_decay is not None:
            received += state.i[n]
            m = per_neuron(population, population.current_decay.numerator)[n]
            rails = population.current_min, population.current_max
            state.i[n] = decayed(received, m, population.current_decay.shift, *rails)
        h = state.v[n] + given["bias"][n] + received
        if population.rectify:
            h = max(h, 0)
        s = 0
        if population.threshold is not None and not state.latched[n]:
            if h >= given["threshold"][n]:
                s = 1
            elif population.ternary and h <= -given["threshold"][n]:
                s = -1
        after = h
        if population.reset == "zero" and s:
            after = given["reset_value"][n]
        if population.reset == "subtract":
            after = h - s * given["reset_amount"][n]
        if population.reset == "latch":
            state.latched[n] = state.latched[n] or s != 0
            after = 0 if state.latched[n] else h
        state.v[n] = decayed(after, decay[n], population.decay.shift, population.state_min, population.state_max)
        spikes.append(s)
        totals.append(h)
    return spikes, totals


def read(network, history):
    readout = network.readout
    spikes = history["spikes"][readout.population]
    if readout.kind == "first_spike":
        first = next((t for t, frame in enumerate(spikes) if any(frame)), None)
        scores = [network.steps if first is None or not s else first for s in spikes[first or 0]]
        return scores, scores.index(min(scores))
    scores = [sum(column) for column in zip(*spikes, strict=True)]
    if readout.kind == "linear":
        scores = [
            number(b) + sum(number(w) * s for w, s in zip(row, scores, strict=True))
            for row, b in zip(readout.weights, readout.bias, strict=True)
        ]
    if readout.kind == "membrane":
        reduce = {"last": lambda column: column[-1], "sum": sum, "max": max}[readout.reduce]
        scores = [reduce(column) for column in zip(*history["totals"][readout.population], strict=True)]
    return scores, scores.index(max(scores))


def assert_equal(result, expected):
    """That all of two results is the same."""
    for field in ("counts", "totals", "spikes", "membranes", "currents"):
        ours, theirs = getattr(result, field), getattr(expected, field)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=f"{field} of {name}")
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.answers, expected.answers)
