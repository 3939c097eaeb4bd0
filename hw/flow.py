"""Flow of the parts of a datapath without their numbers: what the cycle model is put together from.

Each part keeps what decides when it moves, for all samples at once. In a cycle it first says what it offers and takes,
from its registers; ``clock`` ends the cycle.
"""

import numpy as np
from numpy.typing import NDArray

from quant.graph import INPUT

from .delay import depth_of
from .layout import BeatLayout
from .port import PortPlan

__all__ = ["Flags", "Numbers", "Offer", "PortFlow", "SerialiserFlow"]

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


class Offer:
    """What a stream offers in a cycle, by sample."""

    def __init__(self, samples: int):
        self.valid, self.tick, self.last = (np.zeros(samples, bool) for _ in range(3))
        self.neuron = np.zeros(samples, np.int64)


class SerialiserFlow:
    """Words on their way to :class:`hw.serialiser.Serialiser`, its queue, and the events that leave it.

    Parameters
    ----------
    neurons : array of int, (words, lanes)
        Neurons of every word of a sweep; -1 where there is none.
    fired : array of bool, (B, T, N)
        Neurons that send an event, by step.
    delay : int
        Cycles from the issue of a word to its push.
    depth : int
        Words that the queue holds.
    visited : array of bool, (2, B, T, words), optional
        Words that a sweep goes through, if its step is not the sample's last, and if it is. Default: all.
    """

    def __init__(self, neurons: Numbers, fired: Flags, *, delay: int, depth: int, visited: Flags | None = None):
        batch, steps, _ = fired.shape
        self.sweeps = len(neurons)
        words = fired[:, :, np.maximum(neurons, 0)] & (neurons >= 0)
        # Fired neurons of the words of each step, one word after the other; and which of them ends it.
        self.words = words.sum(axis=3)
        self.lengths = np.full((2, batch, steps), self.sweeps)
        self.order: Numbers | None = None
        if visited is not None:
            self.order, self.lengths = np.argsort(~visited, axis=3, kind="stable"), visited.sum(axis=3)
        self.step, self.word = np.zeros((2, batch), np.int64)
        # Neurons in the order in which they leave.
        self.neurons = np.zeros((batch, int(self.words.sum(axis=(1, 2)).max(initial=0)) + 1), np.int64)
        ids = np.tile(neurons, (steps, 1)).reshape(-1)
        for sample, chosen in enumerate(words.reshape(batch, -1)):
            self.neurons[sample, : chosen.sum()] = ids[chosen]
        self.samples = np.arange(batch)
        self.places = np.full(batch, depth)
        self.taken = np.zeros(batch, bool)
        self.pipeline = [np.zeros((2, batch), bool) for _ in range(delay)]
        self.sent = np.zeros(batch, np.int64)
        # Queue: words that were kept, with their spikes and flags.
        self.queue = np.zeros((3, batch, steps * self.sweeps + 1), np.int64)
        self.written, self.popped, self.inner = np.zeros((3, batch), np.int64)
        self.head, self.busy = np.zeros((2, batch), bool)
        # Word at work and the stream behind it.
        self.left = np.zeros(batch, np.int64)
        self.end, self.last = np.zeros((2, batch), bool)
        self.offer = Offer(batch)

    def clock(self, issued: Flags, ending: Flags) -> None:
        """End of a cycle in which words of the last step, or of another, have been issued."""
        dropped = self._push()
        released = self._serialise(self.taken)
        self.pipeline.append(np.stack([issued, ending]))
        self.places += dropped.astype(np.int64) + released - issued

    def _push(self) -> Flags:
        """Word that leaves the neurons goes into the queue; where it takes no place there."""
        push, last = self.pipeline.pop(0)
        step = np.minimum(self.step, self.words.shape[1] - 1)
        word = self.word if self.order is None else self.order[last.astype(int), self.samples, step, self.word]
        words = self.words[self.samples, step, word]
        end = word == self.sweeps - 1
        kept = push & ((words > 0) | end)
        rows = self.samples[kept]
        for field, value in zip(self.queue, (words, end, last), strict=True):
            field[rows, self.written[kept]] = value[kept]
        self.step += push & end
        self.word = np.where(push & end, 0, self.word + push)
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

        following = Offer(len(self.samples))
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


class _DelayFlow:
    """Flow of :class:`hw.delay.Delay`."""

    def __init__(self, port: PortPlan, samples: int, beats: int):
        self.foretold = port.source != INPUT
        self.depth = depth_of(BeatLayout(port.geometry.source, port.values))
        self.samples = np.arange(samples)
        self.tick, self.neuron = np.zeros((samples, beats + 2), bool), np.zeros((samples, beats + 2), np.int64)
        self.written, self.end, self.readable, self.read = np.zeros((4, samples), np.int64)
        self.next_written, self.next_end, self.next_read = self.written.copy(), self.end.copy(), self.read.copy()

    @property
    def ready(self) -> Flags:
        return self.written - self.read != self.depth

    @property
    def offer(self) -> Offer:
        offer = Offer(len(self.samples))
        offer.valid = self.readable != self.read
        offer.tick = self.tick[self.samples, self.read] & offer.valid
        offer.neuron = self.neuron[self.samples, self.read]
        return offer

    def receive(self, offer: Offer, taken: Flags) -> None:
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


class PortFlow:
    """Flow of :class:`hw.address.Addresser`, and of the delay before it."""

    def __init__(self, plan: PortPlan, samples: int, beats: int):
        self.plan = plan
        self.operations = plan.geometry.operations
        self.delay = _DelayFlow(plan, samples, beats) if plan.delayed else None
        # First stage: rows of the event, 0 of one of no use. Second stage: rows that are left.
        self.waiting, self.tick, self.last = np.zeros((3, samples), bool)
        self.rows = np.zeros(samples, np.int64)
        self.busy, self.at_tick, self.at_last = np.zeros((3, samples), bool)
        self.left = np.zeros(samples, np.int64)
        if self.delay is not None:
            # The tick that the sample before has left.
            self.busy[:] = self.at_tick[:] = True
        self.offered, self.taken = Offer(samples), np.zeros(samples, bool)

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

    def receive(self, offer: Offer, taken: Flags) -> None:
        if self.delay is not None:
            self.delay.receive(offer, taken)
        else:
            self._accept(offer, taken)

    def _accept(self, offer: Offer, taken: Flags) -> None:
        self.offered, self.taken = offer, taken

    def clock(self) -> None:
        self.left = np.where(self.loads, self.rows, self.left - (self.done & ~self.at_tick))
        self.busy = self.loads | (self.busy & ~self.leaves)
        self.at_tick = np.where(self.loads, self.tick, self.at_tick)
        self.at_last = np.where(self.loads, self.last, self.at_last)
        if self.delay is not None:
            self.delay.clock()
        taken, offer = self.taken, self.offered
        self.waiting = np.where(self.accepts, taken, self.waiting)
        self.tick = np.where(taken, offer.tick, self.tick)
        self.last = np.where(taken, offer.last, self.last)
        self.rows = np.where(taken, np.where(offer.tick, 0, self.operations[offer.neuron]), self.rows)
