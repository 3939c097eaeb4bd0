"""Networks of which everything was simulated, and how much of it differs from the golden model."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quant.ir import Network
from sim.cosim import cosimulate
from sim.report import CosimReport
from spikeloom import pipeline
from spikeloom.samples import dataset_samples
from spikeloom.source import find_source
from spikeloom.workspace import Workspace

from . import networks
from .table import Measurement

__all__ = ["feedback", "mnist", "recipe", "recurrent"]

# Icarus is slower by far, and takes the first of the samples alone.
_SIMULATORS = {"verilator": 20, "icarus": 2}
_MNIST_LANES = {"hidden": 64, "output": 10}


def recipe(name: str) -> tuple[Network, NDArray[Any]]:
    """Integer network of a recipe's checkpoint, and its test samples."""
    source = find_source(name)
    with tempfile.TemporaryDirectory() as folder:
        network = pipeline.integers(source, Workspace(folder=Path(folder)))
    return network, dataset_samples(source.named.metadata, network.steps).inputs


def feedback() -> Iterator[Measurement]:
    """A SPIDE network, whose layers hear those behind them, on both simulators with stalls."""
    network, inputs = recipe("digits-spide")
    yield _of_both("feedback", network, inputs, "digits-spide, convolutions and their transposed feedback")


def recurrent() -> Iterator[Measurement]:
    """A layer that hears itself, on both simulators with stalls."""
    network = networks.recurrent()
    yield _of_both("recurrent", network, networks.events(network, 20, 0.1), "64-96-10, the 96 recurrent, 25 steps")


def mnist() -> Iterator[Measurement]:
    """All test images of MNIST through 784-512-10."""
    network, inputs = recipe("mnist-lif-512")
    report = cosimulate(network, inputs, lanes=_MNIST_LANES)
    command = "python -m benchmarks mismatches_mnist_10k"
    seen = f"{report.samples:,} images, {report.spikes:,} spikes and {report.membranes:,} membranes compared"
    yield Measurement(
        id="mismatches_mnist_10k",
        value=report.mismatches,
        unit="mismatches",
        peer=f"NIR2FPGA checks one sample; {seen}",
        command=command,
    )
    yield Measurement(
        id="minutes_mnist_10k",
        value=round(report.seconds / 60, 2),
        unit="minutes",
        peer=f"bar 15; {report.jobs} simulators at a time, compilation not counted",
        command=command,
    )


def _of_both(name: str, network: Network, inputs: NDArray[Any], what: str) -> Measurement:
    reports: Mapping[str, CosimReport] = {
        simulator: cosimulate(network, inputs[:samples], simulator=simulator, stall=0.2, seed=7)
        for simulator, samples in _SIMULATORS.items()
    }
    seen = "; ".join(
        f"{report.samples} samples, {report.spikes:,} spikes and {report.membranes:,} membranes on {name}"
        for name, report in reports.items()
    )
    return Measurement(
        id=f"mismatches_{name}",
        value=sum(report.mismatches for report in reports.values()),
        unit="mismatches",
        peer=f"nobody; {what}: {seen}, every stream stalled at random",
        command=f"python -m benchmarks mismatches_{name}",
    )
