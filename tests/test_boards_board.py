import pytest

from boards.board import BOARDS, BoardError, find_board


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_platform_is_of_the_board(board):
    platform = board.make_platform()
    assert board.device.startswith(platform.device)
    assert platform.default_clk_frequency == board.reference_hz
    assert platform is not board.make_platform()
    platform.lookup("uart", 0)
    for name, number in board.leds:
        platform.lookup(name, number)


def test_name_in_any_case():
    assert find_board("ULX3S-85F") is BOARDS["ulx3s-85f"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("icebraker", "icebreaker"),
        ("ulx3s-52f", "ulx3s-12f, ulx3s-25f, ulx3s-45f, ulx3s-85f"),
        ("nothing at all", "icebreaker, ulx3s-12f, ulx3s-25f, ulx3s-45f, ulx3s-85f"),
    ],
)
def test_misspelt_name_is_answered_with_those_that_are_near(name, near):
    with pytest.raises(BoardError) as caught:
        find_board(name)
    told = str(caught.value)
    assert told.startswith("Board must be one of ")
    assert told.endswith(f", not {name!r}")
    assert set(told[21 : -len(f", not {name!r}")].split(", ")) == set(near.split(", "))


def test_memory_of_a_chip():
    # 30 blocks of 4 kbit and 5280 tables of 16 bits.
    assert find_board("icebreaker").memory_bits == 30 * 4096 + 5280 * 16
