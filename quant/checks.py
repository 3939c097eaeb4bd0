"""Checks of single values: an integer, integers within bounds, a flag."""

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .graph import frozen

__all__ = ["LIMIT", "flag", "integer", "integers"]

LIMIT = 1 << 31
"""Integers of a network are from minus this to one below it."""


def integers(value: object, what: str, *, low: int = -LIMIT, high: int = LIMIT - 1) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.size == 0:
        raise NetworkError(f"{what} must be integers, not {value!r}")
    if array.min() < low or array.max() > high:
        wrong = int(array.min()) if array.min() < low else int(array.max())
        raise NetworkError(f"{what} must be between {low} and {high}, not {wrong}")
    return frozen(array.astype(np.int64))


def integer(value: object, what: str, *, low: int, high: int) -> int:
    if isinstance(value, bool) or np.ndim(value) != 0:  # type: ignore[arg-type]
        raise NetworkError(f"{what} must be one integer, not {value!r}")
    return int(integers(value, what, low=low, high=high))


def flag(value: object, what: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise NetworkError(f"{what} must be true or false, not {value!r}")
    return bool(value)
