import itertools
import re
import subprocess
import sys
import zlib
from itertools import pairwise

import numpy as np
import pytest

from boards.frame import FrameReader, frame
from boards.link import Link, LinkError
from boards.messages import FAULTS, Answer
from hw.frame import Fault
from hw.image import weight_image
from hw.link import ERROR, INFO, LOAD, RESPONSE, VERIFY, LinkSpec
from hw.plan import plan_network
from tests.links import HASH, board_info, small_network, spec_of


class FakeSerial:
    """A port whose board is a function of the payload that gives the bytes to answer."""

    def __init__(self, respond):
        self.respond = respond
        self.reader = FrameReader()
        self.waiting = b""
        self.requests = []
        self.raw = b""

    @property
    def in_waiting(self):
        return len(self.waiting)

    def write(self, data):
        self.raw += data
        for payload in self.reader.feed(data):
            self.requests.append(payload)
            self.waiting += self.respond(payload, len(self.requests))

    def flush(self):
        pass

    def read(self, size):
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data

    def close(self):
        self.closed = True


def told(payload):
    return frame(bytes([payload[0] | RESPONSE]) + spec_of().info())


def answered(payload):
    body = bytes([1, 0xFF, 0, 0]) + b"".join(number.to_bytes(4, "little") for number in (99, 70000, 3))
    return frame(bytes([payload[0] | RESPONSE]) + body)


def well(payload, count):
    return told(payload) if payload[0] & 15 == INFO else answered(payload)


@pytest.fixture
def board(monkeypatch):
    """Makes a link to a board that responds as it is told to."""

    def make(respond, **options):
        serial = FakeSerial(respond)
        monkeypatch.setattr("boards.link._open", lambda port, baud, write_timeout_s: serial)
        link = Link("fake", **{"timeout_s": 0.03, **options})
        return link, serial

    return make


def test_info(board):
    link, serial = board(well)
    assert link.info() == board_info(spec_of())
    assert link.info() is link.info()
    assert len(serial.requests) == 1


def test_answer(board):
    link, _ = board(well)
    assert link.run(np.zeros((3, 6), int)) == Answer(answer=0, scores=(1, -1, 0), cycles=99, spikes=(70000, 3))


def test_tags_differ_from_request_to_request(board):
    link, serial = board(well)
    for _ in range(20):
        link.run(np.zeros((3, 6), int))
    tags = [payload[0] >> 4 for payload in serial.requests]
    assert all(here != after for here, after in pairwise(tags))


def test_second_try_after_a_fault(board):
    def respond(payload, count):
        return frame(bytes([payload[0] | ERROR, 2])) if count == 1 else well(payload, count)

    link, serial = board(respond)
    assert link.info().classes == 3
    assert len(serial.requests) == 2
    assert serial.raw.count(b"\xc0\xc0\xc0") == 1, "an END before and after what the board may have of a frame"


@pytest.mark.parametrize("code", FAULTS)
def test_fault_in_words(board, code):
    link, serial = board(lambda payload, count: frame(bytes([payload[0] | ERROR, code])))
    with pytest.raises(LinkError, match=f"^Board at fake refused the frame: {re.escape(FAULTS[code])}$"):
        link.info()
    assert len(serial.requests) == 2


def test_complaint_about_another_frame_does_not_disturb(board):
    link, serial = board(lambda payload, count: frame(bytes([ERROR, 1])) * 3 + well(payload, count))
    assert link.info().classes == 3
    assert len(serial.requests) == 1


def test_complaint_about_a_frame_without_a_command_is_told_after_silence(board):
    link, _ = board(lambda payload, count: frame(bytes([ERROR, 1])))
    with pytest.raises(LinkError, match=r"^Board at fake refused the frame: bytes were lost or damaged on the line"):
        link.info()


def test_every_fault_of_the_hardware_has_words():
    assert set(FAULTS) == {fault.value for fault in Fault} - {0}


@pytest.mark.parametrize("body", [b"\xc8", b""])
def test_fault_that_is_not_known(board, body):
    link, _ = board(lambda payload, count: frame(bytes([payload[0] | ERROR]) + body))
    with pytest.raises(LinkError, match="refused the frame: for a reason that this version does not know"):
        link.info()


def test_silence(board):
    link, serial = board(lambda payload, count: b"")
    with pytest.raises(LinkError, match=r"^Board at fake did not answer within 0\.03 s: is it flashed and on\?$"):
        link.info()
    assert len(serial.requests) == 2


def test_answer_to_an_earlier_request_is_passed_over(board):
    def respond(payload, count):
        stale = bytes([(payload[0] + 0xF0) & 0xFF])
        return frame(bytes([stale[0] | RESPONSE]) + b"old") + well(payload, count)

    link, _ = board(respond)
    assert link.info().build_hash == HASH.hex()


def test_damaged_response_is_asked_for_again(board):
    def respond(payload, count):
        good = bytearray(well(payload, count))
        good[5] ^= count == 1
        return bytes(good)

    link, serial = board(respond)
    assert link.info().build_hash == HASH.hex()
    assert len(serial.requests) == 2


def test_garbage_before_the_response(board):
    link, _ = board(lambda payload, count: b"\x00\xdb\x01noise" + well(payload, count))
    assert link.info().classes == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "must speak version 3 of the link, not none: build and flash it again"),
        (b"\x01" + bytes(60), "must speak version 3 of the link, not 1: build and flash it again"),
        (b"\x03" + bytes(10), "must tell of itself in 69 bytes, not 11"),
    ],
)
def test_board_that_is_not_understood(board, body, message):
    link, _ = board(lambda payload, count: frame(bytes([payload[0] | RESPONSE]) + body))
    with pytest.raises(LinkError, match=f"^Board at fake {message}$"):
        link.info()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (17, 0),
        (19, 0),
        (21, 0),
        (21, 9),
        (22, 0),
        (22, 33),
        (22, 2),
        (23, 0),
        (23, 32),
        (25, 0),
        (29, 0),
        (33, 0),
        (33, 2),
        (37, 1),
        (41, 0),
        (45, 0),
    ],
)
def test_board_whose_numbers_make_no_sense(board, place, value):
    info = bytearray(spec_of().info())
    info[place] = value
    link, _ = board(lambda payload, count: frame(bytes([payload[0] | RESPONSE]) + bytes(info)))
    with pytest.raises(LinkError, match=r"^Board at fake must tell of a network that can be, not BoardInfo"):
        link.info()


def test_port_that_echoes_is_no_board(board):
    link, _ = board(lambda payload, count: frame(payload))
    with pytest.raises(LinkError, match=r"^Board at fake did not answer within 0\.03 s"):
        link.info()


def test_port_that_never_falls_silent_is_given_up(board, monkeypatch):
    milliseconds = itertools.count()
    monkeypatch.setattr("boards.link.time.monotonic", lambda: next(milliseconds) / 1000)
    link, serial = board(well)
    reads = itertools.count()

    def chatter(size):
        assert next(reads) < 2000, "the port is read for ever"
        return b"U"

    serial.read = chatter
    with pytest.raises(LinkError, match=r"^Board at fake did not answer within 0\.03 s"):
        link.info()


def test_answer_of_another_length(board):
    link, _ = board(
        lambda payload, count: (
            told(payload) if payload[0] & 15 == INFO else frame(bytes([payload[0] | RESPONSE]) + bytes(15))
        )
    )
    with pytest.raises(LinkError, match=r"^Board at fake must answer in 16 bytes, not 15$"):
        link.run(np.zeros((3, 6), int))


def test_check_passes(board):
    link, _ = board(well)
    link.check(small_network(), HASH.hex())
    link.check(small_network())


def test_check_of_another_build(board):
    link, _ = board(well)
    with pytest.raises(LinkError, match=f"^Board at fake must hold build {'ab' * 16}, not {HASH.hex()}: flash"):
        link.check(small_network(), "ab" * 16)


def test_check_of_another_network(board):
    link, _ = board(well)
    with pytest.raises(LinkError, match=r"^Board at fake must have the network's highest input value, 15, not 1$"):
        link.check(small_network("current"))


class Loadable:
    """What responds as a reloadable board does; with ``forgets``, it keeps nothing of the pieces."""

    def __init__(self, network, *, loaded=True, forgets=False):
        self.spec = LinkSpec(plan=plan_network(network, storage="ram"), build_hash=HASH)
        image = weight_image(self.spec.plan)
        self.memories = [bytearray(words) for _, words in image.memories]
        self.sizes, self.shape = [size for size, _ in image.memories], image.shape
        self.loaded, self.forgets, self.pieces = loaded, forgets, 0

    @property
    def crc(self):
        return zlib.crc32(self.shape + b"".join(self.memories)).to_bytes(4, "little")

    def __call__(self, payload, count):
        command, body = payload[0] & 15, payload[1:]
        info = bytearray(self.spec.info())
        info[24], info[-4:] = self.loaded, self.crc
        if command == LOAD:
            at = int.from_bytes(body[1:4], "little") * self.sizes[body[0]]
            self.loaded, self.pieces = False, self.pieces + 1
            if not self.forgets:
                self.memories[body[0]][at : at + len(body) - 4] = body[4:]
        if command == VERIFY:
            self.loaded = self.crc == body
        answer = {INFO: bytes(info), LOAD: b"", VERIFY: self.crc}[command]
        return frame(bytes([payload[0] | RESPONSE]) + answer)


def image_of(network, storage="ram"):
    return weight_image(plan_network(network, storage=storage))


def test_weights_are_loaded_and_read_back(board, monkeypatch):
    monkeypatch.setattr("boards.link._PIECE_BYTES", 9)
    there, image, far = Loadable(small_network()), image_of(small_network(seed=16)), []
    link, _ = board(there)
    link.load(image, progress=lambda done, total: far.append((done, total)))
    assert [bytes(words) for words in there.memories] == [words for _, words in image.memories]
    assert there.pieces == 4
    assert far == [(0, 28), (9, 28), (18, 28), (26, 28), (28, 28)]
    assert (link.info().loaded, link.info().weights_crc) == (True, image.crc)
    link.check(small_network(), weights=[1, image.crc])
    with pytest.raises(LinkError, match=r"must be those of small, of checksum 00000001, not [0-9a-f]{8}: see `spike"):
        link.check(small_network(), weights=[1])


def test_a_board_that_is_not_loaded_is_told(board):
    link, _ = board(Loadable(small_network(), loaded=False))
    with pytest.raises(LinkError, match=r"^Weights of the board at fake must be loaded first: see `spikeloom load`$"):
        link.check(small_network())


def test_weights_that_are_not_read_back(board):
    link, _ = board(Loadable(small_network(), forgets=True))
    image = image_of(small_network(seed=16))
    with pytest.raises(LinkError, match=f"must read weights of checksum {image.crc:08x} back, not [0-9a-f]{{8}}: load"):
        link.load(image)
    assert not link.info().loaded


@pytest.mark.parametrize("image", [image_of(small_network("current")), image_of(small_network(), "spram")])
def test_weights_of_another_shape_are_not_sent(board, image):
    there = Loadable(small_network())
    link, _ = board(there)
    with pytest.raises(LinkError, match=r"^Weights of small must have the shape of the board at fake, "):
        link.load(image)
    assert (there.loaded, there.pieces) == (True, 0)


def test_a_board_that_takes_no_weights(board):
    link, serial = board(well)
    with pytest.raises(LinkError, match=r"^Board at fake must be built with --reloadable or with SPRAM to"):
        link.load(image_of(small_network()))
    assert len(serial.requests) == 1


def test_port_that_does_not_exist():
    with pytest.raises(LinkError, match=r"^Port /dev/ttyNONE does not exist; (there is|no serial port is connected)"):
        Link("/dev/ttyNONE")


def test_port_that_is_no_port(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LinkError, match=f"^Port {file} cannot be opened: "):
        Link(str(file))


@pytest.mark.parametrize(
    ("number", "message"), [(13, "may not be opened by this user: .* dialout"), (16, "is in use by another program")]
)
def test_port_that_may_not_be_opened(monkeypatch, number, message):
    def refuse(*_, **__):
        raise OSError(number, "no")

    monkeypatch.setattr("serial.serial_for_url", refuse)
    with pytest.raises(LinkError, match=f"^Port /dev/ttyX {message}"):
        Link("/dev/ttyX")


def test_port_of_an_unknown_kind():
    with pytest.raises(LinkError, match=r"^Port magic://x cannot be opened: "):
        Link("magic://x")


def test_port_that_goes_away(board):
    link, serial = board(well)

    def gone(size):
        raise OSError("device disconnected")

    serial.read = gone
    with pytest.raises(LinkError, match=r"^Port fake was lost: device disconnected$"):
        link.info()


def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(LinkError, match=r"needs pyserial, .*: pip install 'spikeloom\[link\]'"):
        Link("/dev/ttyX")


def test_import_loads_neither_torch_nor_pyserial():
    code = "import sys, boards, boards.link, boards.board; print({'torch', 'serial', 'amaranth'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
