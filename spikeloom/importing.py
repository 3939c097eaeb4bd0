"""Options of commands that take a network of another tool: what the network does not say of itself."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from quant.importers.options import COMPARES, ImportOptions

from .source import UsageError, imports

__all__ = ["importing"]

_PANEL = "Networks of other tools"


def _option(flag: str, words: str) -> Any:
    return typer.Option(flag, help=words, rich_help_panel=_PANEL)


_OPTIONS: dict[str, Any] = {
    "weights": Annotated[Path | None, _option("--weights", "State dict of a torch module.")],
    "steps": Annotated[int | None, _option("--steps", "Time steps of a sample.")],
    "dt": Annotated[float | None, _option("--dt", "Seconds of a time step, of NIR files.")],
    "reset": Annotated[str | None, _option("--reset", "zero, subtract or none, of NIR files.")],
    "compare": Annotated[str | None, _option("--compare", f"Fires at {' or '.join(COMPARES)}, of NIR files.")],
    "reset_delay": Annotated[
        bool | None,
        _option("--reset-delay/--no-reset-delay", "Reset by subtraction a step after the spike, of NIR files."),
    ],
    "input_shape": Annotated[str | None, _option("--input-shape", "Of one step of one sample: 784 or 1,28,28.")],
    "input_kind": Annotated[str | None, _option("--input-kind", "events, current, rate or latency.")],
    "input_high": Annotated[int | None, _option("--input-high", "Largest integer of the input.")],
    "input_lsb": Annotated[float | None, _option("--input-lsb", "What the integer 1 of the input is worth.")],
    "readout": Annotated[str | None, _option("--readout", "count, first_spike or membrane.")],
    "reduce": Annotated[str | None, _option("--reduce", "Membranes: last, sum or max over the steps.")],
}


def importing(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options, which its networks of other tools are then read with."""
    own = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: value for name in _OPTIONS if (value := values.pop(name)) is not None}
        weights = given.pop("weights", None)
        if "input_shape" in given:
            given["input_shape"] = _shape(given["input_shape"])
        with imports(ImportOptions(**given) if given else None, weights):
            command(**values)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    keywords = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own.parameters.values()]
    run.__signature__ = own.replace(parameters=[*keywords, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in (*keywords, *added)}
    return run


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise UsageError(f"Option --input-shape must be sizes such as 784 or 1,28,28, not {text!r}") from None
