"""Costs of the estimate, fitted: ``python -m benchmarks.fit`` packs networks of many kinds and prints new costs.

What it prints belongs into :mod:`boards.costs`. ``python -m benchmarks estimate_logic_error`` then says how far off
estimates of other designs are. It takes half an hour of a core; ``--family`` halves that.
"""

import argparse
import sys

import numpy as np

from boards.costs import COSTS
from boards.estimate import Parts, core_parts, shared_parts
from quant.ir import Decay
from spikeloom.pipeline import quantized
from spikeloom.source import find_source

from . import networks
from .estimate import Design, maps, pack

__all__ = ["designs", "fitted"]

_BOARDS = {"ice40": "icebreaker", "ecp5": "ulx3s-85f"}
# How strongly a cost stays what it was: few designs tell costs apart that always come together.
_STAY = 0.03


def designs(family: str) -> list[Design]:
    """Networks and lanes that are not those of the benchmark."""
    board = _BOARDS[family]
    recipes = {
        name: quantized(find_source(name).model)[0]
        for name in ("digits-lif", "digits-klif", "digits-ttfs", "digits-spide")
    }
    small = networks.dense((64, 32, 10), decay=Decay(numerator=15, shift=4))
    wide = networks.dense((100, 96, 10))
    chosen = [
        *((recipes["digits-lif"], lanes) for lanes in (2, 8)),
        *((recipes["digits-klif"], lanes) for lanes in (1, 8)),
        *((recipes["digits-ttfs"], lanes) for lanes in (4, 12)),
        *((small, lanes) for lanes in (2, 4, 16)),
        *((wide, lanes) for lanes in (6, 16)),
        (maps(), 2),
    ]
    if family == "ecp5":
        chosen += [(recipes["digits-spide"], 8), (wide, 96), (maps(), 24)]
    whole = [Design(network=network, board=board, lanes=lanes) for network, lanes in chosen]
    return [*whole, *(Design(network=maps(), board=board, lanes=lanes, skips=True) for lanes in (2, 12))]


def fitted(family: str, amounts: list[Parts], cells: list[int]) -> dict[str, float]:
    """Costs that come nearest to ``cells``, in relative terms, and stay near what they were."""
    names = list(COSTS[family])
    before = np.array([COSTS[family][name] for name in names])
    table = np.array([[parts[name] for name in names] for parts in amounts], float)
    scaled = table * before / np.array(cells)[:, None]
    rows = np.vstack([scaled, _STAY * np.eye(len(names))])
    wanted = np.concatenate([1 - scaled.sum(1), np.zeros(len(names))])
    change = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return {name: round(float(cost), 3) for name, cost in zip(names, before * np.maximum(0, 1 + change), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=[*_BOARDS], nargs="*", default=[*_BOARDS])
    for family in parser.parse_args().family:
        amounts, cells = [], []
        for design in designs(family):
            choice, used = pack(design)
            found: Parts = sum(
                (core_parts(core, family) for core in choice.plan.cores), shared_parts(choice.plan, family)
            )
            amounts.append(found)
            cells.append(used["logic_cells"])
            text = f"{choice.expected.logic_cells} of {used['logic_cells']} cells"
            print(f"{design.network.name}, {design.lanes} lanes: {text}", file=sys.stderr, flush=True)
        costs = fitted(family, amounts, cells)
        errors = [
            abs(sum(costs[name] * parts[name] for name in costs) / used - 1)
            for parts, used in zip(amounts, cells, strict=True)
        ]
        print(family, costs)
        print(f"off by {100 * np.mean(errors):.1f} % on average, {100 * max(errors):.1f} % at most")


if __name__ == "__main__":
    main()
