"""MNIST and Fashion-MNIST by surrogate gradients."""

from dataclasses import replace

from .surrogate import SurrogateRecipe

__all__ = ["IMAGES"]

_CONV = SurrogateRecipe(
    name="fashion-conv",
    summary="",
    dataset="fashion-mnist",
    encoder="direct>>2",
    neuron="klif",
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
        replace(
            _CONV,
            name=f"fashion-conv-{neuron}",
            summary=f"Fashion-MNIST, convolutions, {neuron.upper()} neurons, 2 steps",
            neuron=neuron,
            qat_epochs=8,
            qat_lr=1e-3,
            qat_thresholds=True,
            qat_average=0.995,
        )
        for neuron in ("klif", "lif")
    ),
    *(
        replace(
            _CONV,
            name=f"mnist-conv-{neuron}",
            summary=f"MNIST, convolutions, {neuron.upper()} neurons, 2 steps",
            dataset="mnist",
            encoder="direct>>4",
            neuron=neuron,
            smoothing=0.0,
            shift=2,
            flip=False,
            epochs=12,
            qat_epochs=4,
            qat_lr=1e-3,
            qat_average=0.995,
        )
        for neuron in ("klif", "lif")
    ),
    replace(
        _CONV,
        name="mnist-small-klif",
        summary="MNIST, 16C3-AP2-32C3-AP2-128, KLIF neurons that fire little, 4 steps",
        dataset="mnist",
        encoder="direct>>4",
        layers="16C3-AP2-32C3-AP2-128",
        steps=4,
        sparsity=4.0,
        rate=0.04,
        loss_gain=1.0,
        smoothing=0.0,
        dropout=0.1,
        flip=False,
        epochs=4,
        warm_up=0.5,
        qat_lr=1e-3,
        qat_thresholds=True,
    ),
)
