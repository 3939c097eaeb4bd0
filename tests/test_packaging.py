import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def make_venv(tmp_path, monkeypatch):
    """The set-up script, for a project in an empty folder; what it would run is kept in ``runs``."""
    spec = importlib.util.spec_from_file_location("make_venv", ROOT / "tools" / "make_venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "tools").mkdir()
    for name in module.SOURCES:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    places = {"ROOT": tmp_path, "VENV": venv, "PYTHON": venv / "bin" / "python", "STAMP": venv / "spikeloom-stamp"}
    for name, place in places.items():
        monkeypatch.setattr(module, name, place)
    module.runs = []
    monkeypatch.setattr(module, "create", lambda: (venv.mkdir(exist_ok=True), module.runs.append("create")))
    monkeypatch.setattr(module, "pip", lambda *arguments: module.runs.append(" ".join(arguments)))
    monkeypatch.setattr(module, "warm_up", lambda: None)
    monkeypatch.setattr(module, "usable", lambda python: venv.exists())
    return module


def test_the_environment_is_made_once(make_venv):
    make_venv.main()
    assert make_venv.runs[0] == "create"
    assert len(make_venv.runs) == 4
    make_venv.main()
    assert len(make_venv.runs) == 4


def test_torch_is_held_by_the_constraints(make_venv):
    make_venv.main()
    assert f"-c {make_venv.ROOT / 'constraints.txt'} --editable" in make_venv.runs[-2]
    assert f"-c {make_venv.ROOT / 'constraints.txt'} --no-deps spikingjelly" in make_venv.runs[-1]
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "tools/make_venv.py"])
def test_the_environment_is_brought_up_to_date(make_venv, name):
    make_venv.main()
    with (make_venv.ROOT / name).open("a") as file:
        file.write("\n# changed\n")
    make_venv.main()
    assert make_venv.runs.count("create") == 1
    assert len(make_venv.runs) == 7


def test_a_set_up_that_stopped_is_taken_up_again(make_venv, monkeypatch):
    def stop(*arguments):
        raise SystemExit("no network")

    with monkeypatch.context() as context:
        context.setattr(make_venv, "pip", stop)
        with pytest.raises(SystemExit):
            make_venv.main()
    make_venv.main()
    assert len(make_venv.runs) == 4


def test_an_environment_whose_python_is_gone_is_made_anew(make_venv, monkeypatch):
    make_venv.main()
    monkeypatch.setattr(make_venv, "usable", lambda python: False)
    make_venv.main()
    assert make_venv.runs.count("create") == 2


def test_an_old_python_is_refused(make_venv, monkeypatch):
    monkeypatch.setattr(make_venv, "OLDEST", (99, 0))
    with pytest.raises(SystemExit, match=r"^Python must be 99\.0 or later, not 3\."):
        make_venv.main()
    assert make_venv.runs == []


def offered(make_venv, monkeypatch, wheel):
    pages = {
        "https://index/simple/pip/": f'<a href="../../f/{make_venv.PIP_WHEEL}#sha256=0">pip</a>'.encode(),
        f"https://index/f/{make_venv.PIP_WHEEL}": wheel,
    }
    monkeypatch.setattr(make_venv, "INDEX", "https://index/simple/")
    monkeypatch.setattr(make_venv, "fetched", pages.__getitem__)


def test_pip_is_fetched_from_the_index(make_venv, monkeypatch):
    offered(make_venv, monkeypatch, b"wheel")
    monkeypatch.setattr(make_venv, "PIP_SHA256", sha256(b"wheel").hexdigest())
    assert make_venv.pip_wheel() == b"wheel"


def test_another_pip_is_refused(make_venv, monkeypatch):
    offered(make_venv, monkeypatch, b"altered")
    with pytest.raises(SystemExit, match=r"must offer pip-.* of SHA-256 .*; install Debian's package python3-venv"):
        make_venv.pip_wheel()


def test_an_index_that_is_not_there_is_told(make_venv):
    with pytest.raises(SystemExit, match=r"^http://127\.0\.0\.1:9/pip/ cannot be fetched: .*; install Debian's"):
        make_venv.fetched("http://127.0.0.1:9/pip/")


def test_every_extra_is_in_all():
    extras = PROJECT["project"]["optional-dependencies"]
    assert extras["all"] == [f"spikeloom[{','.join(name for name in extras if name not in ('all', 'series'))}]"]


def test_the_core_is_without_torch():
    assert not any("torch" in item for item in PROJECT["project"]["dependencies"])


def run(*command, cwd, check=True):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    dist, venv, elsewhere = (tmp_path / name for name in ("dist", "venv", "elsewhere"))
    elsewhere.mkdir()
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(ROOT), cwd=elsewhere)
    (wheel,) = dist.glob("spikeloom-*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    assert shipped >= {
        f"snn/checkpoints/digits-{neuron}{end}.npz" for neuron in ("lif", "klif", "ttfs") for end in ("", "-w4")
    }
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert shipped >= set(run("git", "ls-files", *packages, cwd=ROOT).stdout.split())

    # The core alone, with a pip of this environment: Debian's Python may make none.
    run(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=elsewhere)
    python, spikeloom = str(venv / "bin" / "python"), str(venv / "bin" / "spikeloom")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "-c", str(ROOT / "constraints.txt"), str(wheel), cwd=elsewhere)
    for name in ("torch", "sklearn", "cocotb"):
        assert run(python, "-c", f"import {name}", cwd=elsewhere, check=False).returncode == 1
    run(python, "-c", "import hw.design, hw.top, sim.golden, quant.quantize, spikeloom.pipeline", cwd=elsewhere)

    assert "cosim" in run(spikeloom, "--help", cwd=elsewhere).stdout
    assert "icebreaker" in run(spikeloom, "boards", cwd=elsewhere).stdout
    for recipe in ("digits-lif", "digits-klif", "digits-ttfs"):
        assert json.loads(run(spikeloom, "check", recipe, "--json", cwd=elsewhere).stdout)["layers"]
        made = json.loads(run(spikeloom, "generate", recipe, "--json", cwd=elsewhere).stdout)
        assert f"module {made['module']}(" in (elsewhere / made["verilog"]).read_text()

    # What needs an extra says which.
    for verb, words in (
        (("evaluate", "digits-lif"), "Data set digits needs scikit-learn; install spikeloom[data]"),
        (("train", "digits-lif"), "Training needs torch, which is not installed: pip install 'spikeloom[torch]'"),
        (("cosim", "digits-lif", "--random"), "Co-simulation needs cocotb, which is not installed"),
    ):
        done = run(spikeloom, *verb, cwd=elsewhere, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr.splitlines()[-1]
