"""Golden model: the integer network of :mod:`quant.ir` in numpy, bit for bit what the hardware computes.

Everything else is measured by it, so it is written from the equations alone and shares nothing with the hardware.
"""

from .engine import run

__all__ = ["run"]
