"""The serial link to a simulated board."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from boards.frame import frame
from boards.link import Link, LinkError
from hw.frame import Fault
from hw.link import ERROR, INFO, RESPONSE, RUN
from sim.board import simulated_board
from sim.tools import available
from tests.links import HASH, same_as_golden, small_network
from tests.whole import random_inputs, random_network

# The rest talks to the top level that goes onto a board, in a simulator, through a port of the operating system.

SIMULATORS = [
    pytest.param(name, marks=pytest.mark.skipif(not available(name), reason=f"needs {name}"))
    for name in ("verilator", "icarus")
]


@pytest.fixture(scope="module", params=SIMULATORS)
def simulated(request):
    with simulated_board(small_network(), build_hash=HASH.hex(), simulator=request.param) as board:
        yield board


def any_simulator():
    simulator = next((name for name in ("icarus", "verilator") if available(name)), None)
    return simulator or pytest.skip("needs a simulator")


def simulators():
    """Processes of Icarus Verilog that this one has started."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = {int(pid) for task in tasks for pid in task.read_text().split()}
    return {pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "vvp\n"}


@pytest.fixture
def link(simulated):
    with Link(simulated.port, timeout_s=5.0) as link:
        yield link


def test_simulated_board_answers_as_the_golden_model(simulated, link):
    network = small_network()
    link.check(network, simulated.build_hash)
    inputs = np.random.default_rng(5).integers(0, 2, (8, 3, 6))
    inputs[0] = 0
    result = same_as_golden(link, network, inputs)
    assert len(set(result.answers.tolist())) > 1


def test_simulated_board_of_direct_coding():
    network = small_network("current")
    with simulated_board(network, simulator=any_simulator()) as board, Link(board.port, timeout_s=5.0) as link:
        link.check(network, network.digest[:32])
        same_as_golden(link, network, np.random.default_rng(6).integers(0, 16, (3, 6)))


@pytest.mark.skipif(not available("icarus") or not Path("/proc/self/task").exists(), reason="needs iverilog and /proc")
def test_a_simulator_that_dies_is_told_at_once():
    """However long the link would wait for an answer."""
    network, others = small_network(), simulators()
    with simulated_board(network, simulator="icarus") as board, Link(board.port, timeout_s=1000.0) as link:
        link.check(network)
        (simulator,) = simulators() - others
        os.kill(simulator, signal.SIGKILL)
        with pytest.raises(LinkError, match=f"^Port {board.port} was lost: "):
            link.run(np.zeros((3, 6), np.int64))


@pytest.mark.parametrize("kind", ["events", "current"])
def test_simulated_board_takes_a_map_whose_sides_are_no_powers_of_two(kind):
    network = small_network(kind, shape=(2, 3, 5))
    rng = np.random.default_rng(11)
    inputs = rng.integers(0, 2, (5, 3, 30)) if kind == "events" else rng.integers(0, 16, (5, 30))
    with simulated_board(network, simulator=any_simulator()) as board, Link(board.port, timeout_s=5.0) as link:
        link.check(network, network.digest[:32])
        result = same_as_golden(link, network, inputs)
    assert len(np.unique(result.scores, axis=0)) > 1


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 6 else []) for seed in range(40)]
)
def test_simulated_boards_of_random_networks_answer_as_the_golden_model(seed):
    rng = np.random.default_rng(7000 + seed)
    network = random_network(rng)
    inputs = random_inputs(rng, network, 3)
    storage = str(rng.choice(["rom", "ram"]))
    board = simulated_board(network, simulator=any_simulator(), lanes=int(rng.integers(1, 9)), storage=storage)
    with board as found, Link(found.port, timeout_s=60.0) as link:
        link.check(network, network.digest[:32])
        same_as_golden(link, network, inputs)


def raw(link, *chunks):
    """Frames that come back to raw bytes, until the board's answer to a last, good INFO."""
    for chunk in chunks:
        link._write(chunk)
    link._write(frame(bytes([0xA0 | INFO])))
    payloads = []
    for _ in range(400):
        payloads += link._reader.feed(link._read())
        if payloads and payloads[-1][0] == 0xA0 | INFO | RESPONSE:
            return payloads[:-1]
    raise TimeoutError(f"Received {payloads}")


GOOD = frame(bytes([0x10 | RUN, 0x09, 0x0A]))
BAD_CHECKSUM = GOOD[:-2] + bytes([GOOD[-2] ^ 0x40]) + GOOD[-1:]


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (BAD_CHECKSUM, [Fault.CHECKSUM]),
        (GOOD[:3] + GOOD, [Fault.LENGTH, None]),
        (GOOD[:5] + GOOD, [Fault.CHECKSUM, None]),
        (frame(bytes([RUN, 0x0E])) + GOOD, [Fault.ADDRESS, None]),
        (frame(bytes([RUN, 0x10, 0x10, 0x10])) + GOOD, [Fault.STEPS, None]),
        (frame(bytes([9])), [Fault.COMMAND]),
        (b"\x00garbage\xdb" + GOOD + b"\xdb\xdb\xdb" + GOOD, [Fault.LINE, None, Fault.LINE, None]),
        (BAD_CHECKSUM * 3 + GOOD, [Fault.CHECKSUM] * 3 + [None]),
    ],
    ids=["checksum", "short frame", "frame in a frame", "address", "steps", "command", "garbage", "again and again"],
)
def test_simulated_board_recovers(link, data, faults):
    payloads = raw(link, data)
    assert [Fault(payload[1]) if payload[0] & 15 == ERROR else None for payload in payloads] == faults
    network = small_network()
    same_as_golden(link, network, np.random.default_rng(7).integers(0, 2, (2, 3, 6)))


def test_simulated_board_that_is_overrun_says_so_and_recovers(link):
    # Answers are three times as long as these frames, so that its queue of 256 bytes runs over.
    link._write(GOOD * 100)
    payloads, quiet = [], 0
    while quiet < 20:
        received = link._read()
        payloads += link._reader.feed(received)
        quiet = 0 if received else quiet + 1
    faults = {Fault(payload[1]) for payload in payloads if payload[0] & 15 == ERROR}
    assert Fault.LINE in faults
    assert len(payloads) < 100
    same_as_golden(link, small_network(), np.random.default_rng(8).integers(0, 2, (2, 3, 6)))


def test_host_recovers_from_what_another_left_on_the_line(simulated):
    with Link(simulated.port, timeout_s=5.0) as first:
        first._write(GOOD[:4])
    with Link(simulated.port, timeout_s=5.0) as second:
        same_as_golden(second, small_network(), np.random.default_rng(9).integers(0, 2, (2, 3, 6)))
