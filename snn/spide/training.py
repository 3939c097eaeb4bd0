"""Training of a feedback network by its spikes: with real weights, then with those that the integers are worth."""

from collections.abc import Callable
from math import cos, pi

import numpy as np
from torch import Tensor

from quant.model import FloatInput, FloatNetwork

from ..datasets import Dataset
from ..encode import Encoder
from ..recipes.spide import SpideRecipe
from ..samples import Samples
from ..scales import with_active_scales
from .export import Grid, to_float
from .network import FeedbackNetwork, build_network
from .update import Descent, gradients

__all__ = ["fit", "train_spide"]

Report = Callable[[str, int, int, float, float], None]

_CALIBRATION = 1000


def train_spide(
    recipe: SpideRecipe, data: Dataset, *, seed: int, report: Report | None = None
) -> tuple[FloatNetwork, FloatNetwork]:
    """A recipe's network trained on the training samples of ``data``.

    Returns
    -------
    FloatNetwork, FloatNetwork
        In real numbers, and on the grid of the integers, with scales.
    """
    encoder = Encoder.parse(recipe.encoder)
    samples = Samples(
        pixels=data.train_x, labels=data.train_y, shape=data.shape, high=data.high, encoder=encoder, steps=recipe.steps
    )
    network = build_network(
        recipe.layers, recipe.feedback, shape=data.shape, classes=data.classes, leak=recipe.leak, seed=seed
    )
    high = encoder.input_high(data.high)
    source = FloatInput(
        shape=network.layers[0].projection.source, kind="current", high=high, lsb=1 / (1 << (high - 1).bit_length())
    )
    name = recipe.name.replace("-", "_")
    fit(network, samples, recipe, lsb=source.lsb, stage="float", seed=seed, report=report)
    model = to_float(network, name=name, steps=recipe.steps, source=source)
    inputs = encoder(data.train_x[:_CALIBRATION], recipe.steps)
    scaled = with_active_scales(model, inputs, weight_bits=recipe.weight_bits)
    grid = Grid(scaled, bits=recipe.weight_bits)
    stage = f"{recipe.weight_bits} bits"
    fit(network, samples, recipe, lsb=source.lsb, stage=stage, seed=seed + 1, grid=grid, report=report)
    rounded = to_float(grid.rounded(network), name=name, steps=recipe.steps, source=source, scales=scaled.scales)
    return model, rounded


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
