"""Co-simulation: generated Verilog under cocotb, every spike and membrane against the golden model."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.beats import beats, pack
from quant.errors import CheckError, SpikeloomError
from quant.ir import Network

from . import golden
from .compare import Comparison, compare
from .models import CosimError, compile_model, run_model
from .testbench import ANSWERS, STIMULUS, Design, Testbench
from .tools import Simulator, find_simulator
from .traces import Recording, read_recording

__all__ = ["CosimError", "CosimReport", "CosimTimeout", "Progress", "cosimulate", "cosimulate_design"]

_MOST_STALL = 0.9

Progress = Callable[[str, int, int], None]
"""Called with a stage ("golden", "compile", "simulate", "compare"), how much of it is done, and of how much."""


class CosimTimeout(CosimError, TimeoutError):
    """Nothing moved for too long; the message says how far the run came."""


@dataclass(frozen=True, kw_only=True)
class CosimReport:
    """What a co-simulation compared, and found.

    Parameters
    ----------
    network : str
        Its name.
    samples : int
    populations : tuple of str
    spikes, membranes : int
        How many spikes of the golden model, and how many membranes, were compared with the hardware's.
    spike_mismatches, membrane_mismatches : int
        Neurons and steps in which they differ, or in which the hardware's are missing.
    answer_mismatches : int
        Samples whose scores or answer differ.
    stream_mismatches : int
        Streams with missing, repeated or disordered words.
    first_difference : str
        In words; empty if there is none.
    cycles : tuple of int
        By sample: from the transfer of its first input beat to that of its answer, both included.
    cycles_predicted : tuple of int
        By sample: what the cycle model says of a sample alone and without stalls.
    total_cycles : int
        Cycles of the whole run.
    simulator, version : str
    isolate : bool
        Whether a sample was sent after the answer of the one before.
    stall : float
        Share of the cycles in which a stream stalled.
    seed : int
    seconds : float
        Time of the simulation, without the compilation.
    """

    network: str
    samples: int
    populations: tuple[str, ...]
    spikes: int
    membranes: int
    spike_mismatches: int
    membrane_mismatches: int
    answer_mismatches: int
    stream_mismatches: int
    first_difference: str
    cycles: tuple[int, ...]
    cycles_predicted: tuple[int, ...]
    total_cycles: int
    simulator: str
    version: str
    isolate: bool
    stall: float
    seed: int
    seconds: float

    @property
    def mismatches(self) -> int:
        """All of them; 0 if hardware and golden model are equal."""
        return self.spike_mismatches + self.membrane_mismatches + self.answer_mismatches + self.stream_mismatches

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = {**asdict(self), "mismatches": self.mismatches}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def check(self) -> None:
        """Raise a CheckError that names the first difference, if there is one."""
        if self.mismatches:
            raise CheckError(f"{self.mismatches} mismatches on {self.simulator}; {self.first_difference}")


def cosimulate(
    network: Network,
    inputs: NDArray[Any],
    *,
    simulator: str = "verilator",
    stall: float = 0.0,
    seed: int = 0,
    lanes: int | Mapping[str, int] | None = None,
    early_stop: bool = True,
    isolate: bool = False,
    build_dir: Path | None = None,
    patience: int = 100_000,
    progress: Progress | None = None,
) -> CosimReport:
    """Generate a network's hardware, simulate it on samples, and compare it with the golden model.

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
    lanes, early_stop
        As of :func:`hw.design.generate`.
    isolate : bool
        Send a sample only after the answer of the one before, so that its cycles are those of a sample alone.
    build_dir : Path, optional
        Folder for the Verilog, the stimulus, the traces and the simulator's log. By default a temporary one, which
        stays if the simulator fails.
    patience : int
        Cycles without a transfer anywhere after which the run is given up.
    progress : callable, optional
        See :data:`Progress`.

    Raises
    ------
    UnsupportedError
        If the hardware cannot be generated.
    ToolError
        If the simulator is missing.
    CosimTimeout
        If nothing moves any more; it is a TimeoutError.
    CosimError
        If the Verilog does not compile, or the simulator fails.
    """
    from hw.design import generate

    design = generate(network, lanes=lanes, early_stop=early_stop)
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
        build_dir=build_dir,
        patience=patience,
        progress=progress,
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
    build_dir: Path | None = None,
    patience: int = 100_000,
    progress: Progress | None = None,
) -> CosimReport:
    """As :func:`cosimulate`, of a design that is there already.

    ``early_stop``: whether the design may end a sample after the step of its first output spike.
    """
    if not 0 <= stall <= _MOST_STALL:
        raise SpikeloomError(f"Stall must be between 0 and {_MOST_STALL}, not {stall}")
    if not 0 <= seed < 1 << 32:
        raise SpikeloomError(f"Seed must be between 0 and 4294967295, not {seed}")
    report = progress or (lambda stage, done, total: None)
    tool = find_simulator(simulator)
    samples = len(inputs)
    report("golden", 0, samples)
    expected = golden.run(network, inputs, record=("spikes", "membranes"))
    report("golden", samples, samples)
    bench = Testbench.of(network, design, binary=tool.four_state)
    report("compile", 0, 1)
    model = compile_model(tool, (design.instrumented, bench.verilog))
    report("compile", 1, 1)
    run = _Run(network=network, design=design, bench=bench, tool=tool, model=model)
    folder = Path(tempfile.mkdtemp(prefix="spikeloom-")) if build_dir is None else Path(build_dir)
    options = {"stall": round(stall * 65536), "noise": seed, "isolate": int(isolate), "patience": patience}
    start = time.monotonic()
    recording = run.simulate(np.asarray(inputs), folder, options, report)
    seconds = time.monotonic() - start
    if build_dir is None:
        shutil.rmtree(folder)
    report("compare", 0, 1)
    decided = expected.scores.min(axis=1) if early_stop else None
    comparison = compare(bench, recording, expected, decided=decided)
    if recording.timed_out:
        raise CosimTimeout(_timeout(recording, comparison, samples, patience))
    report("compare", 1, 1)
    return CosimReport(
        network=network.name,
        samples=samples,
        populations=network.order,
        spikes=comparison.spikes,
        membranes=comparison.membranes,
        spike_mismatches=comparison.spike_mismatches,
        membrane_mismatches=comparison.membrane_mismatches,
        answer_mismatches=comparison.answer_mismatches,
        stream_mismatches=comparison.stream_mismatches,
        first_difference=comparison.first_difference,
        cycles=_cycles(recording),
        cycles_predicted=tuple(int(cycles) for cycles in design.predict(expected, np.asarray(inputs))),
        total_cycles=recording.cycles,
        simulator=tool.name,
        version=tool.version,
        isolate=isolate,
        stall=stall,
        seed=seed,
        seconds=seconds,
    )


def _cycles(recording: Recording) -> tuple[int, ...]:
    answers = recording.answer_last == 1
    return tuple(int(n) for n in (recording.answer_cycle - recording.first_cycle + 1)[answers])


def _timeout(recording: Recording, comparison: Comparison, samples: int, patience: int) -> str:
    return (
        f"Simulation answered {recording.answered} of {samples} samples in {recording.cycles} cycles, "
        f"then nothing moved for {patience}; {comparison.first_difference or 'no difference until then'}"
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A compiled model with its testbench, to be run on samples."""

    network: Network
    design: Design
    bench: Testbench
    tool: Simulator
    model: Path

    def simulate(self, inputs: NDArray[Any], folder: Path, options: Mapping[str, int], progress: Progress) -> Recording:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.design.name}.v").write_text(self.design.instrumented)
        (folder / f"{self.bench.module}_testbench.v").write_text(self.bench.verilog)
        (folder / STIMULUS).write_bytes(self._stimulus(inputs))
        (folder / ANSWERS).unlink(missing_ok=True)
        steps = inputs.shape[1] if self.network.input.kind == "events" else self.network.steps
        limits = {
            "answers": len(inputs) * (self.design.classes + 1),
            # What follows the last answer, if anything, takes no longer than a sweep or the rows of an event.
            "drain": 1000 + 2 * max(probe.size for probe in self.bench.probes),
            **{f"most{index}": len(inputs) * steps * probe.sweeps for index, probe in enumerate(self.bench.probes)},
        }
        plusargs = [f"+{name}={value}" for name, value in {**limits, **options}.items()]
        with _watched(folder / ANSWERS, self.bench, len(inputs), progress):
            run_model(self.tool, self.model, folder, plusargs=plusargs, seed=options["noise"])
        return read_recording(self.bench, folder)

    def _stimulus(self, inputs: NDArray[Any]) -> bytes:
        """Beats of all samples, one line each: last, tick, data in hexadecimal."""
        layout = self.design.input_layout
        address, value = layout["address"].width, layout["value"].width
        stream = np.concatenate([beats(self.network, sample) for sample in inputs])
        words = pack(stream, address_width=address, value_width=value)
        flags = (stream["last"].astype(np.uint64) << np.uint64(1)) | stream["tick"]
        words |= flags << np.uint64(self.bench.data_width)
        return "".join([f"{word:x}\n" for word in words.tolist()]).encode()


class _watched:
    """While it lasts, another thread reports how many samples have been answered."""

    def __init__(self, path: Path, bench: Testbench, samples: int, progress: Progress):
        self.path, self.samples, self.progress = path, samples, progress
        self.sample_bytes = bench.answer_record.length * (bench.classes + 1)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self.over.wait(0.2):
            done = self.path.stat().st_size // self.sample_bytes if self.path.exists() else 0
            self.progress("simulate", min(done, self.samples), self.samples)

    def __enter__(self) -> None:
        self.progress("simulate", 0, self.samples)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.progress("simulate", self.samples, self.samples)
