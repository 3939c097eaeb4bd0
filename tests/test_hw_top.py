import numpy as np
import pytest
from amaranth.sim import Simulator

from boards.frame import FrameReader, frame
from boards.messages import encode
from hw.link import RESPONSE, RUN, LinkSpec
from hw.plan import plan_network
from hw.top import Top
from hw.uart import BaudError
from sim import golden
from tests.links import board_info, small_network

DIVISOR = 4


def exchange(top, data, *, answers):
    """Payloads that come out of ``tx`` after ``data`` has gone into ``rx``, bit by bit."""
    received = bytearray()
    reader = FrameReader()
    payloads = []

    async def host(ctx):
        ctx.set(top.rx, 1)
        await ctx.tick().repeat(20)
        for byte in data:
            for bit in (0, *((byte >> index) & 1 for index in range(8)), 1):
                ctx.set(top.rx, bit)
                await ctx.tick().repeat(DIVISOR)
        for _ in range(40):
            await ctx.tick().repeat(200)
            if len(payloads) == answers:
                return
        raise TimeoutError(f"Received {len(payloads)} of {answers} frames: {received.hex()}")

    async def board(ctx):
        await ctx.tick()
        while True:
            while ctx.get(top.tx):
                await ctx.tick()
            await ctx.tick().repeat(DIVISOR // 2)
            bits = []
            for _ in range(9):
                await ctx.tick().repeat(DIVISOR)
                bits.append(ctx.get(top.tx))
            assert bits[8] == 1, "stop bit"
            received.append(sum(bit << index for index, bit in enumerate(bits[:8])))
            payloads.extend(reader.feed(bytes(received[-1:])))

    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(host)
    sim.add_testbench(board, background=True)
    sim.run()
    return payloads


@pytest.mark.parametrize("kind", ["events", "current"])
def test_samples_at_the_pins_get_the_answers_of_the_golden_model(kind):
    network = small_network(kind)
    rng = np.random.default_rng(2)
    shape = (3, 3, 6) if kind == "events" else (3, 6)
    inputs = rng.integers(0, network.input.high + 1, shape)
    golden_result = golden.run(network, inputs)
    spec = LinkSpec(plan=plan_network(network), clock_hz=4_000_000, baud=1_000_000)
    data = b"".join(frame(bytes([RUN]) + encode(board_info(spec), sample)) for sample in inputs)

    payloads = exchange(Top(spec), data, answers=3)

    assert golden_result.totals["second"].sum() > 0
    for index, payload in enumerate(payloads):
        assert payload[0] == RUN | RESPONSE
        assert list(payload[1:5]) == [*golden_result.scores[index], golden_result.answers[index]]
        spikes = [golden_result.totals[name][index] for name in network.order]
        assert list(np.frombuffer(payload[9:], "<u4")) == spikes


def test_baud_rate_that_the_clock_cannot_make():
    plan = plan_network(small_network())
    with pytest.raises(BaudError, match=r"^Baud rate must be between 1 and 750000 at 3000000 Hz, not 1000000$"):
        LinkSpec(plan=plan, clock_hz=3_000_000)
