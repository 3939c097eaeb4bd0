"""The plan of a small build, and a network of any size."""

import numpy as np
import pytest

from boards.build import plan_build
from quant.ir import Connection, Input, Network, Population, Readout
from tests.links import small_network

__all__ = ["large_network", "plan_fixture"]


@pytest.fixture(name="plan", scope="module")
def plan_fixture():
    return plan_build(small_network(), "icebreaker")


def large_network(*, neurons, inputs, bits=8):
    return Network(
        name="large",
        steps=2,
        input=Input(shape=(inputs,)),
        populations=(Population(name="first", shape=(neurons,), threshold=1, state_min=-9, state_max=9),),
        connections=(
            Connection(
                source="input",
                target="first",
                kind="dense",
                weights=np.random.default_rng(0).integers(-4, 4, (neurons, inputs)),
                weight_bits=bits,
            ),
        ),
        readout=Readout(population="first"),
    )
