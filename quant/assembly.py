"""A float network in the making: populations from what leads into them, and an account of every layer."""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from .errors import NetworkError, UnsupportedError
from .fold import Fold, narrowed, spread
from .graph import INPUT, Shape, Synapses
from .model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout

__all__ = ["Assembly"]

_NUMBERS = ("threshold", "reset_value", "reset_amount", "decay", "bias", "initial", "current_decay")


class Assembly:
    """Populations and connections, one neuron layer at a time, in any order.

    Every population has an entry of :attr:`rows`, and so has every other layer that the importer tells of with
    :meth:`note`.

    Attributes
    ----------
    rows : list of (layer, kind, becomes)
        A layer's name in the source model, its type, and what it has become.
    assumptions : list of str
        What the source model does not say, and was taken for granted.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.assumptions: list[str] = []
        self._populations: list[FloatPopulation] = []
        self._connections: list[Synapses] = []
        self._names: set[str] = {INPUT}
        self._relays: dict[int, tuple[Fold, str]] = {}

    def reserve(self, wanted: str) -> str:
        """A population's name as near to ``wanted`` as an identifier can be, which nobody else gets."""
        plain = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_")[:50]
        plain = plain if re.match(r"[A-Za-z]", plain) else f"layer{plain}"
        name, count = plain, 1
        while name in self._names:
            count += 1
            name = f"{plain}_{count}"
        self._names.add(name)
        return name

    def population(
        self,
        name: str,
        *,
        layer: str,
        kind: str,
        folds: Sequence[tuple[Fold, int]],
        gain: Any = 1.0,
        shape: Shape | None = None,
        becomes: str | None = None,
        **fields: Any,
    ) -> str:
        """Add a population and the connections into it.

        Parameters
        ----------
        name : str
            From :meth:`reserve`, or any other, which is then made one.
        layer, kind : str
            Name and type of the layer in the source model.
        folds : sequence of (Fold, int)
            What leads into it, and the delay of each in steps. Their biases add.
        gain : float or array
            What the neurons multiply every current by: one, per channel or per neuron.
        shape : tuple of int, optional
            Default: what the folds make.
        becomes : str, optional
            For the account; default: the rule in a few words.
        fields
            Of :class:`quant.model.FloatPopulation`; numbers per neuron may be flat. ``bias`` adds to the folds',
            but with a ``current_decay`` the folds' go into the current, as whatever they bring does: a neuron that
            fires in every step then sends them.

        Returns
        -------
        str
            The population's name.
        """
        what = f"Layer {layer} ({kind})"
        name = name if name in self._names and not self._taken(name) else self.reserve(name)
        if not folds:
            raise NetworkError(f"{what} must have something that leads into it; connect it, or remove it")
        shape = shape or _common_shape([fold for fold, _ in folds], what)
        factor = narrowed(_shaped(gain, shape, f"{what}: gain"))
        bias, brought = _shaped(fields.pop("bias", 0.0), shape, f"{what}: bias"), np.zeros(shape)
        for fold, delay in folds:
            connection, added = self._fitted(fold, shape, what, name).connection(name, factor, delay=delay)
            brought = brought + spread(added, shape)
            self._connections.append(connection)
        if fields.get("current_decay") is not None and np.any(fields["current_decay"]):
            self._clock(name, brought)
        else:
            fields.pop("current_decay", None)
            bias = bias + brought
        numbers = {
            key: None if fields[key] is None else narrowed(_shaped(fields.pop(key), shape, f"{what}: {key}"))
            for key in _NUMBERS
            if key in fields
        }
        population = FloatPopulation(name=name, shape=shape, **{**fields, **numbers}, bias=narrowed(bias))
        self._populations.append(population)
        self.note(layer, kind, becomes or f"{_words(population)}: population {name} of {prod(shape)}")
        return name

    def assume(self, layer: str, text: str) -> None:
        """Tell of something that the source model does not say."""
        self.assumptions.append(f"{layer}: {text}" if layer else text)

    def note(self, layer: str, kind: str, becomes: str) -> None:
        """Tell what has become of a layer."""
        self.rows.append((layer, kind, becomes))

    def network(
        self,
        *,
        name: str,
        steps: int,
        input: FloatInput,
        readout: FloatReadout,
        metadata: Mapping[str, Any] | None = None,
    ) -> FloatNetwork:
        """The network; the account goes into its metadata, as ``layers`` and ``assumptions``.

        Raises
        ------
        NetworkError
            If it contradicts itself.
        """
        account = {"layers": [list(row) for row in self.rows], "assumptions": list(self.assumptions)}
        return FloatNetwork(
            name=name,
            steps=steps,
            input=input,
            populations=tuple(self._populations),
            connections=tuple(self._connections),
            readout=readout,
            metadata={**(metadata or {}), **account},
        )

    def _taken(self, name: str) -> bool:
        return name == INPUT or any(item.name == name for item in self._populations)

    def _fitted(self, fold: Fold, shape: Shape, what: str, target: str) -> Fold:
        """The fold with its relay, if it has one, made and named, and with the population's shape."""
        twin = fold.copy()
        if twin.relay is not None:
            twin.source = self._relay(twin.relay, what, target)
        if twin.target_shape != shape:
            twin.reshape(shape, what=what)
        return twin

    def _clock(self, target: str, brought: Any) -> None:
        """A bias that goes into the current of a second-order neuron: the spikes of a neuron that always fires."""
        if not brought.any():
            return
        name = self.reserve(f"{target}_clock")
        self._populations.append(
            FloatPopulation(name=name, shape=(1,), threshold=0.5, reset="none", decay=0.0, bias=1.0)
        )
        self._connections.append(Synapses(source=name, target=name, kind="identity", weights=np.ones(()), delay=1))
        self._connections.append(Synapses(source=name, target=target, kind="dense", weights=brought.reshape(-1, 1)))

    def _relay(self, feed: Fold, what: str, target: str) -> str:
        if id(feed) not in self._relays:
            name = self.reserve(f"{target}_pool")
            shape = feed.target_shape
            connection, _ = self._fitted(feed, shape, what, name).connection(name)
            self._connections.append(connection)
            # Half a spike's worth: a relay is right whatever its weight is rounded to.
            self._populations.append(FloatPopulation(name=name, shape=shape, threshold=0.5, reset="none", decay=0.0))
            self._relays[id(feed)] = (feed, name)
        return self._relays[id(feed)][1]


def _common_shape(folds: Sequence[Fold], what: str) -> Shape:
    """Shape of the population that all folds lead into."""
    shapes = {fold.target_shape for fold in folds if not fold.any_shape} or {folds[0].target_shape}
    first, *others = sorted(shapes)
    if others or len({prod(fold.target_shape) for fold in folds}) > 1:
        every = " and ".join(map(str, sorted({fold.target_shape for fold in folds})))
        raise NetworkError(f"{what} must be given sums of one shape, not of {every}")
    return first


def _shaped(values: Any, shape: Shape, what: str) -> Any:
    """Numbers that are one, per channel or per neuron, the last maybe flat, for every neuron of ``shape``."""
    array = np.asarray(values, np.float64)
    if array.size == 1:
        return np.broadcast_to(array.reshape(()), shape)
    if array.size == prod(shape):
        return array.reshape(shape)
    if array.shape in (shape[:1], shape[:1] + (1,) * (len(shape) - 1)):
        return spread(array.reshape(-1), shape)
    raise UnsupportedError(f"{what} of shape {array.shape} must be one, per channel or per neuron of {shape}")


def _words(population: FloatPopulation) -> str:
    resets = {"zero": "reset to a value", "subtract": "reset by subtraction", "none": "no reset", "latch": "one spike"}
    order = "first" if population.current_decay is None else "second"
    if population.threshold is None:
        return f"membranes that are read, {order} order"
    return f"{order} order, {resets[population.reset]}, fires {'above' if population.strict else 'from'} its threshold"
