"""Lanes as they are asked for; it imports no hardware, so that the command line starts without."""

from collections.abc import Mapping

__all__ = ["Lanes"]

Lanes = int | Mapping[str, int] | None
"""Of all cores, or of some by name; None leaves them to who plans."""
