"""Speed of the golden model against snnTorch's forward pass.

Both run in the same process, in turns, on all processors, on the same events with the same weights; each gets its input
as it likes it best: golden bytes ``(B, T, N)``, snnTorch float32 ``(T, B, ...)``.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

from quant.ir import Network
from sim import golden

from . import networks
from .table import Measurement

__all__ = ["measure", "measurements"]

# Samples, and the share of inputs that send something.
CASES = {"dense": (1000, 0.1), "conv": (100, 0.1), "dense_1pct": (1000, 0.01)}


def measurements() -> Iterator[Measurement]:
    """Both networks, and the one with few events."""
    for kind, (batch, density) in CASES.items():
        found = measure(networks.conv() if kind == "conv" else networks.dense(), batch, density)
        yield Measurement(
            id=f"golden_vs_snntorch_{kind}",
            value=found["ratio"],
            unit="times as fast",
            peer=f"snnTorch {found['snntorch']:,.0f} images/s, golden {found['golden']:,.0f}",
            command=f"python -m benchmarks golden_vs_snntorch_{kind}",
        )


def measure(network: Network, batch: int, density: float, rounds: int = 25) -> dict[str, float]:
    """Images per second of both, medians over ``rounds``, and the ratio of the medians."""
    events = networks.events(network, batch, density)
    runs = {"golden": lambda: golden.run(network, events), "snntorch": _peer(network, events)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, function in runs.items():
            start = perf_counter()
            function()
            seconds[name].append(perf_counter() - start)
    speed = {name: batch / median(times[1:]) for name, times in seconds.items()}
    return speed | {"ratio": speed["golden"] / speed["snntorch"]}


def _peer(model: Network, events: Any) -> Callable[[], Any]:
    """The same layers in snnTorch."""
    import snntorch
    import torch
    from torch import nn

    layers = []
    for connection in model.connections:
        weights = torch.tensor(connection.weights, dtype=torch.float32)
        parts: list[nn.Module] = [nn.AvgPool2d(connection.pool, divisor_override=1)] if max(connection.pool) > 1 else []
        if connection.kind == "conv2d":
            parts.append(nn.Conv2d(weights.shape[1], weights.shape[0], weights.shape[2], padding=1, bias=False))
        else:
            parts += [nn.Flatten(), nn.Linear(weights.shape[1], weights.shape[0], bias=False)]
        parts[-1].weight.data = weights
        layers.append((nn.Sequential(*parts), snntorch.Leaky(beta=networks.BETA, threshold=networks.THRESHOLD)))
    shaped = events.transpose(1, 0, 2).reshape(events.shape[1], len(events), *model.input.shape)
    inputs = torch.tensor(shaped.copy(), dtype=torch.float32)

    def forward() -> Any:
        with torch.no_grad():
            membranes = [leaky.init_leaky() for _, leaky in layers]
            counts = 0
            for values in inputs:
                for index, (layer, leaky) in enumerate(layers):
                    values, membranes[index] = leaky(layer(values), membranes[index])
                counts = counts + values
            return counts

    return forward
