"""Flash: a bitstream onto a board, by the board's own programmer."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quant.errors import SpikeloomError

from .board import Board, find_board
from .build import REPORT
from .tools import ToolError, variable_of

__all__ = ["FlashError", "FlashReport", "flash"]

_PREAMBLES = {"ice40": b"\x7e\xaa\x99\x7e", "ecp5": b"\xff\xff\xbd\xb3"}
_PREAMBLE_WITHIN = 4096
_TIMEOUT_S = 600

# What programmers print when they did not do it; some end with exit code 0 all the same.
_FAILED = re.compile(r"(?im)\bFAIL(ED)?\b|^\s*error\b|can't find|cannot find|unable to open|no cable")
_DENIED = re.compile(r"(?i)permission|LIBUSB_ERROR_ACCESS|insufficient")
_ABSENT = re.compile(r"(?i)can't find|cannot find|unable to open|not found|no device|no cable|FTDI")


class FlashError(SpikeloomError):
    """A bitstream that is not for the board, or a programmer that could not do it."""


@dataclass(frozen=True, kw_only=True)
class FlashReport:
    """What was done, or would be.

    Parameters
    ----------
    board : str
    bitstream : Path
    command : tuple of str
    done : bool
        False of a dry run.
    to_load : bool
        Its weights, or some of them, lie in SPRAM and must be loaded.
    """

    board: str
    bitstream: Path
    command: tuple[str, ...]
    done: bool
    to_load: bool = False

    @property
    def shell(self) -> str:
        """The command, as one would type it."""
        return shlex.join(self.command)

    def as_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "board": self.board,
            "bitstream": str(self.bitstream),
            "command": list(self.command),
            "done": self.done,
            "to_load": self.to_load,
        }


#: Arguments of each programmer: to configure the chip alone, or to write the board's flash memory.
_ARGUMENTS: Mapping[str, Callable[[bool], list[str]]] = {
    "iceprog": lambda permanent: [] if permanent else ["-S"],
    "openFPGALoader": lambda permanent: ["-b", "ulx3s", "-f" if permanent else "-m"],
    "fujprog": lambda permanent: ["-j", "flash" if permanent else "sram"],
}

_WAYS = {
    "iceprog": "apt install fpga-icestorm",
    "openFPGALoader": "apt install openfpgaloader",
    "fujprog": "from its makers",
}


def flash(
    bitstream: Path, board: str | Board | None = None, *, permanent: bool | None = None, dry_run: bool = False
) -> FlashReport:
    """Load a bitstream.

    Parameters
    ----------
    bitstream : Path
        The file, or the folder of a build.
    board : str or Board, optional
        Default: the one that the build's report names.
    permanent : bool, optional
        Write the board's flash memory, so that it stays; else the chip forgets it without power. Default: as is
        usual for the board: iCEBreaker permanent, ULX3S not.
    dry_run : bool
        Check everything, and say what would be run; the programmer may even be missing.

    Raises
    ------
    FlashError
        If the bitstream is not there or not for this board, or the programmer fails: says what to do.
    ToolError
        If no programmer is installed.
    """
    bitstream, stated, to_load = _find_bitstream(bitstream)
    if board is None and stated is None:
        raise FlashError(f"Board must be named: no {REPORT} beside {bitstream} says which one it is for")
    board = find_board(board if isinstance(board, str) else stated or "") if not isinstance(board, Board) else board
    if stated is not None and stated != board.name:
        raise FlashError(f"Bitstream {bitstream} must be for {board.name}, not for {stated}, as its {REPORT} says")
    _check_preamble(bitstream, board)
    name, path = _find_programmer(board, must_exist=not dry_run)
    permanent = board.family == "ice40" if permanent is None else permanent
    command = (path, *_ARGUMENTS[name](permanent), str(bitstream))
    if not dry_run:
        _run(name, command, board)
    return FlashReport(board=board.name, bitstream=bitstream, command=command, done=not dry_run, to_load=to_load)


def _find_bitstream(place: Path) -> tuple[Path, str | None, bool]:
    """The file; of the report beside it, if there is one that speaks of it: the board, and whether to load weights."""
    folder = place if place.is_dir() else place.parent
    try:
        report = json.loads((folder / REPORT).read_bytes())
        found: tuple[str | None, str | None] = Path(report["bitstream"]).name, str(report["board"])
        to_load = any(core.get("storage") == "spram" for core in report.get("cores", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found, to_load = (None, None), False
    named, board = found
    if place.is_dir():
        if named is None:
            raise FlashError(f"Folder {place} holds no build: there is no {REPORT} that names a bitstream")
        return folder / named, board, to_load
    return (place, board, to_load) if named == place.name else (place, None, False)


def _check_preamble(bitstream: Path, board: Board) -> None:
    try:
        with bitstream.open("rb") as file:
            head = file.read(_PREAMBLE_WITHIN)
    except OSError as error:
        raise FlashError(f"Bitstream {bitstream} cannot be read: {error.strerror}") from None
    if _PREAMBLES[board.family] not in head:
        raise FlashError(f"File {bitstream} is not a bitstream for {board.device}")


def _find_programmer(board: Board, *, must_exist: bool) -> tuple[str, str]:
    """Name and path of a programmer: one that a variable names, else the first that is there."""
    overrides = {name: os.environ.get(variable_of(name)) for name in board.programmers}
    for name in sorted(board.programmers, key=lambda name: not overrides[name]):
        path = shutil.which(overrides[name] or name)
        if path:
            return name, path
        if overrides[name] and must_exist:
            variable = variable_of(name)
            raise ToolError(f"Tool {name} must be at {overrides[name]}, as {variable} says, but no program is there")
    if not must_exist:
        return board.programmers[0], board.programmers[0]
    ways = [f"{name} ({_WAYS[name]}, or set {variable_of(name)} to its path)" for name in board.programmers]
    raise ToolError(f"Programmer of {board.title} is not installed: {' or '.join(ways)}")


def _run(name: str, command: tuple[str, ...], board: Board) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FlashError(f"{name} did not end within {_TIMEOUT_S} s; is {board.title} connected?") from None
    except OSError as error:
        raise FlashError(f"{name} cannot be run: {error.strerror}") from None
    if done.returncode == 0 and not _FAILED.search(done.stdout):
        return
    said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    for pattern, what in (
        (_DENIED, "{board} may not be opened by this user ({line}): add a udev rule, or use sudo"),
        (_ABSENT, "{board} is not connected, or not on ({line})"),
        (_FAILED, "{line}"),
    ):
        line = next(filter(pattern.search, said), None)
        if line:
            raise FlashError(what.format(board=board.title, name=name, line=f"{name}: {line}"))
    raise FlashError(f"{name} failed: {said[-1] if said else f'exit code {done.returncode}'}")
