"""Scikit-learn's 8x8 digits: small networks that train in a minute."""

from .surrogate import SurrogateRecipe
from .ttfs import TtfsRecipe

__all__ = ["DIGITS"]

DIGITS = (
    SurrogateRecipe(
        name="digits-lif",
        summary="8x8 digits as spike trains, leaky neurons, spikes counted",
        dataset="digits",
        encoder="rate/16",
        neuron="lif",
        layers="96",
        steps=8,
        tau=4.0,
        reset="subtract",
        epochs=60,
        qat_epochs=40,
    ),
    SurrogateRecipe(
        name="digits-klif",
        summary="8x8 digits as constant currents, KLIF neurons with learned slopes, spikes counted",
        dataset="digits",
        encoder="direct",
        neuron="klif",
        layers="96",
        steps=6,
        tau=2.0,
        epochs=60,
        qat_epochs=40,
    ),
    TtfsRecipe(
        name="digits-ttfs",
        summary="8x8 digits as constant currents, one spike a neuron, the first to spike answers",
        dataset="digits",
        encoder="direct",
        layers="96",
        steps=8,
        loss_gain=8.0,
        output_bias=0.2,
        dropout=0.3,
        noise=0.05,
        epochs=100,
        qat_epochs=20,
        qat_lr=3e-4,
    ),
)
