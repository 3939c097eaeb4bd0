"""Streams in Amaranth's simulator: who sends, who receives, and a watchdog that says how far they came."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from amaranth import ClockDomain, Module, ResetSignal, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import data
from amaranth.sim import Simulator

__all__ = ["Resettable", "Sink", "Source", "clock_in", "simulate"]

Bench = Callable[[Any], Awaitable[None]]


@dataclass(kw_only=True)
class Source:
    """Sends payloads into a stream; before each it pauses with probability ``stall``, reproducibly per ``seed``."""

    port: Any
    payloads: Iterable[Any]
    stall: float = 0.0
    seed: int = 0
    sent: int = 0

    async def run(self, ctx: Any) -> None:
        random = Random(self.seed)
        for payload in self.payloads:
            while random.random() < self.stall:
                await ctx.tick()
            ctx.set(self.port.payload, payload)
            ctx.set(self.port.valid, 1)
            ready = False
            while not ready:
                *_, ready = await ctx.tick().sample(self.port.ready)
            ctx.set(self.port.valid, 0)
            self.sent += 1


@dataclass(kw_only=True)
class Sink:
    """Receives payloads from a stream until there are ``count``, and none more for ``quiet`` cycles.

    It is ready with probability ``1 - stall``. It sees to the rule of a stream: what is offered stays, unchanged,
    until it is taken.
    """

    port: Any
    count: int
    stall: float = 0.0
    seed: int = 1
    quiet: int = 20
    received: list[Any] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    async def run(self, ctx: Any) -> None:
        random, waiting, cycle, idle = Random(self.seed), None, 0, 0
        while len(self.received) < self.count or idle < self.quiet:
            ready = random.random() >= self.stall
            ctx.set(self.port.ready, ready)
            *_, valid, payload = await ctx.tick().sample(self.port.valid, self.port.payload)
            offered = plain(payload) if valid else None
            if waiting is not None and offered != waiting:
                raise AssertionError(
                    f"Payload {len(self.received)} was {waiting}, then, before it was taken, {offered}"
                )
            waiting = None
            if valid and ready:
                self.received.append(offered)
                self.cycles.append(cycle)
                idle = 0
            elif valid:
                waiting = offered
            cycle, idle = cycle + 1, idle + 1


def plain(payload: Any) -> Any:
    """A sampled payload as integers: of a structure, a tuple in the order of its members."""
    if isinstance(payload, data.Const):
        return tuple(plain(payload[name]) for name, _ in payload.shape())
    return payload


class Resettable(Elaboratable):
    """A component whose reset is a signal, ``rst``."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.rst = Signal()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += ResetSignal().eq(self.rst)
        m.submodules.dut = self.dut
        return m

    async def reset(self, ctx: Any) -> None:
        """Reset it, for a cycle."""
        ctx.set(self.rst, 1)
        await ctx.tick()
        ctx.set(self.rst, 0)

    async def cut_off(self, ctx: Any, port: Any, payloads: Iterable[Any], cycles: int) -> None:
        """Send into a stream of it for so many cycles, or until there is nothing left, and reset it."""
        left = list(payloads)
        for _ in range(cycles):
            if left:
                ctx.set(port.payload, left[0])
            ctx.set(port.valid, bool(left))
            *_, ready = await ctx.tick().sample(port.ready)
            left = left[1:] if ready else left
        ctx.set(port.valid, 0)
        await self.reset(ctx)


async def clock_in(ctx: Any, dut: Any, **values: int) -> None:
    """Sets members of a component and waits for the clock."""
    for name, value in values.items():
        ctx.set(getattr(dut, name), value)
    await ctx.tick()


def simulate(
    dut: Any,
    *benches: Bench,
    background: Iterable[Bench] = (),
    progress: Callable[[], Mapping[str, Any]] = dict,
    cycles: int = 100_000,
) -> None:
    """Runs until every bench is done; after so many ``cycles``, an error that tells the ``progress``."""

    async def watchdog(ctx: Any) -> None:
        for _ in range(cycles):
            await ctx.tick()
        far = ", ".join(f"{name} {value}" for name, value in progress().items())
        raise TimeoutError(f"Not done in {cycles} cycles; {far or 'no progress known'}")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for bench in benches:
        simulator.add_testbench(bench)
    for bench in (*background, watchdog):
        simulator.add_testbench(bench, background=True)
    simulator.run()
