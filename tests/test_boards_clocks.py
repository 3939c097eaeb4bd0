import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.board import BOARDS, find_board
from boards.clocks import ClockError, Ecp5Pll, Ice40Pll, _ice40_settings, ecp5_pll, ice40_pll
from boards.shell import clock_of


@pytest.mark.parametrize(
    ("wanted_hz", "divf", "divq", "filter_range"),
    [(24e6, 63, 5, 1), (30e6, 79, 5, 1), (48e6, 63, 4, 1), (60e6, 79, 4, 1), (270e6, 44, 1, 1), (16.125e6, 85, 6, 1)],
)
def test_known_settings_of_ice40(wanted_hz, divf, divq, filter_range):
    pll = ice40_pll(12e6, wanted_hz)
    assert (pll.divr, pll.divf, pll.divq, pll.filter_range) == (0, divf, divq, filter_range)


@pytest.mark.parametrize(
    ("reference_hz", "filter_range"),
    [(10e6, 1), (16.9e6, 1), (17e6, 2), (25.9e6, 2), (26e6, 3), (44e6, 4), (66e6, 5), (101e6, 6), (133e6, 6)],
)
def test_loop_filter_of_ice40(reference_hz, filter_range):
    assert {pll.filter_range for pll in _ice40_settings(reference_hz) if pll.divr == 0} == {filter_range}


@pytest.mark.parametrize(
    ("wanted_hz", "clki_div", "clkfb_div", "clkop_div"),
    [
        (62.5e6, 2, 5, 10),
        (60e6, 5, 12, 10),
        (50e6, 1, 2, 12),
        (100e6, 1, 4, 6),
        (400e6, 1, 16, 2),
        (3.125e6, 8, 1, 128),
    ],
)
def test_known_settings_of_ecp5(wanted_hz, clki_div, clkfb_div, clkop_div):
    pll = ecp5_pll(25e6, wanted_hz)
    assert (pll.clki_div, pll.clkfb_div, pll.clkop_div) == (clki_div, clkfb_div, clkop_div)
    assert pll.clock_hz == wanted_hz


@given(st.sampled_from([10e6, 12e6, 16e6, 25e6, 48e6, 100e6]), st.floats(17.2e6, 260e6))
def test_ice40_keeps_its_limits(reference_hz, wanted_hz):
    pll = ice40_pll(reference_hz, wanted_hz)
    oscillator = reference_hz / (pll.divr + 1) * (pll.divf + 1)
    assert pll.clock_hz == oscillator / 2**pll.divq <= wanted_hz
    assert 533e6 <= oscillator <= 1066e6
    assert 10e6 <= reference_hz / (pll.divr + 1) <= 133e6
    assert (pll.divr in range(16), pll.divf in range(128), pll.divq in range(1, 7)) == (True, True, True)


@given(st.sampled_from([12e6, 25e6, 48e6, 100e6]), st.floats(10e6, 399e6))
def test_ecp5_keeps_its_limits(reference_hz, wanted_hz):
    pll = ecp5_pll(reference_hz, wanted_hz)
    assert pll.clock_hz == reference_hz * pll.clkfb_div / pll.clki_div <= wanted_hz
    assert 400e6 <= pll.clock_hz * pll.clkop_div <= 800e6
    assert reference_hz / pll.clki_div >= 3.125e6
    assert all(divider in range(1, 129) for divider in (pll.clki_div, pll.clkfb_div, pll.clkop_div))
    inputs = [divider for divider in range(1, 33) if reference_hz / divider >= 3.125e6]
    reached = [reference_hz * feedback / divider for divider in inputs for feedback in range(1, 129)]
    assert pll.clock_hz == max(clock_hz for clock_hz in reached if clock_hz <= wanted_hz)


def test_no_slower_settings_are_taken():
    assert ice40_pll(12e6, 29.9e6).clock_hz == 29.625e6
    assert ecp5_pll(25e6, 61e6).clock_hz == pytest.approx(60.714e6, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "wanted_hz", "message"),
    [
        (
            lambda hz: ice40_pll(12e6, hz),
            16e6,
            "Clock must be between 16.125 and 270 MHz from this board's PLL, not 16",
        ),
        (
            lambda hz: ice40_pll(12e6, hz),
            300e6,
            "Clock must be between 16.125 and 270 MHz from this board's PLL, not 300",
        ),
        (lambda hz: ecp5_pll(25e6, hz), 3e6, "Clock must be between 3.125 and 400 MHz from this board's PLL, not 3"),
        (
            lambda hz: ecp5_pll(25e6, hz),
            401e6,
            "Clock must be between 3.125 and 400 MHz from this board's PLL, not 401",
        ),
    ],
)
def test_clock_that_cannot_be_made(make, wanted_hz, message):
    with pytest.raises(ClockError) as caught:
        make(wanted_hz)
    assert str(caught.value) == message


def test_clock_of_a_board():
    icebreaker, ulx3s = find_board("icebreaker"), find_board("ulx3s-85f")
    assert clock_of(icebreaker, 12e6) == 12e6
    assert isinstance(clock_of(icebreaker, 30e6), Ice40Pll)
    assert isinstance(clock_of(ulx3s, 30e6), Ecp5Pll)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_default_clock_is_made_exactly(board):
    clock = clock_of(board, None)
    assert (clock if isinstance(clock, float) else clock.clock_hz) == board.default_clock_hz
