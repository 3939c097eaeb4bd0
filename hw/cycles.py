"""Cycle model: how many clock cycles a sample takes, from what the golden model saw fire."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError

from .beats import beats
from .plan import QUEUE_DEPTH, CorePlan, NetworkPlan

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
    for core in plan.cores:
        if core.name not in spikes:
            raise NetworkError(f"Spikes of population {core.name} must be recorded to predict cycles")
    source = _Source(plan, inputs)
    cores = [_Core(core, spikes[core.name]) for core in plan.cores]
    stepper = cores[0] if plan.cores[0].steps else source
    samples = len(inputs)
    decided, begun, ended = np.zeros(samples, bool), np.full(samples, -1), np.full(samples, -1)
    cycle = 0
    while (ended < 0).any():
        if plan.early_stop:
            stepper.stop = decided & ~stepper.finished
        ready = np.ones(samples, bool)
        output = cores[-1].offer
        taken = output.valid & (ended < 0)
        decided |= taken & ~output.tick
        ended[taken & output.last] = cycle
        for number in reversed(range(len(cores))):
            offer = cores[number - 1].offer if number else source.offer
            ready = cores[number].cycle(offer, ready)
        begun[(begun < 0) & source.cycle(ready)] = cycle
        cycle += 1
    classes = plan.cores[-1].population.size
    return ended + SEND + classes - begun + 1


class _Offer:
    """What a stream offers in a cycle, by sample."""

    def __init__(self, samples: int):
        self.valid, self.tick, self.last = (np.zeros(samples, bool) for _ in range(3))


class _Source:
    """Beats of every sample, offered as fast as they are taken, through the gate."""

    def __init__(self, plan: NetworkPlan, inputs: NDArray[Any]):
        sequences = [beats(plan.network, sample) for sample in inputs]
        self.lengths = np.array([len(sequence) for sequence in sequences])
        self.ticks = np.zeros((len(sequences), int(self.lengths.max()) + 1), bool)
        for row, sequence in zip(self.ticks, sequences, strict=True):
            row[: len(sequence)] = sequence["tick"]
        self.samples = np.arange(len(sequences))
        self.position = np.zeros(len(sequences), np.int64)
        self.finished = np.zeros(len(sequences), bool)
        self.stop, self.waiting, self.before = (np.zeros(len(sequences), bool) for _ in range(3))

    @property
    def offer(self) -> _Offer:
        offer = _Offer(len(self.samples))
        offer.valid = ~self.finished
        offer.tick = self.ticks[self.samples, self.position]
        ends = offer.tick & (self.stop | (self.position == self.lengths - 1))
        offer.last = np.where(self.waiting, self.before, ends)
        return offer

    def cycle(self, ready: Flags) -> Flags:
        """Advance where the first core takes the beat; where it did."""
        offer = self.offer
        taken = offer.valid & ready
        self.waiting, self.before = offer.valid & offer.tick & ~ready, offer.last
        self.position += taken
        self.finished |= taken & offer.last
        return taken


class _Core:
    """Flow of one core: :class:`hw.core.Core` and :class:`hw.serialiser.Serialiser` without their numbers."""

    def __init__(self, plan: CorePlan, spikes: NDArray[Any]):
        self.plan = plan
        batch, steps, neurons = spikes.shape
        padded = np.zeros((batch, steps, plan.sweeps * plan.units), np.int64)
        padded[:, :, :neurons] = spikes != 0
        self.words = padded.reshape(batch, steps * plan.sweeps, plan.units).sum(axis=2)
        self.samples = np.arange(batch)
        # Issue.
        self.row, self.index, self.cooldown, self.step, self.issued = (np.zeros(batch, np.int64) for _ in range(5))
        self.places = np.full(batch, QUEUE_DEPTH)
        self.ends, self.finished, self.stop = (np.zeros(batch, bool) for _ in range(3))
        # From the issue of a word to its spikes: the pipeline of the operations, then that of the neurons.
        delay = 3 + plan.multiplies + 3
        self.pipeline = [np.zeros((2, batch), bool) for _ in range(delay)]
        self.pushed = np.zeros(batch, np.int64)
        # Queue: words that were kept, with their spikes and flags.
        kept = self.words.shape[1] + 1
        self.queue = np.zeros((3, batch, kept), np.int64)
        self.written, self.popped, self.inner = (np.zeros(batch, np.int64) for _ in range(3))
        self.head, self.busy = np.zeros(batch, bool), np.zeros(batch, bool)
        # Word at work and the stream behind it.
        self.left = np.zeros(batch, np.int64)
        self.end, self.last = np.zeros(batch, bool), np.zeros(batch, bool)
        self.offer = _Offer(batch)

    def cycle(self, source: _Offer, ready: Flags) -> Flags:
        """One cycle, with what the source offers and whether the target is ready; whether this core is."""
        plan = self.plan
        add = source.valid & ~source.tick
        sweep = source.valid & source.tick & (self.cooldown == 0) & (self.places != 0)
        if plan.steps:
            ending = np.where(self.index == 0, (self.step == plan.steps - 1) | self.stop, self.ends)
        else:
            ending = source.last
        done = sweep & (self.index == plan.sweeps - 1)
        accept = (add & (self.row == plan.rows - 1)) | (done & (ending if plan.steps else True))
        dropped = self._push()
        released = self._serialise(ready)
        self.pipeline.append(np.stack([sweep, ending]))
        self.row = np.where(add, np.where(self.row == plan.rows - 1, 0, self.row + 1), self.row)
        self.cooldown = np.where(done, plan.cooldown, np.maximum(self.cooldown - 1, 0))
        self.index = np.where(done, 0, self.index + sweep)
        self.step += done
        self.ends = np.where(sweep, ending, self.ends)
        self.finished |= done & ending
        self.places += dropped.astype(np.int64) + released - sweep
        return accept

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

    def _serialise(self, ready: Flags) -> Flags:
        """Queue, word at work and output register; where a place became free."""
        offer = self.offer
        empty = self.left == 0
        take = self.busy & (~offer.valid | ready)
        over = empty | ((self.left == 1) & ~self.end)
        fetch = ~self.busy | (take & over)
        released = fetch & self.head

        following = _Offer(len(self.samples))
        following.valid = take | (offer.valid & ~ready)
        following.tick = np.where(take, empty, offer.tick)
        following.last = np.where(take, empty & self.last, offer.last)
        self.offer = following
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
