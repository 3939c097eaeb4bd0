"""The ablation of ETTFS: one network trained with some of its parts, and without the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from .build import build
from .datasets import Dataset
from .encode import Encoder
from .network import SpikingNetwork
from .recipes import TtfsRecipe
from .train import Report, answers, fit, samples_of

__all__ = ["PARTS", "Outcome", "Variant", "ablate", "variants", "with_parts"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "initialisation": "temporal initialisation",
        "normalization": "weight normalization",
        "affine": "affine",
        "decoder": "temporal weighting",
        "pooling": "average pooling",
    }
)
"""What can be left out, and what it is called."""

_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A name, and the parts that are there."""

    name: str
    parts: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a variant reached on the test samples, one value a seed.

    Parameters
    ----------
    variant : Variant
    accuracies : tuple of float
        Share of right answers, 0 to 1.
    spikes : tuple of float
        Spikes a hidden neuron and sample.
    """

    variant: Variant
    accuracies: tuple[float, ...]
    spikes: tuple[float, ...]


def variants() -> tuple[Variant, ...]:
    """None of the parts, each alone, all but each, all."""
    every = frozenset(PARTS)
    alone = [Variant(name=f"only {words}", parts=frozenset({part})) for part, words in PARTS.items()]
    but = [Variant(name=f"without {words}", parts=every - {part}) for part, words in PARTS.items()]
    return (Variant(name="all off", parts=frozenset()), *alone, *but, Variant(name="all on", parts=every))


def with_parts(recipe: TtfsRecipe, parts: frozenset[str]) -> TtfsRecipe:
    """The recipe with these parts of :data:`PARTS` and no other.

    Without the decoder a spike is worth the same in every step; without average pooling, maxima are taken.
    """
    return replace(
        recipe,
        temporal_init="initialisation" in parts,
        weight_norm="normalization" in parts,
        affine="affine" in parts,
        decoder=recipe.decoder if "decoder" in parts else "count",
        layers=recipe.layers if "pooling" in parts else recipe.layers.replace("AP", "MP"),
    )


def ablate(
    recipe: TtfsRecipe,
    data: Dataset,
    *,
    chosen: Sequence[Variant] | None = None,
    seeds: int = 1,
    report: Report | None = None,
) -> tuple[Outcome, ...]:
    """Train every variant of a recipe in real numbers, with seeds 0, 1, ..., and measure it on the test samples.

    Parameters
    ----------
    recipe : TtfsRecipe
        With all parts.
    data : Dataset
    chosen : sequence of Variant, optional
        Default: :func:`variants`.
    seeds : int
    report : function, optional
        As of :func:`snn.train.train`; its stage is the variant's name.
    """
    threads = torch.get_num_threads()
    # Sums in parallel come out in another order.
    torch.set_num_threads(1)
    try:
        return tuple(_outcome(recipe, data, variant, seeds, report) for variant in chosen or variants())
    finally:
        torch.set_num_threads(threads)


def _outcome(recipe: TtfsRecipe, data: Dataset, variant: Variant, seeds: int, report: Report | None) -> Outcome:
    made = with_parts(recipe, variant.parts)
    samples = samples_of(made, data)
    measured = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = build(made, data)
        stage = variant.name if seeds == 1 else f"{variant.name}, seed {seed}"
        fit(
            network.spikes,
            network,
            samples,
            made,
            stage=stage,
            epochs=made.epochs,
            lr=made.lr,
            seed=seed,
            report=report,
        )
        measured.append(_measured(network.eval(), made, data))
    accuracies, spikes = zip(*measured, strict=True)
    return Outcome(variant=variant, accuracies=accuracies, spikes=spikes)


def _measured(network: SpikingNetwork, recipe: TtfsRecipe, data: Dataset) -> tuple[float, float]:
    """Share of right answers, and spikes a hidden neuron and sample."""
    inputs = torch.from_numpy(Encoder.parse(recipe.encoder)(data.test_x, recipe.steps)).float()
    labels = torch.from_numpy(data.test_y)
    right, counts = 0, []
    for some, expected in zip(inputs.split(_BATCH), labels.split(_BATCH), strict=True):
        with torch.no_grad():
            *hidden, output = network.spikes(some)
        right += int((answers(output, recipe.readout) == expected).sum())
        counts.append(_fired(hidden) * len(expected))
    return right / len(labels), sum(counts) / len(labels)


def _fired(hidden: list[Tensor]) -> float:
    """Spikes a neuron and sample."""
    neurons = sum(spikes[0, 0].numel() for spikes in hidden)
    return sum(float(spikes.sum()) for spikes in hidden) / (neurons * len(hidden[0][0])) if hidden else 0.0
