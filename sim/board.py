"""Simulated board: the very top level that goes onto a board, in a simulator, behind a serial port of this machine."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import verilog

from hw.image import WeightImage, weight_image
from hw.link import HASH_BYTES, LinkSpec
from hw.plan import plan_network
from hw.top import Top
from quant.ir import Network

from .models import CosimError, compile_model
from .terminal import BIT_CYCLES, CLOCK_HZ, PORT, STOP
from .testbench import TOP
from .tools import Simulator, find_simulator

__all__ = ["MODULE", "SimulatedBoard", "generated", "simulated_board"]

#: Module of the top level.
MODULE = "board"

# Verilator shows to cocotb only what is marked.
_BENCH = f"""\
`timescale 1ns/1ps
module {TOP}(
  input clk /*verilator public_flat_rw*/,
  input rst /*verilator public_flat_rw*/,
  input rx /*verilator public_flat_rw*/,
  output tx /*verilator public_flat_rw*/
);
  wire [1:0] leds;
  {MODULE} board(.clk(clk), .rst(rst), .rx(rx), .tx(tx), .leds(leds));
endmodule
"""
_START_S = 120.0
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class SimulatedBoard:
    """A board that is simulated.

    Parameters
    ----------
    port : str
        Name of its serial port. The baud rate does not matter.
    build_hash : str
        32 hexadecimal digits, what the board tells.
    image : WeightImage
        The network's weights, as far as they can be loaded.
    """

    port: str
    build_hash: str
    image: WeightImage


def generated(top: Top) -> Sequence[str]:
    """Sources of a top level as it is generated."""
    return [verilog.convert(top, name=MODULE, emit_src=False, strip_internal_attrs=True)]


@contextmanager
def simulated_board(
    network: Network,
    *,
    build_hash: str | None = None,
    simulator: str = "verilator",
    sources: Callable[[Top], Sequence[str]] = generated,
    **hardware: Any,
) -> Iterator[SimulatedBoard]:
    """A board with a network on it, until the context is left.

    Its pins are driven bit by bit; time passes as fast as the simulator runs.

    Parameters
    ----------
    network : Network
    build_hash : str, optional
        What the board tells; default: the first half of the network's digest.
    simulator : str
        One of :data:`sim.tools.SIMULATORS`.
    sources : callable, optional
        Makes Verilog of the top level, its module called :data:`MODULE`: what is generated, or what a tool makes of it,
        such as :func:`boards.netlist.synthesise`.
    hardware
        As of :func:`hw.plan.plan_network`: lanes and the like.

    Raises
    ------
    ToolError
        If the simulator is not there.
    CosimError
        If the model does not compile, or the simulator does not start.
    """
    found = find_simulator(simulator)
    plan = plan_network(network, **hardware)
    digest = bytes.fromhex(build_hash or network.digest[: 2 * HASH_BYTES])
    spec = LinkSpec(plan=plan, build_hash=digest, clock_hz=CLOCK_HZ, baud=CLOCK_HZ // BIT_CYCLES)
    model = compile_model(found, [_BENCH, *sources(Top(spec))])
    with tempfile.TemporaryDirectory(prefix="spikeloom-board-") as name:
        folder = Path(name)
        thread = threading.Thread(target=_run, args=(found, model, folder), daemon=True)
        thread.start()
        try:
            port = _wait_for_port(found, folder, thread)
            yield SimulatedBoard(port=port, build_hash=digest.hex(), image=weight_image(plan))
        finally:
            (folder / STOP).touch()
            thread.join()


def _wait_for_port(simulator: Simulator, folder: Path, thread: threading.Thread) -> str:
    for _ in range(round(_START_S / _POLL_S)):
        if (folder / PORT).exists():
            return (folder / PORT).read_text()
        thread.join(_POLL_S)
        if not thread.is_alive():
            break
    log = folder / "simulation.log"
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    raise CosimError(f"Simulated board did not start with {simulator}: {text[-500:] or 'it said nothing'}")


def _run(simulator: Simulator, model: Path, folder: Path) -> None:
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator.name)
    logging.getLogger(type(runner).__qualname__).setLevel(logging.CRITICAL)
    try:
        runner.test(
            test_module="sim.board_driver",
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=model,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            log_file=folder / "simulation.log",
        )
    except (SystemExit, RuntimeError):  # under pytest, failed tests exit; whoever waits for the port says so
        return
