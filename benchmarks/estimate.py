"""Accuracy of the estimate: what synthesis and packing make of networks, beside what was expected of them.

The networks are not those, or not with those lanes, that the costs of :mod:`boards.costs` were fitted to.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from boards.build import plan_build
from boards.choice import Choice
from boards.steps import LOGS, STAGES, BuildError, last_line, run_step
from boards.tools import find_tools
from boards.usage import resources_in_log
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from spikeloom.pipeline import quantized
from spikeloom.source import find_source

from .table import Measurement

__all__ = ["Design", "designs", "measurements", "pack"]

COMMAND = "python -m benchmarks estimate_logic_error"


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network on a board, with so many lanes a core.

    Parameters
    ----------
    network : Network
    board : str
    lanes : int
    skips : bool
        Whether sweeps skip what rests.
    """

    network: Network
    board: str
    lanes: int
    skips: bool = False


def designs() -> list[Design]:
    """Small networks of many kinds: each takes a minute or less."""
    recipes = {name: quantized(find_source(name).model)[0] for name in ("digits-klif", "digits-ttfs", "digits-spide")}
    return [
        Design(network=recipes["digits-klif"], board="icebreaker", lanes=4),
        Design(network=recipes["digits-ttfs"], board="icebreaker", lanes=2),
        Design(network=recipes["digits-spide"], board="ulx3s-85f", lanes=16),
        Design(network=recipes["digits-klif"], board="ulx3s-85f", lanes=24),
        Design(network=maps(), board="icebreaker", lanes=6),
        Design(network=maps(), board="ulx3s-85f", lanes=12),
        Design(network=maps(), board="icebreaker", lanes=4, skips=True),
        Design(network=maps(), board="ulx3s-85f", lanes=6, skips=True),
    ]


def maps() -> Network:
    """A convolution, averages, a recurrence and second-order neurons."""
    random = np.random.default_rng(7)

    shapes = ((12, 2, 3, 3), (40, 12 * 6 * 6), (40, 40), (11, 40))
    kernels, dense, back, last = (random.integers(-15, 16, shape) for shape in shapes)
    common = {"state_min": -300, "state_max": 300}
    populations = (
        Population(name="maps", shape=(12, 12, 12), threshold=30, reset="zero", rectify=True, **common),
        Population(
            name="hidden",
            shape=(40,),
            threshold=random.integers(30, 60, 40),
            reset="subtract",
            decay=Decay(numerator=13, shift=4),
            current_decay=Decay(numerator=3, shift=2),
            current_min=-200,
            current_max=200,
            **common,
        ),
        Population(
            name="out", shape=(11,), threshold=40, reset="subtract", decay=Decay(numerator=7, shift=3), **common
        ),
    )
    ends = {"weight_bits": 5}
    connections = (
        Connection(source="input", target="maps", kind="conv2d", weights=kernels, padding=(1, 1), **ends),
        Connection(source="maps", target="hidden", kind="dense", weights=dense, pool=(2, 2), **ends),
        Connection(source="hidden", target="hidden", kind="dense", weights=back, delay=1, **ends),
        Connection(source="hidden", target="out", kind="dense", weights=last, **ends),
    )
    return Network(
        name="maps",
        steps=6,
        input=Input(shape=(2, 12, 12)),
        populations=populations,
        connections=connections,
        readout=Readout(population="out"),
    )


def pack(design: Design) -> tuple[Choice, dict[str, int]]:
    """Plan of a design with its estimate, and what synthesis and packing make of it; nothing is placed."""
    plan = plan_build(design.network, design.board, lanes=design.lanes, skips=design.skips)
    tools = find_tools(plan.board.tools)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in plan.files.items():
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        synthesis, packing, _ = plan.commands
        if run_step(STAGES[0], synthesis, tools, folder, lambda stage, line: None):
            raise BuildError(f"Synthesis of {design.network.name} failed: {last_line(folder / LOGS[STAGES[0]])}")
        # It fails in the end, for there is no bitstream to write; its log tells what it has packed.
        command = [tools[packing[0]].path, *packing[1:], "--pack-only"]
        subprocess.run(command, cwd=folder, check=False, capture_output=True)
        found = resources_in_log((folder / LOGS[STAGES[1]]).read_text())
    return plan.choice, {name: found[name]["used"] if name in found else 0 for name in plan.choice.expected.as_dict()}


def measurements() -> list[Measurement]:
    """Mean errors of the logic and of the block RAMs."""
    logic, blocks, total = [], [], 0
    for design in designs():
        choice, used = pack(design)
        expected = choice.expected.as_dict()
        words = ", ".join(f"{name} {expected[name]} of {used[name]}" for name in used)
        print(f"{design.network.name} on {design.board}, {design.lanes} lanes: {words}", file=sys.stderr)
        logic.append(abs(expected["logic_cells"] / used["logic_cells"] - 1))
        blocks.append(abs(expected["block_rams"] - used["block_rams"]))
        total += used["block_rams"]
    return [
        Measurement(
            id="estimate_logic_error",
            value=100 * mean(logic),
            unit="% of the logic cells, mean",
            peer=f"{len(logic)} designs, {100 * max(logic):.1f} % at most",
            command=COMMAND,
        ),
        Measurement(
            id="estimate_block_ram_error",
            value=sum(blocks),
            unit="block RAMs",
            peer=f"{total} in all",
            command=COMMAND,
        ),
    ]
