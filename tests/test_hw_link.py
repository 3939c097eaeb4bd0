from dataclasses import dataclass, field

import numpy as np
import pytest
from amaranth.sim import Simulator

from boards.frame import FrameReader, checksum, frame
from boards.messages import BoardInfo, encode
from hw.frame import Fault
from hw.link import ERROR, INFO, RESPONSE, RUN, Link, LinkSpec
from hw.plan import plan_network
from quant.ir import Connection, Input, Network, Population, Readout
from tests.links import board_info

MARKED = 0x100  # a received byte with its error bit
HASH = bytes(range(16))


def network_of(*, inputs=11, classes=3, kind="events", low=-2, high=5, steps=4):
    """Two populations; only its sizes matter here."""
    shape = inputs if isinstance(inputs, tuple) else (inputs,)
    layers = [("hidden", 4, int(np.prod(shape))), ("out", classes, 4)]
    return Network(
        name="linked",
        steps=steps,
        input=Input(shape=shape, kind=kind, low=low, high=high),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=1, state_min=-9, state_max=9) for name, size, _ in layers
        ),
        connections=tuple(
            Connection(source=source, target=name, kind="dense", weights=np.ones((size, fan), int), weight_bits=2)
            for source, (name, size, fan) in zip(("input", "hidden"), layers, strict=True)
        ),
        readout=Readout(population="out"),
    )


@dataclass
class Rig:
    """A link, bytes at its host's side, and in place of a network a process that only does as it is told."""

    spec: LinkSpec
    slowness: int = 0
    samples: list = field(default_factory=list)
    sent: list = field(default_factory=list)

    def run(self, *chunks, stall=0.0, patience=600):
        """Frames that the link answers with to bytes, or words with an error bit."""
        self.dut = Link(self.spec)
        self.random = np.random.default_rng(0)
        self.stall = stall
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(self._network, background=True)
        sim.add_testbench(self._sink, background=True)
        self.idle = 0

        async def source(ctx):
            for word in (word for chunk in chunks for word in chunk):
                while self.random.random() < self.stall:
                    await ctx.tick()
                ctx.set(self.dut.i.payload.data, word & 0xFF)
                ctx.set(self.dut.i.payload.error, word >> 8)
                ctx.set(self.dut.i.valid, 1)
                for _ in range(20000):
                    *_, ready = await ctx.tick().sample(self.dut.i.ready)
                    if ready:
                        break
                else:
                    raise TimeoutError(f"The link took no byte in 20000 cycles; sent so far: {bytes(self.sent).hex()}")
                ctx.set(self.dut.i.valid, 0)
                self.idle = 0
            while self.idle < patience:
                await ctx.tick()
                self.idle += 1

        sim.add_testbench(source)
        sim.run()
        return FrameReader().feed(bytes(self.sent))

    async def _sink(self, ctx):
        while True:
            ready = self.random.random() >= self.stall
            ctx.set(self.dut.o.ready, ready)
            *_, valid, byte = await ctx.tick().sample(self.dut.o.valid, self.dut.o.payload)
            if ready and valid:
                self.sent.append(byte)
                self.idle = 0

    async def _network(self, ctx):
        """Scores: sums of the values by address modulo the classes, in every step once more."""
        beats, scores, fired = self.dut.beats, self.dut.scores, self.dut.fired
        while True:
            sample = []
            while not sample or not sample[-1][3]:
                ready = self.random.random() >= self.stall
                ctx.set(beats.ready, ready)
                payload = beats.payload
                *_, valid, address, value, tick, last = await ctx.tick().sample(
                    beats.valid, payload.address, payload.value, payload.tick, payload.last
                )
                ctx.set(fired, 0)
                if ready and valid:
                    sample.append((address, value, tick, last))
                    ctx.set(fired, 0 if tick else 1 + 2 * (address % 2))
            ctx.set(beats.ready, 0)
            self.samples.append(sample)
            await ctx.tick()
            ctx.set(fired, 0)
            for _ in range(self.slowness):
                await ctx.tick()
            for last, word in [*((0, score) for score in self.scores(sample)), (1, self.answer(sample))]:
                ctx.set(scores.payload.data, word)
                ctx.set(scores.payload.last, last)
                ctx.set(scores.valid, 1)
                await ctx.tick().until(scores.ready)
                ctx.set(scores.valid, 0)

    def scores(self, sample):
        """What the process answers: small numbers, of both signs."""
        return [
            sum(value for address, value, tick, _ in sample if not tick and address % self.spec.classes == index) % 4
            - index
            for index in range(self.spec.classes)
        ]

    def answer(self, sample):
        return int(np.argmax(self.scores(sample)))


@pytest.fixture
def spec():
    return LinkSpec(plan=plan_network(network_of()), build_hash=HASH, clock_hz=24_000_000)


def run_frame(spec, sample, *, tag=0):
    return frame(bytes([tag << 4 | RUN]) + encode(board_info(spec), sample))


def error(fault, *, tag=0):
    return bytes([tag << 4 | ERROR, fault.value])


def random_sample(rng, *, steps=4, inputs=11):
    return rng.integers(-2, 6, (steps, inputs)) * (rng.random((steps, inputs)) < 0.3)


def expected_sample(sample):
    """Beats that a network must see: events in address order, ticks, the last one marked."""
    beats = []
    for step, row in enumerate(sample):
        beats += [(int(address), int(row[address]), 0, 0) for address in np.flatnonzero(row)]
        beats.append((None, None, 1, int(step == len(sample) - 1)))
    return beats


def seen(sample):
    return [(None, None, tick, last) if tick else (address, value, tick, last) for address, value, tick, last in sample]


def test_info(spec):
    (payload,) = Rig(spec).run(frame(bytes([0x50 | INFO])))
    assert payload == bytes([0x50 | INFO | RESPONSE]) + spec.info()
    info = board_info(spec)
    assert info == BoardInfo(
        build_hash=HASH.hex(),
        classes=3,
        populations=2,
        score_bytes=1,
        address_width=4,
        value_width=4,
        channels=11,
        rows=1,
        columns=1,
        low=-2,
        high=5,
        steps=4,
        clock_hz=24_000_000,
    )


@pytest.mark.parametrize(("kind", "stall"), [("events", 0.5), ("current", 0.0), ("rate", 0.5)])
def test_samples_reach_the_network_and_answers_the_host(kind, stall):
    low, high = (0, 7) if kind == "rate" else (-2, 5)
    spec = LinkSpec(plan=plan_network(network_of(kind=kind, low=low, high=high)), build_hash=HASH)
    rng = np.random.default_rng(3)
    samples = [random_sample(rng, steps=steps if kind == "events" else 1) for steps in (4, 1, 3, 4)]
    samples = [np.maximum(sample, low) for sample in samples]
    samples[2][:] = 0
    rig = Rig(spec)
    payloads = rig.run(*(run_frame(spec, sample, tag=tag) for tag, sample in enumerate(samples)), stall=stall)
    assert [seen(sample) for sample in rig.samples] == [expected_sample(sample) for sample in samples]
    for tag, (payload, sample) in enumerate(zip(payloads, rig.samples, strict=True)):
        assert payload[0] == tag << 4 | RUN | RESPONSE
        *scores, answer = np.frombuffer(payload[1:5], np.int8)
        assert scores == rig.scores(sample)
        assert answer == rig.answer(sample)
        events = [address for address, _, tick, _ in sample if not tick]
        assert list(np.frombuffer(payload[9:], "<u4")) == [len(events), sum(address % 2 for address in events)]


@pytest.mark.parametrize("slowness", [0, 1, 70])
def test_cycles_are_those_from_the_end_of_the_frame_to_the_first_score(spec, slowness):
    (payload,) = Rig(spec, slowness=slowness).run(run_frame(spec, np.ones((2, 11), int)), patience=700)
    assert int.from_bytes(payload[5:9], "little") == slowness + 2


def test_scores_of_two_bytes_are_sign_extended():
    spec = LinkSpec(plan=plan_network(network_of(steps=300)))
    assert spec.score_bytes == 2
    rig = Rig(spec)
    (payload,) = rig.run(run_frame(spec, np.eye(2, 11, dtype=int)))
    assert list(np.frombuffer(payload[1:9], "<i2")) == [*rig.scores(rig.samples[0]), rig.answer(rig.samples[0])]
    assert min(rig.scores(rig.samples[0])) < 0


@pytest.mark.parametrize(
    ("inputs", "low", "high", "size"), [(3, 0, 1, 1), (300, -2, 255, 3)], ids=["one byte", "three bytes"]
)
def test_beats_of_other_sizes(inputs, low, high, size):
    spec = LinkSpec(plan=plan_network(network_of(inputs=inputs, low=low, high=high)))
    assert spec.beat_bytes == size
    sample = np.zeros((2, inputs), int)
    sample[0, [0, inputs - 1]], sample[1, 1] = (low or high, high), high
    rig = Rig(spec)
    data = bytes([RUN]) + encode(board_info(spec), sample)
    pieces = [frame(data + bytes(extra)) for extra in range(1, size)]
    payloads = rig.run(frame(data), *pieces)
    assert payloads[0][0] == RUN | RESPONSE
    assert seen(rig.samples[0]) == expected_sample(sample)
    assert payloads[1:] == [error(Fault.LENGTH)] * (size - 1)


def beat(spec, *, address=0, value=0, tick=0):
    layout = spec.layout
    word = address | (value & 15) << layout["address"].width | tick << layout["address"].width + 4
    return word.to_bytes(spec.beat_bytes, "little")


EVENT = {"address": 1, "value": 1}

BAD = {
    "unknown command": (bytes([3]), Fault.COMMAND, 0),
    "command 0": (bytes([0]), Fault.COMMAND, 0),
    "response as a command": (bytes([RUN | RESPONSE]), Fault.COMMAND, 0),
    "unknown command with data": (bytes([3, 1, 2, 3]), Fault.COMMAND, 0),
    "info with data": (bytes([INFO, 0]), Fault.LENGTH, 0),
    "half a beat": (bytes([RUN, 1]), Fault.LENGTH, 0),
    "a beat and a half": ([EVENT, bytes([1])], Fault.LENGTH, 1),
    "address just outside": ([{"address": 11, "value": 1}], Fault.ADDRESS, 0),
    "address outside after a good event": ([EVENT, {"address": 15, "value": 1}, EVENT], Fault.ADDRESS, 1),
    "value above": ([{"address": 1, "value": 6}], Fault.VALUE, 0),
    "value below": ([EVENT, {"address": 1, "value": -3}], Fault.VALUE, 1),
    "address outside, then half a beat": ([{"address": 12}, bytes([1])], Fault.ADDRESS, 0),
    "one step too many": ([{"tick": 1}] * 4, Fault.STEPS, 1),
}


def payload_of(spec, parts):
    if isinstance(parts, bytes):
        return parts
    return bytes([RUN]) + b"".join(part if isinstance(part, bytes) else beat(spec, **part) for part in parts)


@pytest.mark.parametrize("case", BAD)
def test_refuses_and_recovers(spec, case):
    parts, fault, opened = BAD[case]
    good = np.eye(2, 11, dtype=int)
    rig = Rig(spec)
    payloads = rig.run(frame(payload_of(spec, parts)), run_frame(spec, good, tag=7))
    assert payloads[0] == error(fault, tag=payload_of(spec, parts)[0] >> 4)
    assert payloads[1][0] == 0x70 | RUN | RESPONSE
    assert len(payloads) == 2
    assert len(rig.samples) == opened + 1, "a sample that was begun must be ended, and no other"
    assert seen(rig.samples[-1]) == expected_sample(good)
    for address, value, tick, _ in (item for sample in rig.samples for item in sample):
        assert tick or (address < 11 and -2 <= value <= 5)


def test_addresses_of_a_map_are_fields_of_which_each_may_be_outside():
    """Of (2, 3, 5): channel, row and column in bits 5, 4 to 3 and 2 to 0."""
    spec = LinkSpec(plan=plan_network(network_of(inputs=(2, 3, 5))))
    assert (spec.layout["address"].width, board_info(spec).address_width) == (6, 6)
    inside, column, row = 0b1_10_100, 0b0_00_101, 0b0_11_000
    for wrong in (column, row):
        rig = Rig(spec)
        payloads = rig.run(frame(payload_of(spec, [{"address": inside, "value": 5}, {"address": wrong, "value": 5}])))
        assert payloads == [error(Fault.ADDRESS)]
        assert seen(rig.samples[0]) == [(inside, 5, 0, 0), (None, None, 1, 1)]


def test_good_values_at_both_ends_pass(spec):
    rig = Rig(spec)
    sample = np.zeros((4, 11), int)
    sample[0, 10], sample[3, 0] = 5, -2
    (payload,) = rig.run(run_frame(spec, sample))
    assert payload[0] == RUN | RESPONSE
    assert seen(rig.samples[0]) == expected_sample(sample)


@pytest.mark.parametrize(("position", "stall"), [(1, 0.0), (3, 0.5), (-3, 0.0)])
def test_wrong_checksum_drops_the_answer(spec, position, stall):
    bad = bytearray(run_frame(spec, np.ones((2, 11), int), tag=3))
    bad[position] ^= 0x10
    good = np.eye(2, 11, dtype=int)
    rig = Rig(spec, slowness=20)
    payloads = rig.run(bytes(bad), run_frame(spec, good, tag=4), stall=stall)
    assert [payload[0] & 15 for payload in payloads] == [ERROR, RUN | RESPONSE]
    assert payloads[0][1] == Fault.CHECKSUM.value
    assert list(np.frombuffer(payloads[1][1:4], np.int8)) == rig.scores(rig.samples[-1])
    assert list(np.frombuffer(payloads[1][9:], "<u4")) == [2, 1], "spikes of the dropped sample must not count"


def test_wrong_checksum_before_any_beat_starts_no_sample(spec):
    rig = Rig(spec)
    (payload,) = rig.run(b"\xc0" + bytes([RUN, 0, 0]) + b"\xc0")
    assert payload == error(Fault.CHECKSUM)
    assert rig.samples == []


def test_damaged_info_is_refused(spec):
    body = bytes([INFO])
    (payload,) = Rig(spec).run(b"\xc0" + body + bytes(byte ^ 1 for byte in checksum(body)) + b"\xc0")
    assert payload == error(Fault.CHECKSUM)


def test_frame_in_the_middle_of_another(spec):
    whole = run_frame(spec, np.ones((3, 11), int), tag=2)
    rig = Rig(spec)
    payloads = rig.run(whole[:13], run_frame(spec, np.eye(2, 11, dtype=int), tag=5))
    assert [payload[0] for payload in payloads] == [0x20 | ERROR, 0x50 | RUN | RESPONSE]
    assert payloads[0][1] == Fault.CHECKSUM.value
    assert seen(rig.samples[-1]) == expected_sample(np.eye(2, 11, dtype=int))


def test_line_error_spoils_the_frame(spec):
    words = list(run_frame(spec, np.ones((2, 11), int)))
    words[9] |= MARKED
    payloads = Rig(spec).run(words, run_frame(spec, np.eye(2, 11, dtype=int)))
    assert payloads[0] == error(Fault.LINE)
    assert payloads[1][0] == RUN | RESPONSE


@pytest.mark.parametrize("seed", range(3))
def test_recovers_from_garbage(spec, seed):
    rng = np.random.default_rng(seed)
    garbage = rng.integers(0, 256, 60)
    garbage[rng.random(60) < 0.1] = 0xC0
    garbage[rng.random(60) < 0.1] = RUN
    rig = Rig(spec)
    payloads = rig.run([int(byte) for byte in garbage], run_frame(spec, np.eye(2, 11, dtype=int), tag=9))
    assert payloads[-1][0] == 0x90 | RUN | RESPONSE
    assert seen(rig.samples[-1]) == expected_sample(np.eye(2, 11, dtype=int))
    assert all(payload[0] & 15 == ERROR for payload in payloads[:-1])


def test_leds(spec):
    dut = Link(spec)
    levels = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for byte in frame(bytes([3])):
            ctx.set(dut.i.payload.data, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        for _ in range(60):
            levels.append((ctx.get(dut.busy), ctx.get(dut.bad)))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert (1, 1) in levels
    assert levels[-1] == (0, 1)


def test_build_hash_of_another_length():
    with pytest.raises(ValueError, match=r"^Build hash must be 16 bytes, not 3$"):
        LinkSpec(plan=plan_network(network_of()), build_hash=b"abc")
