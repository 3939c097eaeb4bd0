"""Memory that is freed is kept: a step of training wants the same dozens of maps as the step before."""

import ctypes

__all__ = ["keep_memory"]

# Of malloc.h in glibc.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = (1 << 31) - 1


def keep_memory() -> bool:
    """Have the C library keep what this process frees; whether it does, which takes glibc.

    By default every large map is asked from the system and given back again, and the system fills it with zeros page
    by page as it is first written: a third of the time of training on maps.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
