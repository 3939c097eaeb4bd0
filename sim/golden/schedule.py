"""Schedule: which populations run through all steps at once, and which must go step by step together."""

from quant.graph import INPUT
from quant.ir import Network

__all__ = ["groups"]


def groups(network: Network) -> tuple[tuple[str, ...], ...]:
    """Populations in groups, in an order in which every connection between two groups leads forward.

    A group is a population alone, or those that lie on common loops, in the order of a step. A connection within
    a group (feedback, recurrence, and what it feeds back on) is the only kind that ties the steps together.
    """
    sources = {name: {c.source for c in network.incoming(name)} - {INPUT} for name in network.order}
    ancestors = {name: _closure(sources, name) for name in network.order}
    loops = {name: {n for n in ancestors[name] if name in ancestors[n]} | {name} for name in network.order}
    result: list[tuple[str, ...]] = []
    done: set[str] = set()
    while len(done) < len(network.order):
        loop = next(loops[n] for n in network.order if n not in done and ancestors[n] <= done | loops[n])
        result.append(tuple(name for name in network.order if name in loop))
        done |= loop
    return tuple(result)


def _closure(sources: dict[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    front = set(sources[name])
    while front:
        found |= front
        front = {source for member in front for source in sources[member]} - found
    return found
