import pytest
from amaranth.sim import Simulator

from hw.uart import BaudError, UartReceiver, UartTransmitter, baud_divisor


def receive(levels, *, divisor, takes=None, count):
    """Bytes that a receiver makes of line levels, each for a clock cycle; ``takes``: when they are taken."""
    dut = UartReceiver(divisor)
    received = []

    async def line(ctx):
        for level in levels:
            ctx.set(dut.rx, level)
            await ctx.tick()

    async def sink(ctx):
        cycle = 0
        while len(received) < count:
            ctx.set(dut.o.ready, takes is None or cycle in takes)
            _, _, valid, byte, error, ready = await ctx.tick().sample(
                dut.o.valid, dut.o.p.data, dut.o.p.error, dut.o.ready
            )
            cycle += 1
            if valid and ready:
                received.append((byte, error))
            assert cycle < len(levels) + 100, f"Received {len(received)} of {count} bytes"

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(line)
    sim.add_testbench(sink)
    sim.run()
    return received


def levels_of(data, *, bit, stop=1):
    """Levels of the line, with ``bit`` cycles (possibly a fraction) for each bit, idle before and after."""
    bits = [1, 1]
    for byte in data:
        bits += [0, *((byte >> index) & 1 for index in range(8)), stop]
    bits += [1, 1, 1]
    return [bits[int(cycle / bit)] for cycle in range(int(len(bits) * bit))]


@pytest.mark.parametrize("divisor", [4, 5, 24])
def test_receives_bytes_back_to_back(divisor):
    data = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0xC0]
    assert receive(levels_of(data, bit=divisor), divisor=divisor, count=7) == [(byte, 0) for byte in data]


@pytest.mark.parametrize("stretch", [0.97, 1.03])
def test_receives_from_a_clock_that_is_three_percent_off(stretch):
    data = [0x00, 0xFF, 0x55, 0xAA]
    assert receive(levels_of(data, bit=24 * stretch), divisor=24, count=4) == [(byte, 0) for byte in data]


def test_marks_a_byte_without_stop_bit():
    levels = levels_of([0x12], bit=8, stop=0) + levels_of([0x34], bit=8)
    assert receive(levels, divisor=8, count=2) == [(0x12, 1), (0x34, 0)]


def test_break_is_one_bad_byte():
    levels = [1] * 8 + [0] * 400 + [1] * 16 + levels_of([0x34], bit=8)
    assert receive(levels, divisor=8, count=2) == [(0x00, 1), (0x34, 0)]


def test_ignores_a_glitch_shorter_than_half_a_bit():
    levels = [1] * 8 + [0] * 3 + [1] * 30 + levels_of([0x34], bit=8)
    assert receive(levels, divisor=8, count=1) == [(0x34, 0)]


def test_marks_the_byte_after_a_lost_one():
    levels = levels_of([1, 2, 3, 4], bit=8)
    late = range(2 * 8 + 2 * 80 + 40, 1000)
    assert receive(levels, divisor=8, count=3, takes=late) == [(1, 0), (3, 1), (4, 0)]


@pytest.mark.parametrize("divisor", [1, 2, 7])
def test_transmits_bytes(divisor):
    dut = UartTransmitter(divisor)
    data = [0x00, 0xFF, 0x55, 0xC1]
    levels = []

    async def source(ctx):
        for byte in data:
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def line(ctx):
        for _ in range(len(data) * (10 * divisor + 1) + 3):
            levels.append(ctx.get(dut.tx))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source)
    sim.add_testbench(line)
    sim.run()

    expected = [1]
    for byte in data:
        for bit in [0, *((byte >> index) & 1 for index in range(8)), 1]:
            expected += [bit] * divisor
        expected += [1]
    assert levels == [*expected, 1, 1][: len(levels)]


@pytest.mark.parametrize(
    ("clock_hz", "baud", "divisor"),
    [(24e6, 1_000_000, 24), (62.5e6, 1_000_000, 62), (25e6, 115_200, 217), (4e6, 1_000_000, 4)],
)
def test_divisor_is_nearest(clock_hz, baud, divisor):
    assert baud_divisor(clock_hz, baud) == divisor


def test_baud_rate_above_a_quarter_of_the_clock():
    with pytest.raises(BaudError, match=r"^Baud rate must be between 1 and 3000000 at 12000000 Hz, not 3000001$"):
        baud_divisor(12e6, 3_000_001)


def test_baud_rate_of_zero():
    with pytest.raises(BaudError, match=r"not 0$"):
        baud_divisor(12e6, 0)


def test_baud_rate_too_far_from_a_fraction_of_the_clock():
    with pytest.raises(BaudError, match=r"^Baud rate must be within 2 % .* of 12000000 Hz, such as 2400000"):
        baud_divisor(12e6, 2_600_000)
