"""A network that has every field, in a file, and whether another is the same."""

from dataclasses import fields

import numpy as np
import pytest

from quant.file import save_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout

__all__ = ["same", "saved_fixture", "small"]


def small():
    return Network(
        name="small",
        steps=3,
        input=Input(shape=(2,), kind="current", high=16),
        populations=(
            Population(
                name="p",
                shape=(3,),
                threshold=np.array([4, 5, 70000]),
                reset="subtract",
                decay=Decay(numerator=np.array([1, 2, 3]), shift=2),
                rectify=True,
                bias=-3,
                state_min=-8,
                state_max=7,
                current_decay=Decay(numerator=1, shift=1),
                current_max=9,
            ),
        ),
        connections=(
            Connection(
                source="input", target="p", kind="dense", weights=np.array([[1, 2], [3, -4], [-8, 7]]), weight_bits=4
            ),
        ),
        readout=Readout(population="p", kind="linear", weights=np.array([[1, -2, 300]]), bias=np.array([7])),
        metadata={"dataset": "digits", "accuracy": 0.97, "nested": [1, None, {"a": True}]},
    )


@pytest.fixture(name="saved")
def saved_fixture(tmp_path):
    save_network(tmp_path / "small.network", small())
    return tmp_path / "small.network"


def same(first, second):
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and (first == second).all()
    if isinstance(first, tuple) and first and not isinstance(first[0], (int, str)):
        return len(first) == len(second) and all(map(same, first, second))
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and all(
            same(getattr(first, entry.name), getattr(second, entry.name)) for entry in fields(first)
        )
    return type(first) is type(second) and first == second
