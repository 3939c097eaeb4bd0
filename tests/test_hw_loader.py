"""Loading over the link: what the hardware does with pieces, checksums and samples, good and bad."""

import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth import Module
from amaranth.hdl import Elaboratable
from amaranth.lib import wiring
from streams import simulate

from boards.frame import FrameReader, frame
from boards.messages import encode
from hw.frame import Fault
from hw.image import shape_digest, weight_image
from hw.link import ERROR, INFO, LOAD, RESPONSE, RUN, VERIFY, Link, LinkSpec
from hw.network import NetworkCore
from hw.plan import plan_network
from hw.port import BlockRam
from quant.ir import Network
from sim import golden
from tests.links import board_info, small_network

BEFORE, AFTER = small_network(), small_network(seed=16)
SAMPLE = np.array([[1, 1, 0, 1, 0, 1], [1, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]])


class Linked(Elaboratable):
    """A link and its network, without the line."""

    def __init__(self, spec: LinkSpec):
        self.link, self.network = Link(spec), NetworkCore(spec.plan)
        self.reloadable = spec.plan.reloadable

    def elaborate(self, platform):
        m = Module()
        m.submodules.link, m.submodules.network = link, network = self.link, self.network
        wiring.connect(m, **{"link.beats": link.beats, "network.i": network.i})
        wiring.connect(m, **{"network.o": network.o, "link.scores": link.scores})
        m.d.comb += link.fired.eq(network.fired)
        if self.reloadable:
            wiring.connect(m, **{"link.load": link.load, "network.load": network.load})
        return m


@dataclass
class Board:
    """A network behind its link; the host sends a frame, and waits for its answer."""

    network: Network = BEFORE
    storage: str = "ram"
    block_ram: BlockRam | None = None

    def __post_init__(self):
        self.plan = plan_network(self.network, storage=self.storage, block_ram=self.block_ram)
        self.spec = LinkSpec(plan=self.plan)

    def run(self, *payloads):
        """Payload that answers each; in place of a payload, bytes of the line in a list."""
        dut, found = Linked(self.spec), []

        async def answer(ctx):
            reader, port = FrameReader(), dut.link.o
            ctx.set(port.ready, 1)
            for _ in range(5000):
                *_, valid, byte = await ctx.tick().sample(port.valid, port.payload)
                if valid and (answers := reader.feed(bytes([byte]))):
                    return answers
            raise TimeoutError("No answer in 5000 cycles")

        async def host(ctx):
            port = dut.link.i
            for payload in payloads:
                for byte in payload if isinstance(payload, list) else frame(payload):
                    ctx.set(port.payload.data, byte)
                    ctx.set(port.valid, 1)
                    await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)
                found.extend(await answer(ctx))

        simulate(dut, host, cycles=60_000)
        return found

    def image(self, network: Network):
        return weight_image(plan_network(network, storage=self.storage, block_ram=self.block_ram))

    def load(self, network: Network, size: int = 16):
        """Payloads that load a network's weights."""
        image = self.image(network)
        return [*(bytes([LOAD]) + place + words for place, words in image.pieces(size)), verify(image.crc)]

    def sample(self):
        return bytes([RUN]) + encode(board_info(self.spec), SAMPLE)

    def answer(self, network: Network):
        """Scores and answer that the golden model gives, as bytes."""
        result = golden.run(network, SAMPLE[np.newaxis])
        return bytes(int(value) & 255 for value in (*result.scores[0], result.answers[0]))


def verify(crc):
    return bytes([VERIFY]) + crc.to_bytes(4, "little")


def fault(kind):
    return bytes([ERROR, kind.value])


def told(payload):
    """Whether the board says that it is loaded, and its checksum."""
    assert payload[0] == INFO | RESPONSE
    return payload[25], int.from_bytes(payload[-4:], "little")


INFO_PAYLOAD = bytes([INFO])
REFUSED = fault(Fault.WEIGHTS)


def test_networks_answer_differently():
    assert Board().answer(BEFORE) != Board().answer(AFTER)


@pytest.mark.parametrize("size", [1, 8, 100])
@pytest.mark.parametrize(
    ("storage", "block_ram"), [("ram", None), ("spram", None), ("ram", BlockRam(((2, 64), (4, 32))))]
)
def test_other_weights_give_the_answers_of_the_other_network(storage, block_ram, size):
    board = Board(storage=storage, block_ram=block_ram)
    pieces = board.load(AFTER, size)
    answers = board.run(INFO_PAYLOAD, *pieces, INFO_PAYLOAD, board.sample(), *board.load(BEFORE, size), board.sample())
    crc = board.image(AFTER).crc
    assert told(answers[0]) == ((1, board.image(BEFORE).crc) if storage == "ram" else (0, 0))
    assert answers[1 : len(pieces)] == [bytes([LOAD | RESPONSE])] * (len(pieces) - 1)
    assert answers[len(pieces)] == bytes([VERIFY | RESPONSE]) + crc.to_bytes(4, "little")
    assert told(answers[len(pieces) + 1]) == (1, crc)
    assert answers[len(pieces) + 2][1:5] == board.answer(AFTER)
    assert answers[-1][1:5] == board.answer(BEFORE)


def test_spram_runs_nothing_before_it_is_loaded():
    board = Board(storage="spram")
    answers = board.run(board.sample(), INFO_PAYLOAD, board.sample())
    assert answers[0] == answers[2] == REFUSED
    assert told(answers[1])[0] == 0


def test_checksum_is_of_shape_and_words():
    board = Board()
    image = board.image(BEFORE)
    assert image.crc == zlib.crc32(shape_digest(board.plan) + b"".join(words for _, words in image.memories))


@pytest.mark.parametrize("storage", ["ram", "spram"])
def test_a_load_that_is_cut_off_leaves_it_not_loaded(storage):
    board = Board(storage=storage)
    *pieces, check = board.load(AFTER, 1)
    answers = board.run(
        *pieces[:-1], board.sample(), check, board.sample(), INFO_PAYLOAD, pieces[-1], check, board.sample()
    )
    rest = answers[len(pieces) - 1 :]
    assert rest[0] == REFUSED
    assert rest[1][0] == VERIFY | RESPONSE
    assert rest[1][1:] != check[1:]
    assert rest[2] == REFUSED
    assert told(rest[3])[0] == 0
    assert rest[5][1:] == check[1:]
    assert rest[6][1:5] == board.answer(AFTER)


def test_a_piece_that_is_cut_off_leaves_it_not_loaded():
    board = Board()
    piece, *_, check = board.load(AFTER, 16)
    answers = board.run([*frame(piece)[:-6], 0xC0], board.sample(), check, board.sample())
    assert answers[0] == fault(Fault.CHECKSUM)
    assert answers[1] == answers[3] == REFUSED
    assert answers[2][1:] != check[1:]


def test_a_damaged_piece_is_mended_by_a_second_try():
    board = Board()
    pieces = board.load(AFTER, 8)
    damaged = list(frame(pieces[1]))
    damaged[-4] ^= 4
    *answers, last = board.run(pieces[0], damaged, board.sample(), *pieces[1:], board.sample())
    assert answers[1:3] == [fault(Fault.CHECKSUM), REFUSED]
    assert last[1:5] == board.answer(AFTER)


def test_wrong_checksum_of_the_weights():
    board = Board()
    *pieces, check = board.load(AFTER)
    wrong = bytes([*check[:4], check[4] ^ 128])
    answers = board.run(*pieces, wrong, board.sample(), check, board.sample(), wrong, board.sample())
    rest = answers[len(pieces) :]
    assert rest[0][1:] == check[1:], "it tells what it has read"
    assert rest[1] == REFUSED
    assert rest[3][1:5] == board.answer(AFTER)
    assert rest[5] == REFUSED


def place(memory, word, data=b""):
    return bytes([LOAD, memory]) + word.to_bytes(3, "little") + data


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (place(2, 0, bytes(3)), Fault.ADDRESS),
        (place(255, 0, bytes(3)), Fault.ADDRESS),
        (place(0, 6, bytes(3)), Fault.ADDRESS),
        (place(0, 5, bytes(6)), Fault.ADDRESS),
        (place(0, 1 << 23, bytes(3)), Fault.ADDRESS),
        (place(0, 0, bytes(2)), Fault.LENGTH),
        (place(0, 5, bytes(4)), Fault.ADDRESS),
        (place(0, 0, bytes(4)), Fault.LENGTH),
        (bytes([LOAD, 0, 0, 0]), Fault.LENGTH),
        (bytes([LOAD]), Fault.LENGTH),
        (bytes([VERIFY, 1, 2, 3]), Fault.LENGTH),
        (bytes([VERIFY, 1, 2, 3, 4, 5]), Fault.LENGTH),
        (bytes([VERIFY, *range(9)]), Fault.LENGTH),
        (bytes([VERIFY, *range(12)]), Fault.LENGTH),
        (bytes([VERIFY]), Fault.LENGTH),
    ],
)
def test_wrong_places_and_lengths_are_refused(payload, kind):
    """Of memories of 6 words of 3 bytes, and 5 of 2."""
    board = Board()
    assert [(port.words, port.word_bytes) for port in board.plan.writable] == [(6, 3), (5, 2)]
    answers = board.run(payload, board.sample(), *board.load(BEFORE), board.sample())
    assert answers[0] == fault(kind)
    if payload[0] == LOAD:
        assert answers[1] == REFUSED
    else:
        assert answers[1][1:5] == board.answer(BEFORE), "nothing was loaded, and nothing is lost"
    assert answers[-1][1:5] == board.answer(BEFORE)


def test_what_is_refused_is_written_nowhere():
    """Behind the end of a memory there is no way into another, nor to its beginning."""
    board = Board()
    board_crc = board.image(BEFORE).crc
    answers = board.run(place(0, 6, bytes(9)), place(9, 0, bytes(9)), place(1, 5, bytes(4)), verify(board_crc))
    assert answers[:3] == [fault(Fault.ADDRESS)] * 3
    assert answers[3][1:] == board_crc.to_bytes(4, "little")


@pytest.mark.parametrize("command", [LOAD, VERIFY])
def test_a_board_that_is_not_reloadable_knows_no_such_command(command):
    board = Board(storage="rom")
    answers = board.run(bytes([command]) + bytes(7), INFO_PAYLOAD, board.sample())
    assert answers[0] == fault(Fault.COMMAND)
    assert told(answers[1]) == (1, 0)
    assert answers[2][1:5] == board.answer(BEFORE)


def test_commands_that_load_are_two_bits_from_those_that_do_not():
    assert all((LOAD ^ other).bit_count() > 1 for other in (INFO, RUN))
