"""Training of a feedback network by its spikes: with real weights, then with those that the integers are worth."""

from collections.abc import Callable
from math import cos, pi

import numpy as np
from torch import Tensor

from quant.model import FloatInput, FloatNetwork

from ..datasets import Dataset
from ..encode import Encoder
from ..memory import keep_memory
from ..recipes.spide import SpideRecipe
from ..samples import Samples
from ..scales import with_active_scales
from .export import Grid, from_float, to_float
from .network import FeedbackNetwork, build_network
from .update import Descent, gradients

__all__ = ["fit", "in_reals", "train_spide", "with_integers"]

Report = Callable[[str, int, int, float, float], None]

_CALIBRATION = 1000


def train_spide(
    recipe: SpideRecipe, data: Dataset, *, seed: int, report: Report | None = None
) -> tuple[FloatNetwork, FloatNetwork]:
    """A recipe's network trained on the training samples of ``data``: see :func:`in_reals`, :func:`with_integers`."""
    model = in_reals(recipe, data, seed=seed, report=report)
    return model, with_integers(model, recipe, data, seed=seed + 1, report=report)


def in_reals(recipe: SpideRecipe, data: Dataset, *, seed: int, report: Report | None = None) -> FloatNetwork:
    """A recipe's network, trained with real weights, which are then rounded to half precision."""
    network, source = _built(recipe, data, seed), _source(recipe, data)
    fit(network, _samples(recipe, data), recipe, lsb=source.lsb, stage="float", seed=seed, report=report)
    return to_float(network, name=recipe.name.replace("-", "_"), steps=recipe.steps, source=source)


def with_integers(
    model: FloatNetwork, recipe: SpideRecipe, data: Dataset, *, seed: int, report: Report | None = None
) -> FloatNetwork:
    """The network of :func:`in_reals` trained on with rounded weights; it is on the grid of its integers."""
    inputs = Encoder.parse(recipe.encoder)(data.train_x[:_CALIBRATION], recipe.steps)
    scaled = with_active_scales(model, inputs, weight_bits=recipe.weight_bits)
    network, grid = from_float(_built(recipe, data, seed), model), Grid(scaled, bits=recipe.weight_bits)
    stage = f"{recipe.weight_bits} bits"
    fit(network, _samples(recipe, data), recipe, lsb=model.input.lsb, stage=stage, seed=seed, grid=grid, report=report)
    return to_float(grid.rounded(network), name=model.name, steps=model.steps, source=model.input, scales=scaled.scales)


def _built(recipe: SpideRecipe, data: Dataset, seed: int) -> FeedbackNetwork:
    return build_network(
        recipe.layers, recipe.feedback, shape=data.shape, classes=data.classes, leak=recipe.leak, seed=seed
    )


def _source(recipe: SpideRecipe, data: Dataset) -> FloatInput:
    high = Encoder.parse(recipe.encoder).input_high(data.high)
    shape = _built(recipe, data, 0).layers[0].projection.source
    return FloatInput(shape=shape, kind="current", high=high, lsb=1 / (1 << (high - 1).bit_length()))


def _samples(recipe: SpideRecipe, data: Dataset) -> Samples:
    return Samples(
        pixels=data.train_x,
        labels=data.train_y,
        shape=data.shape,
        high=data.high,
        encoder=Encoder.parse(recipe.encoder),
        steps=recipe.steps,
    )


def fit(
    network: FeedbackNetwork,
    samples: Samples,
    recipe: SpideRecipe,
    *,
    lsb: float,
    stage: str,
    seed: int,
    grid: Grid | None = None,
    report: Report | None = None,
) -> None:
    """Train a network's tensors in place; with a ``grid``, both stages run on it rounded."""
    keep_memory()
    random = np.random.default_rng(seed)
    epochs, highest = (recipe.epochs, recipe.lr) if grid is None else (recipe.qat_epochs, recipe.qat_lr)
    descent = Descent(momentum=recipe.momentum, weight_decay=recipe.weight_decay, feedback_norm=recipe.feedback_norm)
    descent.restrict(network)
    batches = -(-len(samples.labels) // recipe.batch)
    done = 0
    for epoch in range(1, epochs + 1):
        losses, right = 0.0, 0
        for pixels, labels in samples.batches(
            batch=recipe.batch, shift=recipe.shift, noise=recipe.noise, random=random
        ):
            used = network if grid is None else grid.rounded(network)
            found = gradients(
                used,
                _shaped(pixels, network) * lsb,
                labels,
                steps=recipe.steps,
                back_steps=recipe.back_steps,
                gain=recipe.gain,
            )
            descent.step(network, found.named, highest * (1 + cos(pi * done / (epochs * batches))) / 2)
            done += 1
            losses += found.loss * len(labels)
            right += found.right
        if report is not None:
            report(stage, epoch, epochs, losses / len(samples.labels), right / len(samples.labels))


def _shaped(pixels: Tensor, network: FeedbackNetwork) -> Tensor:
    return pixels.reshape(len(pixels), *network.layers[0].projection.source)
