"""Options of commands that plan the hardware of a network, and the plan that they ask for."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boards.board import find_board
from quant.ir import Network

from .options import integers_of
from .pipeline import plan
from .samples import file_samples
from .screen import Screen
from .source import Source, UsageError
from .workspace import Workspace

if TYPE_CHECKING:
    from boards.planner import Choice
    from hw.plan import NetworkPlan

__all__ = ["LanesText", "PlanOptions", "design_options", "lanes_of", "network_for", "plan_for", "planning"]

LanesText = Annotated[
    str | None, typer.Option("--lanes", help="Synaptic operations a cycle: 16, or by population, hidden=32,out=10.")
]
Smallest = Annotated[bool, typer.Option("--smallest", help="A lane a core: the smallest plan.")]
TargetLatency = Annotated[
    str | None, typer.Option("--target-latency", help="No more lanes than this takes: 1ms, 500us, or 2000 cycles.")
]
Reloadable = Annotated[bool, typer.Option("--reloadable", help="Weights can be loaded through the link.")]
SpramText = Annotated[
    str | None, typer.Option("--spram", help="Weights of these populations in SPRAM: hidden,out. They must be loaded.")
]
SkipResting = Annotated[
    bool | None,
    typer.Option(
        "--skip-resting/--no-skip-resting",
        help="Sweeps skip neurons that rest: for maps with few events. Default: with a board, as the planner chooses.",
    ),
]

Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="Samples to plan on, and to calibrate a float network on, a .npy or .npz of inputs; default: training "
        "samples.",
    ),
]

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What the user wants of a plan, as it was written; :func:`planning` gives a command these options."""

    lanes: LanesText = None
    smallest: Smallest = False
    target_latency: TargetLatency = None
    reloadable: Reloadable = False
    spram: SpramText = None
    skip_resting: SkipResting = None
    calibration: Calibration = None


def planning(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``wanted``, a :class:`PlanOptions`, is made from an option for each of its fields."""
    own = inspect.signature(command, eval_str=True)
    names = [field.name for field in fields(PlanOptions)]
    options = inspect.signature(PlanOptions, eval_str=True).parameters.values()

    @wraps(command)
    def run(**values: Any) -> None:
        wanted = PlanOptions(**{name: values.pop(name) for name in names})
        command(wanted=wanted, **values)

    parameters: list[inspect.Parameter] = []
    for item in own.parameters.values():
        parameters += options if item.name == "wanted" else [item.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run


def network_for(
    source: Source, workspace: Workspace, screen: Screen, wanted: PlanOptions, *, board: str | None, data: Path | None
) -> Network:
    """The integer network that is to be planned, made and saved if the user has named another.

    Raises
    ------
    UsageError
        If there is nothing that calibration samples are for.
    """
    if wanted.calibration is not None and source.model is None and board is None:
        raise UsageError(
            f"Option --calibration must be given with a float network or with --board, not with {source.argument} alone"
        )
    return integers_of(source, workspace, screen, data, None if source.model is None else wanted.calibration)


def plan_for(
    network: Network,
    board: str,
    screen: Screen,
    wanted: PlanOptions,
    *,
    clock: float | None = None,
    early_stop: bool = True,
    data: Path | None = None,
) -> "Choice":
    """The plan of a network on a board, as the user wants it; a message says what limits it.

    Raises
    ------
    SpikeloomError
        If an option is wrong, or no plan fits.
    """
    storage, target = _storage(network, wanted), wanted.target_latency
    if wanted.smallest and target is not None:
        raise UsageError("Plan must be steered by --smallest or by --target-latency, not by both")
    clock_hz = find_board(board).default_clock_hz if clock is None else clock * 1e6
    with screen.busy("Planning"):
        choice = plan(
            network,
            board,
            lanes=lanes_of(wanted.lanes),
            storage=storage,
            skips=wanted.skip_resting,
            smallest=wanted.smallest,
            target_cycles=None if target is None else _cycles(target, clock_hz),
            early_stop=early_stop,
            inputs=None if wanted.calibration is None else file_samples(wanted.calibration).inputs,
            data=data,
        )
    _tell_skips(choice.plan, screen, wanted)
    lanes_found = ", ".join(f"{core.name} {core.lanes}" for core in choice.plan.cores)
    screen.say(f"Lanes: {lanes_found}; {choice.interval:,.0f} cycles between samples: {choice.reason}")
    return choice


def design_options(
    network: Network,
    board: str | None,
    screen: Screen,
    wanted: PlanOptions,
    *,
    early_stop: bool = True,
    data: Path | None = None,
) -> "tuple[dict[str, Any], Choice | None]":
    """Options of :func:`hw.plan.plan_network`: what the user wrote; or those of a build for ``board``, and its plan.

    Errors are those of :func:`plan_for`.
    """
    if board is not None:
        choice = plan_for(network, board, screen, wanted, early_stop=early_stop, data=data)
        return {**choice.options, "early_stop": early_stop}, choice
    storage = _storage(network, wanted)
    for flag, given in (("smallest", wanted.smallest), ("target-latency", wanted.target_latency is not None)):
        if given:
            raise UsageError(f"Plan must be for a board, with --board, to take --{flag}")
    found = {"lanes": lanes_of(wanted.lanes), "storage": storage, "skips": bool(wanted.skip_resting)}
    options: dict[str, Any] = {**found, "early_stop": early_stop}
    if wanted.skip_resting:
        from hw.plan import plan_network

        _tell_skips(plan_network(network, **options), screen, wanted)
    return options, None


def _tell_skips(plan: "NetworkPlan", screen: Screen, wanted: PlanOptions) -> None:
    """Say which sweeps skip, if there are any or they were asked for."""
    names = [core.name for core in plan.cores if core.skips]
    if names:
        screen.say(f"Sweeps that skip: {', '.join(names)}")
    elif wanted.skip_resting:
        screen.say(
            "Sweeps that skip: none; each core has one row, sets its sums aside, shows its membranes, or sweeps once a "
            "sample. Fewer lanes make more rows"
        )


def lanes_of(text: str | None) -> int | dict[str, int] | None:
    """Lanes as the user wrote them.

    Raises
    ------
    UsageError
        If they are not numbers.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return int(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): int(number) for name, number in pairs}
    except ValueError:
        raise UsageError(f"Lanes must be a number, or population=number with commas between, not {text!r}") from None


def _cycles(text: str, clock_hz: float) -> float:
    """Cycles of a latency as the user wrote it: a number of cycles, or a time."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|ms|us|ns|cycles)", text.strip())
    if not found or not float(found[1]):
        raise UsageError(f"Latency must be a time such as 1ms or 500us, or 2000cycles, not {text!r}")
    number, unit = float(found[1]), found[2]
    return number if unit == "cycles" else number * _UNITS[unit] * clock_hz


def _storage(network: Network, wanted: PlanOptions) -> str | dict[str, str]:
    """Where weights lie, as of :func:`hw.plan.plan_network`."""
    if wanted.spram is None:
        return "ram" if wanted.reloadable else "rom"
    names = [name.strip() for name in wanted.spram.split(",")]
    for name in names:
        if name not in network.order:
            raise UsageError(f"SPRAM must be for one of {', '.join(network.order)}, not {name!r}")
    others = dict.fromkeys(network.order, "ram") if wanted.reloadable else {}
    return others | dict.fromkeys(names, "spram")
