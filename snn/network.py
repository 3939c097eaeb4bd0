"""A network to train: layers and neurons in a row, and links beside it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from quant.errors import NetworkError
from quant.model import FloatInput

from .ettfs import Affine
from .integrator import Integrator
from .layers import Conv2d, Dropout, Linear
from .neurons import Neuron, Stepper

__all__ = ["Link", "SpikingNetwork"]


class Link(nn.Module):
    """Spikes of one neuron of a network that are added to the currents of another: residual additions, and feedback.

    Parameters
    ----------
    source, target : int
        Numbers of the neurons in the row, the first being 0.
    layers : module
        What the spikes go through, in order; none if they are the currents themselves.
    delay : int
        0: spikes of the same step, and the source stands before the target. 1: those of the step before.
    """

    def __init__(self, source: int, target: int, *layers: nn.Module, delay: int = 0) -> None:
        super().__init__()
        self.source, self.target, self.delay = source, target, delay
        self.layers = nn.ModuleList(layers)

    def forward(self, spikes: Tensor) -> Tensor:
        for layer in self.layers:
            spikes = layer(spikes)
        return spikes


class SpikingNetwork(nn.Module):
    """Layers of :mod:`snn.layers` and neurons of :mod:`snn.neurons` in a row; the last is a neuron.

    Each neuron runs all its steps at once, but for those between the ends of a delayed link that leads back, which
    go together step by step. Batch normalisation among them is of one step at a time.

    Parameters
    ----------
    layers : iterable of module
    input : FloatInput
        Of kind ``events`` or ``current``. What comes before the first neuron is computed once a sample if ``current``.
    steps : int
        Time steps of a sample.
    links : iterable of Link
    readout : module, optional
        From rates (B, N) of the last neuron to scores (B, classes): :class:`snn.layers.Vote` or ``Linear``.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        *,
        input: FloatInput,
        steps: int,
        links: Iterable[Link] = (),
        readout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.links = nn.ModuleList(links)
        self.input = input
        self.steps = steps
        self.readout = readout
        if not len(self.layers) or not isinstance(self.layers[-1], Neuron):
            raise NetworkError("Last layer of a spiking network must be a neuron")
        if input.kind not in ("events", "current"):
            raise NetworkError(f"Input of a spiking network must be of kind events or current, not {input.kind}")
        if steps < 1:
            raise NetworkError(f"Steps must be at least 1, not {steps}")
        for index in range(len(self.links)):
            self._check(index)
        self._shapes: list[tuple[int, ...]] = []

    def _check(self, index: int) -> None:
        link, what, last = self.links[index], f"Link {index}", len(self.neurons) - 1
        assert isinstance(link, Link)
        for end, number in (("source", link.source), ("target", link.target)):
            if not 0 <= number <= last:
                raise NetworkError(f"{what}: {end} must be a neuron from 0 to {last}, not {number}")
        if link.delay not in (0, 1):
            raise NetworkError(f"{what}: delay must be 0 or 1 step, not {link.delay!r}")
        if link.delay == 0 and link.source >= link.target:
            raise NetworkError(f"{what}: delay must be 1 to lead back from {link.source} to {link.target}, not 0")
        if isinstance(self.neurons[link.source], Integrator):
            raise NetworkError(f"{what}: source must be a neuron that fires, not {link.source}, an Integrator")

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """The neurons, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Neuron))

    @property
    def rows(self) -> list[list[nn.Module]]:
        """For each neuron, the layers between it and the neuron before it, or the input."""
        ends = [-1, *(index for index, layer in enumerate(self.layers) if isinstance(layer, Neuron))]
        return [list(self.layers)[first + 1 : last] for first, last in pairwise(ends)]

    def links_to(self, target: int) -> tuple[Link, ...]:
        """Links into a neuron."""
        return tuple(link for link in self.links if isinstance(link, Link) and link.target == target)

    def forward(self, inputs: Tensor) -> Tensor:
        """Spikes of the last neuron, (T, B, N), of the integer inputs: (B, N) of kind current, else (B, T, N)."""
        return self.spikes(inputs)[-1]

    def spikes(self, inputs: Tensor) -> list[Tensor]:
        """Spikes of every neuron, each (T, B, ...)."""
        constant = self.input.kind == "current"
        frames = inputs[None] if constant else inputs.movedim(1, 0)
        x = frames.reshape(*frames.shape[:2], *self.input.shape).to(self._dtype) * self.input.lsb
        rows, neurons, spikes = self.rows, self.neurons, list[Tensor]()
        while len(spikes) < len(neurons):
            number = len(spikes)
            currents = _through(rows[number], spikes[-1] if spikes else x)
            if constant and not spikes:
                currents = currents.expand(self.steps, *currents.shape[1:])
            last = self._loop_end(number)
            if last is None:
                currents = self._added(currents, number, dict(enumerate(spikes)))
                spikes.append(neurons[number](currents))
            else:
                spikes += self._looped(number, last, currents, dict(enumerate(spikes)))
        return spikes

    def _loop_end(self, first: int) -> int | None:
        """The last neuron that has to run together with ``first``, which nothing before leads into."""
        end = None
        for number in range(first, len(self.neurons)):
            if number > (first if end is None else end):
                break
            backward = [link.source for link in self.links_to(number) if link.delay and link.source >= number]
            end = max([*backward, *([] if end is None else [end])], default=end)
        return end

    def _added(self, currents: Tensor, target: int, spikes: dict[int, Tensor]) -> Tensor:
        """Currents with what links from ``spikes``, over all steps, bring."""
        for link in self.links_to(target):
            if link.source in spikes:
                values = spikes[link.source]
                before = torch.cat([torch.zeros_like(values[:1]), values[:-1]]) if link.delay else values
                currents = currents + link(before)
        return currents

    def _looped(self, first: int, last: int, currents: Tensor, earlier: dict[int, Tensor]) -> list[Tensor]:
        """Spikes of the neurons from ``first`` to ``last``, step by step together."""
        numbers, rows = range(first, last + 1), self.rows
        steppers = [Stepper(self.neurons[number]) for number in numbers]
        zeros = [currents.new_zeros(1, *currents.shape[1:2], *shape) for shape in self.shapes()]
        steps = len(currents)
        # What comes from outside of the loop is known for all steps.
        outer = {
            number: self._added(zeros[number].expand(steps, *zeros[number].shape[1:]), number, earlier)
            for number in numbers[1:]
            if any(link.source in earlier for link in self.links_to(number))
        }
        outer[first] = self._added(currents, first, earlier)
        inner = [link for number in numbers for link in self.links_to(number) if link.source >= first]
        before = {number: zeros[number] for number in numbers}
        with _held([*inner, *(layer for number in numbers[1:] for layer in rows[number])]):
            for step in range(steps):
                now: dict[int, Tensor] = {}
                for number, stepper in zip(numbers, steppers, strict=True):
                    parts = [outer[number][step : step + 1]] if number in outer else []
                    if number > first:
                        parts.append(_through(rows[number], now[number - 1]))
                    parts += [
                        link((before if link.delay else now)[link.source]) for link in inner if link.target == number
                    ]
                    now[number] = stepper(sum(parts[1:], parts[0])[0])[None]
                before = now
        return [stepper.spikes() for stepper in steppers]

    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of one sample of each neuron."""
        if not self._shapes:
            modes = {module: module.training for module in self.modules()}
            self.eval()
            x = torch.zeros(1, 1, *self.input.shape, dtype=self._dtype)
            with torch.no_grad():
                for row in self.rows:
                    x = _through(row, x)
                    self._shapes.append(tuple(x.shape[2:]))
            for module, mode in modes.items():
                module.training = mode
        return self._shapes

    @property
    def _dtype(self) -> torch.dtype:
        return next((parameter.dtype for parameter in self.parameters()), torch.get_default_dtype())


def _through(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    waiting: Conv2d | Linear | None = None
    for layer, following in pairwise([*layers, None]):
        if isinstance(following, Affine) and isinstance(layer, (Conv2d, Linear)):
            waiting = layer
        elif isinstance(layer, Affine) and waiting is not None:
            x, waiting = layer.behind(waiting, x), None
        elif layer is not None:
            x = layer(x)
    return x


@contextmanager
def _held(modules: Iterable[nn.Module]) -> Iterator[None]:
    """What is dropped stays the same while steps are taken one by one."""
    layers = [part for module in modules for part in module.modules() if isinstance(part, Dropout)]
    for layer in layers:
        layer.hold()
    try:
        yield
    finally:
        for layer in layers:
            layer.release()
