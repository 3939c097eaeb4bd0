from dataclasses import replace

import numpy as np
import pytest

from quant.errors import NetworkError
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.rails import Rails, measured_rails, proven_rails, railed
from quant.ranges import Range
from sim import golden
from tests.whole import random_inputs, random_network


def network(*, steps=4, weights=((3, -2),), loop=None, **fields):
    weights = np.array(weights)
    size = len(weights)
    population = {"name": "p", "shape": (size,), "threshold": 5, "state_min": -100, "state_max": 100}
    connections = [Connection(source="input", target="p", kind="dense", weights=weights, weight_bits=8)]
    if loop is not None:
        connections.append(
            Connection(source="p", target="p", kind="dense", weights=np.array(loop), weight_bits=8, delay=1)
        )
    return Network(
        name="net",
        steps=steps,
        input=Input(shape=weights.shape[1:]),
        populations=(Population(**population | fields),),
        connections=tuple(connections),
        readout=Readout(population="p"),
    )


def proof(bits=16, **fields):
    return proven_rails(network(**fields), "p", bits=bits)


@pytest.mark.parametrize(
    ("fields", "state", "origin"),
    [
        # No leak: -2 a step, 4 steps; upward the threshold stops it.
        ({}, Range(-8, 4), "proven for 4 steps"),
        ({"steps": 1}, Range(-2, 3), "proven for 1 step"),
        ({"reset_value": 9}, Range(-8, 9), "proven for 4 steps"),
        ({"reset": "latch"}, Range(-8, 4), "proven for 4 steps"),
        ({"rectify": True}, Range(0, 4), "proven"),
        ({"decay": Decay(numerator=0)}, Range(0, 0), "proven"),
        # (-2 + 1) >> 1 = -1, (-3 + 1) >> 1 = -1; (4 + 1) >> 1 = 2.
        ({"decay": Decay(numerator=1, shift=1)}, Range(-1, 2), "proven"),
        ({"ternary": True}, Range(-4, 4), "proven"),
        ({"bias": -1}, Range(-12, 4), "proven for 4 steps"),
        ({"initial": -7}, Range(-15, 4), "proven for 4 steps"),
        ({"initial": 7}, Range(-8, 7), "proven for 4 steps"),
        ({"reset": "subtract"}, Range(-8, 4), "proven for 4 steps"),
        # 3 does not fire; then 3 + 3 - 1, 5 + 3 - 1 and 7 + 3 - 1.
        ({"reset": "subtract", "reset_amount": 1}, Range(-8, 9), "proven for 4 steps"),
        ({"reset": "none"}, Range(-8, 12), "proven for 4 steps"),
        ({"loop": [[-4]]}, Range(-24, 4), "proven for 4 steps"),
    ],
)
def test_rails_worked_by_hand(fields, state, origin):
    rails = proof(**fields)
    assert (rails.state, rails.open, rails.origin) == (state, (), origin)


def test_rails_of_a_current_worked_by_hand():
    # I' is within -2..3, then I = (I' + 1) >> 1 within -1..2, then I' within -3..5, I within -1..3, and -3..6, -1..3.
    rails = proof(current_decay=Decay(numerator=1, shift=1), decay=Decay(numerator=0))
    assert (rails.current, rails.open) == (Range(-1, 3), ())
    assert proof(current_decay=Decay(), decay=Decay(numerator=0)).current == Range(-8, 12)


def test_rails_that_need_too_many_bits_are_named():
    rails = proof(bits=3)
    assert (rails.state, rails.open) == (Range(-4, 3), ("state_max", "state_min"))
    rails = proof(bits=4, steps=5)
    assert (rails.state, rails.open) == (Range(-8, 4), ("state_min",))
    assert proof(bits=4, steps=4).open == ()
    assert proof(bits=4, threshold=8, rectify=True).open == ()
    assert proof(bits=4, threshold=9, rectify=True).open == ("state_max",)
    rails = proof(bits=4, current_decay=Decay(), decay=Decay(numerator=0))
    assert (rails.current, rails.open) == (Range(-8, 7), ("current_max",))


def test_long_runs_that_do_not_settle_are_not_proven():
    rails = proof(steps=5000, reset="none", weights=((1, -1),), bits=20)
    assert rails.open == ("current_max", "current_min", "state_max", "state_min")
    assert proof(steps=5000, rectify=True).open == ()


def test_random_networks_never_touch_a_clip_at_proven_rails():
    rng = np.random.default_rng(0)
    proven = 0
    for _ in range(150):
        net = random_network(rng)
        wide = replace(
            net,
            populations=tuple(
                railed(p, Range(-(1 << 30), 1 << 30), Range(-(1 << 30), 1 << 30)) for p in net.populations
            ),
        )
        rails = {name: proven_rails(wide, name, bits=24) for name in net.order}
        if any(item.open for item in rails.values()):
            continue
        proven += 1
        tight = replace(
            wide, populations=tuple(railed(p, rails[p.name].state, rails[p.name].current) for p in wide.populations)
        )
        inputs = random_inputs(rng, net, 6)
        expected = golden.run(wide, inputs, record=("membranes", "currents"))
        result = golden.run(tight, inputs, record=("membranes", "currents"))
        for field in ("membranes", "currents"):
            for name, values in getattr(expected, field).items():
                np.testing.assert_array_equal(getattr(result, field)[name], values)
    assert proven > 100


def open_rails(*names, **ranges):
    return Rails(**{"state": Range(-8, 4), "current": Range(0, 0), **ranges}, open=names, origin="proven for 4 steps")


@pytest.mark.parametrize(
    ("names", "seen", "margin", "state"),
    [
        (("state_min",), Range(-3, 4), 2, Range(-8, 4)),
        (("state_min",), Range(-4, 4), 2, Range(-8, 4)),
        (("state_min",), Range(-5, 4), 2, Range(-16, 4)),
        (("state_min",), Range(-1, 4), 1, Range(-8, 4)),
        (("state_max",), Range(0, 100), 1, Range(-8, 127)),
        (("state_max",), Range(0, 100), 1.5, Range(-8, 255)),
        (("state_max", "state_min"), Range(-100, 3), 1, Range(-128, 127)),
        (("state_max", "state_min"), Range(0, 100), 2, Range(0, 255)),
    ],
)
def test_measured_rails_take_a_margin_and_fill_their_width(names, seen, margin, state):
    assert measured_rails(open_rails(*names), (seen, Range(0, 0)), margin=margin).state == state


def test_measured_rails_say_so():
    rails = measured_rails(open_rails("state_min"), (Range(-3, 4), Range(0, 0)), margin=1.5)
    assert (rails.open, rails.origin) == ((), "state_min measured, margin 1.5")


def test_measured_currents_have_rails_of_their_own():
    rails = open_rails("current_max", current=Range(-8, 7))
    assert measured_rails(rails, (Range(-100, 100), Range(-100, 9)), margin=2).current == Range(-8, 31)


def test_membranes_that_fit_no_register_are_refused():
    with pytest.raises(NetworkError, match=r"^A state of 33 bits was measured; the widest is 31$"):
        measured_rails(open_rails("state_min"), (Range(-(1 << 31), 0), Range(0, 0)), margin=2)
