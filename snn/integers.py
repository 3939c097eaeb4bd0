"""Synapses and neurons of the integer contract in torch: they compute integers, and have gradients.

Weights and biases are float64, used rounded by :mod:`quant.rounding`. The rule of a step is that of
:mod:`quant.ir`. Backward, rounding and floor pass the gradient on as it is, a clipped weight passes none, and a spike
has a surrogate gradient by (H - theta) / theta.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from quant.graph import Shape
from quant.ir import Connection, Decay, Population
from quant.rounding import round_amount, round_threshold, round_weights

from .integer_step import Numbers, advance
from .surrogate import Surrogate

__all__ = ["IntegerNeurons", "IntegerSynapses"]


def _through(forward: Tensor, backward: Tensor) -> Tensor:
    """The value of the one with the gradient of the other."""
    return backward + (forward - backward).detach()


def _tensor(values: NDArray[Any], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64)).to(dtype)


class IntegerSynapses(nn.Module):
    """One connection: float weights that are used rounded.

    Parameters
    ----------
    connection : Connection
        Its integer weights are not used.
    weights : array of float
    scale : array of float
        LSB of the weights; of a shape that divides them.
    source : tuple of int
        Shape of the source.
    dtype : torch.dtype
        It must hold every sum exactly.
    """

    def __init__(
        self, connection: Connection, weights: NDArray[Any], scale: NDArray[Any], source: Shape, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.connection, self.source_shape, self.scale = connection, source, scale
        self.stride = connection.stride or (1, 1)
        spread = np.broadcast_to(weights, connection.weights.shape)
        self.weights = nn.Parameter(_tensor(spread, torch.float64))
        self.dtype = dtype
        self.register_buffer("inverse", _tensor(1 / np.broadcast_to(scale, spread.shape), torch.float64))
        self.inverse: Tensor

    def integers(self) -> NDArray[np.int64]:
        """Weights as the integer network has them."""
        return round_weights(self.weights.detach().numpy(), self.scale, self.connection.weight_bits)

    def rounded(self) -> Tensor:
        """Weights as integers, with a gradient where they are not clipped."""
        half = 1 << (self.connection.weight_bits - 1)
        exact = (self.weights * self.inverse).to(self.dtype).clamp(-half - 0.5, half - 0.5)
        return _through(_tensor(self.integers(), exact.dtype), exact)

    def forward(self, values: Tensor, weights: Tensor) -> Tensor:
        """What arrives at the targets, (B, N_target), of the sources' values (B, N_source)."""
        maps = values.reshape(-1, *self.source_shape)
        if self.connection.pool != (1, 1):
            maps = functional.avg_pool2d(maps, self.connection.pool, divisor_override=1)
        arrived: Tensor = getattr(self, f"_{self.connection.kind}")(maps, weights)
        return arrived.flatten(1)

    def _dense(self, maps: Tensor, weights: Tensor) -> Tensor:
        return functional.linear(maps.flatten(1), weights)

    def _identity(self, maps: Tensor, weights: Tensor) -> Tensor:
        return maps * (weights.reshape(-1, 1, 1) if weights.ndim == 1 and maps.ndim == 4 else weights)

    def _max_pool(self, maps: Tensor, weights: Tensor) -> Tensor:
        rows, columns = self.connection.padding
        padded = functional.pad(maps, (columns, columns, rows, rows))
        return self._identity(functional.max_pool2d(padded, self.connection.kernel or 1, self.stride), weights)

    def _conv2d(self, maps: Tensor, weights: Tensor) -> Tensor:
        item = self.connection
        weights = weights.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(maps, weights, None, self.stride, item.padding, groups=item.groups)

    def _conv_transpose2d(self, maps: Tensor, weights: Tensor) -> Tensor:
        item = self.connection
        return functional.conv_transpose2d(
            maps, weights, None, self.stride, item.padding, item.output_padding, item.groups
        )


class IntegerNeurons(nn.Module):
    """One population: a float bias that is used rounded, and integers that stay.

    Parameters
    ----------
    population : Population
        Its bias is not used.
    bias : array of float
    unit : array of float
        What the integer 1 of a membrane is worth, one or per channel.
    surrogate : Surrogate
    dtype : torch.dtype
        It must hold every sum exactly.
    threshold : array of float, optional
        To be trained too, one or per channel or per neuron. Default: the population's, which stays. What a neuron is
        reset by stays in any case.
    """

    def __init__(
        self,
        population: Population,
        bias: NDArray[Any],
        unit: NDArray[Any],
        surrogate: Surrogate,
        dtype: torch.dtype,
        *,
        threshold: NDArray[Any] | None = None,
    ) -> None:
        super().__init__()
        self.surrogate, self.dtype = surrogate, dtype
        channels = (population.shape[0], *(1,) * (len(population.shape) - 1))
        self.unit = np.broadcast_to(unit, population.shape[:1]).reshape(channels)

        def spread(values: NDArray[Any]) -> NDArray[Any]:
            if values.shape == population.shape:
                return values
            return np.broadcast_to(values.reshape(-1), population.shape[:1]).reshape(channels)

        self.bias = nn.Parameter(_tensor(spread(bias), torch.float64))
        self.level = None if threshold is None else nn.Parameter(_tensor(spread(threshold), torch.float64))
        self.register_buffer("inverse", _tensor(1 / self.unit, torch.float64))
        self.inverse: Tensor
        self.load(population)

    def load(self, population: Population) -> None:
        """Take the integers of a population; not its bias."""
        self.population = population
        self.threshold = None if population.threshold is None else self._spread(population.threshold)
        self.amount = None if population.reset_amount is None else self._spread(population.reset_amount)
        self.value, self.initial = self._spread(population.reset_value), self._spread(population.initial)
        self.decay = self._fraction(population.decay)
        self.current_decay = self._fraction(population.current_decay) if population.current_decay is not None else None
        if self.threshold is not None:
            self.numbers = Numbers(
                reset=population.reset,
                reset_value=self.value,
                reset_amount=self.amount,
                rectify=population.rectify,
                numerator=self.decay[0],
                shift=population.decay.shift,
                half=population.decay.half,
                keeps=population.decay.is_one,
                low=population.state_min,
                high=population.state_max,
                surrogate=self.surrogate,
            )

    def _spread(self, values: Any) -> Tensor:
        return _tensor(self.population.per_neuron(values), self.dtype)

    def _fraction(self, decay: Decay) -> tuple[Tensor, Decay]:
        return self._spread(decay.numerator), decay

    def integers(self) -> NDArray[np.int64]:
        """Bias as the integer network has it, one or per channel or per neuron."""
        return round_amount(self.bias.detach().numpy(), self.unit)

    def rounded(self) -> Tensor:
        """Bias as integers, per neuron, with a gradient."""
        exact = (self.bias * self.inverse).to(self.dtype)
        return _through(_tensor(self.integers(), exact.dtype), exact).expand(self.population.shape).flatten()

    def thresholds(self) -> NDArray[np.int64] | None:
        """The trained thresholds as the integer network has them, one or per channel or per neuron."""
        if self.level is None:
            return None
        return round_threshold(np.maximum(self.level.detach().numpy(), self.unit), self.unit, strict=False)

    def start(self, batch: int) -> None:
        """Begin a sample."""
        trained = self.thresholds()
        if self.level is not None and trained is not None:
            exact = (self.level * self.inverse).to(self.dtype)
            level = _through(_tensor(trained, self.dtype), exact)
            self.threshold = level.expand(self.population.shape).flatten()
        self.membrane = self.initial.expand(batch, -1)
        self.fired = torch.zeros_like(self.membrane)
        self.current = torch.zeros_like(self.membrane)
        self.total = torch.zeros_like(self.membrane)

    def step(self, drive: Tensor, bias: Tensor) -> Tensor:
        """Spikes of one step."""
        item = self.population
        if self.current_decay is not None:
            drive = self.current + drive
            self.current = self._leaked(drive, self.current_decay, item.current_min, item.current_max)
        if self.threshold is None or item.ternary:
            return self.advanced(drive, bias)
        latch = item.reset == "latch"
        self.total, spike, self.membrane, *fired = advance(
            self.membrane, drive, bias, self.threshold, self.fired if latch else None, self.numbers
        )
        self.fired = fired[0] if fired else self.fired
        return spike

    def advanced(self, drive: Tensor, bias: Tensor) -> Tensor:
        """Spikes of one step, of a drive with its current, part by part: any rule, and slow."""
        item = self.population
        self.total = self.membrane + bias + drive
        spike = self._spike(self.total)
        kept = self._kept(torch.relu(self.total) if item.rectify else self.total, spike)
        self.membrane = self._leaked(kept, self.decay, item.state_min, item.state_max)
        return spike

    @property
    def worth(self) -> Tensor:
        """H of the last step in real numbers."""
        unit = np.broadcast_to(self.unit, self.population.shape).reshape(-1)
        return self.total * _tensor(unit, self.dtype)

    @property
    def distance(self) -> Tensor:
        """How far H of the last step was from the threshold, in multiples of it; as if there were no latch."""
        assert self.threshold is not None
        return self.total / self.threshold - 1

    @property
    def stored(self) -> Tensor:
        """V as the integer network stores it. Behind a latch the membrane integrates on, for its gradient's sake."""
        return self.membrane * (1 - self.fired)

    def _spike(self, total: Tensor) -> Tensor:
        if self.threshold is None:
            return torch.zeros_like(total)
        # Thresholds are positive, so that rectified or not, H reaches them alike.
        spike = self.surrogate((total - self.threshold) / self.threshold)
        if self.population.ternary:
            held = torch.relu(total) if self.population.rectify else total
            spike = spike - self.surrogate((-held - self.threshold) / self.threshold)
        if self.population.reset == "latch":
            spike = spike * (1 - self.fired)
            self.fired = self.fired + (spike.abs() if self.population.ternary else spike)
        return spike

    def _kept(self, total: Tensor, spike: Tensor) -> Tensor:
        # The sign has no gradient at 0, where most spikes are.
        reset, size = self.population.reset, spike.abs() if self.population.ternary else spike
        if reset == "zero":
            return total * (1 - size) + self.value * size
        if reset == "subtract" and self.amount is not None:
            return total - spike * self.amount
        return total

    @staticmethod
    def _leaked(value: Tensor, fraction: tuple[Tensor, Decay], low: int, high: int) -> Tensor:
        numerator, decay = fraction
        exact = value * (numerator / (1 << decay.shift))
        shifted = torch.floor((value * numerator + decay.half) / (1 << decay.shift))
        return _through(shifted, exact).clamp(low, high)
