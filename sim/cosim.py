"""Co-simulation: generated Verilog under cocotb, every spike, membrane and current against the golden model."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import SpikeloomError
from quant.ir import Network

from . import golden
from .models import CosimError, compile_model
from .record import Record
from .report import CosimReport, add_up
from .shards import CosimTimeout, Options, Rig, ShardResult, run_shards, shard_size, split
from .testbench import Design, Testbench
from .tools import find_simulator

__all__ = ["CosimError", "CosimReport", "CosimTimeout", "Progress", "cosimulate", "cosimulate_design"]

_MOST_STALL = 0.9

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and of how much. Stages are "generate", "compile" and "simulate", and
before them "resume", with the number of samples that are done, if there are any."""


def cosimulate(
    network: Network,
    inputs: NDArray[Any],
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
    early_stop: bool = True,
    isolate: bool = False,
    jobs: int | None = None,
    shard: int | None = None,
    record: Path | None = None,
    resume: bool = False,
    build_dir: Path | None = None,
    patience: int | None = None,
    progress: Progress | None = None,
    **hardware: Any,
) -> CosimReport:
    """Generate a network's hardware, simulate it on samples, and compare it with the golden model.

    The samples are simulated in shards, each by a process of its own, so that neither memory nor disk needs to hold the
    traces of all.

    Parameters
    ----------
    network : Network
    inputs : array of int
        Samples, as :func:`sim.golden.run` takes them.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    stall : float
        Share of the cycles in which each stream stalls, at random: the input's valid, the output's ready, and every
        stream between cores. 0 to 0.9.
    seed : int
        Of the stalls, and of what registers without initial value hold; 0 to 2**32 - 1.
    early_stop, hardware
        As of :func:`hw.plan.plan_network`: lanes and the like. SPRAM holds the network's weights from the start.
    isolate : bool
        Send a sample only when the one before has left, so that its cycles are those of a sample alone.
    jobs : int, optional
        Simulators at a time. Default: the processor's cores.
    shard : int, optional
        Samples of a shard, at most. Default: 250, or fewer of a large network.
    record : Path, optional
        File that keeps what was found of the shards that are done, if there is more than one; see
        :class:`sim.record.Record`.
    resume : bool
        Go on with the record, if it is there; else it starts anew.
    build_dir : Path, optional
        Folder for the Verilog, and for each shard's stimulus, traces and simulator's log. By default a temporary one,
        which stays if the simulator fails.
    patience : int, optional
        Cycles without a transfer anywhere after which the run is given up. Default: 100,000, or more if a step may
        need them.
    progress : callable, optional
        See :data:`Progress`.

    Raises
    ------
    UnsupportedError
        If the hardware cannot be generated.
    ToolError
        If the simulator is missing.
    FileError
        If the record to go on with is that of something else.
    CosimTimeout
        If nothing moves any more; it is a TimeoutError.
    CosimError
        If the Verilog does not compile, or the simulator fails.
    """
    from hw.design import generate

    report = progress or _silent
    report("generate", 0, 1)
    design = generate(network, early_stop=early_stop, **hardware)
    decides = early_stop and network.readout.kind == "first_spike"
    return cosimulate_design(
        network,
        design,
        inputs,
        simulator=simulator,
        stall=stall,
        seed=seed,
        early_stop=decides,
        isolate=isolate,
        jobs=jobs,
        shard=shard,
        record=record,
        resume=resume,
        build_dir=build_dir,
        patience=patience,
        progress=report,
    )


def cosimulate_design(
    network: Network,
    design: Design,
    inputs: NDArray[Any],
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
    early_stop: bool = False,
    isolate: bool = False,
    jobs: int | None = None,
    shard: int | None = None,
    record: Path | None = None,
    resume: bool = False,
    build_dir: Path | None = None,
    patience: int | None = None,
    progress: Progress | None = None,
) -> CosimReport:
    """As :func:`cosimulate`, of a design that is there already.

    ``early_stop``: whether the design may end a sample after the step of its first output spike.
    """
    if not 0 <= stall <= _MOST_STALL:
        raise SpikeloomError(f"Stall must be between 0 and {_MOST_STALL}, not {stall}")
    if not 0 <= seed < 1 << 32:
        raise SpikeloomError(f"Seed must be between 0 and 4294967295, not {seed}")
    for name, number in (("Jobs", jobs), ("Samples of a shard", shard)):
        if number is not None and number < 1:
            raise SpikeloomError(f"{name} must be at least 1, not {number}")
    report = progress or _silent
    tool = find_simulator(simulator)
    inputs = np.asarray(inputs)
    _check_inputs(network, inputs)
    report("generate", 0, 1)
    rig = Rig(
        network=network,
        design=design,
        bench=Testbench.of(network, design, binary=tool.four_state),
        simulator=tool,
        inputs=inputs,
        options=Options(stall=stall, seed=seed, isolate=isolate, early_stop=early_stop),
        patience=patience,
    )
    report("generate", 1, 1)
    kept = None if record is None else Record(record, _identity(rig))
    if kept is not None and resume:
        kept.resume(inputs)
    results = [] if kept is None else list(kept.results)
    resumed = _samples(results)
    shards = split(len(inputs), [range(item.start, item.stop) for item in results], shard or shard_size(rig))
    workers = max(1, min(jobs or _processors(), len(shards)))
    if resumed:
        report("resume", resumed, len(inputs))
    if len(shards) == 1 and not resumed:
        kept = None

    def finished(result: ShardResult) -> None:
        results.append(result)
        if kept is not None:
            kept.add(result)

    def advance(answered: int) -> None:
        report("simulate", min(_samples(results) + answered, len(inputs)), len(inputs))

    seconds = 0.0
    if shards:
        model = _compile(rig, report)
        start = time.monotonic()
        advance(0)
        with _folder(rig, build_dir) as folder:
            keep = build_dir is not None
            run_shards(rig, model, shards, jobs=workers, folder=folder, keep=keep, finished=finished, progress=advance)
        seconds = time.monotonic() - start
    return add_up(rig, results, seconds=seconds, jobs=workers, resumed=resumed)


def _samples(results: Iterable[ShardResult]) -> int:
    return sum(result.stop - result.start for result in results)


def _compile(rig: Rig, progress: Progress) -> Path:
    progress("compile", 0, 1)
    model = compile_model(rig.simulator, (rig.design.instrumented, rig.bench.verilog), clocked=True)
    progress("compile", 1, 1)
    return model


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_inputs(network: Network, inputs: NDArray[Any]) -> None:
    """Refuse at once what the golden model would refuse in some shard or other."""
    golden.run(network, inputs[:1])
    for at in (inputs.argmin(), inputs.argmax()):
        sample = int(at) // inputs[0].size
        golden.run(network, inputs[sample : sample + 1])


def _identity(rig: Rig) -> dict[str, Any]:
    return {
        "network": rig.network.digest,
        "design": rig.digest,
        "simulator": {"name": rig.simulator.name, "version": rig.simulator.version},
        "options": asdict(rig.options),
    }


@contextmanager
def _folder(rig: Rig, build_dir: Path | None) -> Iterator[Path]:
    """Folder of a run, with the Verilog in it."""
    folder = Path(tempfile.mkdtemp(prefix="spikeloom-")) if build_dir is None else Path(build_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{rig.design.name}.v").write_text(rig.design.instrumented)
        (folder / f"{rig.bench.module}_testbench.v").write_text(rig.bench.verilog)
        yield folder
    except CosimTimeout:
        _remove(folder, build_dir)
        raise
    except CosimError:
        raise  # the log stays
    except BaseException:
        _remove(folder, build_dir)
        raise
    _remove(folder, build_dir)


def _remove(folder: Path, build_dir: Path | None) -> None:
    if build_dir is None:
        shutil.rmtree(folder, ignore_errors=True)
