from random import Random

import numpy as np
import pytest
from streams import simulate
from test_hw_geometry import connection, geometry

from hw.port import PortPlan
from hw.weights import Weights
from quant.ranges import Range

LATENCY = 2  # cycles from a word's address to its weights

GEOMETRIES = {
    "a word a row": geometry(connection("dense", np.arange(20).reshape(10, 2) - 9), (2,), 4),
    "one word": geometry(connection("dense", [[7], [-8], [3]]), (1,), 3),
    "parts of a row": geometry(connection("conv2d", np.arange(8).reshape(8, 1, 1, 1) - 4, groups=4), (4, 1, 1), 8),
    "a weight a channel": geometry(connection("identity", [-3, 4, 5]), (3, 2, 2), 4),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_weights_go_to_the_lanes_that_they_are_for(name):
    """A word a cycle, in any order; nothing without use."""
    made = GEOMETRIES[name]
    dut, random = Weights(PortPlan(geometry=made, values=Range(0, 1), weight_bits=6)), Random(1)
    asked = [
        (random.randrange(len(made.words)), random.randrange(made.parts), random.random() < 0.8) for _ in range(40)
    ]
    seen = []

    async def bench(ctx):
        for cycle in range(len(asked) + LATENCY):
            word, group, _ = asked[min(cycle, len(asked) - 1)]
            ctx.set(dut.word, word)
            ctx.set(dut.group, group)
            if cycle >= LATENCY:
                ctx.set(dut.use, asked[cycle - LATENCY][2])
                seen.append(([ctx.get(dut.o[lane]) for lane in range(made.lanes)], ctx.get(dut.reached)))
            await ctx.tick()

    simulate(dut, bench)
    for (word, group, use), (weights, reached) in zip(asked, seen, strict=True):
        lanes = [lane for lane in range(made.lanes) if use and lane // made.width == group]
        assert reached == sum(1 << lane for lane in lanes)
        assert weights == [made.words[word, lane % made.width] if lane in lanes else 0 for lane in range(made.lanes)]
