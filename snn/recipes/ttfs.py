"""Networks of one spike a neuron: ETTFS (Che et al., 2024) and its parts."""

from dataclasses import dataclass

from .surrogate import SurrogateRecipe

__all__ = ["TTFS", "TtfsRecipe"]


@dataclass(frozen=True, kw_only=True)
class TtfsRecipe(SurrogateRecipe):
    """Training of neurons that spike once, by surrogate gradients; the parts of :mod:`snn.ettfs` can be left out.

    Parameters
    ----------
    temporal_init : bool
        Draw the weights of layers behind spikes by :func:`snn.ettfs.temporal_init`.
    weight_norm : bool
        Normalise the weights of every layer while it trains.
    affine : bool
        Learn gamma and beta of every layer's current.
    decoder : str
        What a spike is worth in the loss: ``"linear"`` or ``"exponential"``, the less the later it comes, or always the
        same, ``"count"``. See :mod:`snn.loss`; the first spike answers in any case.
    """

    neuron: str = "ttfs"
    temporal_init: bool = True
    weight_norm: bool = False
    affine: bool = False
    decoder: str = "linear"

    @property
    def readout(self) -> str:
        """``"first_spike"``."""
        return "first_spike"


TTFS = (
    TtfsRecipe(
        name="mnist-ttfs",
        summary="MNIST, convolutions, one spike a neuron, the first to spike answers",
        dataset="mnist",
        encoder="direct>>4",
        layers="32C5s2-64C3s2-256",
        steps=4,
        weight_norm=True,
        affine=True,
        loss_gain=8.0,
        output_bias=0.2,
        sparsity=0.1,
        shift=2,
        epochs=14,
        batch=128,
        lr=3e-3,
        warm_up=1.0,
        weight_decay=1e-2,
        qat_epochs=4,
        qat_lr=5e-4,
    ),
    TtfsRecipe(
        name="fashion-ttfs",
        summary="Fashion-MNIST, convolutions, one spike a neuron, the first to spike answers",
        dataset="fashion-mnist",
        encoder="direct>>4",
        layers="32C5s2-64C3s2-256",
        steps=4,
        weight_norm=True,
        affine=True,
        loss_gain=8.0,
        output_bias=0.2,
        sparsity=0.1,
        shift=1,
        flip=True,
        epochs=14,
        batch=128,
        lr=3e-3,
        warm_up=1.0,
        weight_decay=1e-2,
        qat_epochs=4,
        qat_lr=5e-4,
    ),
)
