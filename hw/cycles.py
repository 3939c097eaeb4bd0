"""Cycle model: how many clock cycles a sample takes, from what the golden model saw fire."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.graph import INPUT

from .beats import beats
from .delay import depth_of
from .layout import BeatLayout, Fields
from .plan import QUEUE_DEPTH, CorePlan, NetworkPlan, PortPlan

__all__ = ["predict_cycles"]

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

SEND = 2
"""Cycles from the tick that ends a sample to the first score of its answer."""


def predict_cycles(plan: NetworkPlan, inputs: NDArray[Any], spikes: Mapping[str, NDArray[Any]]) -> Numbers:
    """Cycles of each sample, alone in the hardware and without stalls.

    Counted from the transfer of the sample's first beat to that of its answer, both included; of the first sample,
    if it does not come while the memories are still being set after a reset. The model holds what decides the flow
    (rows, sweeps, free places, streams) and steps through the cycles of all samples at once.

    Parameters
    ----------
    plan : NetworkPlan
    inputs : array of int
        As the golden model took them: ``(B, steps, N)`` or ``(B, N)``.
    spikes : dict of str to array, (B, T, N)
        As the golden model recorded them, of every population.

    Returns
    -------
    array of int64, (B,)
    """
    for core in plan.populations:
        if core.name not in spikes:
            raise NetworkError(f"Spikes of population {core.name} must be recorded to predict cycles")
    inputs = np.asarray(inputs)
    steps = inputs.shape[1] if plan.input.kind == "events" else plan.network.steps
    source: Any = _Coded(plan, inputs) if plan.input.coded else _Source(plan, inputs)
    cores = [_Core(core, _fired(core, spikes, len(inputs), steps), paced=_paced(core)) for core in plan.cores]
    streams: dict[str, Any] = {INPUT: source, **{core.plan.name: core for core in cores}}
    delays = [port.delay for core in cores for port in core.ports if port.delay is not None]
    samples = len(inputs)
    decided, begun, ended = np.zeros(samples, bool), np.full(samples, -1), np.full(samples, -1)
    cycle = 0
    while (ended < 0).any():
        if plan.early_stop:
            source.stop = decided & ~source.finished
        for core in cores:
            core.issue()
        for name, stream in streams.items():
            offer = stream.offer
            ready = np.ones(samples, bool)
            heard = [port for core in cores for port in core.ports if port.plan.source == name]
            for port in heard:
                ready &= port.ready
            for core in cores:
                if core.paced and name == INPUT:
                    ready &= core.paces
            taken = offer.valid & ready
            stream.taken = taken
            for port in heard:
                port.receive(offer, taken)
            for core in cores:
                if core.paced and name == INPUT:
                    core.pace(offer, taken)
            if name == plan.readout.source:
                shown = taken & (ended < 0)
                ended[shown & offer.tick & offer.last] = cycle
                later = shown & ~offer.tick
        for core in cores:
            core.clock()
        for delay in delays:
            delay.clock()
        begun[(begun < 0) & source.clock()] = cycle
        decided |= later
        cycle += 1
    return ended + SEND + plan.readout.classes - begun + 1


def _paced(core: CorePlan) -> bool:
    return all(port.delayed for port in core.ports)


def _fired(core: CorePlan, spikes: Mapping[str, NDArray[Any]], samples: int, steps: int) -> Flags:
    """Who sends an event in which step, ``(B, T, N)``; of a core that sweeps once, in one step."""
    if core.shows:
        return np.ones((samples, 1 if core.at_end else steps, core.population.size), bool)
    return spikes[core.name] != 0


class _Offer:
    """What a stream offers in a cycle, by sample."""

    def __init__(self, samples: int):
        self.valid, self.tick, self.last = (np.zeros(samples, bool) for _ in range(3))
        self.neuron = np.zeros(samples, np.int64)


class _Source:
    """Beats of every sample, offered as fast as they are taken, through the gate.

    A sample that comes once has its tick repeated; the host's tick goes with the last of them.
    """

    def __init__(self, plan: NetworkPlan, inputs: NDArray[Any]):
        once = plan.input.kind == "current"
        sequences = [beats(plan.network, sample) for sample in inputs]
        repeats = plan.network.steps - 1 if once else 0
        self.lengths = np.array([len(sequence) + repeats for sequence in sequences])
        shape = len(sequences), int(self.lengths.max()) + 1
        self.ticks, self.neurons = np.zeros(shape, bool), np.zeros(shape, np.int64)
        flat = _flat(Fields(plan.input.shape))
        for index, (sequence, length) in enumerate(zip(sequences, self.lengths, strict=True)):
            self.ticks[index, : len(sequence)] = sequence["tick"]
            self.ticks[index, len(sequence) : length] = True
            self.neurons[index, : len(sequence)] = flat[sequence["address"]]
        self.once = once
        self.samples = np.arange(len(sequences))
        self.position = np.zeros(len(sequences), np.int64)
        self.finished, self.stop, self.waiting, self.before, self.taken = np.zeros((5, len(sequences)), bool)

    @property
    def offer(self) -> _Offer:
        offer = _Offer(len(self.samples))
        offer.valid = ~self.finished
        offer.tick = self.ticks[self.samples, self.position] & offer.valid
        ends = offer.tick & (self.stop | (self.position == self.lengths - 1))
        offer.last = np.where(self.waiting, self.before, ends)
        offer.neuron = self.neurons[self.samples, self.position]
        return offer

    def clock(self) -> Flags:
        """Advance where the beat was taken; where the host's beat was."""
        offer, taken = self.offer, self.taken
        self.waiting, self.before = offer.valid & offer.tick & ~taken, offer.last
        self.position += taken
        self.finished |= taken & offer.last
        return taken & (~offer.tick | offer.last) if self.once else taken


def _flat(fields: Fields) -> Numbers:
    """Neuron of every address."""
    neurons = np.arange(int(np.prod(fields.shape)))
    table = np.zeros(1 << fields.width, np.int64)
    table[fields.encode(neurons)] = neurons
    return table


class _Delay:
    """Flow of :class:`hw.delay.Delay`."""

    def __init__(self, port: PortPlan, samples: int, beats: int):
        self.foretold = port.source != INPUT
        self.depth = depth_of(BeatLayout(port.geometry.source, port.values))
        self.samples = np.arange(samples)
        self.tick, self.neuron = np.zeros((samples, beats + 2), bool), np.zeros((samples, beats + 2), np.int64)
        # The tick that the sample before has left.
        self.tick[:, 0] = True
        self.written, self.end, self.readable = np.ones((3, samples), np.int64)
        self.read = np.zeros(samples, np.int64)
        self.next_written, self.next_end, self.next_read = self.written.copy(), self.end.copy(), self.read.copy()

    @property
    def ready(self) -> Flags:
        return self.written - self.read != self.depth

    @property
    def offer(self) -> _Offer:
        offer = _Offer(len(self.samples))
        offer.valid = self.readable != self.read
        offer.tick = self.tick[self.samples, self.read] & offer.valid
        offer.neuron = self.neuron[self.samples, self.read]
        return offer

    def receive(self, offer: _Offer, taken: Flags) -> None:
        store = taken & (offer.tick | ~(offer.last & self.foretold))
        place = np.where(offer.tick & offer.last & (not self.foretold), self.end, self.written)
        rows = self.samples[store]
        self.tick[rows, place[store]] = offer.tick[store]
        self.neuron[rows, place[store]] = offer.neuron[store]
        self.next_written = np.where(store, place + 1, self.written)
        self.next_end = np.where(store & (offer.tick | self.foretold), place + 1, self.end)

    def take(self, taken: Flags) -> None:
        self.next_read = self.read + taken

    def clock(self) -> None:
        self.readable = self.end
        self.written, self.end, self.read = self.next_written, self.next_end, self.next_read


class _Port:
    """Flow of one addresser, and of the delay before it."""

    def __init__(self, plan: PortPlan, samples: int, beats: int):
        self.plan = plan
        self.operations = plan.geometry.operations
        self.delay = _Delay(plan, samples, beats) if plan.delayed else None
        # First stage: rows of the event, 0 of one of no use. Second stage: rows that are left.
        self.waiting, self.tick, self.last = np.zeros((3, samples), bool)
        self.rows = np.zeros(samples, np.int64)
        self.busy, self.at_tick, self.at_last = np.zeros((3, samples), bool)
        self.left = np.zeros(samples, np.int64)
        self.offered, self.taken = _Offer(samples), np.zeros(samples, bool)

    def prepare(self, done: Flags) -> None:
        """What the first stage does, given which operations are taken."""
        self.done = done
        over = done & (self.at_tick | (self.left == 1))
        useful = self.tick | (self.rows != 0)
        self.loads = self.waiting & useful & (~self.busy | over)
        self.leaves = over
        self.accepts = ~self.waiting | ~useful | self.loads
        self.taken = np.zeros(len(done), bool)
        if self.delay is not None:
            offer = self.delay.offer
            self._accept(offer, offer.valid & self.accepts)
            self.delay.take(self.taken)

    @property
    def ready(self) -> Flags:
        return self.accepts if self.delay is None else self.delay.ready

    def receive(self, offer: _Offer, taken: Flags) -> None:
        if self.delay is not None:
            self.delay.receive(offer, taken)
        else:
            self._accept(offer, taken)

    def _accept(self, offer: _Offer, taken: Flags) -> None:
        self.offered, self.taken = offer, taken

    def clock(self) -> None:
        self.left = np.where(self.loads, self.rows, self.left - (self.done & ~self.at_tick))
        self.busy = self.loads | (self.busy & ~self.leaves)
        self.at_tick = np.where(self.loads, self.tick, self.at_tick)
        self.at_last = np.where(self.loads, self.last, self.at_last)
        taken, offer = self.taken, self.offered
        self.waiting = np.where(self.accepts, taken, self.waiting)
        self.tick = np.where(taken, offer.tick, self.tick)
        self.last = np.where(taken, offer.last, self.last)
        self.rows = np.where(taken, np.where(offer.tick, 0, self.operations[offer.neuron]), self.rows)


class _Core:
    """Flow of one core: :class:`hw.core.Core` and :class:`hw.serialiser.Serialiser` without their numbers."""

    def __init__(self, plan: CorePlan, fired: Flags, *, paced: bool):
        self.plan, self.paced = plan, paced
        batch, steps, _ = fired.shape
        words = plan.word_tiling.spread(fired.astype(np.int64)).reshape(batch, steps * plan.sweeps, plan.units)
        self.words = words.sum(axis=2)
        # Neurons in the order in which they leave.
        self.neurons = np.zeros((batch, int(self.words.sum(axis=1).max(initial=0)) + 1), np.int64)
        ids = np.tile(plan.word_tiling.neurons, (steps, 1)).reshape(-1)
        for sample, chosen in enumerate(words.reshape(batch, -1) != 0):
            self.neurons[sample, : chosen.sum()] = ids[chosen]
        self.samples = np.arange(batch)
        beats = self.neurons.shape[1] + steps
        self.ports = [_Port(port, batch, max(beats, _most(port, steps))) for port in plan.ports]
        # Issue.
        self.index, self.cooldown = np.zeros((2, batch), np.int64)
        self.places = np.full(batch, QUEUE_DEPTH)
        self.over, self.taken, self.at_pace, self.at_last = np.zeros((4, batch), bool)
        # From the issue of a word to its spikes: the pipeline of the operations, then that of the neurons.
        second = plan.population.current_decay is not None
        self.pipeline = [np.zeros((2, batch), bool) for _ in range(3 + plan.multiplies + 3 + second)]
        self.pushed, self.sent = np.zeros((2, batch), np.int64)
        # Queue: words that were kept, with their spikes and flags.
        self.queue = np.zeros((3, batch, self.words.shape[1] + 1), np.int64)
        self.written, self.popped, self.inner = np.zeros((3, batch), np.int64)
        self.head, self.busy = np.zeros((2, batch), bool)
        # Word at work and the stream behind it.
        self.left = np.zeros(batch, np.int64)
        self.end, self.last = np.zeros((2, batch), bool)
        self.offer = _Offer(batch)

    def issue(self) -> None:
        """Operation of this cycle, from what is in the registers."""
        plan, ports = self.plan, self.ports
        ticks = [port.busy & port.at_tick for port in ports]
        lasts = [port.at_last for port in ports if not port.plan.delayed]
        if self.paced:
            ticks.append(self.at_pace)
            lasts.append(self.at_last)
        joined = np.logical_and.reduce(ticks)
        passes = joined & ~lasts[0] if plan.at_end else np.zeros_like(joined)
        self.sweep = joined & ~passes & (self.cooldown == 0) & (self.places != 0)
        self.ending = lasts[0]
        self.done = self.sweep & (self.index == plan.sweeps - 1)
        self.over = passes | self.done
        free = np.ones_like(joined)
        for port in ports:
            wants = port.busy & ~port.at_tick
            port.prepare((wants & free) | self.over)
            free = free & ~wants

    @property
    def paces(self) -> Flags:
        """Whether a beat of the input is taken for its tick."""
        return ~self.at_pace | self.over

    def pace(self, offer: _Offer, taken: Flags) -> None:
        """Keep a tick of the input."""
        open_ = self.paces
        self.next_pace = np.where(open_, taken & offer.tick, self.at_pace)
        self.next_last = np.where(open_, offer.last, self.at_last)

    def clock(self) -> None:
        """End of the cycle."""
        for port in self.ports:
            port.clock()
        if self.paced:
            self.at_pace, self.at_last = self.next_pace, self.next_last
        dropped = self._push()
        released = self._serialise(self.taken)
        self.pipeline.append(np.stack([self.sweep, self.ending]))
        self.cooldown = np.where(self.done, self.plan.cooldown, np.maximum(self.cooldown - 1, 0))
        self.index = np.where(self.done, 0, self.index + self.sweep)
        self.places += dropped.astype(np.int64) + released - self.sweep

    def _push(self) -> Flags:
        """Word that leaves the neurons goes into the queue; where it takes no place there."""
        push, last = self.pipeline.pop(0)
        words = self.words[self.samples, np.minimum(self.pushed, self.words.shape[1] - 1)]
        end = self.pushed % self.plan.sweeps == self.plan.sweeps - 1
        kept = push & ((words > 0) | end)
        rows = self.samples[kept]
        for field, value in zip(self.queue, (words, end, last), strict=True):
            field[rows, self.written[kept]] = value[kept]
        self.pushed += push
        self.arriving = kept
        return push & ~kept

    def _serialise(self, taken: Flags) -> Flags:
        """Queue, word at work and output register; where a place became free."""
        offer = self.offer
        ready = taken | ~offer.valid
        empty = self.left == 0
        take = self.busy & ready
        over = empty | ((self.left == 1) & ~self.end)
        fetch = ~self.busy | (take & over)
        released = fetch & self.head

        following = _Offer(len(self.samples))
        following.valid = take | (offer.valid & ~ready)
        following.tick = np.where(take, empty, offer.tick)
        following.last = np.where(take, self.last, offer.last)
        following.neuron = np.where(
            take, self.neurons[self.samples, np.minimum(self.sent, self.neurons.shape[1] - 1)], offer.neuron
        )
        self.offer = following
        self.sent += take & ~empty
        self.left = self.left - (take & ~empty)

        word = self.queue[:, self.samples, np.minimum(self.popped, self.queue.shape[2] - 1)]
        self.left = np.where(released, word[0], np.where(fetch, 0, self.left))
        self.end = np.where(released, word[1] != 0, self.end)
        self.last = np.where(released, word[2] != 0, self.last)
        self.busy = np.where(fetch, self.head, self.busy)
        self.popped += released

        refill = (self.inner != 0) & (~self.head | fetch)
        self.head = refill | (self.head & ~fetch)
        self.inner += self.arriving.astype(np.int64) - refill
        self.written += self.arriving
        return released


def _most(port: PortPlan, steps: int) -> int:
    """Most beats of a sample that a port can hear."""
    return steps * (int(np.prod(port.geometry.source)) + 1)
