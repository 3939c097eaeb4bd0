"""Shards: samples in portions, each simulated by a process of its own, compared, and reduced to counts."""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.beats import beats, pack
from quant.graph import INPUT
from quant.ir import Connection, Network
from quant.result import Result

from . import golden
from .compare import KINDS, Comparison, compare
from .models import CosimError, run_model
from .terminal import STOP
from .testbench import ANSWERS, STIMULUS, Design, Testbench
from .tools import Simulator
from .traces import Recording, read_recording

__all__ = ["CosimTimeout", "Options", "Rig", "ShardResult", "digest_of", "run_shards", "shard_size", "split"]

_MOST_SAMPLES = 250
_MOST_BYTES = 128 << 20
_NEURON_BYTES = 32  # of a neuron and step: its golden result, its trace as text and as arrays
_LEAST_PATIENCE = 100_000
_LOOK_S = 0.2

# The golden model takes all processors, and its limit on BLAS's threads is one for the whole process.
_golden_turn = threading.Lock()


class CosimTimeout(CosimError, TimeoutError):
    """Nothing moved for too long; the message says how far the run came."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How samples are sent, and what the design may do.

    Parameters
    ----------
    stall : float
        Share of the cycles in which each stream stalls.
    seed : int
        Of the stalls, and of what is not initialised.
    isolate : bool
        Send a sample after the answer of the one before.
    early_stop : bool
        The design may end a sample after the step of its first output spike.
    """

    stall: float
    seed: int
    isolate: bool
    early_stop: bool


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What was found of the samples from ``start`` to before ``stop``.

    Parameters
    ----------
    start, stop : int
    inputs : str
        Their digest; see :func:`digest_of`.
    comparison : Comparison
    cycles, cycles_predicted : tuple of int
        By sample; nothing is predicted if samples were not isolated.
    total_cycles : int
    seconds : float
        Time of the simulator.
    """

    start: int
    stop: int
    inputs: str
    comparison: Comparison
    cycles: tuple[int, ...]
    cycles_predicted: tuple[int, ...]
    total_cycles: int
    seconds: float


def digest_of(inputs: NDArray[Any]) -> str:
    """SHA-256 of samples, whatever type of integer holds them."""
    digest = hashlib.sha256(str(inputs.shape).encode())
    digest.update(np.ascontiguousarray(inputs, "<i8").data)
    return digest.hexdigest()


def split(samples: int, done: Iterable[range], size: int) -> list[range]:
    """Ranges of at most ``size`` of so many samples, without those that are done."""
    edges = [range(0), *sorted(done, key=lambda item: item.start), range(samples, samples)]
    gaps = [range(left.stop, right.start) for left, right in pairwise(edges)]
    return [gap[start : start + size] for gap in gaps for start in range(0, len(gap), size)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rig:
    """A compiled model with its testbench, and the samples that it is run on.

    Parameters
    ----------
    network : Network
    design : Design
    bench : Testbench
    simulator : Simulator
    inputs : array of int
    options : Options
    patience : int or None
        Cycles without a transfer anywhere after which a run is given up; None: as many as a step may need.
    """

    network: Network
    design: Design
    bench: Testbench
    simulator: Simulator
    inputs: NDArray[Any]
    options: Options
    patience: int | None

    @property
    def steps(self) -> int:
        """Time steps of a sample."""
        return int(self.inputs.shape[1]) if self.network.input.kind == "events" else self.network.steps

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the Verilog of design and testbench."""
        return hashlib.sha256(f"{self.design.instrumented}\0{self.bench.verilog}".encode()).hexdigest()

    def run(self, model: Path, samples: range, folder: Path) -> ShardResult:
        """Simulate samples in ``folder``, and compare them.

        Raises
        ------
        CosimTimeout
            If nothing moves any more.
        CosimError
            If the simulator fails.
        """
        inputs = self.inputs[samples.start : samples.stop]
        with _golden_turn:
            expected = golden.run(self.network, inputs, record=KINDS)
        # The cycle model takes longer than the simulation.
        predicted = self.design.predict(expected, inputs) if self.options.isolate else ()
        patience = self._patience if self.patience is None else self.patience
        start = time.monotonic()
        recording = self._simulate(model, samples, folder, patience)
        seconds = time.monotonic() - start
        comparison = self._compare(recording, expected, samples.start)
        if recording.timed_out:
            raise CosimTimeout(self._timeout(recording, comparison, samples, patience))
        return ShardResult(
            start=samples.start,
            stop=samples.stop,
            inputs=digest_of(inputs),
            comparison=comparison,
            cycles=_cycles(recording),
            cycles_predicted=tuple(int(cycles) for cycles in predicted),
            total_cycles=recording.cycles,
            seconds=seconds,
        )

    def answered(self, folder: Path) -> int:
        """How many samples the run in a folder has answered until now."""
        try:
            size = (folder / ANSWERS).stat().st_size
        except OSError:
            return 0
        return size // (self.bench.answer_record.length * (self.bench.classes + 1))

    def _simulate(self, model: Path, samples: range, folder: Path, patience: int) -> Recording:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STIMULUS).write_bytes(self._stimulus(samples))
        (folder / ANSWERS).unlink(missing_ok=True)
        count, options = len(samples), self.options
        noise = (options.seed + samples.start * 0x9E3779B1) & 0xFFFFFFFF
        numbers = {
            "stall": round(options.stall * 65536),
            "noise": noise,
            "isolate": self._gap if options.isolate else 0,
            "patience": patience,
            "answers": count * (self.design.classes + 1),
            "drain": self._drain,
            **{f"most{index}": count * self.steps * probe.sweeps for index, probe in enumerate(self.bench.probes)},
        }
        plusargs = [f"+{name}={value}" for name, value in numbers.items()]
        run_model(self.simulator, model, folder, plusargs=plusargs, seed=noise)
        return read_recording(self.bench, folder)

    @property
    def _patience(self) -> int:
        """Cycles in which the events of a step go through the largest connection, were there a single lane."""
        most = max(_operations(connection, self.network) for connection in self.network.connections)
        return max(_LEAST_PATIENCE, int(2 * most / (1 - self.options.stall)))

    @property
    def _drain(self) -> int:
        """Cycles without a word after which nothing more comes: longer than a sweep, or the rows of an event."""
        return 1000 + 2 * max(probe.size for probe in self.bench.probes)

    @property
    def _gap(self) -> int:
        """Cycles without a word in which the hardware comes to rest, or sets its memories after a reset."""
        if set(self.network.order) - _heard(self.network):
            return self._drain
        return 100 + 2 * max(probe.sweeps for probe in self.bench.probes) + 8 * self.bench.classes

    def _stimulus(self, samples: range) -> bytes:
        """Beats of all samples, one line each: last, tick, data in hexadecimal."""
        layout = self.design.input_layout
        address, value = layout["address"].width, layout["value"].width
        stream = np.concatenate([beats(self.network, self.inputs[sample]) for sample in samples])
        words = pack(stream, address_width=address, value_width=value)
        flags = (stream["last"].astype(np.uint64) << np.uint64(1)) | stream["tick"]
        words |= flags << np.uint64(self.bench.data_width)
        return "".join([f"{word:x}\n" for word in words.tolist()]).encode()

    def _compare(self, recording: Recording, expected: Result, start: int) -> Comparison:
        decided = expected.scores.min(axis=1) if self.options.early_stop else None
        return compare(self.bench, recording, expected, decided=decided, start=start)

    def _timeout(self, recording: Recording, comparison: Comparison, samples: range, patience: int) -> str:
        whole = len(samples) == len(self.inputs)
        which = "" if whole else f" of samples {samples.start} to {samples.stop - 1}"
        return (
            f"Simulation{which} answered {recording.answered} of {len(samples)} samples in {recording.cycles} cycles, "
            f"then nothing moved for {patience}; {comparison.first_difference or 'no difference until then'}"
        )


def _cycles(recording: Recording) -> tuple[int, ...]:
    answers = recording.answer_last == 1
    return tuple(int(n) for n in (recording.answer_cycle - recording.first_cycle + 1)[answers])


def _operations(connection: Connection, network: Network) -> int:
    """Synaptic operations if every source neuron fires."""
    shape = network.shape_of(connection.source)
    weights = int(connection.weights.size)
    return weights if connection.kind == "dense" else prod(shape) * max(1, weights // shape[0])


def shard_size(rig: Rig) -> int:
    """Samples of a shard: not so many that memory or disk runs short, nor that much is lost if a run is cut off.

    It depends on the network and the steps alone, so that a run is the same everywhere.
    """
    sample_bytes = _NEURON_BYTES * rig.steps * sum(population.size for population in rig.network.populations)
    return max(1, min(_MOST_SAMPLES, _MOST_BYTES // sample_bytes))


def run_shards(
    rig: Rig,
    model: Path,
    shards: list[range],
    *,
    jobs: int,
    folder: Path,
    keep: bool,
    finished: Callable[[ShardResult], None],
    progress: Callable[[int], None],
) -> None:
    """Run shards, ``jobs`` of them at a time, each in a folder of its own.

    Parameters
    ----------
    rig : Rig
    model : Path
        The compiled model.
    shards : list of range
    jobs : int
    folder : Path
    keep : bool
        Leave what the simulators wrote.
    finished : callable
        Called with each result, in this thread.
    progress : callable
        Called with the number of samples answered by those that are running, at times.
    """
    folders = {shard: folder / f"samples-{shard.start}-{shard.stop - 1}" for shard in shards}
    for place in folders.values():
        (place / STOP).unlink(missing_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(rig.run, model, shard, folders[shard]): shard for shard in shards}
        with _stopped_by_errors(pool, waiting, folders):
            while waiting:
                done, _ = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    shard = waiting.pop(future)
                    finished(future.result())
                    if not keep:
                        shutil.rmtree(folders[shard])
                progress(sum(rig.answered(folders[shard]) for shard in waiting.values()))


@contextmanager
def _stopped_by_errors(
    pool: ThreadPoolExecutor, waiting: dict[Future[ShardResult], range], folders: dict[range, Path]
) -> Iterator[None]:
    """On an error within, or an interruption, no other simulator goes on."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for shard in waiting.values():
            folders[shard].mkdir(parents=True, exist_ok=True)
            (folders[shard] / STOP).touch()
        raise


def _heard(network: Network) -> set[str]:
    """Populations without whose last step there is no answer: others may lag behind it."""
    found, front = set[str](), {network.readout.population}
    while front:
        found |= front
        front = {c.source for name in front for c in network.incoming(name) if not c.delay} - found - {INPUT}
    return found
