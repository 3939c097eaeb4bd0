"""Pipeline: the steps from a trained network to a board, each a function that leaves its file for the next.

A step takes a :class:`spikeloom.source.Source` or an integer network, and the :class:`spikeloom.workspace.Workspace`
that its files go into. What it found comes back, and is gathered in the workspace's ``report.json``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quant.calibrate import METHODS
from quant.errors import NetworkError, SpikeloomError
from quant.file import write_beside
from quant.ir import Network
from quant.model import FloatNetwork
from quant.quantize import quantize as quantize_model
from quant.report import Comparison, QuantizationReport, compare_results
from quant.rounding import Width
from quant.simulate import run_float
from sim import golden

from .samples import CALIBRATION, Samples, calibration_inputs
from .screen import Advance
from .source import Source, UsageError
from .workspace import Workspace

if TYPE_CHECKING:
    from boards.activity import Activity
    from boards.build import BuildReport
    from boards.planner import Choice
    from hw.design import Design
    from sim.cosim import CosimReport
    from snn.train import Training

__all__ = [
    "Evaluation",
    "build",
    "cosim",
    "evaluate",
    "generate",
    "integers",
    "plan",
    "quantize",
    "quantized",
    "train",
]

_STAGES = {
    "generate": "Generating",
    "compile": "Compiling the simulation",
    "simulate": "Simulating",
}
_PLANNING = 100
"""Samples that a plan is made from."""
_WEIGHT_BITS, _DECAY_BITS, _STATE_BITS = 4, 8, 16


def train(recipe: str, workspace: Workspace, **options: Any) -> "Training":
    """Train a recipe into the workspace; options and result are those of :func:`snn.train.train`.

    Raises
    ------
    UsageError
        If torch is missing.
    """
    from snn.recipes import find

    found = find(recipe)
    try:
        from snn.train import train as train_recipe
    except ImportError as error:
        raise UsageError(
            f"Training needs {error.name}, which is not installed: pip install 'spikeloom[torch]'"
        ) from None
    workspace.make()
    return train_recipe(found, out=workspace.folder, **options)


def quantized(
    model: FloatNetwork,
    *,
    weight_bits: Width | Mapping[str, Width] | None = None,
    decay_bits: int | None = None,
    method: str | None = None,
    data: Path | None = None,
    inputs: NDArray[Any] | None = None,
) -> tuple[Network, QuantizationReport]:
    """Integer network of a float network.

    Bits that are not given are those of the training, which the metadata name; else 4 and 8. A network that training
    has given all its scales is rounded by them; its samples are looked at only if the rails of the membranes cannot be
    proven without. Another is calibrated on training samples of its data set, if they are there.

    Parameters
    ----------
    model : FloatNetwork
    weight_bits : int or str, or mapping of str to these, optional
        Of a weight, as of :func:`quant.quantize.quantize`; a mapping need not name all populations.
    decay_bits : int, optional
        Of a decay's fraction at most.
    method : str, optional
        How scales are calibrated: one of :data:`quant.calibrate.METHODS`. Default: ``active``, with the biases
        corrected, or ``mse`` without samples.
    data : Path, optional
        Folder of the data set.
    inputs : array of int, optional
        Samples to calibrate on instead of the data set's, the first of them.

    Raises
    ------
    SpikeloomError
        If the network cannot be rounded, or its data set is needed and not there.
    """
    if method is not None and method not in METHODS:
        raise NetworkError(f"Calibration must be one of {', '.join(METHODS)}, not {method!r}")
    options: dict[str, Any] = {
        "weight_bits": _widths(model, weight_bits),
        "decay_bits": _bits(model, "decay_bits", decay_bits, _DECAY_BITS),
        "state_bits": _STATE_BITS,
    }
    if set(model.order) <= set(model.scales):
        return _as_trained(model, options, data, inputs)
    inputs, remarks = _calibration(model, method, data) if inputs is None else (inputs[:CALIBRATION], ())
    if inputs is not None:
        options |= {"inputs": inputs, "correct": method in (None, "active")}
    chosen = method or ("mse" if inputs is None else "active")
    network, report = quantize_model(model, **options, method=chosen)
    return network, replace(report, remarks=remarks)


def _calibration(
    model: FloatNetwork, method: str | None, data: Path | None
) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Calibration samples, or None, and what is to be said of that."""
    if "dataset" not in model.metadata and method is None:
        return None, ("Calibrated without samples, for the network names no data set",)
    try:
        return calibration_inputs(model.metadata, model.steps, folder=data), ()
    except SpikeloomError as error:
        if method == "active" or data is not None:
            raise
        return None, () if method else (f"Calibrated without samples: {error}",)


def _as_trained(
    model: FloatNetwork, options: dict[str, Any], data: Path | None, inputs: NDArray[Any] | None
) -> tuple[Network, QuantizationReport]:
    if inputs is not None:
        return quantize_model(model, **options, inputs=inputs[:CALIBRATION])
    try:
        network, report = quantize_model(model, **options)
        if all(item.state_width <= _STATE_BITS for item in report.populations):
            return network, report
    except NetworkError:
        if "dataset" not in model.metadata:
            raise
    if "dataset" not in model.metadata:
        return network, report
    return quantize_model(model, **options, inputs=calibration_inputs(model.metadata, model.steps, folder=data))


def _widths(model: FloatNetwork, wanted: Width | Mapping[str, Width] | None) -> Width | Mapping[str, Width]:
    trained = model.metadata.get("weight_bits")
    usual: Width | dict[str, Width] = trained if isinstance(trained, (int, dict)) else _WEIGHT_BITS
    if not isinstance(wanted, Mapping):
        return usual if wanted is None else wanted
    return {**(usual if isinstance(usual, dict) else dict.fromkeys(model.order, usual)), **wanted}


def _bits(model: FloatNetwork, name: str, wanted: int | None, usual: int) -> int:
    trained = model.metadata.get(name)
    if wanted is not None:
        return wanted
    return trained if isinstance(trained, int) else usual


def quantize(source: Source, workspace: Workspace, **options: Any) -> tuple[Network, QuantizationReport]:
    """Round a float network to integers and save it; the options are those of :func:`quantized`."""
    if source.model is None:
        raise UsageError(f"Model must be a recipe or a float network, and {source.argument} is already in integers")
    network, report = quantized(source.model, **options)
    workspace.save(network)
    workspace.record(network, "quantize", report.as_dict())
    return network, report


def integers(source: Source, workspace: Workspace, **options: Any) -> Network:
    """The integer network of a source: its file's, or else what :func:`quantize` makes of it with the options."""
    return source.network if source.network is not None else quantize(source, workspace, **options)[0]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a network answers on samples.

    Parameters
    ----------
    network : str
    origin : str
        Of the samples.
    samples : int
    accuracy : float or None
        Share of right answers of the integer network, 0 to 1; None without labels.
    rates : dict of str to float
        Spikes a neuron and step of the integer network, by population.
    comparison : Comparison or None
        With the float network, if there is one.
    """

    network: str
    origin: str
    samples: int
    accuracy: float | None
    rates: Mapping[str, float]
    comparison: Comparison | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values = {"network": self.network, "origin": self.origin, "samples": self.samples, "accuracy": self.accuracy}
        if self.comparison is None:
            return {**values, "rates": dict(self.rates)}
        return {**values, "rates": dict(self.rates), **self.comparison.as_dict()}


def evaluate(
    network: Network, samples: Samples, workspace: Workspace, *, reference: FloatNetwork | None = None
) -> Evaluation:
    """Run the integer network on samples, and the float network beside it."""
    found = golden.run(network, samples.inputs)
    comparison = None
    if reference is not None:
        expected = run_float(reference, samples.inputs, dtype=np.float32)
        comparison = compare_results(network, expected, found, samples.labels)
    steps = samples.inputs.shape[1] if network.input.kind == "events" else network.steps
    evaluation = Evaluation(
        network=network.name,
        origin=samples.origin,
        samples=len(samples),
        accuracy=None if samples.labels is None else found.accuracy(samples.labels),
        rates={name: float(found.totals[name].mean()) / (steps * network[name].size) for name in network.order},
        comparison=comparison,
    )
    workspace.record(network, "evaluate", evaluation.as_dict())
    return evaluation


def generate(network: Network, workspace: Workspace, **options: Any) -> "Design":
    """Write the Verilog; options and result are those of :func:`hw.design.generate`."""
    from hw.design import generate as generate_design

    design = generate_design(network, **options)
    write_beside(workspace.verilog, design.verilog.encode())
    workspace.record(network, "generate", design_values(design, workspace))
    return design


def design_values(design: "Design", workspace: Workspace) -> dict[str, Any]:
    """What was generated, as JSON values."""
    layout = design.input_layout
    return {
        "network": design.network.name,
        "verilog": str(workspace.verilog),
        "module": design.name,
        "address_width": layout["address"].width,
        "value_width": layout["value"].width,
        "score_width": design.score_width,
        "classes": design.classes,
        "cores": [core.as_dict() for core in design.cores],
    }


def cosim(
    network: Network,
    samples: Samples,
    workspace: Workspace,
    *,
    resumable: bool = False,
    progress: Advance = lambda stage, done, total: None,
    **options: Any,
) -> "CosimReport":
    """Simulate the hardware on samples; options and result are those of :func:`sim.cosim.cosimulate`.

    With ``resumable``, shards that are done are kept in the workspace's ``cosim-SIMULATOR.jsonl``.
    It is not an error if the hardware differs: see :meth:`sim.cosim.CosimReport.check`.
    """
    from sim.cosim import cosimulate

    def named(stage: str, done: int, total: int) -> None:
        if stage == "resume":
            progress(f"Going on after {done} of {total} samples", 0, 1)
        else:
            progress(_STAGES.get(stage, stage.capitalize()), done, total)

    if resumable:
        options["record"] = workspace.folder / f"cosim-{options.get('simulator', 'verilator')}.jsonl"
    report = cosimulate(network, samples.inputs, progress=named, **options)
    workspace.record(network, f"cosim {report.simulator}", report.as_dict())
    return report


def plan(
    network: Network,
    board: str,
    *,
    inputs: NDArray[Any] | None = None,
    data: Path | None = None,
    early_stop: bool = True,
    **options: Any,
) -> "Choice":
    """Choose the lanes for a board; options and errors are those of :func:`boards.planner.choose`.

    It is made from ``inputs``, or from training samples of the network's data set, if they are there; else from
    assumptions. So what is planned to be simulated is what is planned to be built.
    """
    from boards.board import find_board
    from boards.planner import choose

    found = find_board(board)
    return choose(network, found, _activity(network, inputs, data, early_stop), early_stop=early_stop, **options)


def _activity(network: Network, inputs: NDArray[Any] | None, data: Path | None, early_stop: bool) -> "Activity":
    from boards.activity import assumed, measured

    if inputs is None:
        try:
            inputs = calibration_inputs(network.metadata, network.steps, folder=data)
        except SpikeloomError:
            if data is not None:
                raise
            return assumed(network)
    return measured(network, inputs[:_PLANNING], early_stop=early_stop)


def build(
    network: Network, board: str, workspace: Workspace, *, progress: Any = None, use_cache: bool = True, **options: Any
) -> "BuildReport":
    """Make a bitstream; the options are those of :func:`boards.build.plan_build`.

    It is not an error if the timing is not met: see :meth:`boards.build.BuildReport.check`.
    """
    from boards.build import build as build_plan
    from boards.build import plan_build

    plan = plan_build(network, board, **options)
    report = build_plan(
        plan, workspace.board(plan.board.name), use_cache=use_cache, **({"progress": progress} if progress else {})
    )
    workspace.record(network, f"build {report.board}", report.as_dict())
    return report
