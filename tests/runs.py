"""Whole networks in Amaranth's simulator, and their comparison with the golden model."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
from streams import Resettable, simulate

from hw.beats import beats
from hw.design import Design
from hw.network import NetworkCore
from quant.result import Result

__all__ = ["Rig", "assert_answers", "assert_traces"]


QUIET, ENDED = 600, 60
"""Cycles without a word after which nothing more comes; so many where every population has seen its samples end."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word of a trace."""

    index: int
    last: int
    spikes: list[int]
    membranes: list[int]
    currents: list[int]


@dataclass(kw_only=True)
class Rig:
    """An instrumented network, samples that go in one after the other, and what came out.

    Every stream stalls with probability ``stall``, reproducibly per ``seed``: input, output and between the cores.
    With ``alone``, a sample waits until the one before has left, and the first until the memories are set. After
    ``resets[k]`` cycles of sample k, the network is reset and the sample is given up. ``background`` holds more test
    benches.
    """

    design: Design
    inputs: Any
    stall: float = 0.0
    seed: int = 0
    alone: bool = False
    resets: dict[int, int] = field(default_factory=dict)
    background: list[Any] = field(default_factory=list)
    answers: list[list[int]] = field(default_factory=list)
    traces: dict[str, list[Word]] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    sent: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    cycle: int = 0
    given_up: bool = False

    def run(self, cycles: int = 20_000) -> "Rig":
        """Simulates until every sample that was not given up is answered."""
        self.dut = NetworkCore(self.design.plan, instrumented=True)
        self.top = Resettable(self.dut)
        self.traces = {core.name: [] for core in self.design.plan.populations}
        self.ends = dict.fromkeys(self.traces, 0)
        simulate(
            self.top,
            self._feed,
            self._collect,
            background=[self._observe, *self.background],
            progress=lambda: {
                "answers": f"{len(self.answers)} of {len(self.inputs)}",
                "samples begun": len(self.begun),
            },
            cycles=cycles,
        )
        return self

    @property
    def cycles(self) -> list[int]:
        """Cycles of each sample, from its first beat to its answer."""
        return [ended - begun + 1 for begun, ended in zip(self.begun, self.ended, strict=True)]

    @property
    def _settling(self) -> int:
        """Cycles after a reset in which memories are set: one sweep of every core, and one of the scores."""
        return max(2 * self.design.classes, *(core.sweeps for core in self.design.cores)) + 40

    async def _feed(self, ctx: Any) -> None:
        random = Random(self.seed)
        for _ in range(self._settling if self.alone and not self.resets else 0):
            await ctx.tick()
        for number, sample in enumerate(self.inputs):
            while self.alone and len(self.answers) < number - sum(other < number for other in self.resets):
                await ctx.tick()
            if self.alone and number:
                await self._quiet(ctx)
            await self._send(ctx, random, beats(self.design.network, sample), self.resets.get(number))

    async def _send(self, ctx: Any, random: Random, sequence: Any, reset: int | None) -> None:
        """Sends beats; given ``reset``, as many as go in so many cycles, and then a reset."""
        port, start, begun = self.dut.i, self.cycle, False
        self.given_up = reset is not None
        self.sent += 1
        for beat in sequence:
            ctx.set(port.payload, {name: int(beat[name]) for name in ("address", "value", "tick", "last")})
            ready = False
            while not ready and (reset is None or self.cycle - start < reset):
                valid = random.random() >= self.stall or bool(ctx.get(port.valid))
                ctx.set(port.valid, valid)
                *_, taken = await ctx.tick().sample(port.ready)
                ready = valid and taken
            ctx.set(port.valid, 0)
            if ready and not begun and reset is None:
                begun = True
                self.begun.append(self.cycle)
        if reset is not None:
            while self.cycle - start < reset:
                await ctx.tick()
            await self._reset(ctx)

    async def _reset(self, ctx: Any) -> None:
        ctx.set(self.top.rst, 1)
        await ctx.tick()
        ctx.set(self.top.rst, 0)
        self.received, self.sent = [], 0
        for name, words in self.traces.items():
            words.clear()
            self.ends[name] = 0

    async def _collect(self, ctx: Any) -> None:
        random, port = Random(self.seed + 1), self.dut.o
        self.received: list[int] = []
        while len(self.answers) < len(self.inputs) - len(self.resets):
            ready = random.random() >= self.stall
            ctx.set(port.ready, ready)
            *_, valid, payload, reset = await ctx.tick().sample(port.valid, port.payload, self.top.rst)
            if valid and ready and not reset:
                self.received.append(payload.data)
            if valid and ready and not reset and payload.last:
                if not self.given_up:
                    self.answers.append(self.received)
                    self.ended.append(self.cycle)
                self.received = []
        ctx.set(port.ready, 1)
        await self._quiet(ctx)

    async def _quiet(self, ctx: Any) -> None:
        """Waits for what lags behind an answer: populations that nobody reads, and their events."""
        quiet, seen = 0, -1
        least = ENDED + max(core.population.size for core in self.design.cores)
        while quiet < (least if set(self.ends.values()) == {self.sent} else QUIET):
            count = sum(map(len, self.traces.values()))
            quiet, seen = (quiet + 1 if count == seen else 0), count
            await ctx.tick()

    async def _observe(self, ctx: Any) -> None:
        random, cores = Random(self.seed + 2), self.design.cores
        while True:
            paused = sum((random.random() < self.stall) << k for k in range(len(cores)))
            ctx.set(self.dut.pause, paused)
            await ctx.tick()
            self.cycle += 1
            for core in self.design.plan.populations:
                trace = getattr(self.dut, f"trace_{core.name}")
                if ctx.get(trace.valid):
                    word = self._word(ctx, core.units, trace)
                    self.traces[core.name].append(word)
                    self.ends[core.name] += word.last & (word.index == core.sweeps - 1)

    def _word(self, ctx: Any, units: int, trace: Any) -> Word:
        def values(name: str) -> list[int]:
            port = getattr(trace, name, None)
            return [] if port is None else [ctx.get(port[unit]) for unit in range(units)]

        return Word(
            index=ctx.get(trace.index),
            last=ctx.get(trace.last),
            spikes=values("spikes"),
            membranes=values("membranes"),
            currents=values("currents"),
        )


def assert_answers(rig: Rig, result: Result) -> None:
    """Scores and answers are those of the golden model."""
    words = np.array(rig.answers)
    np.testing.assert_array_equal(words[:, :-1], result.scores, err_msg="scores")
    np.testing.assert_array_equal(words[:, -1], result.answers, err_msg="answers")


def assert_traces(rig: Rig, result: Result) -> None:
    """Every spike and membrane is that of the golden model, and no word is missing or too many.

    Only a sample that is stopped early may end before its last step, at the soonest with the step that decides it.
    """
    design = rig.design
    for core in design.plan.populations:
        words = iter(rig.traces[core.name])
        spikes = result.spikes[core.name]
        for sample in range(len(spikes)):
            least, kept = _least_steps(design, result, sample), _initial(core)
            for step in range(spikes.shape[1]):
                found = [next(words)]
                while found[-1].index != core.sweeps - 1:
                    found.append(next(words))
                where = f"{core.name}, sample {sample}, step {step}"
                # What a sweep skips stays as it is, without a spike.
                indices = [word.index for word in found]
                assert indices == sorted(set(indices) if core.skips else range(core.sweeps)), where
                for word in found:
                    kept[word.index] = word
                found = [
                    word if index in indices else replace(word, spikes=[0] * core.units, last=found[0].last)
                    for index, word in enumerate(kept)
                ]
                for name in ("spikes", "membranes", "currents"):
                    if core.name in getattr(result, name):
                        _assert_step(core, found, name, getattr(result, name)[core.name][sample, step], where)
                assert len({word.last for word in found}) == 1, where
                if found[0].last:
                    break
            assert found[0].last, where
            assert step + 1 >= least, where
        assert next(words, None) is None, core.name


def _initial(core: Any) -> list[Word]:
    """Words as a sample begins with them."""
    population = core.population
    initial = core.word_tiling.spread(population.per_neuron(population.initial)).tolist()
    zeros = [0] * core.units
    return [Word(index=index, last=0, spikes=zeros, membranes=row, currents=zeros) for index, row in enumerate(initial)]


def _least_steps(design: Design, result: Result, sample: int) -> int:
    fired = (result.spikes[design.plan.readout.source][sample] != 0).any(axis=1) if design.plan.early_stop else None
    steps = (
        design.network.steps
        if design.network.input.kind != "events"
        else result.spikes[design.network.order[0]].shape[1]
    )
    return int(fired.argmax()) + 1 if fired is not None and fired.any() else steps


def _assert_step(core: Any, found: list[Word], name: str, expected: Any, where: str) -> None:
    neurons = core.word_tiling.neurons.reshape(-1)
    lanes = np.array([value for word in found for value in getattr(word, name)])
    values = np.zeros(len(expected), np.int64)
    values[neurons[neurons >= 0]] = lanes[neurons >= 0]
    np.testing.assert_array_equal(values, expected, err_msg=f"{name} of {where}")
    if name == "spikes":
        assert not lanes[neurons < 0].any(), f"spikes of no neuron, {where}"
