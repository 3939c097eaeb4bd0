"""Errors that a user can cause and mend."""

__all__ = ["CheckError", "FileError", "NetworkError", "SpikeloomError", "UnsupportedError"]


class SpikeloomError(Exception):
    """A mistake in what the user gave; the message says what, where, and the way out.

    The command line prints the message alone and ends with :attr:`exit_code`.
    """

    exit_code = 2


class NetworkError(SpikeloomError, ValueError):
    """A network, float or integer, that contradicts itself or the integer contract."""


class FileError(SpikeloomError, ValueError):
    """A file that is not what it should be: truncated, altered, or of another kind or version."""


class UnsupportedError(SpikeloomError):
    """Something sound that this version cannot import, generate or build."""


class CheckError(SpikeloomError):
    """A check ran and failed: a difference from the golden model, or timing not met."""

    exit_code = 1
