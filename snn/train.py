"""Training: a recipe to two checkpoints, one in real numbers and one on the grid of the integer contract."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quant.errors import NetworkError
from quant.ir import Network
from quant.model import FloatNetwork, load_model, save_model
from quant.quantize import quantize
from quant.simulate import run_float

from .build import build, surrogate_of
from .datasets import Dataset, load
from .encode import Encoder
from .export import to_float
from .loss import OF_DISTANCES, loss_of
from .memory import keep_memory
from .qat import IntegerTwin
from .recipes import Recipe, SpideRecipe, SurrogateRecipe
from .samples import Samples
from .scales import with_active_scales
from .spide.training import train_spide

__all__ = ["Report", "Training", "fit", "train"]

Forward = Callable[[Tensor], list[Tensor]]
Report = Callable[[str, int, int, float, float], None]

_BATCH = 1000
_CALIBRATION, _RAILS = 1000, 500


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training made.

    Parameters
    ----------
    model, quantized : Path
        Checkpoints, float networks both: in real numbers, and with scales and weights on the integers' grid.
    float_accuracy, accuracy : float
        Share of right answers on the test samples, 0 to 1, of the one and of the other's integer network.
    rates : dict of str to float
        Spikes a neuron and step of the integer network on the test samples, by population.
    seconds : float
    """

    model: Path
    quantized: Path
    float_accuracy: float
    accuracy: float
    rates: dict[str, float]
    seconds: float


def train(
    recipe: Recipe,
    *,
    seed: int = 0,
    out: Path,
    folder: Path | None = None,
    start: Path | None = None,
    report: Report | None = None,
) -> Training:
    """Train a recipe and write ``<recipe>.npz`` and ``<recipe>-w<bits>.npz`` into the folder ``out``.

    The test samples are used once, to measure. The same seed gives the same files on the same machine and versions.
    The float network is written before the training with integers begins.

    Parameters
    ----------
    recipe : Recipe
    seed : int
    out : Path
    folder : Path, optional
        Where the data set's files are.
    start : Path, optional
        A float network of the recipe's shape, to train with integers without training in real numbers first.
    report : function, optional
        Called after every epoch with the stage, the epoch, their number, the mean loss and the share of right answers.

    Raises
    ------
    NetworkError
        If the recipe cannot start from a float network, or not from this one.
    """
    threads, begin = torch.get_num_threads(), time.monotonic()
    # Sums in parallel come out in another order.
    torch.set_num_threads(1)
    try:
        data = load(recipe.dataset, folder)
        inputs = Encoder.parse(recipe.encoder)(data.test_x, recipe.steps)
        metadata = {
            "recipe": recipe.name,
            "dataset": recipe.dataset,
            "encoder": recipe.encoder,
            "seed": seed,
            "command": f"spikeloom train {recipe.name} --seed {seed}",
            "training": asdict(recipe),
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
        }

        def trained(network: FloatNetwork) -> float:
            accuracy = run_float(network, inputs, dtype=np.float32).accuracy(data.test_y)
            save_model(out / f"{recipe.name}.npz", replace(network, metadata={**metadata, "accuracy": accuracy}))
            return accuracy

        if isinstance(recipe, SurrogateRecipe):
            samples = samples_of(recipe, data)
            network = in_reals(recipe, data, samples, seed, report) if start is None else load_model(start)
            float_accuracy = trained(network)
            grid = with_integers(network, recipe, data, samples, seed + 1, report)
        elif isinstance(recipe, SpideRecipe) and start is None:
            network, grid = train_spide(recipe, data, seed=seed, report=report)
            float_accuracy = trained(network)
        else:
            raise NetworkError(f"Recipe {recipe.name} must be trained from the beginning, not from {start}")
        accuracy, rates = _measured(grid, quantized(grid, recipe, data), inputs, data.test_y)
    finally:
        torch.set_num_threads(threads)
    result = Training(
        model=out / f"{recipe.name}.npz",
        quantized=out / f"{recipe.name}-w{recipe.weight_bits}.npz",
        float_accuracy=float_accuracy,
        accuracy=accuracy,
        rates=rates,
        seconds=time.monotonic() - begin,
    )
    integers = {"weight_bits": recipe.weight_bits, "decay_bits": recipe.decay_bits, "rates": rates}
    metadata |= {**integers, "accuracy": accuracy, "float_accuracy": float_accuracy}
    save_model(result.quantized, replace(grid, metadata=metadata))
    return result


def samples_of(recipe: SurrogateRecipe, data: Dataset) -> Samples:
    """The training samples of ``data`` as the recipe wants them."""
    return Samples(
        pixels=data.train_x,
        labels=data.train_y,
        shape=data.shape,
        low=data.low,
        high=data.high,
        encoder=Encoder.parse(recipe.encoder),
        steps=recipe.steps,
    )


def in_reals(
    recipe: SurrogateRecipe, data: Dataset, samples: Samples, seed: int, report: Report | None = None
) -> FloatNetwork:
    """The network of a recipe, trained in real numbers."""
    torch.manual_seed(seed)
    network = build(recipe, data)
    fit(
        network.spikes,
        network,
        samples,
        recipe,
        stage="float",
        epochs=recipe.epochs,
        lr=recipe.lr,
        seed=seed,
        report=report,
    )
    network.eval()
    return small(to_float(network, name=recipe.name.replace("-", "_"), readout=recipe.readout))


def with_integers(
    model: FloatNetwork,
    recipe: SurrogateRecipe,
    data: Dataset,
    samples: Samples,
    seed: int,
    report: Report | None = None,
) -> FloatNetwork:
    """A float network trained on with the integers that it quantizes to, on their grid."""
    twin = twin_of(model, recipe, data)
    fit(
        twin,
        twin,
        samples,
        recipe,
        stage=f"{recipe.weight_bits} bits",
        epochs=recipe.qat_epochs,
        lr=recipe.qat_lr,
        seed=seed,
        average=recipe.qat_average,
        report=report,
    )
    return small(twin.to_float())


def twin_of(model: FloatNetwork, recipe: SurrogateRecipe, data: Dataset) -> IntegerTwin:
    """The integer network that a float network quantizes to, ready to be trained on."""
    inputs = Encoder.parse(recipe.encoder)(data.train_x[:_CALIBRATION], recipe.steps)
    scaled = with_active_scales(model, inputs, weight_bits=recipe.weight_bits)
    return IntegerTwin(
        scaled,
        quantized(scaled, recipe, data),
        surrogate=surrogate_of(recipe),
        dropout=recipe.dropout,
        distances=recipe.decoder in OF_DISTANCES,
        thresholds=recipe.qat_thresholds,
    )


def quantized(model: FloatNetwork, recipe: Recipe, data: Dataset) -> Network:
    """The integer network of ``model``, by the bits of the recipe."""
    inputs = Encoder.parse(recipe.encoder)(data.train_x[:_RAILS], recipe.steps)
    return quantize(model, weight_bits=recipe.weight_bits, decay_bits=recipe.decay_bits, inputs=inputs)[0]


def fit(
    forward: Forward,
    module: nn.Module,
    samples: Samples,
    recipe: SurrogateRecipe,
    *,
    stage: str,
    epochs: int,
    lr: float,
    seed: int,
    average: float = 0.0,
    report: Report | None = None,
) -> None:
    """Train the parameters of ``module`` so that ``forward`` classifies ``samples``.

    ``forward`` takes inputs to the spikes (T, B, N) of every population, the output's last, or what else the decoder of
    the recipe takes. With ``average``, the
    parameters become their running mean in the end: see :class:`snn.recipes.SurrogateRecipe`.
    """
    keep_memory()
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(module, recipe.weight_decay), lr=lr)
    batches = -(-len(samples.pixels) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda index: _rate(index, recipe.warm_up * batches, epochs * batches)
    )
    means = [parameter.detach().clone() for parameter in module.parameters()] if average else []
    for epoch in range(1, epochs + 1):
        losses, right = 0.0, 0
        for inputs, labels in samples.batches(
            batch=recipe.batch,
            shift=recipe.shift,
            noise=recipe.noise,
            flip=recipe.flip,
            erase=recipe.erase,
            random=random,
        ):
            spikes = forward(inputs)
            loss = loss_of(
                spikes,
                labels,
                decoder=recipe.decoder,
                gain=recipe.loss_gain,
                base=recipe.decoder_base,
                smoothing=recipe.smoothing,
                rate=recipe.rate,
                sparsity=recipe.sparsity,
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip:
                nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            for mean, parameter in zip(means, module.parameters(), strict=False):
                mean.lerp_(parameter.detach(), 1 - average)
            losses += float(loss.detach()) * len(labels)
            heard = spikes[-1].detach()
            if recipe.decoder in OF_DISTANCES:
                heard = (heard >= 0).to(heard.dtype)
            right += int((answers(heard, recipe.readout) == labels).sum())
        if report is not None:
            report(stage, epoch, epochs, losses / len(samples.labels), right / len(samples.labels))
    with torch.no_grad():
        for mean, parameter in zip(means, module.parameters(), strict=False):
            parameter.copy_(mean)


def _rate(index: int, rising: float, batches: int) -> float:
    """Learning rate of a batch beside its largest: a line up, then a cosine down to 0."""
    if index < rising:
        return (index + 1) / (rising + 1)
    return (1 + cos(pi * (index - rising) / max(batches - rising, 1))) / 2


def _groups(module: nn.Module, weight_decay: float) -> Sequence[dict[str, Any]]:
    """Weights decay; biases, slopes and thresholds, one a channel, do not."""
    weights: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for item in module.parameters():
        (weights if item.numel() > max(item.shape, default=1) else others).append(item)
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def answers(spikes: Tensor, readout: str) -> Tensor:
    """Classes of output spikes, or of H, (T, B, classes), by the contract's readouts; ties give the lowest."""
    if readout == "count":
        return spikes.sum(0).argmax(1)
    if readout == "membrane":
        return spikes[-1].argmax(1)
    worth = torch.arange(len(spikes), 0, -1, dtype=spikes.dtype)[:, None, None]
    return (spikes * worth).amax(0).argmax(1)


def _measured(
    model: FloatNetwork, network: Network, inputs: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[float, dict[str, float]]:
    """Accuracy and firing rates of the integer network of a model."""
    twin, readout = IntegerTwin(model, network).eval(), network.readout
    right, rates = 0, np.zeros(len(network.order))
    for start in range(0, len(inputs), _BATCH):
        chosen = slice(start, start + _BATCH)
        with torch.no_grad():
            spikes = twin(torch.from_numpy(inputs[chosen]))
        if readout.kind == "linear":
            counts = spikes[-1].sum(0).numpy().astype(np.int64)
            found = (counts @ readout.weights.T + readout.bias).argmax(1)
        else:
            found = answers(spikes[-1], readout.kind).numpy()
        right += int((found == labels[chosen]).sum())
        rates += [float(item.mean()) * len(labels[chosen]) / len(labels) for item in spikes]
    named = dict(zip(network.order, rates.round(4).tolist(), strict=True))
    return right / len(labels), {name: rate for name, rate in named.items() if network[name].threshold is not None}


def small(model: FloatNetwork) -> FloatNetwork:
    """The model with its weights in half precision."""
    connections = [replace(item, weights=np.asarray(item.weights, np.float16)) for item in model.connections]
    return replace(model, connections=tuple(connections))
