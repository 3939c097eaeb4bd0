"""Build: from an integer network to a board's bitstream, with timing and resources read back."""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hw.image import describe_shape, weight_image
from hw.lanes import Lanes
from hw.link import DEFAULT_BAUD, HASH_BYTES, LinkSpec
from hw.plan import NetworkPlan
from hw.port import SPRAM_BITS, SPRAM_WORDS
from hw.top import Top
from quant.errors import CheckError
from quant.file import write_beside
from quant.ir import Network

from .activity import assumed
from .board import Board, find_board
from .cache import Cache
from .clocks import Ecp5Pll, Ice40Pll
from .netlist import HIDE
from .planner import Choice, choose
from .shell import Shell, clock_of
from .steps import LOGS, STAGES, BuildError, Progress, last_line, run_step
from .tools import Tool, find_tools
from .usage import FitError, Usage, missing, resources_in_report, timing_in

__all__ = ["BuildError", "BuildPlan", "BuildReport", "FitError", "Progress", "build", "plan_build"]

REPORT = "report.json"
_NAME = "top"
_TIMING = f"{_NAME}.report.json"
_RESULTS = {"synthesis": "synthesis.log", "place and route": "place-and-route.log"}


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What is to be built; the tools have not run.

    Parameters
    ----------
    choice : Choice
        What the planner has chosen.
    board : Board
    clock : Ice40Pll or Ecp5Pll, or float
        Where the network's clock comes from: see :func:`boards.shell.clock_of`.
    baud : int
        Of the serial link.
    seed : int
        Of placement.
    build_hash : str
        32 hexadecimal digits, a digest of everything that the tools are given but itself; it is in the bitstream.
    """

    choice: Choice
    board: Board
    clock: Ice40Pll | Ecp5Pll | float
    baud: int
    seed: int
    build_hash: str = "00" * HASH_BYTES

    @property
    def plan(self) -> NetworkPlan:
        """What is generated."""
        return self.choice.plan

    @property
    def clock_hz(self) -> float:
        """Clock of the network."""
        return self.clock if isinstance(self.clock, float) else self.clock.clock_hz

    @cached_property
    def prepared(self) -> Any:
        """Amaranth's plan: input of the tools, and their commands. It takes seconds for a large network."""
        build_hash = bytes.fromhex(self.build_hash)
        spec = LinkSpec(plan=self.plan, build_hash=build_hash, clock_hz=round(self.clock_hz), baud=self.baud)
        return self.board.make_platform().build(
            Shell(Top(spec), self.board, self.clock),
            name=_NAME,
            do_build=False,
            emit_src=False,
            debug_verilog=False,
            script_after_read=HIDE,
            nextpnr_opts=f"--report {_TIMING} --seed {self.seed} --timing-allow-fail",
        )

    @property
    def files(self) -> Mapping[str, str | bytes]:
        """Input of the tools, by file name."""
        files: Mapping[str, str | bytes] = self.prepared.files
        return files

    @property
    def commands(self) -> list[list[str]]:
        """Commands, one for each stage."""
        commands: list[list[str]] = json.loads(self.files[f"build_{_NAME}.json"])["commands"]
        return commands

    def key(self, tools: Mapping[str, Tool]) -> str:
        """Name of the bitstream that these tools make of this plan."""
        versions = [f"{tool.name} {tool.version}" for tool in tools.values()]
        return hashlib.sha256(json.dumps([self.build_hash, *versions]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What was built.

    Parameters
    ----------
    network, digest : str
        Name of the network and digest of its integers.
    board, device : str
    clock_mhz, fmax_mhz : float
        Clock that the network runs at, and the fastest at which it would work.
    timing_met : bool
        Whether every clock of the design is fast enough.
    resources : dict
        By name, how many are ``used`` and ``available``.
    plan : dict
        What the planner chose and expected: see :meth:`boards.planner.Choice.as_dict`.
    bitstream : Path
    build_hash : str
        32 hexadecimal digits; the board tells them over the link.
    baud, seed : int
    cores : tuple of dict
        What was generated for each population.
    options : dict
        What :func:`hw.plan.plan_network` was given, but for the block RAM.
    shape : dict or None
        What a network must have in common with this one so that its weights can be loaded, by
        :func:`hw.image.describe_shape`; None if none can.
    weights_crc : int or None
        Checksum of this network's weights on the board; None if none can be loaded.
    tools : dict of str to str
        Versions.
    seconds : float
        Time of this build.
    cached : bool
        Whether the tools did not have to run.
    """

    network: str
    digest: str
    board: str
    device: str
    clock_mhz: float
    fmax_mhz: float
    timing_met: bool
    resources: Usage
    plan: Mapping[str, Any]
    bitstream: Path
    build_hash: str
    baud: int
    seed: int
    cores: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]
    shape: Mapping[str, Any] | None
    weights_crc: int | None
    tools: Mapping[str, str]
    seconds: float
    cached: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = asdict(self) | {"bitstream": str(self.bitstream), "cores": [dict(core) for core in self.cores]}
        return {**values, "estimate_off": self.estimate_off}

    @property
    def estimate_off(self) -> dict[str, float]:
        """By how much of what is used the estimate is too high, by resource."""
        estimate = self.plan["estimate"]
        used = {name: self.resources[name]["used"] for name in estimate if name in self.resources}
        return {name: round(estimate[name] / number - 1, 4) for name, number in used.items() if number}

    def check(self) -> None:
        """Refuse a build that is too slow.

        Raises
        ------
        CheckError
            If the timing is not met.
        """
        if not self.timing_met:
            raise CheckError(
                f"Clock must be at most {self.fmax_mhz:.2f} MHz for {self.network} on {self.board}, "
                f"not {self.clock_mhz:g}: build with a slower clock, another seed or fewer lanes"
            )


def plan_build(
    network: Network,
    board: str | Board,
    *,
    choice: Choice | None = None,
    lanes: Lanes = None,
    early_stop: bool = True,
    storage: str | Mapping[str, str] = "rom",
    skips: bool | None = None,
    clock_hz: float | None = None,
    baud: int = DEFAULT_BAUD,
    seed: int = 1,
) -> BuildPlan:
    """Plan of a build.

    Parameters
    ----------
    network : Network
    board : str or Board
    choice : Choice, optional
        What the planner has chosen for this board. Default: what it chooses without any samples.
    lanes, early_stop, storage, skips
        As of :func:`boards.planner.choose`, without a ``choice``.
    clock_hz : float, optional
        Clock of the network; the PLL's nearest that is not above it is taken. Default: the board's.
    baud : int
    seed : int
        Of placement.

    Raises
    ------
    SpikeloomError
        If the board is unknown, cannot make the clock, or is too small; if the network has what is not generated.
    """
    board = find_board(board) if isinstance(board, str) else board
    if choice is None:
        options: dict[str, Any] = {"early_stop": early_stop, "storage": storage, "skips": skips}
        choice = choose(network, board, assumed(network), lanes=lanes, **options)
    _check_size(choice.plan, board)
    nameless = BuildPlan(choice=choice, board=board, clock=clock_of(board, clock_hz), baud=baud, seed=seed)
    return replace(nameless, build_hash=nameless.prepared.digest(HASH_BYTES).hex())


def _check_size(plan: NetworkPlan, board: Board) -> None:
    """Refuse at once what no tool could fit, though the user has chosen its lanes."""
    if plan.sprams > board.sprams:
        largest = max(plan.writable, key=lambda port: port.sprams)
        raise FitError(
            f"Network {plan.network.name} does not fit {board.title}: weights in SPRAM need {plan.sprams}, and it has "
            f"{board.sprams or 'none'}; most is for {largest.source} -> {largest.connection.target}, {largest.words} "
            f"words of {largest.width} bits, of which each SPRAM takes {SPRAM_WORDS} words of {SPRAM_BITS}"
        )
    ports = [port for core in plan.cores for port in core.ports if port.storage != "spram"]
    bits = sum(port.words * port.width for port in ports)
    if bits > board.memory_bits:
        raise FitError(
            f"Network {plan.network.name} does not fit {board.title}: its weights are {bits} bits, and all memories of "
            f"the chip hold {board.memory_bits}; fewer weight bits, fewer neurons or a larger board would help"
        )


def build(
    plan: BuildPlan,
    out: Path,
    *,
    progress: Progress = lambda stage, line: None,
    cache: Cache | None = None,
    use_cache: bool = True,
) -> BuildReport:
    """Build a bitstream, or take it from the cache.

    Writes into ``out``: the bitstream, called as the network, ``report.json``, and the logs. Of a failed build the
    logs alone; what an earlier build left is not touched.

    Parameters
    ----------
    plan : BuildPlan
    out : Path
    progress : callable
        See :data:`boards.steps.Progress`.
    cache : Cache, optional
    use_cache : bool
        Whether what is there already may be taken.

    Raises
    ------
    ToolError
        If a tool is missing or too old.
    FitError
        If the network needs more than the chip has.
    BuildError
        If a tool fails for another reason.
    """
    begun = time.monotonic()
    cache = cache or Cache()
    tools = find_tools(plan.board.tools)
    key = plan.key(tools)
    files = cache.load(key) if use_cache else None
    cached = files is not None
    if files is None:
        files = _run(plan, out, tools, progress)
        try:
            cache.store(key, files)
        except OSError as error:
            progress("cache", f"not kept: {error}")
    return _finish(plan, out, files, tools, cached=cached, begun=begun)


def _run(plan: BuildPlan, out: Path, tools: Mapping[str, Tool], progress: Progress) -> dict[str, bytes]:
    """Results of the tools, by file name; of a failed run, the logs in ``out``."""
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as name:
        folder = Path(name)
        for file, content in plan.files.items():
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        for stage, command in zip(STAGES, plan.commands, strict=True):
            if code := run_step(stage, command, tools, folder, progress):
                _fail(plan, out, stage, folder, code)
        names = [f"{_NAME}{plan.board.suffix}", _TIMING, *(LOGS[stage] for stage in _RESULTS)]
        files = {name: (folder / name).read_bytes() for name in names}
    try:
        timing_in(json.loads(files[_TIMING]), plan.clock_hz)
    except ValueError as error:
        raise BuildError(str(error)) from None
    return files


def _fail(plan: BuildPlan, out: Path, stage: str, folder: Path, code: int) -> None:
    texts = [
        path.read_text(errors="replace") for path in (folder / LOGS[stage], folder / f"{stage}.out") if path.exists()
    ]
    log = _failed_log(out, stage)
    write_beside(log, "\n".join(texts).encode())
    lack = missing(plan.plan.network.name, plan.board, texts[0]) if stage == "place and route" and texts else None
    if lack:
        raise FitError(lack)
    said = last_line(folder / f"{stage}.out") or f"it said nothing, and ended with code {code}"
    raise BuildError(f"Tool of {stage} failed: {said}; see {log}")


def _failed_log(out: Path, stage: str) -> Path:
    return out / f"failed-{stage.replace(' ', '-')}.log"


def _finish(
    plan: BuildPlan, out: Path, files: Mapping[str, bytes], tools: Mapping[str, Tool], *, cached: bool, begun: float
) -> BuildReport:
    network = plan.plan.network
    found = json.loads(files[_TIMING])
    timing = timing_in(found, plan.clock_hz)
    bitstream = out / f"{network.name}{plan.board.suffix}"
    for stage, name in _RESULTS.items():
        write_beside(out / name, files[LOGS[stage]])
    write_beside(bitstream, files[f"{_NAME}{plan.board.suffix}"])
    report = BuildReport(
        network=network.name,
        digest=network.digest,
        board=plan.board.name,
        device=plan.board.device,
        clock_mhz=plan.clock_hz / 1e6,
        fmax_mhz=round(timing.fmax_mhz, 2),
        timing_met=timing.met,
        resources=resources_in_report(found),
        plan=plan.choice.as_dict(),
        bitstream=bitstream,
        build_hash=plan.build_hash,
        baud=plan.baud,
        seed=plan.seed,
        cores=tuple(core.as_dict() for core in plan.plan.cores),
        options={**plan.choice.sizes, "early_stop": plan.plan.early_stop},
        shape=describe_shape(plan.plan) if plan.plan.reloadable else None,
        weights_crc=weight_image(plan.plan).crc if plan.plan.reloadable else None,
        tools={tool.name: tool.version for tool in tools.values()},
        seconds=round(time.monotonic() - begun, 2),
        cached=cached,
    )
    for stage in STAGES:
        _failed_log(out, stage).unlink(missing_ok=True)
    write_beside(out / REPORT, (json.dumps(report.as_dict(), indent=1) + "\n").encode())
    return report
