"""Words of a sweep, counted: with pauses, over several sweeps, for maps and flat layers."""

from random import Random

import pytest
from streams import simulate
from test_hw_sweep import plan

from hw.layout import Fields
from hw.walk import Walk


@pytest.mark.parametrize(
    ("shape", "lanes"),
    [
        ((11,), 1),
        ((11,), 2),
        ((16,), 16),
        ((1,), 1),
        ((5, 3, 4), 2),
        ((5, 3, 4), 8),
        ((3, 1, 7), 2),
        ((4, 5, 1), 4),
        ((21,), 12),
        ((20, 2, 2), 8),
        ((20, 2, 2), 12),
    ],
)
def test_words_come_in_order(shape, lanes):
    core = plan(shape, lanes=lanes)
    dut, random = Walk(core), Random(1)
    low, lane = sum(Fields(shape).widths[:2]), (core.units - 1).bit_length()

    async def check(ctx):
        for _ in range(3):
            line, bank, place = 0, 0, None
            for index, neurons in enumerate(core.word_tiling.neurons.tolist()):
                address = int(Fields(shape).encode(neurons[0]))
                # Rows begin at every place of the map.
                new = address & ((1 << low) - 1)
                if index and (new != place or bank == core.banks - 1):
                    line, bank = line + 1, 0
                elif index:
                    bank += 1
                place = new
                while random.random() < 0.4:
                    ctx.set(dut.step, 0)
                    await ctx.tick()
                ctx.set(dut.step, 1)
                found = [ctx.get(item) for item in (dut.index, dut.bank, dut.line, dut.place.low, dut.place.high)]
                assert found == [index, bank, line, new, address >> low >> lane]
                assert ctx.get(dut.end) == (index == core.sweeps - 1)
                await ctx.tick()

    simulate(dut, check)
