from dataclasses import replace

import numpy as np
import pytest
from links import small_network

from hw.cycles import predict_cycles
from hw.design import generate
from hw.plan import plan_network
from quant.errors import NetworkError
from quant.ir import Readout
from sim import golden


@pytest.fixture
def network():
    return small_network()


def test_tells_what_a_test_bench_needs(network):
    design = generate(network, lanes=3, early_stop=False)
    plan = plan_network(network, lanes=3, early_stop=False)
    assert design.network is network
    assert design.name == "spikeloom_small"
    assert [core.as_dict() for core in design.cores] == [core.as_dict() for core in plan.cores]
    assert not design.plan.early_stop
    assert design.classes == network.populations[-1].size
    assert design.score_width == plan.score_width
    assert design.input_layout.senders == network.input.size
    assert design.input_layout.values == network.input.value_range


def test_a_linear_readout_is_a_core_and_no_population(network):
    linear = Readout(population="second", kind="linear", weights=np.ones((5, 3), int))
    design = generate(replace(network, readout=linear))
    assert [core.name for core in design.cores] == ["first", "second", "scores"]
    assert [core.name for core in design.plan.populations] == ["first", "second"]
    assert design.classes == 5


def test_predicts_with_the_cycle_model(network):
    inputs = np.random.default_rng(3).integers(0, 2, (3, 3, 6))
    result = golden.run(network, inputs, record=("spikes",))
    design = generate(network)
    np.testing.assert_array_equal(
        design.predict(result, inputs), predict_cycles(design.plan, inputs, dict(result.spikes))
    )


def test_hands_on_what_a_plan_refuses(network):
    with pytest.raises(NetworkError, match=r"^Lanes of first must be at least 1, not 0$"):
        generate(network, lanes=0)


def test_writes_its_verilog_once(network):
    design = generate(network)
    assert design.verilog is design.verilog
    assert design.instrumented is design.instrumented
