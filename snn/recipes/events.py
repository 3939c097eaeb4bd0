"""Networks that see through an event camera."""

from .surrogate import SurrogateRecipe

__all__ = ["EVENTS"]

EVENTS = (
    SurrogateRecipe(
        name="nmnist-conv",
        summary="N-MNIST, events in 8 frames, convolutions, leaky neurons",
        dataset="n-mnist",
        encoder="frames/time",
        neuron="lif",
        layers="16C5s2-32C3s2-32C3s2",
        steps=8,
        tau=2.0,
        reset="subtract",
        norm=True,
        decoder="membrane",
        loss_gain=0.3,
        sparsity=0.1,
        shift=3,
        epochs=30,
        batch=50,
        lr=3e-3,
        weight_decay=1e-2,
        qat_epochs=16,
        qat_lr=1e-3,
    ),
)
