"""The networks of ``handmade`` in cosimulation, and marks for the simulators that it needs."""

import pytest
from handmade import INPUTS, NETWORK, WAVE_INPUTS, WAVES, Handmade, Waves

from sim.cosim import cosimulate_design
from sim.tools import available

__all__ = ["icarus", "icarus_there", "needs", "simulate", "simulate_waves"]


def needs(name):
    return pytest.mark.skipif(not available(name), reason=f"needs the simulator {name}")


icarus = pytest.mark.usefixtures("icarus_there")


@pytest.fixture
def icarus_there():
    if not available("icarus"):
        pytest.skip("needs iverilog in PATH")


def simulate(old="", new="", inputs=INPUTS, **options):
    options = {"simulator": "icarus", "patience": 500, **options}
    return cosimulate_design(NETWORK, Handmade(old=old, new=new), inputs, **options)


def simulate_waves(old="", new="", inputs=WAVE_INPUTS, **options):
    options = {"simulator": "icarus", "patience": 500, **options}
    return cosimulate_design(WAVES, Waves(old=old, new=new), inputs, **options)
