from random import Random

import pytest
from streams import clock_in, simulate

from hw.memory import Ram, Rom


def traffic(ram, operations):
    """Words read by operations of ``(read address, written address or None, written word)``, each a cycle later."""
    words = []

    async def bench(ctx):
        for address, target, word in operations:
            await clock_in(
                ctx,
                ram,
                read_address=address,
                write_enable=target is not None,
                write_address=target or 0,
                write_data=word,
            )
            words.append(ctx.get(ram.read_data))

    simulate(ram, bench)
    return words


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_reads_what_was_written(depth):
    random = Random(depth)
    init = [random.randrange(32) for _ in range(depth)]
    memory, operations, expected = list(init), [], []
    for _ in range(300):
        address, target = random.randrange(depth), random.randrange(depth)
        target = None if target == address or random.random() < 0.3 else target
        if depth == 1 and random.random() < 0.5:
            target = 0
        operations.append((address, target, random.randrange(32)))
        expected.append(memory[address])
        if target is not None:
            memory[target] = operations[-1][2]
    assert traffic(Ram(width=5, depth=depth, init=init), operations) == expected


def test_words_without_a_first_value_are_zero():
    assert traffic(Ram(width=5, depth=3, init=[9]), [(0, None, 0), (1, None, 0), (2, None, 0)]) == [9, 0, 0]
    assert traffic(Ram(width=5, depth=1), [(0, None, 0)]) == [0]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_word_written_is_there_in_the_next_cycle(depth):
    assert traffic(Ram(width=5, depth=depth), [(depth - 1, 0, 21), (0, None, 3), (0, None, 3)])[1:] == [21, 21]


def test_a_word_read_while_it_is_written_is_the_word_read_before():
    assert traffic(Ram(width=5, depth=2, init=[7, 9]), [(1, None, 0), (0, 0, 21), (0, None, 0)]) == [9, 9, 21]


@pytest.mark.parametrize("init", [[5], [3, 0, 31]])
def test_rom_gives_the_word_of_the_cycle_before(init):
    rom = Rom(width=5, init=init)
    addresses = [*range(len(init)), *reversed(range(len(init)))]
    words = []

    async def bench(ctx):
        for address in addresses:
            await clock_in(ctx, rom, address=address)
            words.append(ctx.get(rom.data))

    simulate(rom, bench)
    assert words == [init[address] for address in addresses]
