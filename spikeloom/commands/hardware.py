"""Verbs that make hardware of the integer network, and prove it: demo, generate, cosim, build."""

from typing import Annotated, Any

import typer

from ..options import (
    BoardName,
    Clock,
    Data,
    EarlyStop,
    Inputs,
    Json,
    Model,
    Out,
    PlanBoard,
    RandomInputs,
    samples_of,
    workspace_of,
)
from ..planning import LanesText, PlanOptions, design_options, lanes_of, network_for, plan_for, planning
from ..screen import Screen
from ..source import UsageError, find_source

__all__ = ["build", "cosim", "demo", "generate"]


def demo(
    recipe: Annotated[str, typer.Option("--recipe", help="One of `spikeloom recipes`, of the digits.")] = "digits-klif",
    board: BoardName = "icebreaker",
    samples: Annotated[int, typer.Option("--samples", help="Test samples to co-simulate.", min=1)] = 100,
    lanes: LanesText = None,
    clock: Clock = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """From a trained network to a bitstream, with every proof on the way."""
    from ..demo import demo as run_demo
    from ..demo import demo_table

    screen = Screen(as_json=as_json)
    with screen.progress() as advance:
        result = run_demo(
            recipe,
            board=board,
            samples=samples,
            lanes=lanes_of(lanes),
            clock_hz=None if clock is None else clock * 1e6,
            folder=out,
            progress=advance,
        )
    screen.show(result.as_dict(), demo_table(result))
    result.check()


@planning
def generate(
    model: Model,
    *,
    wanted: PlanOptions,
    board: PlanBoard = None,
    early_stop: EarlyStop = True,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write the network as Verilog."""
    from .. import pipeline
    from ..tables import plan_table, table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    network = network_for(source, workspace, screen, wanted, board=board, data=data)
    hardware, choice = design_options(network, board, screen, wanted, early_stop=early_stop, data=data)
    with screen.busy("Generating"):
        design = pipeline.generate(network, workspace, **hardware)
    values = pipeline.design_values(design, workspace)
    plans = [] if choice is None else [choice.as_dict()]
    if plans:
        values["plan"] = plans[0]
    columns = (
        "population",
        "inputs",
        "neurons",
        "lanes",
        "units",
        "rows",
        "sweeps",
        "skip_groups",
        "weight_memory_bits",
    )
    rows = [[core[column] for column in columns] for core in values["cores"]]
    shown = table(f"Module {design.name}", columns, rows)
    screen.show(values, *map(plan_table, plans), shown, f"Verilog: {workspace.verilog}")


@planning
def cosim(
    model: Model,
    simulator: Annotated[str, typer.Option("--simulator", "-s", help="verilator or icarus.")] = "verilator",
    samples: Annotated[
        str | None, typer.Option("--samples", help="So many, or all; default: 100, or all of a file.")
    ] = None,
    stall: Annotated[float, typer.Option("--stall", help="Share of the cycles in which every stream stalls.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the stalls, and of random samples.")] = 0,
    isolate: Annotated[bool, typer.Option(help="One sample after the other, so that cycles can be compared.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Simulators at a time; default: the processor's cores.", min=1)
    ] = None,
    shard: Annotated[
        int | None, typer.Option("--shard", help="Samples of a simulator; default: 250, or as memory allows.", min=1)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run was interrupted; else start anew.")
    ] = False,
    *,
    wanted: PlanOptions,
    board: PlanBoard = None,
    early_stop: EarlyStop = True,
    inputs: Inputs = None,
    at_random: RandomInputs = False,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Simulate the Verilog, and compare every spike and membrane with the golden model."""
    from .. import pipeline
    from ..tables import cosim_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    count = None if samples is None and inputs is not None else _count(samples or "100", at_random=at_random)
    chosen = samples_of(source, inputs=inputs, data=data, count=count, at_random=at_random, seed=seed)
    options: dict[str, Any] = {
        "simulator": simulator,
        "stall": stall,
        "seed": seed,
        "isolate": isolate,
        "jobs": jobs,
        "shard": shard,
        "resume": resume,
    }
    network = network_for(source, workspace, screen, wanted, board=board, data=data)
    hardware, _ = design_options(network, board, screen, wanted, early_stop=early_stop, data=data)
    with screen.progress() as advance:
        report = pipeline.cosim(network, chosen, workspace, resumable=True, progress=advance, **options, **hardware)
    screen.show(report.as_dict(), cosim_table(report))
    report.check()


def _count(text: str, *, at_random: bool) -> int | None:
    """Number of samples; None for all."""
    if text == "all" and not at_random:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"Samples must be a number{'' if at_random else ' or all'}, not {text!r}") from None


@planning
def build(
    model: Model,
    board: BoardName = "icebreaker",
    clock: Clock = None,
    baud: Annotated[int | None, typer.Option("--baud", help="Of the serial link.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of placement.")] = 1,
    *,
    wanted: PlanOptions,
    early_stop: EarlyStop = True,
    cache: Annotated[bool, typer.Option(help="Take what was built before of the same.")] = True,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make a board's bitstream."""
    from .. import pipeline
    from ..tables import build_table, plan_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    options: dict[str, Any] = {"seed": seed, "use_cache": cache}
    if clock is not None:
        options["clock_hz"] = clock * 1e6
    if baud is not None:
        options["baud"] = baud
    network = network_for(source, workspace, screen, wanted, board=board, data=data)
    choice = plan_for(network, board, screen, wanted, clock=clock, early_stop=early_stop, data=data)
    with screen.progress() as advance:

        def progress(stage: str, line: str) -> None:
            advance(f"{stage.capitalize()}\n{line}", 0, 1)

        report = pipeline.build(network, board, workspace, choice=choice, progress=progress, **options)
    screen.show(report.as_dict(), plan_table(report.plan), build_table(report))
    report.check()
