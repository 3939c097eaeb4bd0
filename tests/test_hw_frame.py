import numpy as np
import pytest
from amaranth.sim import Simulator

from boards.frame import frame
from hw.frame import Deframer, Fault, Framer

MARKED = 0x100  # a received byte with its error bit


def deframe(received, *, stall=0.0, seed=0):
    """Frames that a deframer makes of bytes: payload released and fault, of each."""
    dut = Deframer()
    rng = np.random.default_rng(seed)
    frames, released = [], []
    done = False

    async def source(ctx):
        nonlocal done
        for word in received:
            ctx.set(dut.i.p.data, word & 0xFF)
            ctx.set(dut.i.p.error, word >> 8)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            while rng.random() < stall:
                await ctx.tick()
        await ctx.tick().repeat(40)
        done = True

    async def sink(ctx):
        nonlocal released
        while not done:
            ready = rng.random() >= stall
            ctx.set(dut.o.ready, ready)
            *_, valid, byte, end, fault = await ctx.tick().sample(dut.o.valid, dut.o.p.data, dut.o.p.end, dut.o.p.fault)
            if ready and valid and end:
                frames.append((bytes(released), Fault(fault)))
                released = []
            elif ready and valid:
                released.append(byte)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source)
    sim.add_testbench(sink)
    sim.run()
    assert not released
    return frames


def make_frame(payload, *, stall=0.0, seed=0):
    """Bytes that a framer makes of a payload."""
    dut = Framer()
    rng = np.random.default_rng(seed)
    sent = []
    done = False

    async def source(ctx):
        nonlocal done
        for index, byte in enumerate(payload):
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(dut.i.p.data, byte)
            ctx.set(dut.i.p.last, index == len(payload) - 1)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(40)
        done = True

    async def sink(ctx):
        while not done:
            ready = rng.random() >= stall
            ctx.set(dut.o.ready, ready)
            *_, valid, byte = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if ready and valid:
                sent.append(byte)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(source)
    sim.add_testbench(sink)
    sim.run()
    return bytes(sent)


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize(
    ("payload", "framed"),
    [
        (b"123456789", "c0 31 32 33 34 35 36 37 38 39 b1 29 c0"),  # the check value of CRC-16/CCITT-FALSE: 0x29B1
        (b"\xc0\xdb", "c0 db dc db dd 4d 71 c0"),
        (b"\x00", "c0 00 f0 e1 c0"),
    ],
)
def test_known_frames(payload, framed, stall):
    framed = bytes.fromhex(framed)
    assert make_frame(payload, stall=stall) == framed
    assert deframe(framed, stall=stall) == [(payload, Fault.NONE)]


def checksum_that_needs_escapes():
    """Payloads whose checksum holds END and ESC."""
    found = {}
    for number in range(1 << 16):
        payload = number.to_bytes(2, "little")
        for index, byte in enumerate(frame(payload)[-4:-1] if len(frame(payload)) > 6 else b""):
            if byte in (0xDC, 0xDD) and payload[0] not in (0xC0, 0xDB) and payload[1] not in (0xC0, 0xDB):
                found.setdefault((index, byte), payload)
        if len(found) == 4:
            break
    return sorted(found.values())


@pytest.mark.parametrize("payload", checksum_that_needs_escapes())
def test_checksum_is_escaped(payload):
    assert make_frame(payload) == frame(payload)
    assert deframe(frame(payload)) == [(payload, Fault.NONE)]


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_random_payloads_there_and_back(stall):
    rng = np.random.default_rng(1)
    payloads = [bytes(rng.choice([0xC0, 0xDB, 0xDC, 0xDD, 0x00, 0x41], rng.integers(1, 12))) for _ in range(20)]
    for payload in payloads[:8]:
        assert make_frame(payload, stall=stall) == frame(payload)
    assert deframe(b"".join(map(frame, payloads)), stall=stall) == [(payload, Fault.NONE) for payload in payloads]


def test_every_flipped_bit_is_noticed():
    good = frame(b"\x12\xc0\x34")
    for position in range(8, 8 * (len(good) - 1)):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        assert all(fault is not Fault.NONE for _, fault in deframe(bytes(bad)))


def test_empty_frames_mean_nothing():
    assert deframe(b"\xc0\xc0\xc0" + frame(b"A") + b"\xc0\xc0") == [(b"A", Fault.NONE)]


@pytest.mark.parametrize("body", [b"\x01", b"\xff\xff"])
def test_frame_without_payload_is_too_short(body):
    assert deframe(b"\xc0" + body + b"\xc0") == [(b"", Fault.LENGTH)]


def test_frame_without_payload_after_a_good_one_is_too_short():
    assert deframe(frame(b"A") + b"\xc0\x01\xc0") == [(b"A", Fault.NONE), (b"", Fault.LENGTH)]


def test_wrong_checksum():
    assert deframe(b"\xc0AB\x00\x00\xc0") == [(b"AB", Fault.CHECKSUM)]


@pytest.mark.parametrize("body", [b"A\xdb\x00B", b"A\xdb\xdbB", b"AB\xdb", b"\xdb"])
def test_bad_escape(body):
    ((_, fault),) = deframe(b"\xc0" + body + b"\xc0")
    assert fault is Fault.LINE


def test_escape_before_the_end_spoils_its_frame_only():
    assert deframe(b"\xc0\xdb\xc0" + frame(b"A")) == [(b"", Fault.LINE), (b"A", Fault.NONE)]


def test_byte_with_line_error_spoils_its_frame_only():
    good = frame(b"ABC")
    words = [*good, *good[:3], good[3] | MARKED, *good[4:], *good]
    assert deframe(words) == [(b"ABC", Fault.NONE), (b"ABC", Fault.LINE), (b"ABC", Fault.NONE)]


def test_end_with_line_error_is_a_bad_frame():
    assert deframe([0xC0 | MARKED, *frame(b"A")]) == [(b"", Fault.LINE), (b"A", Fault.NONE)]


def test_finds_its_place_after_garbage():
    frames = deframe(b"\xdb\x01garbage" + frame(b"A") + b"more" + frame(b"B"))
    assert [payload for payload, fault in frames if fault is Fault.NONE] == [b"A", b"B"]
    assert len(frames) == 4


def test_frame_cut_off_by_another():
    frames = deframe(frame(b"ABCDEF")[:5] + frame(b"XYZ"))
    assert frames == [(b"AB", Fault.CHECKSUM), (b"XYZ", Fault.NONE)]
