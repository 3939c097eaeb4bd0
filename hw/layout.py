"""What flows between cores: events and ticks."""

from amaranth import Shape, unsigned
from amaranth.lib import data

from quant.ranges import Range

__all__ = ["BeatLayout", "shape_of"]


def shape_of(values: Range) -> Shape:
    """Amaranth shape of the integers of a range."""
    return Shape(values.width, values.signed)


class BeatLayout(data.StructLayout):
    """An event, or a tick: the end of a time step.

    Parameters
    ----------
    size : int
        Number of neurons, or of input values, that send: ``senders``.
    values : Range
        Range of an event's value.

    Members
    -------
    address : unsigned
        Neuron that fired.
    value : signed or unsigned
        Value of the event: 1 for a spike.
    tick : 1
        This is a tick; address and value mean nothing.
    last : 1
        The tick ends the sample.
    """

    def __init__(self, size: int, values: Range):
        self.senders = size
        self.values = values
        super().__init__(
            {
                "address": unsigned(max(1, (size - 1).bit_length())),
                "value": shape_of(values),
                "tick": 1,
                "last": 1,
            }
        )
