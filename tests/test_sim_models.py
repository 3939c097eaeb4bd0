import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from handmade import NETWORK, Handmade

from sim import models
from sim.models import CosimError, cache_folder, compile_model, run_model
from sim.terminal import STOP
from sim.testbench import SUMMARY, Testbench
from sim.tools import Simulator, available, find_simulator

needs_icarus = pytest.mark.skipif(not available("icarus"), reason="needs iverilog in PATH")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sim"


@pytest.fixture
def sources():
    design = Handmade()
    return design.instrumented, Testbench.of(NETWORK, design, binary=True).verilog


def test_the_variable_moves_the_cache(cache):
    assert cache_folder() == cache


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("SPIKELOOM_CACHE")
    assert cache_folder().parts[-2:] == ("spikeloom", "sim")


@needs_icarus
def test_a_model_is_compiled_once(sources, monkeypatch):
    simulator = find_simulator("icarus")
    first = compile_model(simulator, sources)
    assert (first / "sim.vvp").is_file()
    monkeypatch.setattr(models, "_run", lambda *_: pytest.fail("compiled again"))
    assert compile_model(simulator, sources) == first


@needs_icarus
def test_another_text_or_version_is_another_model(sources):
    simulator = find_simulator("icarus")
    other = Simulator(name="icarus", version="0", compiler=simulator.compiler)
    folders = {
        compile_model(simulator, sources),
        compile_model(simulator, (sources[0] + "\n", sources[1])),
        compile_model(simulator, (sources[0], "\n" + sources[1])),
        compile_model(other, sources),
    }
    assert len(folders) == 4


@needs_icarus
def test_two_at_once_end_with_one_model(sources, cache):
    simulator = find_simulator("icarus")
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: compile_model(simulator, sources), range(4)))
    assert [folder.name for folder in folders] == os.listdir(cache)


@needs_icarus
def test_the_cache_keeps_the_models_used_last(sources, cache, monkeypatch):
    monkeypatch.setattr(models, "_MOST_MODELS", 2)
    simulator = find_simulator("icarus")
    first, second = (compile_model(simulator, (sources[0] + "\n" * count, sources[1])) for count in range(2))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    compile_model(simulator, sources)
    third = compile_model(simulator, (*sources, "// third"))
    assert {path.name for path in cache.iterdir()} == {first.name, third.name}


@needs_icarus
def test_an_interrupted_compilation_leaves_nothing(sources, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_model(find_simulator("icarus"), sources)
    assert list(cache.iterdir()) == []


@needs_icarus
def test_verilog_that_does_not_compile_names_the_log(cache):
    with pytest.raises(CosimError, match=r"does not compile with icarus .*; see .*compile\.log$") as error:
        compile_model(find_simulator("icarus"), ("module oops",))
    log = Path(str(error.value).rpartition("see ")[2])
    assert "syntax error" in log.read_text()
    assert not [name for name in os.listdir(cache) if not name.startswith(".")]


@needs_icarus
def test_a_run_that_does_not_come_to_its_end_names_the_log(tmp_path):
    model = compile_model(find_simulator("icarus"), (f"module {models.TOP}; initial $finish; endmodule",))
    with pytest.raises(CosimError, match=r"^Simulation with icarus .* did not run to its end .*simulation\.log$"):
        run_model(find_simulator("icarus"), model, tmp_path, plusargs=[], seed=0)


@needs_icarus
def test_outside_pytest_a_failed_run_is_an_error_too(tmp_path):
    """There the runner returns as if all were well."""
    script = (
        "import sys; from pathlib import Path; from sim.models import *; from sim.tools import find_simulator\n"
        "tool = find_simulator('icarus')\n"
        "text = 'module spikeloom_testbench(input clk, output done); assign done = 0; endmodule'\n"
        "model = compile_model(tool, (text,))\n"
        "try: run_model(tool, model, Path(sys.argv[1]), plusargs=[], seed=0)\n"
        "except CosimError as error: print(error)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "failed 1 of 1 tests" in done.stdout
    assert done.stderr == ""


@needs_icarus
def test_a_run_writes_its_files_into_its_folder(sources, tmp_path, capfd):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stimulus.hex").write_text("")
    simulator = find_simulator("icarus")
    run_model(simulator, compile_model(simulator, sources), folder, plusargs=["+drain=10"], seed=0)
    assert (folder / SUMMARY).is_file()
    assert "spikeloom" not in capfd.readouterr().out
    assert "TESTS=1 PASS=1" in (folder / "simulation.log").read_text()


@needs_icarus
def test_a_run_is_stopped_by_a_file(sources, tmp_path):
    (tmp_path / "stimulus.hex").write_text("")
    (tmp_path / STOP).touch()
    simulator = find_simulator("icarus")
    with pytest.raises(CosimError, match=r"^Simulation with icarus .* did not run to its end "):
        run_model(simulator, compile_model(simulator, sources), tmp_path, plusargs=[], seed=0)
    assert "nobody wants to know any more" in (tmp_path / "simulation.log").read_text()
    assert not (tmp_path / SUMMARY).exists()


@pytest.mark.slow
@pytest.mark.skipif(not available("verilator"), reason="needs Verilator")
def test_verilators_own_files_are_compiled_once(sources):
    simulator = find_simulator("verilator")
    first, second = (compile_model(simulator, sources, clocked=clocked) for clocked in (False, True))
    assert "verilated_vpi.cpp" in (first / "compile.log").read_text()
    assert "verilated_vpi.cpp" not in (second / "compile.log").read_text()
    assert not (second / "made").exists()
