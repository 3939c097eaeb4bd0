"""Loads: how many cycles each part of a design works on a sample, and how long a sample takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.encoder import PixelTiling
from hw.plan import CorePlan, NetworkPlan
from quant.graph import INPUT

from .activity import Activity, Numbers

__all__ = ["Load", "answer_load", "core_load", "input_load", "interval", "latency", "loads"]

# Cycles from the read of a row to a spike that leaves, beside what a core multiplies; and at the ends of a sample.
_PIPELINE, _ANSWER = 10, 2


@dataclass(frozen=True, kw_only=True)
class Load:
    """Cycles of a core, of the input or of the answer in an average sample.

    Parameters
    ----------
    name : str
        Of the population; ``"input"`` or ``"answer"``.
    events : float
        That come in.
    accumulate, sweep, wait : float
        Cycles of the rows of the events, of the sweeps, and of waiting between two sweeps; of sweeps beside the events,
        those that the events are not long enough for.
    send : float
        Cycles of what leaves beside them, an event or a tick a cycle.
    """

    name: str
    events: float
    accumulate: float
    sweep: float
    wait: float
    send: float

    @property
    def cycles(self) -> float:
        """Between two samples, at least."""
        return max(self.accumulate + self.sweep + self.wait, self.send)

    @property
    def sending(self) -> bool:
        """Whether it is what leaves that takes longest."""
        return self.send >= self.accumulate + self.sweep + self.wait

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("name", "events", "accumulate", "sweep", "wait", "send", "cycles")
        return {name: value if isinstance(value := getattr(self, name), str) else round(value, 3) for name in names}


def loads(plan: NetworkPlan, activity: Activity) -> tuple[Load, ...]:
    """Of the input, of every core and of the answer."""
    cores = [core_load(core, activity) for core in plan.cores]
    return input_load(plan, activity), *cores, answer_load(plan, activity)


def core_load(core: CorePlan, activity: Activity) -> Load:
    """Of one core."""
    rows, weight = _rows(core, activity), activity.weight
    ticks = int(activity.running.sum())
    idle = int(np.maximum(core.cooldown * activity.running - rows, 0).sum())
    added, swept = int(rows.sum()), float(activity.sweeps(core).sum())
    if core.aside:
        # A tick takes a cycle; of a sweep, and what it waits for, only what is longer than the next step's rows.
        added += ticks
        span = core.sweeps + core.cooldown if core.cooldown else core.sweeps - 1
        longer = np.maximum(span * activity.running - rows, 0)
        swept, idle = int(longer.sum()), 0
    return Load(
        name=core.name,
        events=sum(int(_heard(port, activity).sum()) for port in core.ports) / weight,
        accumulate=added / weight,
        sweep=swept / weight,
        wait=0 if core.at_end else idle / weight,
        send=int(_sent(core, activity).sum()) / weight + (1 if core.at_end else ticks / weight),
    )


def input_load(plan: NetworkPlan, activity: Activity) -> Load:
    """Of what enters: a beat a cycle; of pixels that become spikes, a word a cycle in every step."""
    events, weight = activity.events[INPUT], activity.weight
    ticks = int(activity.running.sum()) / weight
    sweep = PixelTiling(plan.input.shape).words * ticks if plan.input.coded else 0
    entering = (activity.values if plan.input.coded else int(events.sum())) / weight
    return Load(
        name=INPUT,
        events=entering,
        accumulate=entering,
        sweep=sweep,
        wait=1,
        send=int(events.sum()) / weight + ticks,
    )


def answer_load(plan: NetworkPlan, activity: Activity) -> Load:
    """Of the readout: an event or a tick a cycle, then a score a cycle."""
    source = next(core for core in plan.cores if core.name == plan.readout.source)
    events = int(_sent(source, activity).sum()) / activity.weight
    ticks = 1 if source.at_end else int(activity.running.sum()) / activity.weight
    return Load(
        name="answer",
        events=events,
        accumulate=events + ticks,
        sweep=plan.readout.classes + 1,
        wait=_ANSWER,
        send=0,
    )


def latency(plan: NetworkPlan, activity: Activity) -> float:
    """Cycles from the first beat of an average sample to its answer, the sample alone in the hardware."""
    running = activity.running
    # Steps as they are while a sample runs; it ends with one or the other.
    (ends,) = _ends(plan, activity, np.maximum(running, 1), samples=1)
    last = running - np.append(running[1:], 0)
    return float(last @ ends) / activity.weight + _ANSWER + plan.readout.classes + 1


def interval(plan: NetworkPlan, activity: Activity) -> float:
    """Cycles between two samples: those of the busiest part, or those of a loop of cores, if there is one."""
    busiest = max(load.cycles for load in loads(plan, activity))
    if not any(port.delayed and port.source != INPUT for core in plan.cores for port in core.ports):
        return busiest
    first, second = _ends(plan, activity, np.full_like(activity.running, activity.weight), samples=2)
    return max(busiest, float(second[-1] - first[-1]))


def _ends(plan: NetworkPlan, activity: Activity, per: Numbers, samples: int) -> list[NDArray[np.float64]]:
    """When the steps of samples that follow each other reach the readout; a step is the mean of so many samples'."""
    flows = [_Flow(core, activity, per) for core in plan.cores]
    found, begin = [], 0.0
    for _ in range(samples):
        first, last = _entering(plan, activity, per, begin)
        begins, ends = {INPUT: first}, {INPUT: last}
        for flow in flows:
            begins[flow.core.name], ends[flow.core.name] = flow.begins, flow.ends = np.zeros((2, len(first)))
        for step in range(len(first)):
            for flow in flows:
                flow.step(step, begins, ends)
        found.append(ends[plan.readout.source])
        begin = last[-1]
    return found


class _Flow:
    """One core, step by step: when it adds, sweeps and sends. Queues between cores have no end."""

    def __init__(self, core: CorePlan, activity: Activity, per: Numbers):
        self.core = core
        self.share = activity.running / per
        self.rows = [
            (port.source, int(port.delayed), _heard(port, activity) @ port.geometry.operations / per)
            for port in core.ports
        ]
        self.sends = _sent(core, activity) / per
        self.sweeps, self.last = activity.sweeps(core) / per, activity.steps - 1
        self.through = _PIPELINE + core.multiplies + (core.population.current_decay is not None)
        self.free = self.left = self.swept = 0.0
        self.begins = self.ends = np.zeros(len(self.share))

    def step(self, step: int, begins: Mapping[str, Any], ends: Mapping[str, Any]) -> None:
        """When the events of a step begin to leave, and when they have left."""
        core, share = self.core, self.share[step]
        arrivals = sorted(
            (begins[source][step - delay], ends[source][step - delay], rows[step])
            for source, delay, rows in self.rows
            if step >= delay
        )
        at = self.free
        for begin, end, rows in arrivals:
            at = max(end, max(begin, at) + rows)
        at += 2 * share
        if core.at_end and step != self.last:
            self.free = self.ends[step] = at
            return
        begin = max(at, self.swept + core.cooldown * share)
        self.free = self.swept = begin + self.sweeps[step]
        if core.aside:
            self.free = begin + share
        self.begins[step] = begin + (self.through + core.lead) * share
        sent = max(self.begins[step], self.left) + self.sends[step]
        self.left = self.ends[step] = max(self.swept + self.through * share, sent) + share


def _entering(plan: NetworkPlan, activity: Activity, per: Numbers, begin: float) -> tuple[Any, Any]:
    """When the input's events of each step begin and have ended, those of a sample that begins at some time."""
    share = activity.running / per
    sent = activity.events[INPUT].sum(axis=1) / per + share
    if not plan.input.coded:
        ends = begin + np.cumsum(sent)
        return ends - sent, ends
    start = begin + activity.values / activity.weight + 3
    swept = start + np.cumsum(PixelTiling(plan.input.shape).words * share)
    begins, ends = np.zeros((2, len(share)))
    for step in range(len(share)):
        begins[step] = max(swept[step - 1] if step else start, ends[step - 1] if step else 0)
        ends[step] = max(swept[step], begins[step] + sent[step])
    return begins, ends


def _heard(port: Any, activity: Activity) -> Numbers:
    """Events that come in through a port, ``(T, N)``."""
    events = activity.events[port.source]
    if not port.delayed:
        return events
    # The last step's are lost; of samples that end before, theirs, which is a trifle.
    return np.concatenate([np.zeros_like(events[:1]), events[:-1]])


def _rows(core: CorePlan, activity: Activity) -> Numbers:
    """Rows of the events of each step, ``(T,)``."""
    found = [_heard(port, activity) @ port.geometry.operations for port in core.ports]
    return np.sum(found, axis=0)


def _sent(core: CorePlan, activity: Activity) -> Numbers:
    """Events that leave in each step, ``(T,)``."""
    if core.at_end:
        last = np.zeros(len(activity.running), np.int64)
        last[activity.steps - 1] = core.population.size * activity.weight
        return last
    if core.shows:
        return core.population.size * activity.running
    return activity.events[core.name].sum(axis=1)
