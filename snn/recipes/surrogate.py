"""Recipes of training by surrogate gradients."""

from dataclasses import dataclass

from .base import Recipe

__all__ = ["SurrogateRecipe"]


@dataclass(frozen=True, kw_only=True)
class SurrogateRecipe(Recipe):
    """Training by surrogate gradients, first in real numbers, then with the integers of the contract.

    Parameters
    ----------
    neuron : str
        ``"lif"``, ``"klif"`` or ``"if"``, which is lif that leaks nothing; of a :class:`snn.recipes.TtfsRecipe`
        ``"ttfs"``.
    tau : float
        Time constant of lif and klif, in steps; 1 keeps nothing from step to step.
    learn_leak : bool
        Learn how much the membranes of a layer keep, from ``tau`` on; of lif and klif.
    recurrent : bool
        Neurons of hidden dense layers also see the spikes of their own layer, of the step before.
    bias : bool
        Whether hidden neurons have a constant current. One that leaks little adds it up over all steps.
    spread : float
        What the weights of hidden layers start at, as a multiple of what PyTorch draws.
    decay_input : bool
        Divide the current by tau, too.
    reset : str
        ``"zero"``, ``"subtract"`` or ``"none"``, of if, lif and klif.
    threshold : float
        theta of all neurons.
    surrogate : str
        One of :data:`snn.surrogate.SURROGATES`, of width ``alpha``.
    decoder : str
        ``"count"``: the output's spikes are counted. ``"membrane"``: it never fires, and what it has added up is
        compared in the end. More in :class:`snn.recipes.TtfsRecipe`.
    output_tau : float, optional
        Time constant of the output of the decoder ``membrane``; default: it keeps everything.
    loss_gain : float
        What a count, a membrane, or the worth of a spike, is multiplied by before the softmax.
    decoder_base : float
        How many times less a spike is worth than one a step before, above 1; of the decoder ``exponential``.
    smoothing : float
        Part of a label that is spread over all classes, of the training in real numbers and with integers.
    sparsity : float
        Weight of the squared excess of the hidden firing rate over ``rate``, in the loss.
    rate : float
        Spikes a step and hidden neuron that cost nothing.
    norm : bool
        Normalise the currents of hidden layers over the batch; it is folded into their weights.
    output_bias : float
        What the output's biases start at.
    dropout : float
        Of the spikes of hidden dense layers.
    shift, noise, flip, erase
        How training images are altered: see :meth:`snn.samples.Samples.batches`.
    epochs, batch, lr, weight_decay
        Of the training in real numbers: AdamW, its rate rising for ``warm_up`` epochs, then falling to 0 along a
        cosine.
    clip : float
        Largest norm of the gradient of a batch; 0 leaves it as it is.
    qat_epochs, qat_lr
        Of the training with integers.
    qat_thresholds : bool
        Train the thresholds with the integers, too.
    qat_average : float
        Likewise: what is kept is a running mean of the parameters, in which the mean before a step counts so much and
        the step's parameters the rest; 0 keeps the last.
    """

    tau: float = 2.0
    learn_leak: bool = False
    recurrent: bool = False
    bias: bool = True
    spread: float = 1.0
    decay_input: bool = False
    reset: str = "zero"
    threshold: float = 1.0
    surrogate: str = "sigmoid"
    alpha: float = 4.0
    decoder: str = "count"
    output_tau: float | None = None
    decoder_base: float = 2.0
    loss_gain: float = 1.0
    smoothing: float = 0.0
    sparsity: float = 1.0
    rate: float = 0.2
    norm: bool = False
    output_bias: float = 0.0
    dropout: float = 0.0
    shift: int = 0
    noise: float = 0.0
    flip: bool = False
    erase: int = 0
    epochs: int
    batch: int = 64
    lr: float = 2e-3
    warm_up: float = 0.0
    weight_decay: float = 1e-3
    clip: float = 0.0
    qat_epochs: int
    qat_lr: float = 1e-3
    qat_thresholds: bool = False
    qat_average: float = 0.0

    @property
    def readout(self) -> str:
        """The decoder."""
        return self.decoder
