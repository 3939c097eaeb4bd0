"""Verbs up to the integer network: recipes, train, check, quantize, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Inputs, Json, Model, Out, integers_of, samples_of, workspace_of
from ..screen import Screen
from ..source import find_source
from ..workspace import Workspace

__all__ = ["check", "evaluate", "quantize", "recipes", "train"]


def recipes(as_json: Json = False) -> None:
    """Networks that can be trained by name, and what their checkpoints reach."""
    from ..recipes import recipe_rows, recipes_table

    rows = recipe_rows()
    Screen(as_json=as_json).show({"recipes": rows}, recipes_table(rows))


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="One of `spikeloom recipes`.")],
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
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

        result = pipeline.train(recipe, workspace, seed=seed, folder=data, report=report)
    values = {"recipe": recipe, "seed": seed, **vars(result)}
    words = {
        "float network": f"{result.model}, accuracy {percent(result.float_accuracy)}",
        "for integers": f"{result.quantized}, accuracy {percent(result.accuracy)}",
        "rates": ", ".join(f"{name} {rate:.3f}" for name, rate in result.rates.items()),
        "time": f"{result.seconds:.0f} s",
    }
    screen.show(values, facts(f"Training of {recipe}", words))


def check(model: Model, data: Data = None, as_json: Json = False) -> None:
    """What every layer becomes, and what cannot be generated."""
    from ..check import account
    from ..check import check as check_network
    from ..pipeline import quantized
    from ..tables import account_tables, check_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    if not as_json:
        # First, so that it is seen even of what cannot be rounded to integers.
        screen.show({}, *account_tables(account(source.named.metadata)))
    network, report = (source.network, None) if source.model is None else quantized(source.model, data=data)
    assert network is not None
    result = check_network(network, report)
    screen.show(result.as_dict(), check_table(result))
    for warning in result.warnings:
        screen.say(f"Warning: {warning}")
    result.check()


def quantize(
    model: Model,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="2 to 8; default: as trained, or 4.")] = None,
    decay_bits: Annotated[int | None, typer.Option("--decay-bits", help="0 to 24; default: as trained, or 8.")] = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Round a float network to integers."""
    from quant.report import quantization_table

    from .. import pipeline

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    with screen.busy("Quantizing"):
        network, report = pipeline.quantize(
            source, workspace, weight_bits=weight_bits, decay_bits=decay_bits, data=data
        )
    values = {"network": str(workspace.network), "name": network.name, "digest": network.digest, **report.as_dict()}
    screen.show(values, quantization_table(report), f"Integer network: {workspace.network}")
    for warning in report.warnings:
        screen.say(f"Warning: {warning}")


def evaluate(
    model: Model,
    against: Annotated[
        Path | None, typer.Option("--against", help="File of the float network to compare with.")
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="So many; default: all.")] = None,
    inputs: Inputs = None,
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
    network = integers_of(source, workspace, screen, data)
    with screen.busy(f"Running {len(chosen)} samples"):
        result = pipeline.evaluate(network, chosen, workspace, reference=reference)
    made = evaluation_table(result) if result.comparison is None else comparison_table(result.comparison)
    screen.show(result.as_dict(), made)
    for warning in result.comparison.warnings if result.comparison else ():
        screen.say(f"Warning: {warning}")
