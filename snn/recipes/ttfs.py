"""Networks of one spike a neuron: ETTFS (Che et al., 2024) and its parts."""

from dataclasses import dataclass, replace

from .surrogate import SurrogateRecipe

__all__ = ["ABLATIONS", "TTFS", "TtfsRecipe"]


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
        same, ``"count"``; or ``"first_crossing"``, of membranes on their way to the threshold. See :mod:`snn.loss`; the
        first spike answers in any case.
    output_gain : float
        Where gamma of the output starts, if it is learned.
    """

    neuron: str = "ttfs"
    temporal_init: bool = True
    weight_norm: bool = False
    affine: bool = False
    decoder: str = "linear"
    output_gain: float = 1.0

    @property
    def readout(self) -> str:
        """``"first_spike"``."""
        return "first_spike"


_MNIST = TtfsRecipe(
    name="mnist-ttfs",
    summary="MNIST, convolutions, one spike a neuron, the first to spike answers",
    dataset="mnist",
    encoder="direct>>4",
    layers="32C5s2-64C3-AP2-128",
    steps=2,
    weight_norm=True,
    affine=True,
    alpha=2.0,
    decoder="exponential",
    decoder_base=2.0,
    loss_gain=8.0,
    output_bias=0.2,
    sparsity=0.0,
    shift=1,
    epochs=8,
    batch=64,
    lr=1e-2,
    warm_up=0.3,
    weight_decay=1e-2,
    qat_epochs=3,
    qat_lr=2e-3,
)
TTFS = (
    _MNIST,
    replace(
        _MNIST,
        name="fashion-ttfs",
        summary="Fashion-MNIST, convolutions, one spike a neuron, the first to spike answers",
        dataset="fashion-mnist",
        encoder="direct>>2",
        layers="32C5s2-64C3-AP2-256",
        steps=4,
        decoder="first_crossing",
        loss_gain=5.0,
        output_gain=0.4,
        flip=True,
        epochs=14,
        qat_epochs=4,
        qat_lr=5e-4,
        qat_thresholds=True,
        qat_average=0.995,
    ),
)

_ABLATION = TtfsRecipe(
    name="ettfs-fashion-mnist",
    summary="Fashion-MNIST, small, for the ablation of ETTFS",
    dataset="fashion-mnist",
    encoder="direct>>4",
    layers="12C5s3-AP2-24C3-AP2-64",
    steps=4,
    weight_norm=True,
    affine=True,
    loss_gain=4.0,
    output_bias=0.2,
    sparsity=0.0,
    epochs=8,
    batch=64,
    lr=1e-2,
    warm_up=0.5,
    qat_epochs=0,
)
ABLATIONS = {
    "fashion-mnist": _ABLATION,
    "mnist": replace(_ABLATION, name="ettfs-mnist", summary="MNIST, small, for the ablation of ETTFS", dataset="mnist"),
    "digits": replace(
        _ABLATION,
        name="ettfs-digits",
        summary="8x8 digits, small, for the ablation of ETTFS",
        dataset="digits",
        encoder="direct",
        layers="12C3-AP2-24C3-AP2-32",
        epochs=20,
    ),
}
"""What `spikeloom study ettfs` trains, by data set: networks with all parts of ETTFS."""
