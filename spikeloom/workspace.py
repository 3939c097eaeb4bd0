"""Workspace: the folder of a network's files, and the report that gathers what every step found."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import FileError
from quant.file import save_network, write_beside
from quant.ir import Network

from .source import NETWORK_FILE

__all__ = ["REPORT_FILE", "Workspace", "read_report"]

REPORT_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Files of one network: ``network.npz``, ``network.v``, ``report.json``, and a folder for every board.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @property
    def network(self) -> Path:
        """The integer network."""
        return self.folder / NETWORK_FILE

    @property
    def verilog(self) -> Path:
        """What was generated."""
        return self.folder / "network.v"

    @property
    def report(self) -> Path:
        """What the steps found."""
        return self.folder / REPORT_FILE

    def board(self, name: str) -> Path:
        """Folder of what was built for a board."""
        return self.folder / name

    def make(self) -> None:
        """Make the folder.

        Raises
        ------
        FileError
            If it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"Folder {self.folder} cannot be made: {error.strerror or error}") from None

    def save(self, network: Network) -> Path:
        """Write the integer network; its path."""
        save_network(self.network, network)
        return self.network

    def record(self, network: Network, step: str, values: Mapping[str, Any]) -> None:
        """Put what a step found into the report; what steps found of another network goes out of it."""
        found = read_report(self.report) if self.report.exists() else {}
        if found.get("digest") != network.digest:
            found = {"network": network.name, "digest": network.digest}
        found[step] = dict(values)
        write_beside(self.report, (json.dumps(found, indent=1) + "\n").encode())


def read_report(path: Path) -> dict[str, Any]:
    """A report of :meth:`Workspace.record`.

    Raises
    ------
    FileError
        If it is not there, or not one.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileError(f"File {path} does not exist; steps such as evaluate, cosim and build write it") from None
    except OSError as error:
        raise FileError(f"File {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("digest"), str):
        raise FileError(f"File {path} is not a report of Spikeloom's; remove it")
    return found
