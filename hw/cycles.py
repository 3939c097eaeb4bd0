"""Cycle model: how many clock cycles a sample takes, from what the golden model saw fire."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.graph import INPUT
from quant.ports import lfsr_thresholds

from .beats import beats
from .encoder import ENCODER_QUEUE, PixelTiling
from .flow import Flags, Numbers, Offer, PortFlow, SerialiserFlow
from .layout import Fields
from .plan import QUEUE_DEPTH, CorePlan, NetworkPlan
from .visits import stirred, visited_groups

__all__ = ["predict_cycles"]

SEND = 2
"""Cycles from the tick that ends a sample to the first score of its answer."""


def predict_cycles(
    plan: NetworkPlan,
    inputs: NDArray[Any],
    spikes: Mapping[str, NDArray[Any]],
    states: Sequence[Mapping[str, NDArray[Any]]] = (),
) -> Numbers:
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
    states : sequence of dict of str to array, (B, T, N)
        Likewise membranes and currents; those of populations whose sweeps skip are needed.

    Returns
    -------
    array of int64, (B,)
    """
    for population in plan.populations:
        if population.name not in spikes:
            raise NetworkError(f"Spikes of population {population.name} must be recorded to predict cycles")
        second = population.population.current_decay is not None
        if population.skips and sum(population.name in kind for kind in states) < 1 + second:
            what = "Membranes and currents" if second else "Membranes"
            raise NetworkError(
                f"{what} of population {population.name}, whose sweeps skip, must be recorded to predict cycles"
            )
    inputs = np.asarray(inputs)
    steps = inputs.shape[1] if plan.input.kind == "events" else plan.network.steps
    source: Any = _Coded(plan, inputs) if plan.input.coded else _Source(plan, inputs)
    sent = {core.name: _fired(core, spikes, len(inputs), steps) for core in plan.cores}
    sent[INPUT] = _entering(plan, inputs, steps)
    cores = [
        _Core(
            core,
            sent[core.name],
            paced=_paced(core),
            visited=_visited(core, sent, states) if core.skips else None,
        )
        for core in plan.cores
    ]
    streams: dict[str, Any] = {INPUT: source, **{core.plan.name: core for core in cores}}
    samples = len(inputs)
    decided, begun, ended = np.zeros(samples, bool), np.full(samples, -1), np.full(samples, -1)
    cycle = 0
    while (ended < 0).any():
        if plan.early_stop:
            source.stop = decided & ~source.finished
        moved: dict[str, Flags] = {}
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
            moved[name] = taken
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
            core.clock(moved[core.plan.name])
        begun[(begun < 0) & source.clock(moved[INPUT])] = cycle
        decided |= later
        cycle += 1
    return ended + SEND + plan.readout.classes - begun + 1


def _visited(core: CorePlan, sent: Mapping[str, Flags], states: Sequence[Mapping[str, NDArray[Any]]]) -> Flags:
    """Words that each sweep goes through, if its step is not the sample's last, and if it is: ``(2, B, T, words)``."""
    stirs = stirred(core.population, sent[core.name], states)
    return visited_groups(core, sent, stirs)[..., core.word_groups]


def _paced(core: CorePlan) -> bool:
    return all(port.delayed for port in core.ports)


def _fired(core: CorePlan, spikes: Mapping[str, NDArray[Any]], samples: int, steps: int) -> Flags:
    """Who sends an event in which step, ``(B, T, N)``; of a core that sweeps once, in one step."""
    if core.shows:
        return np.ones((samples, 1 if core.at_end else steps, core.population.size), bool)
    return spikes[core.name] != 0


def _entering(plan: NetworkPlan, inputs: NDArray[Any], steps: int) -> Flags:
    """Input values that come as events in each step, ``(B, T, N)``."""
    if plan.input.coded:
        return _spikes(plan, inputs)
    if plan.input.kind == "events":
        return inputs != 0
    return (inputs != 0)[:, None] & (np.arange(steps) == 0)[:, None]


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
        self.finished, self.stop, self.waiting, self.before = np.zeros((4, len(sequences)), bool)

    @property
    def offer(self) -> Offer:
        offer = Offer(len(self.samples))
        offer.valid = ~self.finished
        offer.tick = self.ticks[self.samples, self.position] & offer.valid
        ends = offer.tick & (self.stop | (self.position == self.lengths - 1))
        offer.last = np.where(self.waiting, self.before, ends)
        offer.neuron = self.neurons[self.samples, self.position]
        return offer

    def clock(self, taken: Flags) -> Flags:
        """Advance where the beat was taken; where the host's beat was."""
        offer = self.offer
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


def _spikes(plan: NetworkPlan, inputs: NDArray[Any]) -> Flags:
    """What the encoder makes of pixels, ``(B, T, N)``."""
    port, steps = plan.input, plan.network.steps
    pixels = inputs.astype(np.int64)[:, None]
    if port.kind == "rate":
        numbers = lfsr_thresholds(seed=port.seed, bits=port.high.bit_length(), count=steps * port.size)
        return pixels > numbers.reshape(steps, port.size)
    return (pixels > 0) & ((port.high - pixels) * steps // (port.high + 1) == np.arange(steps)[:, None])


class _Coded:
    """Pixels of every sample into :class:`hw.encoder.Encoder`, as fast as they are taken, and its spikes."""

    def __init__(self, plan: NetworkPlan, inputs: NDArray[Any]):
        tiling = PixelTiling(plan.input.shape)
        # The host's beats: pixels, then the tick.
        self.beats = np.count_nonzero(inputs, axis=1) + 1
        self.steps, self.words = plan.network.steps, tiling.words
        self.serialiser = SerialiserFlow(tiling.neurons, _spikes(plan, inputs), delay=2, depth=ENCODER_QUEUE)
        self.step, self.word = np.zeros((2, len(inputs)), np.int64)
        self.running, self.finished, self.stop, self.decision = np.zeros((4, len(inputs)), bool)

    @property
    def offer(self) -> Offer:
        return self.serialiser.offer

    def clock(self, taken: Flags) -> Flags:
        """Advance; where a beat of the host was taken."""
        offer, begins = self.offer, self.beats > 0
        issued = self.running & (self.serialiser.places != 0)
        last = np.where(self.word == 0, self.stop | (self.step == self.steps - 1), self.decision)
        end = issued & (self.word == self.words - 1)
        self.decision = np.where(issued, last, self.decision)
        self.running = (self.running & ~(end & last)) | (self.beats == 1)
        self.beats = np.maximum(self.beats - 1, 0)
        self.word = np.where(end, 0, self.word + issued)
        self.step += end
        self.finished |= taken & offer.tick & offer.last
        self.serialiser.taken = taken
        self.serialiser.clock(issued, last)
        return begins


class _Core:
    """Flow of one core: :class:`hw.core.Core` and :class:`hw.serialiser.Serialiser` without their numbers."""

    def __init__(self, plan: CorePlan, fired: Flags, *, paced: bool, visited: Flags | None):
        self.plan, self.paced = plan, paced
        batch, steps, _ = fired.shape
        second = plan.population.current_decay is not None
        delay = plan.depth + 3 + second
        self.serialiser = SerialiserFlow(
            plan.word_tiling.neurons, fired, delay=delay, depth=QUEUE_DEPTH, visited=visited
        )
        self.samples = np.arange(batch)
        self.ports = [PortFlow(port, batch, steps * (int(np.prod(port.geometry.source)) + 1)) for port in plan.ports]
        self.step, self.index, self.cooldown, self.lead = np.zeros((4, batch), np.int64)
        self.over, self.at_pace, self.at_last, self.sweeping, self.ending = np.zeros((5, batch), bool)

    @property
    def offer(self) -> Offer:
        """What the population sends."""
        return self.serialiser.offer

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
        wants = self.sweeping if plan.aside else joined & ~passes & (self.cooldown == 0)
        if plan.skips:
            self.begins = wants & ~self.sweeping
            wants = self.sweeping & (self.lead == 0)
        self.sweep = wants & (self.serialiser.places != 0)
        self.done = self.sweep & (self.index == self._words(lasts[0]) - 1)
        if plan.aside:
            idle = ~self.sweeping & (self.cooldown == 0)
            self.over = joined & (idle | self.done if plan.cooldown == 0 else idle)
            self.next_ending = np.where(self.over, lasts[0], self.ending)
        else:
            self.over = passes | self.done
            self.ending = self.next_ending = lasts[0]
        free = np.ones_like(joined)
        for port in ports:
            wants = port.busy & ~port.at_tick
            port.prepare((wants & free) | self.over)
            free = free & ~wants

    def _words(self, last: Flags) -> Numbers:
        """Words of the sweep of this step."""
        lengths = self.serialiser.lengths
        return lengths[last.astype(int), self.samples, np.minimum(self.step, lengths.shape[2] - 1)]

    @property
    def paces(self) -> Flags:
        """Whether a beat of the input is taken for its tick."""
        return ~self.at_pace | self.over

    def pace(self, offer: Offer, taken: Flags) -> None:
        """Keep a tick of the input."""
        open_ = self.paces
        self.next_pace = np.where(open_, taken & offer.tick, self.at_pace)
        self.next_last = np.where(open_, offer.last, self.at_last)

    def clock(self, taken: Flags) -> None:
        """End of a cycle in which its offer has been taken or not."""
        for port in self.ports:
            port.clock()
        if self.paced:
            self.at_pace, self.at_last = self.next_pace, self.next_last
        self.serialiser.taken = taken
        self.serialiser.clock(self.sweep, self.ending)
        self.ending = self.next_ending
        if self.plan.aside:
            self.sweeping = self.over | (self.sweeping & ~self.done)
        if self.plan.skips:
            self.sweeping = self.begins | (self.sweeping & ~self.done)
            self.lead = np.where(self.begins, self.plan.lead - 1, np.maximum(self.lead - 1, 0))
        self.step += self.done
        self.cooldown = np.where(self.done, self.plan.cooldown, np.maximum(self.cooldown - 1, 0))
        self.index = np.where(self.done, 0, self.index + self.sweep)
