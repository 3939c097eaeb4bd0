"""What every recipe has, however it is trained."""

from dataclasses import dataclass

__all__ = ["Recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A data set, a network, and the widths of its integers.

    Parameters
    ----------
    name, summary : str
    dataset : str
        One of :data:`snn.datasets.DATASETS`.
    encoder : str
        See :mod:`snn.encode`.
    neuron : str
        Kind of the neurons, in a word.
    layers : str
        Hidden layers; see :mod:`snn.architecture`.
    steps : int
        Time steps of a sample.
    weight_bits, decay_bits : int
        Of the integer network.
    """

    name: str
    summary: str
    dataset: str
    encoder: str
    neuron: str
    layers: str
    steps: int
    weight_bits: int = 4
    decay_bits: int = 4

    @property
    def readout(self) -> str:
        """How the output becomes an answer: one of the kinds of :class:`quant.ports.Readout`."""
        raise NotImplementedError
