"""MNIST and Fashion-MNIST by surrogate gradients."""

from .surrogate import SurrogateRecipe

__all__ = ["IMAGES"]

IMAGES = (
    SurrogateRecipe(
        name="fashion-klif",
        summary="Fashion-MNIST, 784-128-10, KLIF neurons, 8 steps",
        dataset="fashion-mnist",
        encoder="direct>>4",
        neuron="klif",
        layers="128",
        steps=8,
        tau=2.0,
        reset="subtract",
        dropout=0.1,
        epochs=30,
        batch=256,
        lr=4e-3,
        qat_epochs=24,
        qat_lr=2e-3,
    ),
)
