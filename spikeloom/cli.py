"""Command line: a verb for every step, from a recipe to a board."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quant.errors import SpikeloomError

from . import __version__
from .commands import board, data, exchange, hardware, model, results, study
from .importing import importing

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
    # Hardware that was being made complains that it is not used.
    warnings.simplefilter("ignore")
    print(words, file=sys.stderr)
    raise typer.Exit(code) from None


app = typer.Typer(
    cls=_Guard,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process with its exit code: 0 done, 1 a check failed, 2 wrong use."""
    app(args=None if arguments is None else list(arguments), prog_name="spikeloom")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spikeloom {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """From a trained spiking network to an FPGA bitstream that is proven to compute the same, bit for bit."""


for _verb in (
    hardware.demo,
    data.data,
    model.recipes,
    model.train,
    importing(model.check),
    importing(model.quantize),
    importing(model.evaluate),
    results.results,
    importing(exchange.export),
    importing(hardware.generate),
    importing(hardware.cosim),
    importing(hardware.build),
    board.flash,
    board.load,
    board.run,
    board.report,
    board.boards,
):
    app.command()(_verb)

app.add_typer(study.app, name="study")
