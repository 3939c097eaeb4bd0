import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
LINTER = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(config_filename=sys.argv[1]))"


def contract(name):
    (found,) = (item for item in SETTINGS["contracts"] if item["name"] == name)
    return found


def modules(package):
    folder = ROOT / package
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return {f"{package}.{name}" for name in files - {"__init__", "__main__"}}


def test_every_module_of_sim_has_a_floor():
    floors = contract("Floors")["layers"]
    named = {module.strip() for floor in floors for part in floor.split("|") for module in part.split(":")}
    assert modules("sim") <= named


def test_torch_is_kept_out_of_all_but_training():
    sources = set(contract("No torch outside snn and the importers")["source_modules"])
    assert {"quant", "hw", "sim", "boards", "snn.datasets", "snn.encode", "snn.recipes"} == sources


def linted(folder, **files):
    """Exit code and words of import-linter on small packages with the project's own contracts."""
    for package in SETTINGS["root_packages"]:
        (folder / package).mkdir()
        for module in {"__init__", *(path.rpartition(".")[2] for path in modules(package))}:
            (folder / package / f"{module}.py").write_text("")
    for name, text in files.items():
        (folder / f"{name.replace('__', '/')}.py").write_text(text)
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    done = subprocess.run(
        [sys.executable, "-c", LINTER, str(folder / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_packages_without_imports_pass(tmp_path):
    code, words = linted(tmp_path)
    assert code == 0, words


@pytest.mark.parametrize(
    "files",
    [
        {"hw__design": "import sim.golden"},
        {"sim__golden": "import hw.design"},
        {"hw__design": "import snn.recipes"},
        {"hw__design": "def late():\n    from sim.cosim import cosimulate"},
        {"quant__ir": "import hw.plan"},
        {"quant__ir": "import sim.golden"},
        {"sim__golden": "import sim.cosim"},
        {"sim__cosim": "import boards.build"},
        {"snn__train": "import sim.golden"},
        {"boards__build": "import spikeloom.source"},
        {"quant__ir": "import torch"},
        {"hw__design": "import torch"},
        {"sim__cosim": "import torch"},
        {"snn__datasets": "import torch"},
        {"snn__datasets": "import snn.train", "snn__train": "import torch"},
        {"spikeloom__pipeline": "import torch"},
        {"quant__model": "import nir"},
        {"hw__design": "import cocotb"},
        {"quant__ir": "import amaranth"},
        {"sim__golden": "import amaranth"},
    ],
    ids=lambda files: ", ".join(f"{name} {text.splitlines()[-1].strip()}" for name, text in files.items()),
)
def test_a_breach_is_noticed(tmp_path, files):
    code, words = linted(tmp_path, **files)
    assert code == 1, words
    assert "BROKEN" in words


@pytest.mark.parametrize(
    "files",
    [
        {"snn__train": "import torch"},
        {"spikeloom__pipeline": "import snn.train", "snn__train": "import torch"},
        {"sim__cosim": "import hw.design, sim.golden, cocotb"},
        {"boards__build": "import hw.top, sim.tools, amaranth"},
    ],
    ids=lambda files: ", ".join(f"{name} {text}" for name, text in files.items()),
)
def test_what_the_floors_allow_passes(tmp_path, files):
    code, words = linted(tmp_path, **files)
    assert code == 0, words


@pytest.mark.parametrize(
    "name",
    [
        *("spikeloom", "spikeloom.cli", "spikeloom.pipeline", "hw.design", "hw.top", "sim.golden", "sim.cosim"),
        *("sim.board", "quant.quantize", "quant.simulate", "boards.build", "boards.link"),
        *("snn.datasets", "snn.encode", "snn.recipes"),
    ],
)
def test_torch_is_not_imported(name):
    # In a process of its own: here, other tests have imported it.
    program = f"import {name}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_command_line_starts_without_the_hardware():
    program = "import spikeloom.cli, sys; sys.exit('amaranth' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
