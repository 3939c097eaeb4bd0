"""What goes wrong with data sets."""

from quant.errors import SpikeloomError

__all__ = ["DatasetError"]


class DatasetError(SpikeloomError, ValueError):
    """A data set that is not there, or whose files are not what they should be."""
