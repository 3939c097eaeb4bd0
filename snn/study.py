"""The study of leakage, reset and recurrence: variants of one network, trained alike, measured alike.

Each variant is trained in real numbers and rounded to integers; what is measured is the integer network.

Other time bins
    Images and events are encoded in so many steps; of sequences, steps are joined, or each is parted into several, with
    an event in one of them at random.
Noise
    Of binary inputs: ``dropped``, each event is lost; ``added``, each place without an event gets one; ``flipped``,
    each place changes; with the probability that is the level.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quant.ir import Network
from quant.model import FloatNetwork
from quant.quantize import quantize
from quant.result import Result
from quant.simulate import run_float

from .datasets import Dataset
from .encode import Encoder
from .recipes import SurrogateRecipe
from .recipes.study import VARIANTS, variant
from .train import Report, in_reals, samples_of

__all__ = ["BINS", "NOISE", "Outcome", "noisy", "rebinned", "study", "trained"]

NOISE: Mapping[str, tuple[float, ...]] = {
    "dropped": (0.1, 0.2, 0.4),
    "added": (0.02, 0.05, 0.1),
    "flipped": (0.02, 0.05, 0.1),
}
"""Levels of each kind of noise."""

BINS: tuple[Fraction, ...] = (Fraction(1, 2), Fraction(2))
"""Steps beside those that were trained on."""

_CALIBRATION = 500

Run = Callable[[Network, NDArray[Any]], Result]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one training of a variant reached; accuracies are shares of right answers, 0 to 1.

    Parameters
    ----------
    variant : str
    seed : int
    float_accuracy, accuracy : float
        On all test samples, of the network in real numbers and of the integer network.
    rate : float
        Spikes of the integer network a hidden neuron and step.
    bins : dict of int to float
        Accuracy on probes, by the number of steps, that of the training among them.
    noise : dict of str to dict of float to float
        Accuracy on probes, by kind and level; level 0 is none.
    """

    variant: str
    seed: int
    float_accuracy: float
    accuracy: float
    rate: float
    bins: Mapping[int, float]
    noise: Mapping[str, Mapping[float, float]]


def study(
    recipe: SurrogateRecipe,
    data: Dataset,
    *,
    run: Run,
    chosen: Sequence[str] = tuple(VARIANTS),
    seeds: int = 1,
    probes: int = 1000,
    report: Report | None = None,
) -> tuple[Outcome, ...]:
    """Train variants of a baseline with seeds 0, 1, ..., and measure them.

    Parameters
    ----------
    recipe : SurrogateRecipe
        Of the baseline, of input kind events.
    data : Dataset
    run : function
        Runs an integer network on inputs.
    chosen : sequence of str
        Of :data:`snn.recipes.study.VARIANTS`.
    seeds : int
    probes : int
        Test samples, the first so many, that other bins and noise are tried on.
    report : function, optional
        As of :func:`snn.train.train`; its stage is the variant's name.
    """
    threads = torch.get_num_threads()
    # Sums in parallel come out in another order.
    torch.set_num_threads(1)
    try:
        return tuple(
            _outcome(recipe, data, name, seed, run, probes, report) for name in chosen for seed in range(seeds)
        )
    finally:
        torch.set_num_threads(threads)


def trained(
    recipe: SurrogateRecipe, data: Dataset, *, seed: int = 0, report: Report | None = None
) -> tuple[FloatNetwork, Network]:
    """A network in real numbers, and its integer network, which takes up to twice the recipe's steps."""
    model = in_reals(recipe, data, samples_of(recipe, data), seed, report)
    longest = int(recipe.steps * max(BINS))
    inputs = Encoder.parse(recipe.encoder)(data.train_x[:_CALIBRATION], recipe.steps)
    network, _ = quantize(
        replace(model, steps=longest), weight_bits=recipe.weight_bits, decay_bits=recipe.decay_bits, inputs=inputs
    )
    return model, network


def rebinned(inputs: NDArray[Any], ratio: Fraction, *, seed: int = 0) -> NDArray[Any]:
    """Binary inputs (B, T, N) in ``ratio`` times as many steps, a whole number or one over it.

    Of joined steps, one event of an input is enough; steps that are missing at the end have none.
    """
    samples, steps, size = inputs.shape
    if ratio < 1:
        joined = ratio.denominator
        padded = np.pad(inputs, ((0, 0), (0, -steps % joined), (0, 0)))
        return padded.reshape(samples, -1, joined, size).max(axis=2)
    parts = ratio.numerator
    place = np.random.default_rng(seed).integers(0, parts, inputs.shape)
    parted = [np.where(place == part, inputs, 0).astype(inputs.dtype) for part in range(parts)]
    return np.stack(parted, axis=2).reshape(samples, steps * parts, size)


def noisy(inputs: NDArray[Any], kind: str, level: float, *, seed: int = 0) -> NDArray[Any]:
    """Binary inputs with noise of a kind of :data:`NOISE`."""
    hit = np.random.default_rng(seed).random(inputs.shape, np.float32) < level
    if kind == "dropped":
        changed = inputs * ~hit
    elif kind == "added":
        changed = inputs | hit
    else:
        changed = inputs ^ hit
    return changed.astype(inputs.dtype)


def _outcome(
    recipe: SurrogateRecipe,
    data: Dataset,
    name: str,
    seed: int,
    run: Run,
    probes: int,
    report: Report | None,
) -> Outcome:
    made = variant(recipe, name)

    def told(_: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        if report is not None:
            report(f"{name}, seed {seed}", epoch, epochs, loss, accuracy)

    model, network = trained(made, data, seed=seed, report=told)
    encoder = Encoder.parse(made.encoder)
    inputs, labels = encoder(data.test_x, made.steps), data.test_y
    result = run(network, inputs)
    some, right = inputs[:probes], labels[:probes]
    usual = float(np.mean(result.answers[:probes] == right))

    def accuracy(changed: NDArray[Any]) -> float:
        return run(network, changed).accuracy(right)

    def binned(ratio: Fraction) -> NDArray[Any]:
        if encoder.data == "sequences":
            return rebinned(some, ratio)
        return encoder(data.test_x[:probes], int(made.steps * ratio))

    bins = {made.steps: usual, **{int(made.steps * ratio): accuracy(binned(ratio)) for ratio in BINS}}
    noise = {
        kind: {0.0: usual, **{level: accuracy(noisy(some, kind, level)) for level in levels}}
        for kind, levels in NOISE.items()
    }
    return Outcome(
        variant=name,
        seed=seed,
        float_accuracy=run_float(model, inputs, dtype=np.float32).accuracy(labels),
        accuracy=result.accuracy(labels),
        rate=_rate(network, result, made.steps),
        bins=dict(sorted(bins.items())),
        noise=noise,
    )


def _rate(network: Network, result: Result, steps: int) -> float:
    """Spikes a hidden neuron and step."""
    hidden = [name for name in network.order if name != network.readout.population]
    neurons = sum(network[name].size for name in hidden)
    spikes = sum(int(result.totals[name].sum()) for name in hidden)
    return spikes / max(1, neurons * steps * len(result.answers))
