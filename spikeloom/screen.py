"""Screen: results on standard output, messages and progress on standard error."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Advance", "Screen"]

_WIDTH = 160
# A log need not say more often how far something is.
_LOG_SECONDS = 30

Advance = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and of how much; of 0 or 1, only the time is shown."""


class Screen:
    """Where a command writes.

    Parameters
    ----------
    as_json : bool
        Results are one JSON object instead of tables.
    """

    def __init__(self, *, as_json: bool = False):
        self.as_json = as_json
        # Without a terminal nobody's width is known: tables are as wide as they need.
        width = None if sys.stdout.isatty() else _WIDTH
        self.output = Console(highlight=False, width=width)
        self.messages = Console(stderr=True, highlight=False)

    def say(self, words: str) -> None:
        """A message."""
        self.messages.print(words, markup=False, soft_wrap=True)

    def show(self, values: Mapping[str, Any], *tables: RenderableType) -> None:
        """The result of a command: its values if JSON is wanted, else its tables."""
        if self.as_json:
            print(json.dumps(values, default=_plain, allow_nan=False))
            return
        for table in tables:
            self.output.print(table, markup=False, soft_wrap=isinstance(table, str))

    @contextmanager
    def progress(self) -> Iterator[Advance]:
        """A line for every stage while it lasts; without a terminal, its name when it begins, then how far it is."""
        if not self.messages.is_terminal:
            yield _announcer(self.say)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[amount]}"),
        )
        with Progress(*columns, TimeElapsedColumn(), console=self.messages, transient=True) as bars:
            yield _Bars(bars)

    @contextmanager
    def busy(self, words: str) -> Iterator[None]:
        """Progress of something that does not say how far it is."""
        with self.progress() as advance:
            advance(words, 0, 1)
            yield


def _plain(value: Any) -> Any:
    """JSON of what numpy and pathlib have."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _announcer(say: Callable[[str], None]) -> Advance:
    stages: set[str] = set()
    said = monotonic()

    def advance(stage: str, done: int, total: int) -> None:
        nonlocal said
        name, _, detail = stage.partition("\n")
        if name not in stages:
            stages.add(name)
            say(f"{name} ...")
            said = monotonic()
        elif monotonic() - said > _LOG_SECONDS:
            say(" ".join([name, *([f"{done}/{total}"] if total > 1 else []), detail]).strip())
            said = monotonic()

    return advance


class _Bars:
    """Stages as bars; after a line break, a stage may say what it is doing."""

    def __init__(self, bars: Progress):
        self.bars = bars
        self.tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        name, _, detail = stage.partition("\n")
        if name not in self.tasks:
            self._finish()
            self.tasks[name] = self.bars.add_task(name, total=total if total > 1 else None, amount="")
        words = f"{name}  {detail[:60]}" if detail else name
        amount = f"{done}/{total}" if total > 1 else ""
        self.bars.update(self.tasks[name], completed=done, description=words.replace("[", r"\["), amount=amount)

    def _finish(self) -> None:
        for task in self.bars.tasks:
            if not task.finished:
                self.bars.update(task.id, total=1, completed=1)
