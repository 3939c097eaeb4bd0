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
    *(
        SurrogateRecipe(
            name=f"fashion-conv-{neuron}",
            summary=f"Fashion-MNIST, convolutions, {neuron.upper()} neurons, 2 steps",
            dataset="fashion-mnist",
            encoder="direct>>2",
            neuron=neuron,
            layers="32C5s2-64C3-AP2-256",
            steps=2,
            tau=2.0,
            norm=True,
            decoder="membrane",
            sparsity=0.1,
            loss_gain=1.5,
            smoothing=0.05,
            dropout=0.2,
            shift=1,
            flip=True,
            epochs=14,
            batch=128,
            lr=3e-3,
            warm_up=1.0,
            weight_decay=1e-2,
            qat_epochs=2,
            qat_lr=5e-4,
        )
        for neuron in ("klif", "lif")
    ),
    *(
        SurrogateRecipe(
            name=f"mnist-conv-{neuron}",
            summary=f"MNIST, convolutions, {neuron.upper()} neurons, 2 steps",
            dataset="mnist",
            encoder="direct>>4",
            neuron=neuron,
            layers="32C5s2-64C3-AP2-256",
            steps=2,
            tau=2.0,
            norm=True,
            decoder="membrane",
            sparsity=0.1,
            loss_gain=1.5,
            dropout=0.2,
            shift=2,
            epochs=12,
            batch=128,
            lr=3e-3,
            warm_up=1.0,
            weight_decay=1e-2,
            qat_epochs=4,
            qat_lr=1e-3,
            qat_average=0.995,
        )
        for neuron in ("klif", "lif")
    ),
)
