"""Record of a co-simulation: what was found of the shards that are done, so that a run that is cut off can go on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quant.errors import FileError
from quant.file import write_beside

from .compare import Comparison
from .shards import ShardResult, digest_of

__all__ = ["Record"]

_VERSION = 1

_WORDS = {
    "version": "of another version of the record",
    "network": "of another network",
    "design": "of other Verilog",
    "simulator": "of another simulator",
    "options": "of other options",
}


class Record:
    """File of JSON lines, one for each shard that is done, and each with what it is of. It is whole, or not there.

    Parameters
    ----------
    path : Path
    identity : mapping of str to JSON values
        What the results are of: ``network``, ``design``, ``simulator``, ``options``.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]):
        self.path = path
        self.identity = {"version": _VERSION, **identity}
        self.results: list[ShardResult] = []

    def resume(self, inputs: NDArray[Any]) -> None:
        """Read what is done, if the file is there; ``inputs`` are all samples.

        Raises
        ------
        FileError
            If the file is not a record, or that of something else.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise FileError(f"File {self.path} cannot be read: {error.strerror or error}") from None
        results = [self._read(number, line) for number, line in enumerate(text.splitlines(), 1)]
        results.sort(key=lambda result: result.start)
        self._check(results, inputs)
        self.results = results

    def add(self, result: ShardResult) -> None:
        """Write that a shard is done."""
        self.results.append(result)
        lines = [json.dumps({**self.identity, **_as_dict(item)}) + "\n" for item in self.results]
        write_beside(self.path, "".join(lines).encode())

    def _read(self, number: int, line: bytes) -> ShardResult:
        try:
            values = json.loads(line)
            found = {key: values.pop(key) for key in self.identity}
            result = _of_dict(values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FileError(f"File {self.path} is not a record of co-simulation: line {number}; remove it") from None
        for key, mine in self.identity.items():
            if found[key] != mine:
                raise self._foreign(f"{_WORDS[key]}{_difference(found[key], mine)}")
        return result

    def _check(self, results: list[ShardResult], inputs: NDArray[Any]) -> None:
        end = 0
        for result in results:
            if result.start < end:
                raise FileError(f"File {self.path} has sample {result.start} twice; remove it")
            end = result.stop
            if end > len(inputs):
                raise self._foreign(f"of {end} samples and more, not {len(inputs)}")
            if result.inputs != digest_of(inputs[result.start : result.stop]):
                raise self._foreign(f"of other samples, from {result.start} to {result.stop - 1}")

    def _foreign(self, words: str) -> FileError:
        return FileError(f"Record {self.path} is {words}; start anew, without resuming it")


def _difference(theirs: Any, mine: Any) -> str:
    """In words, of what is short enough."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        parts = [f"{key} {theirs.get(key)}, not {value}" for key, value in mine.items() if theirs.get(key) != value]
        return f": {'; '.join(parts)}"
    return f": {theirs}, not {mine}" if len(f"{theirs}{mine}") < 80 else ""


def _as_dict(result: ShardResult) -> dict[str, Any]:
    values = {item.name: getattr(result, item.name) for item in fields(result)}
    return {**values, "comparison": asdict(result.comparison)}


def _of_dict(values: dict[str, Any]) -> ShardResult:
    comparison = Comparison(**values.pop("comparison"))
    for name in ("cycles", "cycles_predicted"):
        values[name] = tuple(map(int, values[name]))
    result = ShardResult(**values, comparison=comparison)
    numbers = [getattr(comparison, item.name) for item in fields(comparison) if item.name != "first_difference"]
    numbers += [result.start, result.stop, result.total_cycles]
    whole = all(type(number) is int and number >= 0 for number in numbers) and isinstance(result.seconds, float)
    if not whole or not isinstance(comparison.first_difference, str):
        raise TypeError("Numbers must not be negative, and the first difference must be words")
    if len(result.cycles_predicted) not in (0, result.stop - result.start) or result.start >= result.stop:
        raise ValueError("Cycles must be predicted of every sample, or of none")
    return result
