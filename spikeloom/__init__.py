"""Spikeloom: a trained spiking network becomes an FPGA bitstream, and the two are proven equal, bit for bit.

The steps are the functions of :mod:`spikeloom.pipeline`; the command ``spikeloom`` calls them.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("spikeloom")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"
