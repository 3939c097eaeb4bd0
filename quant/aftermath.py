"""Aftermaths, which the integers do not have: dropped where the samples never show them, refused elsewhere."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnsupportedError
from .model import FloatNetwork
from .simulate import run_float

__all__ = ["without_aftermaths"]

_SAMPLES = 500
_WORDS = {
    "raise": "a membrane above its threshold after a reset must reach twice the threshold to fire",
    "mute": "a neuron loses what comes in the step after its spike",
}
_WAY_OUT = "train it with reset_delay=True, or with another reset_mechanism"


def without_aftermaths(
    model: FloatNetwork, inputs: NDArray[Any] | None = None
) -> tuple[FloatNetwork, Mapping[str, str]]:
    """The network with plain resets, and a warning for every population that had another.

    Parameters
    ----------
    model : FloatNetwork
    inputs : array of int, optional
        Samples, as for :func:`quant.simulate.run_float`, of which the first are run both ways.

    Raises
    ------
    UnsupportedError
        Naming the population, if there are no samples, or if on them the plain reset spikes differently.
    """
    odd = [item for item in model.populations if item.aftermath != "none"]
    if not odd:
        return model, {}
    if inputs is None:
        first = odd[0]
        raise UnsupportedError(
            f"Population {first.name}: {_WORDS[first.aftermath]}, which the integers do not do; {_WAY_OUT}, "
            "or give calibration samples to see whether it ever happens"
        )
    some = inputs[:_SAMPLES]
    plain = replace(model, populations=tuple(replace(item, aftermath="none") for item in model.populations))
    exact, other = (run_float(item, some, record=["spikes"]).spikes for item in (model, plain))
    for item in odd:
        changed = (exact[item.name] != other[item.name]).any((1, 2))
        if changed.any():
            raise UnsupportedError(
                f"Population {item.name}: {_WORDS[item.aftermath]}, which the integers do not do, and it happens in "
                f"{np.count_nonzero(changed)} of {len(some)} samples; {_WAY_OUT}"
            )
    told = "{}, which the integers do not do; it never happened in {} samples"
    return plain, {item.name: told.format(_WORDS[item.aftermath], len(some)) for item in odd}
