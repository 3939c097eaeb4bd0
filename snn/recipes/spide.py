"""Recipes of feedback networks that SPIDE trains."""

from dataclasses import dataclass

from .base import Recipe

__all__ = ["SPIDE", "SpideRecipe"]


@dataclass(frozen=True, kw_only=True)
class SpideRecipe(Recipe):
    """Training by spikes alone, first with real weights, then with those of the integer network: see :mod:`snn.spide`.

    Parameters
    ----------
    feedback : str
        Connection from the last layer to the first; see :mod:`snn.spide.network`.
    back_steps : int
        Time steps of the backward stage.
    gain : float
        What a sample's gradient is multiplied by in the backward stage, so that it makes spikes.
    leak : float
        What a membrane keeps from step to step: 1 of IF neurons.
    shift, noise : int, float
        How training images are altered: see :meth:`snn.samples.Samples.batches`.
    epochs, batch, lr, momentum, weight_decay
        Of the training with real weights; lr falls to 0 along a cosine.
    qat_epochs, qat_lr
        Of the training with rounded weights.
    feedback_norm : float
        Largest Frobenius norm of the feedback's weights.
    """

    neuron: str = "if"
    feedback: str
    back_steps: int = 100
    gain: float = 1.0
    leak: float = 1.0
    shift: int = 0
    noise: float = 0.0
    epochs: int
    batch: int = 128
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    qat_epochs: int
    qat_lr: float = 0.02
    feedback_norm: float = 2.0

    @property
    def readout(self) -> str:
        """``"linear"``."""
        return "linear"


SPIDE = (
    SpideRecipe(
        name="mnist-spide",
        summary="MNIST, 784-400 and feedback, IF neurons trained by their spikes alone, 30 steps",
        dataset="mnist",
        encoder="direct>>4",
        layers="400",
        feedback="F400",
        steps=30,
        back_steps=50,
        gain=2.0,
        shift=1,
        epochs=14,
        batch=125,
        lr=0.3,
        qat_epochs=3,
        qat_lr=0.05,
    ),
    SpideRecipe(
        name="fashion-spide",
        summary="Fashion-MNIST, 784-400 and feedback, IF neurons trained by their spikes alone, 5 steps",
        dataset="fashion-mnist",
        encoder="direct>>4",
        layers="400",
        feedback="F400",
        steps=5,
        back_steps=25,
        gain=4.0,
        epochs=8,
        batch=125,
        lr=0.3,
        qat_epochs=4,
        qat_lr=0.1,
    ),
    SpideRecipe(
        name="digits-spide",
        summary="8x8 digits, convolutions with a transposed convolution back, IF neurons trained by their spikes alone",
        dataset="digits",
        encoder="direct",
        layers="16C3s2-32C3s2",
        feedback="F16C3u2",
        steps=30,
        back_steps=50,
        gain=2.0,
        epochs=16,
        batch=64,
        lr=0.3,
        qat_epochs=8,
        qat_lr=0.1,
    ),
)
