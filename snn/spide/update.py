"""Learning by local products of spike rates: gradients of SPIDE, and stochastic gradient descent with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .network import FeedbackNetwork
from .stages import backward_stage, forward_stage

__all__ = ["Descent", "Gradients", "gradients"]

# Sums in float32 of charges that just do not reach the threshold might.
_SLACK = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Gradients:
    """Gradients of the mean loss of a batch.

    Parameters
    ----------
    named : dict of str to Tensor
        By the names of :meth:`snn.spide.network.FeedbackNetwork.tensors`.
    loss : float
        Mean cross entropy.
    right : int
        Right answers.
    """

    named: dict[str, Tensor]
    loss: float
    right: int


@torch.no_grad()
def gradients(
    network: FeedbackNetwork, inputs: Tensor, labels: Tensor, *, steps: int, back_steps: int, gain: float
) -> Gradients:
    """Gradients of the cross entropy by both stages.

    The readout's are its own product of error and rate, ``(softmax - one-hot) a_n``. All others follow from spikes:
    ``dL/dW = beta_post a_pre / 2``. Samples whose gradient is too small to make one spike in the last layer are left
    out of the backward stage, for nothing would happen there.

    Parameters
    ----------
    inputs : Tensor, (B, *shape)
    labels : Tensor of int64, (B,)
    steps, back_steps : int
        T_F and T_B.
    gain : float
        What a sample's gradient is multiplied by in the backward stage, so that it makes spikes.
    """
    forward = forward_stage(network, inputs, steps=steps)
    read = forward.counts / steps
    scores = network.scores(read)
    errors = torch.softmax(scores, 1)
    loss = float(-errors.gather(1, labels[:, None]).clamp(min=1e-30).log().mean())
    right = int((scores.argmax(1) == labels).sum())
    errors[torch.arange(len(labels)), labels] -= 1
    drive = (errors @ network.readout_weights).mul_(gain).reshape(read.shape)
    named = {
        "readout_weights": errors.t() @ read.flatten(1) / len(labels),
        "readout_bias": errors.mean(0),
    }
    awake = torch.nonzero(drive.flatten(1).abs().amax(1) * 2 * back_steps >= 1 - _SLACK)[:, 0]
    if not len(awake):
        zeros = {name: torch.zeros_like(tensor) for name, tensor in network.tensors().items()}
        return Gradients(named=zeros | named, loss=loss, right=right)
    rates = tuple(rate[awake] for rate in forward.rates)
    betas = backward_stage(network, rates, drive[awake], steps=back_steps)
    worth = 1 / (2 * gain * len(labels))
    for index, (layer, beta, source) in enumerate(
        zip(network.layers, betas, (inputs[awake], *rates[:-1]), strict=True)
    ):
        named[f"weights{index}"] = layer.projection.correlate(beta, source).mul_(worth)
        named[f"bias{index}"] = beta.transpose(0, 1).flatten(1).sum(1).mul_(worth)
    if network.feedback is not None:
        named["feedback"] = network.feedback.correlate(betas[0], rates[-1]).mul_(worth)
    return Gradients(named=named, loss=loss, right=right)


@dataclass(kw_only=True)
class Descent:
    """Stochastic gradient descent with momentum; weights decay, biases do not, and the feedback keeps its norm small.

    Parameters
    ----------
    momentum, weight_decay : float
    feedback_norm : float
        Largest Frobenius norm of the feedback's weights: below 2 the equilibrium is one, and is reached.
    """

    momentum: float
    weight_decay: float
    feedback_norm: float
    velocity: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def step(self, network: FeedbackNetwork, gradients: Mapping[str, Tensor], lr: float) -> None:
        """Change the network's tensors in place."""
        for name, tensor in network.tensors().items():
            gradient = gradients[name]
            if tensor.ndim > 1:
                gradient = gradient.add(tensor, alpha=self.weight_decay)
            velocity = self.velocity.setdefault(name, torch.zeros_like(tensor))
            velocity.mul_(self.momentum).add_(gradient)
            tensor.add_(velocity, alpha=-lr)
        self.restrict(network)

    @torch.no_grad()
    def restrict(self, network: FeedbackNetwork) -> None:
        """Scale the feedback's weights down to their largest norm."""
        if network.feedback is not None:
            weights = network.feedback.weights
            norm = float(torch.linalg.vector_norm(weights))
            if norm > self.feedback_norm:
                weights.mul_(self.feedback_norm / norm)
