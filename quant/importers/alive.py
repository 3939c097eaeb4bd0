"""Layers that can never spike, found before anything is built of them."""

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.graph import INPUT, Synapses
from quant.model import FloatNetwork, Floats
from quant.ops import apply

__all__ = ["check_alive"]

_MOST_STEPS = 1000


def check_alive(model: FloatNetwork) -> None:
    """Refuse a network with a population that no input can make fire, or that nothing reaches.

    Raises
    ------
    NetworkError
        Naming the population.
    """
    for population in model.populations:
        incoming = model.incoming(population.name)
        if not any(item.weights.any() for item in incoming):
            raise NetworkError(
                f"Population {population.name} is dead: all weights into it are 0; train it again, or take it out"
            )
        if population.threshold is None or population.ternary:
            continue
        drive = sum(_most(model, item) for item in incoming)
        highest, short = _highest(model, population.name, np.asarray(drive))
        if short.all():
            threshold = population.per_neuron(population.threshold).min()
            raise NetworkError(
                f"Population {population.name} is dead: no neuron can reach its threshold within {model.steps} steps, "
                f"for the largest membrane is {highest:g} and the smallest threshold {threshold:g}; "
                "train it again, or with a lower threshold"
            )


def _most(model: FloatNetwork, connection: Synapses) -> Floats:
    """Most that a connection can bring to each neuron in a step."""
    shape = model.shape_of(connection.source)
    low, high = (model.input.value_range.low, model.input.value_range.high) if connection.source == INPUT else (0, 1)
    ones, total = np.ones((1, int(np.prod(shape)))), 0.0
    for value, chosen in ((high, np.maximum), (low, np.minimum)):
        part = Synapses(**{**vars(connection), "weights": chosen(connection.weights, 0)})
        total = total + apply(part, shape, ones)[0] * value
    return np.asarray(total) * model.lsb_of(connection.source)


def _highest(model: FloatNetwork, name: str, drive: Floats) -> tuple[float, NDArray[np.bool_]]:
    """Largest membrane before the comparison, and which neurons never get far enough."""
    population = model[name]
    number = {
        key: population.per_neuron(value)
        for key in ("threshold", "reset_value", "reset_amount", "decay", "bias", "initial", "current_decay")
        if (value := getattr(population, key)) is not None
    }
    membrane, current, highest = number["initial"], np.zeros_like(drive), np.full_like(drive, -np.inf)
    for _ in range(min(model.steps, _MOST_STEPS)):
        brought = current + drive
        current = brought * number["current_decay"] if "current_decay" in number else current
        total = membrane + number["bias"] + brought
        total = np.maximum(total, 0) if population.rectify else total
        highest = np.maximum(highest, total)
        kept = np.maximum(total, number["reset_value"]) if population.reset == "zero" else total
        kept = kept - np.minimum(number["reset_amount"], 0) if "reset_amount" in number else kept
        membrane = kept * number["decay"]
    short = highest <= number["threshold"] if population.strict else highest < number["threshold"]
    return float(highest.max()), short
