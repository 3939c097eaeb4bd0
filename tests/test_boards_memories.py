import pytest

from boards.memories import Storage, store


@pytest.mark.parametrize(
    ("width", "depth", "blocks"),
    [
        # Shapes of 4096 bits: 256 x 16, 512 x 8, 1024 x 4, 2048 x 2.
        (16, 256, 1),
        (17, 256, 2),
        (8, 512, 1),
        (9, 512, 2),
        (4, 1024, 1),
        (2, 2048, 1),
        (2, 2049, 2),
        (32, 1024, 8),
        (12, 384, 2),
    ],
)
def test_block_rams_of_ice40_worked_by_hand(width, depth, blocks):
    for written in (False, True):
        assert store("ice40", width=width, depth=depth, written=written) == Storage(block_rams=blocks)


@pytest.mark.parametrize(
    ("width", "depth", "written", "blocks"),
    [
        # 512 x 36, 1024 x 18, 2048 x 9; without the ninth bits 4096 x 4, 8192 x 2, 16384 x 1.
        (36, 512, False, 1),
        (37, 512, False, 2),
        (18, 1024, False, 1),
        (9, 2048, False, 1),
        (4, 4096, False, 1),
        (1, 16384, False, 1),
        (72, 512, True, 2),
        # Parts of nine bits are written: 40 bits are five of them.
        (40, 512, True, 2),
        (32, 1024, False, 2),
    ],
)
def test_block_rams_of_ecp5_worked_by_hand(width, depth, written, blocks):
    assert store("ecp5", width=width, depth=depth, written=written) == Storage(block_rams=blocks)


def test_small_memories_of_ice40_are_logic():
    # A bit in registers costs 1, one of 16 constants 1; a block RAM 64, and 6 for its read port.
    assert store("ice40", width=10, depth=7, written=True) == Storage(ram_bits=70)
    assert store("ice40", width=71, depth=2, written=True) == Storage(ram_bits=142)
    assert store("ice40", width=8, depth=9, written=True) == Storage(block_rams=1)
    assert store("ice40", width=16, depth=70, written=False) == Storage(rom_bits=1120)
    assert store("ice40", width=16, depth=71, written=False) == Storage(block_rams=1)


def test_wide_and_shallow_constants_are_logic():
    # 64 words use a quarter of a block RAM: logic is cheaper, whatever the width.
    assert store("ice40", width=512, depth=64, written=False) == Storage(rom_bits=512 * 64)
    assert store("ice40", width=512, depth=128, written=False) == Storage(block_rams=32)


def test_a_queue_of_ice40_needs_a_little_more_to_be_a_block_ram():
    assert store("ice40", width=5, depth=15, written=True, before=True) == Storage(ram_bits=75)
    assert store("ice40", width=5, depth=15, written=True) == Storage(block_rams=1)
    assert store("ice40", width=6, depth=15, written=True, before=True) == Storage(block_rams=1)


def test_ecp5_has_distributed_ram_but_not_for_constants():
    assert store("ecp5", width=20, depth=16, written=True) == Storage(tables=5)
    assert store("ecp5", width=21, depth=17, written=True) == Storage(tables=12)
    assert store("ecp5", width=32, depth=64, written=True) == Storage(block_rams=1)
    assert store("ecp5", width=20, depth=16, written=False) == Storage(rom_bits=320)


def test_bits_that_are_written_alone_keep_to_their_parts():
    # Six parts of 6 bits, each in nine.
    assert store("ecp5", width=36, depth=1024, written=True, grain=6) == Storage(block_rams=3)
    assert store("ecp5", width=36, depth=1024, written=True) == Storage(block_rams=2)


def test_what_is_no_memory():
    assert store("ice40", width=0, depth=100, written=True) == Storage()
    assert store("ice40", width=9, depth=1, written=True) == Storage(ram_bits=9)
    assert store("ice40", width=9, depth=1, written=False) == Storage()
