"""Small NIR graphs, and the equations of their nodes."""

from itertools import pairwise

import nir
import numpy as np

from quant.importers.nir import from_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float

__all__ = [
    "DT",
    "correlated",
    "dyadic",
    "euler",
    "events",
    "graph",
    "integrate",
    "lif",
    "ones",
    "slow",
    "spikes_of",
    "told",
]

DT = 2.0**-10


def ones(*shape):
    return np.ones(shape)


def lif(size, *, keep=0.75, gain=1.0, threshold=1.0, v_leak=0.0, v_reset=0.0, dt=DT):
    """A LIF node whose membranes keep ``keep`` of a step, as shapes or arrays of numbers."""
    one, leak = np.ones(size), 1 - np.asarray(keep)
    return nir.LIF(
        tau=dt / leak * one,
        r=gain / leak * one,
        v_leak=v_leak * one,
        v_threshold=threshold * one,
        v_reset=v_reset * one,
    )


def integrate(size, *, r=1 / DT, threshold=1.0, v_reset=0.0):
    one = np.ones(size)
    return nir.IF(r=r * one, v_threshold=threshold * one, v_reset=v_reset * one)


def graph(nodes, edges=None, *, metadata=None, shape=(4,), output=None):
    """A chain of nodes, or what the edges say, between an input and an output."""
    last = nir.Output({"output": None if output is None else np.array(output)})
    every = {"input": nir.Input(np.array(shape)), **nodes, "output": last}
    names = list(every)
    edges = list(pairwise(names)) if edges is None else edges
    return nir.NIRGraph(every, edges, metadata=metadata or {}, type_check=False)


def dyadic(rng, *shape):
    return rng.integers(-8, 9, shape) / 8


def events(rng, steps, *shape, samples=6):
    return (rng.random((samples, steps, int(np.prod(shape)))) < 0.5).astype(np.int64)


def spikes_of(made, inputs, name, options=None):
    model = from_nir(made, options or ImportOptions(steps=inputs.shape[1]))
    return run_float(model, inputs, record=["spikes"]).spikes[name]


def euler(currents, *, keep, gain=1.0, threshold=1.0, v_leak=0.0, v_reset=0.0, start=None, reset="zero", above=True):
    """NIR's equation in steps, spelled out: spikes of ``currents``, both (samples, steps, neurons)."""
    v = np.full_like(currents[:, 0], v_leak if start is None else start)
    spikes = np.zeros(currents.shape, int)
    for step in range(currents.shape[1]):
        v = keep * v + (1 - keep) * v_leak + gain * currents[:, step]
        fired = v > threshold if above else v >= threshold
        spikes[:, step] = fired
        v = np.where(fired, v_reset, v) if reset == "zero" else v - fired * threshold if reset == "subtract" else v
    return spikes


# Neurons.


def told(made, options=None):
    return "\n".join(from_nir(made, options or ImportOptions()).metadata["assumptions"])


def correlated(maps, weights, stride=(1, 1), dilation=(1, 1)):
    """Cross-correlation, one output at a time."""
    kh, kw = ((side - 1) * step + 1 for side, step in zip(weights.shape[2:], dilation, strict=True))
    rows = range(0, maps.shape[2] - kh + 1, stride[0])
    columns = range(0, maps.shape[3] - kw + 1, stride[1])
    out = np.zeros((len(maps), len(weights), len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            window = maps[:, :, y : y + kh : dilation[0], x : x + kw : dilation[1]]
            out[:, :, i, j] = np.einsum("bcij,ocij->bo", window, weights)
    return out


def slow(tau, r=1.0):
    return nir.LIF(tau=np.full(2, tau), r=np.full(2, r), v_leak=np.zeros(2), v_threshold=ones(2))
