"""Training: a recipe to two checkpoints, one in real numbers and one for the integers of the contract."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quant.model import FloatInput

from .datasets import Dataset
from .encode import Encoder
from .layers import Dropout, Linear
from .loss import loss_of
from .network import SpikingNetwork
from .neurons import KLIF, LIF, TTFS, Neuron
from .recipes import Recipe
from .surrogate import SURROGATES

__all__ = ["Samples", "build", "fit"]

Forward = Callable[[Tensor], list[Tensor]]
Report = Callable[[int, int, float, float], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Training images, and how they become inputs.

    Parameters
    ----------
    pixels : array of int, (samples, pixels)
    labels : array of int, (samples,)
    shape : tuple of int
        ``(channels, rows, columns)``.
    high : int
        Largest pixel.
    encoder : Encoder
    steps : int
    """

    pixels: NDArray[Any]
    labels: NDArray[np.int64]
    shape: tuple[int, int, int]
    high: int
    encoder: Encoder
    steps: int

    @classmethod
    def of(cls, data: Dataset, recipe: Recipe) -> "Samples":
        """Training samples of a data set, as a recipe sees them."""
        encoder = Encoder.parse(recipe.encoder)
        return cls(
            pixels=data.train_x,
            labels=data.train_y,
            shape=data.shape,
            high=data.high,
            encoder=encoder,
            steps=recipe.steps,
        )

    def batches(
        self, *, batch: int, shift: int, noise: float, random: np.random.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of every sample once, in random order, altered at random."""
        order = random.permutation(len(self.pixels))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            pixels = self._altered(self.pixels[chosen], shift, noise, random)
            inputs = self.encoder(pixels, self.steps)
            yield torch.from_numpy(inputs).float(), torch.from_numpy(self.labels[chosen])

    def _altered(self, pixels: NDArray[Any], shift: int, noise: float, random: np.random.Generator) -> NDArray[Any]:
        if shift:
            pixels = self._shifted(pixels, random.integers(-shift, shift + 1, (len(pixels), 2)))
        if noise:
            noisy = pixels + random.normal(0, noise * self.high, pixels.shape)
            pixels = np.clip(np.rint(noisy), 0, self.high).astype(np.int32)
        return pixels

    def _shifted(self, pixels: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[Any]:
        channels, rows, columns = self.shape
        reach = int(np.abs(offsets).max())
        maps = np.pad(pixels.reshape(-1, *self.shape), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        y = (reach + offsets[:, 0])[:, None] + np.arange(rows)
        x = (reach + offsets[:, 1])[:, None] + np.arange(columns)
        samples, channel = np.arange(len(pixels))[:, None, None, None], np.arange(channels)[:, None, None]
        return maps[samples, channel, y[:, None, :, None], x[:, None, None, :]].reshape(pixels.shape)


def build(recipe: Recipe, data: Dataset) -> SpikingNetwork:
    """The network of a recipe, not trained."""
    encoder = Encoder.parse(recipe.encoder)
    high = encoder.input_high(data.high)
    size = int(np.prod(data.shape))
    source = FloatInput(shape=(size,), kind=encoder.kind, high=high, lsb=1 / (1 << (high - 1).bit_length()))
    sizes = (size, *recipe.hidden, data.classes)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        if index and recipe.dropout:
            layers.append(Dropout(recipe.dropout))
        single = recipe.neuron == "ttfs"
        layers += [Linear(inputs, outputs, steps=recipe.steps if single and index else None), _neuron(recipe)]
    return SpikingNetwork(layers, input=source, steps=recipe.steps)


def _neuron(recipe: Recipe) -> Neuron:
    width = "width" if recipe.surrogate == "triangle" else "alpha"
    surrogate = SURROGATES[recipe.surrogate](**{width: recipe.alpha})
    if recipe.neuron == "ttfs":
        return TTFS(surrogate=surrogate)
    kind = KLIF if recipe.neuron == "klif" else LIF
    return kind(tau=recipe.tau, decay_input=recipe.decay_input, reset=recipe.reset, surrogate=surrogate)


def fit(
    forward: Forward,
    groups: Sequence[dict[str, Any]],
    samples: Samples,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    report: Report | None = None,
) -> None:
    """Train the parameters of ``groups`` so that ``forward`` classifies ``samples``.

    Parameters
    ----------
    forward : function
        From inputs to the spikes (T, B, N) of every population, the output's last.
    groups : sequence of dict
        Parameter groups of :class:`torch.optim.AdamW`, each with its learning rate.
    samples, recipe
    epochs, seed : int
    report : function, optional
        Called after every epoch with its number, their number, the mean loss and the share of right answers.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(groups)
    batches = -(-len(samples.pixels) // recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    for epoch in range(epochs):
        total, right = 0.0, 0
        for inputs, labels in samples.batches(
            batch=recipe.batch, shift=recipe.shift, noise=recipe.noise, random=random
        ):
            spikes = forward(inputs)
            loss = loss_of(
                spikes,
                labels,
                readout=recipe.readout,
                gain=recipe.loss_gain,
                rate=recipe.rate,
                sparsity=recipe.sparsity,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(labels)
            right += int((answers(spikes[-1].detach(), recipe.readout) == labels).sum())
        if report is not None:
            report(epoch + 1, epochs, total / len(samples.pixels), right / len(samples.pixels))


def answers(spikes: Tensor, readout: str) -> Tensor:
    """Classes of output spikes (T, B, classes), by the contract's readouts; ties and silence give the lowest."""
    if readout == "count":
        return spikes.sum(0).argmax(1)
    steps = torch.arange(len(spikes), 0, -1, dtype=spikes.dtype)[:, None, None]
    return (spikes * steps).amax(0).argmax(1)
