"""Command line: a verb for every step, from a recipe to a board."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quant.errors import SpikeloomError

from . import __version__
from .options import (
    BoardName,
    Data,
    EarlyStop,
    Inputs,
    Json,
    LanesText,
    Model,
    Out,
    RandomInputs,
    lanes_of,
    samples_of,
)
from .screen import Screen
from .source import Source, find_source
from .workspace import REPORT_FILE, Workspace, read_report

__all__ = ["app", "main"]


class _Guard(TyperGroup):
    """Mistakes of the user become one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpikeloomError as error:
            _end(str(error), error.exit_code)
        except BrokenPipeError:
            # Whoever read the output has had enough; nothing more may be written there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _end(f"{where}{error.strerror or error}", 2)
        except KeyboardInterrupt:
            _end("Interrupted", 130)


def _end(words: str, code: int) -> None:
    print(words, file=sys.stderr)
    raise typer.Exit(code) from None


app = typer.Typer(
    cls=_Guard,
    help="From a trained spiking network to an FPGA bitstream that is proven to compute the same, bit for bit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process with its exit code: 0 done, 1 a check failed, 2 wrong use."""
    app(args=None if arguments is None else list(arguments), prog_name="spikeloom")


@app.callback()
def _start(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(f"spikeloom {__version__}")
        raise typer.Exit


def _workspace(source: Source, out: Path | None) -> Workspace:
    return Workspace(folder=source.folder if out is None else out)


def _integers(source: Source, workspace: Workspace, screen: Screen, data: Path | None) -> Any:
    """The integer network, which is made and saved if the user has named another."""
    from .pipeline import integers

    network = integers(source, workspace, data=data)
    if source.network is None:
        screen.say(f"Integer network: {workspace.network}")
    return network


@app.command()
def demo(
    recipe: Annotated[str, typer.Option("--recipe", help="One of `spikeloom recipes`, of the digits.")] = "digits-klif",
    board: BoardName = "icebreaker",
    samples: Annotated[int, typer.Option("--samples", help="Test samples to co-simulate.", min=1)] = 100,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """From a trained network to a bitstream, with every proof on the way."""
    from .demo import demo as run_demo
    from .demo import demo_table

    screen = Screen(as_json=as_json)
    with screen.progress() as advance:
        result = run_demo(recipe, board=board, samples=samples, folder=out, progress=advance)
    screen.show(result.as_dict(), demo_table(result))
    result.check()


@app.command()
def recipes(as_json: Json = False) -> None:
    """Networks that can be trained by name, and what their checkpoints reach."""
    from .recipes import recipe_rows, recipes_table

    rows = recipe_rows()
    Screen(as_json=as_json).show({"recipes": rows}, recipes_table(rows))


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="One of `spikeloom recipes`.")],
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train a recipe: in real numbers, then with the integers of the hardware."""
    from . import pipeline
    from .tables import facts, percent

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


@app.command()
def check(model: Model, data: Data = None, as_json: Json = False) -> None:
    """What every layer becomes, and what cannot be generated."""
    from .check import check as check_network
    from .pipeline import quantized
    from .tables import check_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    network, report = (source.network, None) if source.model is None else quantized(source.model, data=data)
    assert network is not None
    result = check_network(network, report)
    screen.show(result.as_dict(), check_table(result))
    for warning in result.warnings:
        screen.say(f"Warning: {warning}")
    result.check()


@app.command()
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

    from . import pipeline

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = _workspace(source, out)
    with screen.busy("Quantizing"):
        network, report = pipeline.quantize(
            source, workspace, weight_bits=weight_bits, decay_bits=decay_bits, data=data
        )
    values = {"network": str(workspace.network), "name": network.name, "digest": network.digest, **report.as_dict()}
    screen.show(values, quantization_table(report), f"Integer network: {workspace.network}")
    for warning in report.warnings:
        screen.say(f"Warning: {warning}")


@app.command()
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

    from . import pipeline
    from .tables import evaluation_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    reference = source.reference if against is None else load_model(against)
    workspace = _workspace(source, out)
    chosen = samples_of(source, inputs=inputs, data=data, count=samples)
    network = _integers(source, workspace, screen, data)
    with screen.busy(f"Running {len(chosen)} samples"):
        result = pipeline.evaluate(network, chosen, workspace, reference=reference)
    made = evaluation_table(result) if result.comparison is None else comparison_table(result.comparison)
    screen.show(result.as_dict(), made)
    for warning in result.comparison.warnings if result.comparison else ():
        screen.say(f"Warning: {warning}")


@app.command()
def generate(
    model: Model,
    lanes: LanesText = None,
    early_stop: EarlyStop = True,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write the network as Verilog."""
    from . import pipeline
    from .tables import table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = _workspace(source, out)
    network = _integers(source, workspace, screen, data)
    with screen.busy("Generating"):
        design = pipeline.generate(network, workspace, lanes=lanes_of(lanes), early_stop=early_stop)
    values = pipeline.design_values(design, workspace)
    columns = ("population", "inputs", "neurons", "lanes", "units", "rows", "sweeps", "weight_memory_bits")
    rows = [[core[column] for column in columns] for core in values["cores"]]
    screen.show(values, table(f"Module {design.name}", columns, rows), f"Verilog: {workspace.verilog}")


@app.command()
def cosim(
    model: Model,
    simulator: Annotated[str, typer.Option("--simulator", "-s", help="verilator or icarus.")] = "verilator",
    samples: Annotated[int | None, typer.Option("--samples", help="So many; default: 100, or all of a file.")] = None,
    stall: Annotated[float, typer.Option("--stall", help="Share of the cycles in which every stream stalls.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the stalls, and of random samples.")] = 0,
    isolate: Annotated[bool, typer.Option(help="One sample after the other, so that cycles can be compared.")] = False,
    lanes: LanesText = None,
    early_stop: EarlyStop = True,
    inputs: Inputs = None,
    at_random: RandomInputs = False,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Simulate the Verilog, and compare every spike and membrane with the golden model."""
    from . import pipeline
    from .tables import cosim_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = _workspace(source, out)
    count = 100 if samples is None and inputs is None else samples
    chosen = samples_of(source, inputs=inputs, data=data, count=count, at_random=at_random, seed=seed)
    options = {"simulator": simulator, "stall": stall, "seed": seed, "isolate": isolate, "lanes": lanes_of(lanes)}
    network = _integers(source, workspace, screen, data)
    with screen.progress() as advance:
        report = pipeline.cosim(network, chosen, workspace, early_stop=early_stop, progress=advance, **options)
    screen.show(report.as_dict(), cosim_table(report))
    report.check()


@app.command()
def build(
    model: Model,
    board: BoardName = "icebreaker",
    clock: Annotated[float | None, typer.Option("--clock", help="MHz; default: the board's.")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="Of the serial link.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of placement.")] = 1,
    lanes: LanesText = None,
    early_stop: EarlyStop = True,
    cache: Annotated[bool, typer.Option(help="Take what was built before of the same.")] = True,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make a board's bitstream."""
    from . import pipeline
    from .tables import build_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = _workspace(source, out)
    options: dict[str, Any] = {"lanes": lanes_of(lanes), "early_stop": early_stop, "seed": seed, "use_cache": cache}
    if clock is not None:
        options["clock_hz"] = clock * 1e6
    if baud is not None:
        options["baud"] = baud
    network = _integers(source, workspace, screen, data)
    with screen.progress() as advance:

        def progress(stage: str, line: str) -> None:
            advance(f"{stage.capitalize()}\n{line}", 0, 1)

        report = pipeline.build(network, board, workspace, progress=progress, **options)
    screen.show(report.as_dict(), build_table(report))
    report.check()


@app.command()
def report(
    place: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of a network, or a recipe's name.")],
    as_json: Json = False,
) -> None:
    """What the steps have found of a network."""
    from .tables import report_table

    folder = find_source(place).folder if not Path(place).exists() else Path(place)
    path = folder if folder.is_file() else folder / REPORT_FILE
    found = read_report(path)
    Screen(as_json=as_json).show(found, report_table(found))


@app.command()
def boards(as_json: Json = False) -> None:
    """Boards that can be built for."""
    from .tables import boards_rows, table

    rows = boards_rows()
    columns = ("name", "title", "device", "logic cells", "block RAMs", "DSPs", "MHz")
    keys = ("name", "title", "device", "logic_cells", "block_rams", "dsps", "default_clock_mhz")
    made = table("Boards", columns, [[row[key] for key in keys] for row in rows], left=("title", "device"))
    Screen(as_json=as_json).show({"boards": rows}, made)
