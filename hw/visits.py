"""Visits: the groups of words that a sweep goes through, and those that it skips."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from quant.ir import Population

from .core_plan import CorePlan
from .rest import rests

__all__ = ["Visits", "restless", "stirred", "visited_groups"]

Flags = NDArray[np.bool_]


def restless(plan: CorePlan) -> list[bool]:
    """Whether a neuron of each group fires or changes from its initial state without an event."""
    calm = np.asarray(plan.word_tiling.spread(rests(plan.population), True).all(axis=1))
    return [not calm[plan.word_groups == group].all() for group in range(plan.groups)]


def stirred(population: Population, fires: Flags, states: Sequence[Mapping[str, NDArray[Any]]]) -> Flags:
    """Who fires in a step, or changes, ``(B, T, N)``.

    Parameters
    ----------
    population : Population
    fires : array of bool, (B, T, N)
    states : sequence of dict of str to array, (B, T, N)
        Membranes and currents after each step.
    """
    stirs = fires.copy()
    for kind, start in zip(states, (population.initial, 0), strict=True):
        if population.name in kind:
            after = np.asarray(kind[population.name])
            stirs[:, 1:] |= after[:, 1:] != after[:, :-1]
            stirs[:, 0] |= after[:, 0] != population.per_neuron(start)
    return stirs


def visited_groups(plan: CorePlan, sent: Mapping[str, Flags], stirs: Flags) -> Flags:
    """Groups that each sweep goes through, if its step is not the sample's last, and if it is: ``(2, B, T, groups)``.

    Parameters
    ----------
    plan : CorePlan
    sent : dict of str to array of bool, (B, T, N)
        Events of every source in each step.
    stirs : array of bool, (B, T, N)
        As of :func:`stirred`.
    """
    touched = np.zeros((*stirs.shape[:2], plan.groups), bool)
    for port in plan.ports:
        # In floating point a product is many times as fast; what is not 0 stays so.
        reaches = port.geometry.reaches(plan.group_rows).astype(np.float32)
        heard = sent[port.source].astype(np.float32) @ reaches > 0
        touched[:, int(port.delayed) :] |= heard[:, : heard.shape[1] - int(port.delayed)]
    # Neurons word by word, and so group by group.
    neurons = plan.word_tiling.neurons
    first = np.searchsorted(np.repeat(plan.word_groups, (neurons >= 0).sum(axis=1)), np.arange(plan.groups))
    awake = touched | np.logical_or.reduceat(stirs[:, :, neurons[neurons >= 0]], first, axis=2)
    start = np.broadcast_to(restless(plan), awake[:, :1].shape)
    wanted = touched | np.concatenate([start, awake[:, :-1]], axis=1)
    wanted[:, :, -1] = True
    closing = np.logical_or.accumulate(wanted, axis=1) | any(port.held for port in plan.ports)
    return np.stack([wanted, closing])


class Visits(wiring.Component):
    """Says which groups of words the sweeps visit, the lowest first, and what they need not.

    A step of a neuron is a function of its state, its sums and its constants. So what a sweep did not change comes out
    the same, without a spike, until there are new events. A group is visited

    * if an event has been added to it since the sweep before;
    * if in that sweep a neuron of it fired, or changed, or if events had been added to it then: for with them gone,
      or with as many again, it may come out otherwise;
    * at the end of a sample, if it has been visited in the sample: it gets its initial state back. Where sums are held,
      every group is, to clear them;
    * in the first step, if a neuron of it does not rest at its initial state (:func:`hw.rest.rests`);
    * if it is the last one, which carries the tick.

    A sweep's first word can be taken :data:`hw.core_plan.LEAD` cycles after that of its ``begin``, then a word a cycle.

    Parameters
    ----------
    plan : CorePlan

    Members
    -------
    add, row : In
        An operation of this cycle adds to a row.
    stir, stirred : In
        A neuron of that group has fired or changed in its sweep.
    begin : In(1)
        A sweep begins in this cycle, if none is at work. Nothing is added until its end, nor anything still to stir.
    last, whole : In(1)
        The sweep is a sample's last; it is to visit every group.
    take, edge, end : In(1)
        The word at hand is taken; it is the last of its group; and the last of the sweep.
    here, first : Out(1)
        There is a word at hand; it is the first of its group.
    jump, group : Out
        The word of the next cycle is the first of that group.
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        group = range(plan.groups)
        super().__init__(
            {
                "add": In(1),
                "row": In(range(plan.rows)),
                "stir": In(1),
                "stirred": In(group),
                "begin": In(1),
                "last": In(1),
                "whole": In(1),
                "take": In(1),
                "edge": In(1),
                "end": In(1),
                "here": Out(1),
                "first": Out(1),
                "jump": Out(1),
                "group": Out(group),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, groups = self.plan, self.plan.groups

        # A bit a group: events since the sweep before; what that sweep stirred; where the sample has been.
        touched, awake, visited, left = (Signal(groups, name=name) for name in ("touched", "awake", "visited", "left"))
        running, begins = Signal(), Signal()
        wanted = Signal(groups)
        m.d.comb += [
            begins.eq(self.begin & ~running),
            wanted.eq(touched | awake | Mux(self.last, visited, 0) | self.whole.replicate(groups) | 1 << (groups - 1)),
        ]
        with m.If(begins):
            m.d.sync += running.eq(1)
        with m.If(self.take & self.end):
            m.d.sync += running.eq(0)
        added, woken = (Array(Signal(name=name) for _ in range(groups)) for name in ("added", "woken"))
        m.d.comb += [
            added[self.row[(plan.group_rows - 1).bit_length() :]].eq(self.add),
            woken[self.stirred].eq(self.stir),
        ]
        calm = sum(int(bit) << group for group, bit in enumerate(restless(plan)))
        m.d.sync += [touched.eq(touched | Cat(*added)), awake.eq(awake | Cat(*woken))]
        with m.If(begins):
            m.d.sync += [
                touched.eq(0),
                awake.eq(Mux(self.last, calm, touched)),
                visited.eq(Mux(self.last, 0, visited | wanted)),
            ]

        # The group at hand, the one after it, and those that are left.
        ready, loads = Signal(), Signal()
        lowest = Signal(groups)
        m.d.comb += [
            lowest.eq(left & -left),
            self.jump.eq(ready & (~self.here | (self.take & self.edge))),
            loads.eq(~ready | self.jump),
        ]
        with m.If(loads):
            m.d.sync += [
                ready.eq(left.any()),
                left.eq(left & ~lowest),
                self.group.eq(
                    Cat(
                        Cat(lowest[group] for group in range(groups) if group >> bit & 1).any()
                        for bit in range(len(self.group))
                    )
                ),
            ]
        with m.If(begins):
            m.d.sync += left.eq(wanted)
        with m.If(self.jump):
            m.d.sync += [self.here.eq(1), self.first.eq(1)]
        with m.Elif(self.take):
            m.d.sync += self.first.eq(0)
            with m.If(self.edge):
                m.d.sync += self.here.eq(0)
        return m
