"""Steps of a neuron worked by hand: the unit and the equation both say so."""

import pytest
from neurons import Case, Step, equation, run, second_order

from quant.ir import Decay, Population
from quant.ranges import Range


@pytest.mark.parametrize(
    ("fields", "state", "drive", "spike", "after"),
    [
        # The threshold: at it, one above, one below.
        ({}, 3, 4, 0, 7),
        ({}, 3, 5, 1, 0),
        ({}, 3, 6, 1, 0),
        ({"bias": 1}, 3, 4, 1, 0),
        ({"bias": -1}, 3, 5, 0, 7),
        # The resets.
        ({"reset_value": -4}, 3, 5, 1, -4),
        ({"reset": "subtract"}, 3, 9, 1, 4),
        ({"reset": "subtract", "reset_amount": 3}, 3, 9, 1, 9),
        ({"reset": "subtract", "reset_amount": -2}, 3, 5, 1, 10),
        ({"reset": "none"}, 3, 9, 1, 12),
        ({"reset": "latch"}, 3, 9, 1, 0),
        # Rectified: before the comparison, and before what is kept.
        ({"rectify": True}, -5, -6, 0, 0),
        ({"rectify": True}, 0, -1, 0, 0),
        ({"rectify": True}, 0, 1, 0, 1),
        ({"rectify": True, "reset": "subtract", "reset_amount": 20}, 3, 9, 1, -8),
        # Rounding to nearest, halves up: 1.5, 1, -0.5, -1, -1.5.
        ({"decay": Decay(numerator=1, shift=1)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=1, shift=1)}, 2, 0, 0, 1),
        ({"decay": Decay(numerator=1, shift=1)}, -1, 0, 0, 0),
        ({"decay": Decay(numerator=1, shift=1)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=1, shift=1)}, -3, 0, 0, -1),
        # 3/4 of 2, 3, -2, -3: 1.5, 2.25, -1.5, -2.25; 5/4 of 6, -6: 7.5, -7.5.
        ({"decay": Decay(numerator=3, shift=2)}, 2, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=3, shift=2)}, -3, 0, 0, -2),
        ({"decay": Decay(numerator=5, shift=2)}, 6, 0, 0, 8),
        ({"decay": Decay(numerator=5, shift=2)}, -6, 0, 0, -7),
        ({"decay": Decay(numerator=0)}, -6, 2, 0, 0),
        # The reset value decays too.
        ({"reset_value": 5, "decay": Decay(numerator=1, shift=1)}, 3, 9, 1, 3),
        # The rails: at them, and one beyond.
        ({"reset": "none"}, 3, 10, 1, 13),
        ({"reset": "none"}, 3, 11, 1, 13),
        ({"reset": "none"}, -2, -10, 0, -12),
        ({"reset": "none"}, -2, -11, 0, -12),
        ({"reset_value": 99}, 3, 9, 1, 13),
        ({"reset_value": -99}, 3, 9, 1, -12),
        ({"state_min": 0}, 1, -9, 0, 0),
    ],
)
def test_worked_by_hand(fields, state, drive, spike, after):
    population = Population(**{"name": "n", "shape": (1,), "threshold": 8, "state_min": -12, "state_max": 13, **fields})
    case = Case(state=state, drive=drive)
    wanted = Step(fired=abs(spike), value=spike, state=after, latched=int(population.reset == "latch" and spike != 0))
    assert run(population, Range(-12, 12), [case]) == [wanted]
    assert equation(population, case) == wanted


@pytest.mark.parametrize(
    ("fields", "state", "drive", "spike", "after"),
    [
        # The thresholds: at them, one inside, one outside.
        ({}, -3, -4, 0, -7),
        ({}, -3, -5, -1, 0),
        ({}, -3, -6, -1, 0),
        ({}, 3, 4, 0, 7),
        ({}, 3, 5, 1, 0),
        ({}, 3, 6, 1, 0),
        ({"bias": -1}, -3, -4, -1, 0),
        ({"threshold": 1}, 0, 0, 0, 0),
        ({"threshold": 1}, 0, -1, -1, 0),
        # The resets, which follow the sign of the spike where they depend on it.
        ({"reset_value": -4}, -3, -5, -1, -4),
        ({"reset_value": 5}, -3, -5, -1, 5),
        ({"reset": "subtract"}, -3, -9, -1, -4),
        ({"reset": "subtract"}, 3, 9, 1, 4),
        ({"reset": "subtract"}, -3, -4, 0, -7),
        ({"reset": "subtract", "reset_amount": 3}, -3, -9, -1, -9),
        ({"reset": "subtract", "reset_amount": -2}, -3, -5, -1, -10),
        ({"reset": "subtract", "reset_amount": 20}, -3, -9, -1, 8),
        ({"reset": "none"}, -3, -9, -1, -12),
        # Rectified, it is never below.
        ({"rectify": True}, -5, -6, 0, 0),
        ({"rectify": True, "threshold": 1}, -5, -6, 0, 0),
        ({"rectify": True}, 3, 5, 1, 0),
        # The rails, after a spike.
        ({"reset": "none"}, -3, -10, -1, -12),
        ({"reset": "subtract", "reset_amount": 30}, -3, -9, -1, 13),
        ({"reset": "subtract", "reset_amount": -5}, -3, -9, -1, -12),
        # And the decay: 1/2 of -4 and of -5, halves up.
        ({"reset": "subtract", "decay": Decay(numerator=1, shift=1)}, -3, -9, -1, -2),
        ({"reset": "subtract", "decay": Decay(numerator=1, shift=1)}, -3, -10, -1, -2),
    ],
)
def test_ternary_worked_by_hand(fields, state, drive, spike, after):
    test_worked_by_hand({"ternary": True, **fields}, state, drive, spike, after)


@pytest.mark.parametrize(
    ("fields", "state", "current", "drive", "spike", "after", "kept"),
    [
        # H counts the current as it arrives, with the drive; what is kept of it is the half, rounded up.
        ({}, 2, 3, 2, 0, 7, 3),
        ({}, 2, 3, 3, 1, 0, 3),
        ({}, 2, -3, 2, 0, 1, 0),
        ({}, 2, -3, 0, 0, -1, -1),
        ({}, 0, 5, 0, 0, 5, 3),
        ({"bias": 1}, 2, 3, 2, 1, 0, 3),
        ({"bias": 3}, 0, 0, 0, 0, 3, 0),
        # Nothing is lost on the way: of V + b = 17 and I' = -17, and of an I' of 94.
        ({"bias": 4}, 13, -5, -12, 0, 0, -5),
        ({"current_max": 100}, 2, 90, 4, 1, 0, 47),
        ({"current_max": 100, "reset": "subtract"}, -12, 20, -5, 0, 3, 8),
        # Neither a spike nor the rectification changes the current, whatever the reset.
        ({"reset": "subtract"}, 2, 4, 4, 1, 2, 4),
        ({"reset": "none"}, 2, 4, 4, 1, 10, 4),
        ({"reset": "latch"}, 2, 4, 4, 1, 0, 4),
        ({"rectify": True}, 2, -4, -4, 0, 0, -4),
        # Its decays.
        ({"current_decay": Decay(numerator=0)}, 0, 5, 2, 0, 7, 0),
        ({"current_decay": Decay()}, 0, 3, 2, 0, 5, 5),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, 1, 1, 0, 2, 2),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, -1, -1, 0, -2, -1),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, -1, -2, 0, -3, -2),
        ({"current_decay": Decay(numerator=3, shift=1)}, 0, 1, 1, 0, 2, 3),
        # Its rails, -5 and 6, are not those of the membrane, -12 and 13: at them, and one beyond.
        ({"current_decay": Decay()}, 0, 6, 0, 0, 6, 6),
        ({"current_decay": Decay()}, 0, 6, 1, 0, 7, 6),
        ({"current_decay": Decay()}, 0, -5, 0, 0, -5, -5),
        ({"current_decay": Decay()}, 0, -5, -1, 0, -6, -5),
        ({"current_decay": Decay(), "reset": "none"}, 2, 6, 4, 1, 12, 6),
        ({"current_decay": Decay(), "current_min": 0}, 0, 1, -2, 0, -1, 0),
        ({"current_decay": Decay(), "current_max": 0}, 0, -1, 2, 0, 1, 0),
    ],
)
def test_of_second_order_worked_by_hand(fields, state, current, drive, spike, after, kept):
    rails = {"state_min": -12, "state_max": 13, "current_min": -5, "current_max": 6}
    population = second_order(**{"threshold": 8, "decay": Decay(), "bias": 0, **rails, **fields})
    case = Case(state=state, current=current, drive=drive)
    latched = int(population.reset == "latch" and spike)
    wanted = Step(fired=spike, value=spike, state=after, current=kept, latched=latched)
    assert run(population, Range(-12, 12), [case]) == [wanted]
    assert equation(population, case) == wanted


@pytest.mark.parametrize(
    ("fields", "state", "drive", "value", "after"),
    [
        # What is shown is H, whole: before the decay and the rails.
        ({}, 3, 4, 7, 7),
        ({}, 3, -9, -6, -6),
        ({}, 13, 12, 25, 13),
        ({}, -12, -12, -24, -12),
        ({"bias": 2}, 3, 4, 9, 9),
        ({"decay": Decay(numerator=1, shift=1)}, 3, 4, 7, 4),
        ({"rectify": True}, 3, -9, 0, 0),
        ({"rectify": True}, 3, 9, 12, 12),
        ({"state_min": 0, "state_max": 0}, 0, -7, -7, 0),
    ],
)
def test_without_a_threshold_worked_by_hand(fields, state, drive, value, after):
    rails = {"state_min": -12, "state_max": 13}
    population = Population(**{"name": "n", "shape": (1,), "threshold": None, "reset": "none", **rails, **fields})
    case = Case(state=state, drive=drive)
    for shows, wanted in ((True, Step(fired=1, value=value, state=after)), (False, Step(state=after))):
        assert run(population, Range(-12, 12), [case], shows=shows) == [wanted]
        assert equation(population, case, shows=shows) == wanted


def test_a_latched_neuron_is_silent_with_its_membrane_at_zero():
    population = Population(name="n", shape=(1,), threshold=8, reset="latch", state_min=-12, state_max=13)
    cases = [Case(drive=8, latched=1), Case(state=-5, latched=1), Case(drive=8), Case(drive=7), Case(state=-5)]
    assert run(population, Range(-12, 12), cases) == [
        Step(latched=1),
        Step(latched=1),
        Step(fired=1, value=1, latched=1),
        Step(state=7),
        Step(state=-5),
    ]


def test_a_negative_spike_latches_too():
    population = Population(name="n", shape=(1,), threshold=8, reset="latch", ternary=True, state_min=-12, state_max=13)
    cases = [Case(drive=-8), Case(drive=-8, latched=1), Case(drive=8, latched=1), Case(drive=-7), Case(drive=8)]
    assert run(population, Range(-12, 12), cases) == [
        Step(fired=1, value=-1, latched=1),
        Step(latched=1),
        Step(latched=1),
        Step(state=-7),
        Step(fired=1, value=1, latched=1),
    ]
