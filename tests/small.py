"""Small golden networks, of neurons that fire when they are told to."""

import numpy as np

from quant.ir import Connection, Input, Network, Population, Readout
from sim import golden

__all__ = ["ALWAYS", "EVERYTHING", "WIDE", "link", "network", "population", "trace"]

EVERYTHING = ("spikes", "membranes", "currents")
WIDE = {"state_min": -1000, "state_max": 1000}
ALWAYS = 1000


def population(name="p", size=1, **fields):
    return Population(name=name, shape=(size,), **{"threshold": ALWAYS, **WIDE, **fields})


def link(source="input", target="p", weights=1, kind="identity", **fields):
    return Connection(
        source=source, target=target, kind=kind, weights=np.array(weights), **{"weight_bits": 8, **fields}
    )


def network(*populations, connections=(), steps=20, port=None, readout=None):
    return Network(
        name="n",
        steps=steps,
        input=port or Input(shape=populations[0].shape, low=-1000, high=1000),
        populations=populations,
        connections=tuple(connections) or (link(target=populations[0].name),),
        readout=readout or Readout(population=populations[-1].name),
    )


def trace(drives, **fields):
    """Spikes, membranes and currents of one neuron that receives ``drives``, step by step."""
    spiking = fields.get("threshold", 0) is not None
    readout = Readout(population="p", kind="count" if spiking else "membrane")
    model = network(population(**fields), readout=readout)
    result = golden.run(model, np.array(drives).reshape(1, -1, 1), record=EVERYTHING)
    currents = result.currents.get("p", np.zeros((1, 0, 1), int))
    return result.spikes["p"].ravel().tolist(), result.membranes["p"].ravel().tolist(), currents.ravel().tolist()
