"""Speed of the golden model against snnTorch's forward pass: 784-128-10, 25 steps, 10 % input density, batch 1000.

Both run in the same process, in turns, on all processors, on the same events with the same weights; each gets its input
as it likes it best: golden bytes ``(B, T, N)``, snnTorch float32 ``(T, B, N)``.
"""

from collections.abc import Callable
from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from quant.ir import Connection, Decay, Input, Network, Population, Readout
from sim import golden

__all__ = ["measure"]

SIZES = (784, 128, 10)
STEPS, BATCH, DENSITY = 25, 1000, 0.1
BETA, THRESHOLD = 230 / 256, 120


def network() -> Network:
    """The network with random 4-bit weights."""
    rng = np.random.default_rng(0)
    populations, connections = [], []
    for index, (sources, targets) in enumerate(pairwise(SIZES)):
        source, name = f"layer{index - 1}" if index else "input", f"layer{index}"
        weights = rng.integers(-7, 8, (targets, sources))
        connections.append(Connection(source=source, target=name, kind="dense", weights=weights, weight_bits=4))
        populations.append(
            Population(
                name=name,
                shape=(targets,),
                threshold=THRESHOLD,
                reset="subtract",
                decay=Decay(numerator=230, shift=8),
                state_min=-4096,
                state_max=4095,
            )
        )
    return Network(
        name="benchmark",
        steps=STEPS,
        input=Input(shape=SIZES[:1]),
        populations=tuple(populations),
        connections=tuple(connections),
        readout=Readout(population=populations[-1].name),
    )


def _peer(model: Network, events: Any) -> Callable[[], Any]:
    import snntorch
    import torch

    layers = []
    for connection in model.connections:
        linear = torch.nn.Linear(*reversed(connection.weights.shape), bias=False)
        linear.weight.data = torch.tensor(connection.weights, dtype=torch.float32)
        layers.append((linear, snntorch.Leaky(beta=BETA, threshold=THRESHOLD)))
    inputs = torch.tensor(events.transpose(1, 0, 2).copy(), dtype=torch.float32)

    def forward() -> Any:
        with torch.no_grad():
            membranes = [leaky.init_leaky() for _, leaky in layers]
            counts = 0
            for values in inputs:
                for index, (linear, leaky) in enumerate(layers):
                    values, membranes[index] = leaky(linear(values), membranes[index])
                counts = counts + values
            return counts

    return forward


def measure(rounds: int = 15) -> dict[str, float]:
    """Images per second of both, medians over ``rounds``, and the ratio of the medians."""
    model = network()
    events = (np.random.default_rng(1).random((BATCH, STEPS, SIZES[0])) < DENSITY).astype(np.uint8)
    runs = {"golden": lambda: golden.run(model, events), "snntorch": _peer(model, events)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, function in runs.items():
            start = perf_counter()
            function()
            seconds[name].append(perf_counter() - start)
    speed = {name: BATCH / median(times[1:]) for name, times in seconds.items()}
    return {
        "golden_images_per_second": speed["golden"],
        "snntorch_images_per_second": speed["snntorch"],
        "ratio": speed["golden"] / speed["snntorch"],
    }


def main() -> None:
    """Print the table."""
    result = measure()
    print("784-128-10, 25 steps, 10 % density, batch 1000")
    for name in ("golden", "snntorch"):
        print(f"{name:10} {result[f'{name}_images_per_second']:10.0f} images/s")
    print(f"{'ratio':10} {result['ratio']:10.2f}")


if __name__ == "__main__":
    main()
