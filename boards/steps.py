"""Steps of a build: tools run one after the other, each with a log."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quant.errors import SpikeloomError

from .tools import Tool

__all__ = ["LOGS", "STAGES", "BuildError", "Progress", "run_step"]

Progress = Callable[[str, str], None]
"""Called with a stage and the latest line of its log, when it begins and now and then."""

#: Stages, in their order.
STAGES = ("synthesis", "place and route", "bitstream")

#: Log of each stage, in the folder of the build. The last one's tool writes none by itself.
LOGS = {"synthesis": "top.rpt", "place and route": "top.tim", "bitstream": "top.pack.log"}

_POLL_S = 0.25
_TAIL_BYTES = 4096


class BuildError(SpikeloomError):
    """A tool failed; the message says where its log is."""


def run_step(stage: str, command: Sequence[str], tools: Mapping[str, Tool], folder: Path, progress: Progress) -> int:
    """Run one command in ``folder``, whatever it prints going to ``<stage>.out``; gives its exit code."""
    progress(stage, "")
    name, *arguments = command
    with (folder / f"{stage}.out").open("wb") as output:
        process = subprocess.Popen(
            [tools[name].path, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            return _watch(process, stage, folder / LOGS[stage], progress)
        except BaseException:
            process.kill()
            process.wait()
            raise


def _watch(process: subprocess.Popen[bytes], stage: str, log: Path, progress: Progress) -> int:
    shown = ""
    while True:
        try:
            return process.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            line = last_line(log)
            if line != shown:
                shown = line
                progress(stage, line)


def last_line(log: Path) -> str:
    """Last line of a file that is being written, or nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
