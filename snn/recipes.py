"""Recipes: everything that makes a trained network, by name."""

from dataclasses import dataclass

from quant.errors import SpikeloomError

__all__ = ["RECIPES", "Recipe", "RecipeError", "find"]


class RecipeError(SpikeloomError, ValueError):
    """A recipe that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A data set, a network, and how it is trained, first in real numbers, then with the integers of the contract.

    Parameters
    ----------
    name, summary : str
    dataset : str
        One of :data:`snn.datasets.DATASETS`.
    encoder : str
        See :mod:`snn.encode`.
    neuron : str
        ``"lif"``, ``"klif"`` or ``"ttfs"``.
    hidden : tuple of int
        Sizes of the hidden layers, all dense.
    steps : int
        Time steps of a sample.
    tau : float
        Time constant of lif and klif, in steps.
    decay_input : bool
        Divide the current by tau, too.
    reset : str
        ``"zero"`` or ``"subtract"``, of lif and klif.
    surrogate : str
        One of :data:`snn.surrogate.SURROGATES`, of width ``alpha``.
    loss_gain : float
        What a count, or the weight of the first step, is multiplied by before the softmax.
    sparsity : float
        Weight of the squared excess of the hidden firing rate over ``rate``, in the loss.
    rate : float
        Spikes a step and hidden neuron that cost nothing.
    norm : bool
        Normalise the currents of hidden layers over the batch; it is folded into their weights.
    output_bias : float
        What the output's biases start at.
    dropout : float
        Of the hidden spikes.
    shift, noise : float
        Training images are shifted by up to ``shift`` pixels, and get noise of that part of the largest pixel.
    epochs, batch, lr, weight_decay
        Of the training in real numbers: AdamW, its rate falling to 0 along a cosine.
    weight_bits, decay_bits : int
        Of the integer network.
    qat_epochs, qat_lr
        Of the training with integers.
    """

    name: str
    summary: str
    dataset: str
    encoder: str
    neuron: str
    hidden: tuple[int, ...]
    steps: int
    tau: float = 2.0
    decay_input: bool = False
    reset: str = "zero"
    surrogate: str = "sigmoid"
    alpha: float = 4.0
    loss_gain: float = 1.0
    sparsity: float = 1.0
    rate: float = 0.2
    norm: bool = False
    output_bias: float = 0.0
    dropout: float = 0.0
    shift: int = 0
    noise: float = 0.0
    epochs: int
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 1e-3
    weight_bits: int = 4
    decay_bits: int = 4
    qat_epochs: int
    qat_lr: float = 1e-3

    @property
    def readout(self) -> str:
        """How the output becomes an answer: ``"count"``, or ``"first_spike"`` of ttfs."""
        return "first_spike" if self.neuron == "ttfs" else "count"


_ALL = (
    Recipe(
        name="digits-lif",
        summary="8x8 digits as spike trains, leaky neurons, spikes counted",
        dataset="digits",
        encoder="rate/16",
        neuron="lif",
        hidden=(96,),
        steps=8,
        tau=4.0,
        reset="subtract",
        epochs=60,
        qat_epochs=40,
    ),
    Recipe(
        name="digits-klif",
        summary="8x8 digits as constant currents, KLIF neurons with learned slopes, spikes counted",
        dataset="digits",
        encoder="direct",
        neuron="klif",
        hidden=(96,),
        steps=6,
        tau=2.0,
        epochs=60,
        qat_epochs=40,
    ),
    Recipe(
        name="digits-ttfs",
        summary="8x8 digits as constant currents, one spike a neuron, the first to spike answers",
        dataset="digits",
        encoder="direct",
        neuron="ttfs",
        hidden=(96,),
        steps=8,
        loss_gain=8.0,
        output_bias=0.2,
        dropout=0.3,
        noise=0.05,
        epochs=100,
        qat_epochs=20,
        qat_lr=3e-4,
    ),
    Recipe(
        name="fashion-klif",
        summary="Fashion-MNIST, 784-128-10, KLIF neurons, 8 steps",
        dataset="fashion-mnist",
        encoder="direct>>4",
        neuron="klif",
        hidden=(128,),
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

RECIPES = {recipe.name: recipe for recipe in _ALL}


def find(name: str) -> Recipe:
    """Recipe of that name.

    Raises
    ------
    RecipeError
        If there is none.
    """
    if name not in RECIPES:
        raise RecipeError(f"Recipe must be one of {', '.join(RECIPES)}, not {name!r}")
    return RECIPES[name]
