"""Verbs up to the integer network: recipes, train, check, quantize, evaluate."""

from pathlib import Path
from typing import Annotated, Any

import typer

from quant.calibrate import METHODS
from quant.measurement import Measurement

from ..options import (
    Calibration,
    Data,
    Inputs,
    Json,
    Model,
    Out,
    calibration_of,
    integers_of,
    samples_of,
    width_list,
    widths_of,
    workspace_of,
)
from ..samples import file_samples
from ..screen import Screen
from ..source import Source, UsageError, find_source
from ..workspace import Workspace

__all__ = ["check", "evaluate", "quantize", "recipes", "train"]

_BITS, _WITHIN, _SAMPLES = "2,3,4,6,8", 0.5, 1000


def recipes(as_json: Json = False) -> None:
    """Networks that can be trained by name, and what their checkpoints reach."""
    from ..recipes import recipe_rows, recipes_table

    rows = recipe_rows()
    Screen(as_json=as_json).show({"recipes": rows}, recipes_table(rows))


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="One of `spikeloom recipes`.")],
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    start: Annotated[
        Path | None, typer.Option("--from", help="A float network: train it on with integers, and nothing else.")
    ] = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train a recipe: in real numbers, then with the integers of the hardware."""
    from .. import pipeline
    from ..tables import facts, percent

    screen = Screen(as_json=as_json)
    workspace = Workspace(folder=Path("build") / recipe if out is None else out)
    with screen.progress() as advance:

        def report(stage: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
            advance(f"Training, {stage}\nloss {loss:.4f}, {accuracy:.2%} right", epoch, epochs)

        result = pipeline.train(recipe, workspace, seed=seed, folder=data, start=start, report=report)
    values = {"recipe": recipe, "seed": seed, **vars(result)}
    words = {
        "float network": f"{result.model}, accuracy {percent(result.float_accuracy)}",
        "for integers": f"{result.quantized}, accuracy {percent(result.accuracy)}",
        "rates": ", ".join(f"{name} {rate:.3f}" for name, rate in result.rates.items()),
        "time": f"{result.seconds:.0f} s",
    }
    screen.show(values, facts(f"Training of {recipe}", words))


def check(model: Model, calibration: Calibration = None, data: Data = None, as_json: Json = False) -> None:
    """What every layer becomes, and what cannot be generated."""
    from ..check import account
    from ..check import check as check_network
    from ..pipeline import quantized
    from ..tables import account_tables, check_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    inputs = calibration_of(source, calibration)
    if not as_json:
        # First, so that it is seen even of what cannot be rounded to integers.
        screen.show({}, *account_tables(account(source.named.metadata)))
    network, report = source.network, None
    if source.model is not None:
        network, report = quantized(source.model, data=data, inputs=inputs)
    assert network is not None
    result = check_network(network, report)
    screen.show(result.as_dict(), check_table(result))
    for warning in result.warnings:
        screen.say(f"Warning: {warning}")


def quantize(
    model: Model,
    weight_bits: Annotated[
        str | None,
        typer.Option(
            "--weight-bits", help="2 to 16, ternary, or by population, hidden=4,output=6; default: as trained, or 4."
        ),
    ] = None,
    decay_bits: Annotated[int | None, typer.Option("--decay-bits", help="0 to 24; default: as trained, or 8.")] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help=f"Calibration: {', '.join(METHODS)}; default: active, or mse without samples."),
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Try widths, and find the narrowest for every layer.")] = False,
    bits: Annotated[str | None, typer.Option("--bits", help=f"Widths to try, with --sweep; default: {_BITS}.")] = None,
    within: Annotated[
        float | None,
        typer.Option("--within", help=f"Points of accuracy that may be lost, with --sweep; default: {_WITHIN}."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help=f"Training samples to choose with, at most, with --sweep; default: {_SAMPLES}."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Save the network that --sweep has chosen.")] = False,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            "--calibration",
            help="Samples to calibrate on: a .npy of inputs, or a .npz of inputs and, to sweep, labels.",
        ),
    ] = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Round a float network to integers, or sweep over the widths of its weights."""
    from quant.report import quantization_table

    from .. import pipeline

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    given = None if inputs is None else file_samples(inputs)
    if sweep:
        if weight_bits is not None or method is not None:
            raise UsageError(
                "Options --weight-bits and --method must not be given with --sweep, which finds the widths"
            )
        _sweep(
            source,
            workspace,
            screen,
            bits=width_list(_BITS if bits is None else bits),
            within=(_WITHIN if within is None else within) / 100,
            samples=_SAMPLES if samples is None else samples,
            decay_bits=decay_bits,
            data=data,
            inputs=given,
            apply=apply,
        )
        return
    for flag, value in (("bits", bits), ("within", within), ("samples", samples), ("apply", apply or None)):
        if value is not None:
            raise UsageError(f"Option --{flag} must be given with --sweep alone")
    with screen.busy("Quantizing"):
        network, report = pipeline.quantize(
            source,
            workspace,
            weight_bits=widths_of(weight_bits),
            decay_bits=decay_bits,
            method=method,
            data=data,
            inputs=None if given is None else given.inputs,
        )
    values = {"network": str(workspace.network), "name": network.name, "digest": network.digest, **report.as_dict()}
    screen.show(values, quantization_table(report), f"Integer network: {workspace.network}")
    for warning in report.warnings:
        screen.say(f"Warning: {warning}")


def _sweep(source: Source, workspace: Workspace, screen: Screen, **options: Any) -> None:
    from ..sweep import sweep, sweep_table

    with screen.progress() as advance:
        result = sweep(source, workspace, progress=advance, **options)
    chosen = result.sweep.chosen
    screen.show(
        result.as_dict(),
        sweep_table(result),
        *_tested(result.test, result.float_test_accuracy),
        f"Files: {', '.join(map(str, result.files))}",
    )
    if not result.sweep.met:
        screen.say(f"Warning: no widths tried lose at most {100 * result.sweep.within:g} points; give wider ones")
    for warning in chosen.warnings:
        screen.say(f"Warning: {warning}")
    if not any(path.suffix == ".svg" for path in result.files):
        screen.say("No plot without matplotlib: pip install 'spikeloom[report]'")


def _tested(test: Measurement | None, reference: float | None) -> list[str]:
    """A line of the chosen network on the test set, if there is one."""
    if test is None:
        return []
    return [f"Chosen, on all {test.samples} test samples: {test.accuracy:.2%}, float {reference:.2%}"]


def evaluate(
    model: Model,
    against: Annotated[
        Path | None, typer.Option("--against", help="File of the float network to compare with.")
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="So many; default: all.")] = None,
    inputs: Inputs = None,
    calibration: Calibration = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Accuracy and firing rates of the integer network, and of the float network beside it."""
    from quant.model import load_model
    from quant.report import comparison_table

    from .. import pipeline
    from ..tables import evaluation_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    reference = source.reference if against is None else load_model(against)
    workspace = workspace_of(source, out)
    chosen = samples_of(source, inputs=inputs, data=data, count=samples)
    network = integers_of(source, workspace, screen, data, calibration)
    with screen.busy(f"Running {len(chosen)} samples"):
        result = pipeline.evaluate(network, chosen, workspace, reference=reference)
    made = evaluation_table(result) if result.comparison is None else comparison_table(result.comparison)
    screen.show(result.as_dict(), made)
    for warning in result.comparison.warnings if result.comparison else ():
        screen.say(f"Warning: {warning}")
