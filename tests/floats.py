"""A small float network: one population behind an input."""

import numpy as np

from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout

__all__ = ["model"]


def model(weights=((0.5, -1.0), (1.5, 0.25)), *, lsb=1.0, kind="events", high=1, steps=4, scales=None, **fields):
    """One population behind an input; ``readout_`` fields go to the readout."""
    weights = np.asarray(weights, float)
    readout = {key.removeprefix("readout_"): fields.pop(key) for key in list(fields) if key.startswith("readout_")}
    return FloatNetwork(
        name="net",
        steps=steps,
        input=FloatInput(shape=weights.shape[1:], kind=kind, high=high, lsb=lsb),
        populations=(FloatPopulation(**{"name": "p", "shape": weights.shape[:1], "threshold": 1.0} | fields),),
        connections=(Synapses(source="input", target="p", kind="dense", weights=weights),),
        readout=FloatReadout(population="p", **readout),
        scales=scales or {},
        metadata={"dataset": "digits"},
    )
