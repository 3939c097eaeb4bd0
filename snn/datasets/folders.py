"""Where the files of data sets are looked for."""

from collections.abc import Callable
from pathlib import Path

from .errors import DatasetError

__all__ = ["cache", "find", "places"]

_SYSTEM = Path("/usr/share/datasets")


def cache(name: str) -> Path:
    """Folder of the user's own copy of a data set."""
    return Path.home() / ".cache" / "spikeloom" / name


def places(name: str) -> tuple[Path, ...]:
    """Folders in which the files of data set ``name`` are looked for when none is given, in order."""
    return (Path("data") / name, cache(name), _SYSTEM / name)


def find(name: str, folder: Path | None, *, there: Callable[[Path], bool], way: str, files: str) -> Path:
    """The folder in which ``there`` finds the data set: ``folder`` if it is given, else one of the usual places.

    Raises
    ------
    DatasetError
        If there is none; it tells the ``way`` to get the ``files``.
    """
    folders = places(name) if folder is None else (folder,)
    for candidate in folders:
        if there(candidate):
            return candidate
    tried = ", ".join(str(candidate) for candidate in folders)
    raise DatasetError(f"Data set {name} is not in {tried}; {way}, or name the folder of its {files}")
