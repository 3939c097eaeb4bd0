"""Netlist: what Yosys makes of a board's top level, in cells of the chip, as Verilog that a simulator runs."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from amaranth.back.rtlil import convert

from hw.top import Top
from sim.board import MODULE

from .board import Board
from .cells import MODELS
from .steps import BuildError, last_line
from .tools import find_tool

__all__ = ["HIDE", "models_used", "synthesise"]

# Yosys 0.70 takes a vector of the name "sums[0]", as Amaranth calls the parts of "sums", for a bit of "sums" when it
# puts back what ABC9 has mapped, and fails. Hidden names are not read so.
HIDE = r"rename -hide w:*\[*"

_CELLS = {"ice40": "+/ice40/cells_sim.v", "ecp5": "+/lattice/cells_sim_ecp5.v"}
_MODULE = re.compile(
    r"(\(\*\s*blackbox\s*\*\)\s*)?^\s*(module\s+(\S+?)\s*\(.*?\bendmodule\b)", re.MULTILINE | re.DOTALL
)
# Preprocessed, for the simulators do not find what is included; no default values of ports, which are not Verilog.
_SCRIPT = """\
tee -q -o cells.txt read_verilog -overwrite -defer -ppdump -DNO_ICE40_DEFAULT_ASSIGNMENTS {cells}
design -reset
read_rtlil top.il
{hide}
synth_{family} -top {name}
write_verilog -noattr -norename netlist.v
"""


def synthesise(top: Top, board: Board, *, name: str = MODULE) -> Sequence[str]:
    """Sources of a top level as cells of a board's chip, as in a build.

    What place and route does to them is not in it, nor the board's pins and its clock.

    Parameters
    ----------
    top : Top
    board : Board
    name : str
        What its module is called.

    Returns
    -------
    sequence of str
        The netlist, and models of the cells: Yosys' own, and of :data:`boards.cells.MODELS` those that it lacks.

    Raises
    ------
    ToolError
        If Yosys is missing or too old.
    BuildError
        If it fails.
    """
    yosys = find_tool("yosys")
    text = convert(top, name=name, platform=board.make_platform(), emit_src=False)
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as place:
        folder = Path(place)
        (folder / "top.il").write_text(text)
        script = _SCRIPT.format(cells=_CELLS[board.family], hide=HIDE, family=board.family, name=name)
        (folder / "top.ys").write_text(script)
        command = [yosys.path, "-q", "-l", "top.rpt", "top.ys"]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise BuildError(f"Synthesis for {board.title} failed: {last_line(folder / 'top.rpt') or done.returncode}")
        netlist, log = (folder / "netlist.v").read_text(), (folder / "cells.txt").read_text()
    return netlist, models_used(log, netlist), MODELS[board.family]


def models_used(log: str, netlist: str) -> str:
    """Text of Yosys' models out of its log: those that a netlist has, each once, and none that is but a name."""
    dump = log.partition("-- Verilog code after preprocessor --\n")[2].partition("-- END OF DUMP --")[0]
    known = {name: text for blackbox, text, name in map(re.Match.groups, _MODULE.finditer(dump)) if not blackbox}
    used: dict[str, str] = {}
    new = [netlist]
    while new:
        names = {name for text in new for name in re.findall(r"\w+", text)} & (known.keys() - used.keys())
        new = [known[name] for name in names]
        used |= {name: known[name] for name in names}
    return "\n".join(used[name] for name in sorted(used))
