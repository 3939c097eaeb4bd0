"""Planner: how many lanes each core gets, from what fires and from what the chip has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hw.lanes import Lanes
from hw.plan import MAX_UNITS, CorePlan, NetworkPlan, plan_network
from hw.port import BLOCK_RAMS
from quant.errors import NetworkError
from quant.graph import INPUT
from quant.ir import Network

from .activity import Activity
from .board import Board
from .choice import Choice, overlaps
from .estimate import Estimate, Parts, core_parts, shared_parts, total
from .loads import Load, core_load, interval, latency, loads
from .shortage import misfit, shortage
from .usage import FitError

__all__ = ["Choice", "TargetError", "choose"]

#: Widths that are tried at once: one may fill block RAMs better than a narrower.
_NEAR = 12

#: Share of the latency that more lanes must save where the throughput gains nothing.
_WORTH = 0.01

#: Share of a core's cycles that sweeps must save by skipping: it costs a seventh of the clock that can be reached.
_SKIPPING_WORTH = 0.2


class TargetError(FitError):
    """A latency that no plan on the board reaches."""


def choose(
    network: Network,
    board: Board,
    activity: Activity,
    *,
    lanes: Lanes = None,
    units: Lanes = None,
    target_cycles: float | None = None,
    smallest: bool = False,
    early_stop: bool = True,
    storage: str | Mapping[str, str] = "rom",
    skips: bool | None = None,
) -> Choice:
    """Lanes of every core: those of the highest throughput that fits, by the estimate.

    It begins with a lane and a neuron unit a core. The core that limits the throughput gets the next lanes that save it
    a row, or twice the units, or sweeps that skip what rests, whichever saves most cycles for its logic, until nothing
    is gained or nothing more fits. Then others get more, as long as a sample alone is answered sooner.

    Parameters
    ----------
    network : Network
    board : Board
    activity : Activity
    lanes : int or mapping of str to int, optional
        What the user has chosen: of all cores, or of some by name.
    units : int or mapping of str to int, optional
        Neuron units of cores whose lanes were given. Default: those that go with the lanes.
    target_cycles : float, optional
        Latency that is short enough: no more lanes than that takes.
    smallest : bool
        One lane a core.
    early_stop, storage
        See :func:`hw.plan.plan_network`. On a chip with SPRAM, weights that have no room in block RAM go there.
    skips : bool, optional
        Whether sweeps skip what rests, of all cores. Default: where that saves a fifth of a core's cycles, by the trace
        of the activity; but not of cores whose lanes are given.

    Raises
    ------
    FitError
        If nothing fits: what is short, by how much, and what would help.
    TargetError
        If the latency cannot be reached.
    NetworkError
        As of :func:`hw.plan.plan_network`.
    """
    search = _Search(network, board, activity, early_stop=early_stop, storage=storage, skips=skips)
    names = [core.name for core in search.plan(1).cores]
    given = dict(lanes) if isinstance(lanes, Mapping) else {} if lanes is None else dict.fromkeys(names, lanes)
    free = [name for name in names if name not in given]
    of_units = dict.fromkeys(given, units) if isinstance(units, int) else dict(units or {})
    for name in of_units:
        if name not in given:
            raise NetworkError(f"Units must be of cores whose lanes are given, not of {name}")
    first = search.trial(
        {**dict.fromkeys(free, 1), **given},
        {**dict.fromkeys(free, 1), **dict.fromkeys(given, MAX_UNITS), **of_units},
        dict.fromkeys(names, bool(skips)),
    )
    if first.short and free:
        packed = search.packed(first, free)
        first = first if packed.short else packed
    if first.short and board.sprams:
        first = search.with_sprams(first, free)
    if not free:
        return search.choice(first, "lanes are as they were given")
    if first.short:
        raise FitError(misfit(first.plan, board, first.short))
    if smallest:
        return search.choice(first, "the smallest was asked for")
    if target_cycles is not None:
        return search.reach(first, free, target_cycles)
    return search.fastest(first, free)


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """Lanes, units and skips, what they make, and what the board has too little of for that, in words."""

    lanes: Mapping[str, int]
    units: Mapping[str, int]
    skips: Mapping[str, bool]
    plan: NetworkPlan
    interval: float
    latency: float
    expected: Estimate
    short: str


class _Search:
    """Plans of one network on one board; what was worked out of a core is kept."""

    def __init__(
        self,
        network: Network,
        board: Board,
        activity: Activity,
        *,
        early_stop: bool,
        storage: str | Mapping[str, str],
        skips: bool | None,
    ):
        self.network = network
        self.board = board
        self.activity = activity
        self.early_stop = early_stop
        self.storage = storage
        self.skips = skips
        self._parts: dict[tuple[str, int, int, bool, str], Parts] = {}

    def plan(
        self,
        lanes: int | Mapping[str, int],
        units: Mapping[str, int] | None = None,
        skips: bool | Mapping[str, bool] = False,
    ) -> NetworkPlan:
        """Plan with these lanes, units and skips."""
        return plan_network(
            self.network,
            lanes=lanes,
            units=units,
            overlap=overlaps(self.board.name),
            early_stop=self.early_stop,
            storage=self.storage,
            skips=skips,
            block_ram=BLOCK_RAMS[self.board.family],
        )

    def parts(self, core: CorePlan) -> Parts:
        """What a core is made of."""
        key = core.name, core.lanes, core.units, core.skips, core.ports[0].storage
        if key not in self._parts:
            self._parts[key] = core_parts(core, self.board.family)
        return self._parts[key]

    def trial(self, lanes: Mapping[str, int], units: Mapping[str, int], skips: Mapping[str, bool]) -> _Trial:
        """What comes of lanes, units and skips."""
        plan, family = self.plan(lanes, units, skips), self.board.family
        expected = total([shared_parts(plan, family), *(self.parts(core) for core in plan.cores)], family)
        return _Trial(
            lanes=lanes,
            units=units,
            skips=skips,
            plan=plan,
            interval=interval(plan, self.activity),
            latency=latency(plan, self.activity),
            expected=expected,
            short=shortage(expected, self.board),
        )

    def packed(self, first: _Trial, free: list[str]) -> _Trial:
        """The trial in which every core has the lanes whose words fill block RAMs best."""
        lanes = dict(first.lanes)
        for core in first.plan.cores:
            if core.name in free:
                lanes[core.name] = self._best(first, core, lambda made: self.parts(made)["block_rams"])
        return self.trial(lanes, first.units, first.skips)

    def with_sprams(self, first: _Trial, free: list[str]) -> _Trial:
        """The trial in which the weights of cores lie in SPRAM, those of the most block RAMs first, until it fits."""
        trial, before = first, self.storage
        storage = {core.name: core.ports[0].storage for core in first.plan.cores}
        largest = sorted(first.plan.cores, key=lambda core: -self.parts(core)["block_rams"])
        for core in largest:
            if storage[core.name] == "spram":
                continue
            self.storage, lanes = storage | {core.name: "spram"}, dict(trial.lanes)
            if core.name in free:
                lanes[core.name] = self._best(trial, core, lambda made: self.parts(made)["sprams"])
            other = self.trial(lanes, trial.units, trial.skips)
            if other.plan.sprams > self.board.sprams:
                continue
            trial, storage = other, self.storage
            if not trial.short:
                return trial
        self.storage = before
        return first

    def _best(self, trial: _Trial, core: CorePlan, cost: Callable[[CorePlan], int]) -> int:
        """Lanes with which a core costs least; of those, the fewest."""

        def made(lanes: int) -> CorePlan:
            plan = self.plan({**trial.lanes, core.name: lanes}, trial.units, trial.skips)
            return next(item for item in plan.cores if item.name == core.name)

        return min([1, *_widths(core.shape[0], 1)], key=lambda lanes: (cost(made(lanes)), lanes))

    def choice(self, trial: _Trial, reason: str) -> Choice:
        """A trial with everything that is to be told of it."""
        return Choice(
            plan=trial.plan,
            lanes=trial.lanes,
            units=trial.units,
            storage={core.name: core.ports[0].storage for core in trial.plan.cores},
            skips={core.name: core.skips for core in trial.plan.cores},
            board=self.board.name,
            loads=loads(trial.plan, self.activity),
            memories={core.name: self.parts(core)["block_rams"] for core in trial.plan.cores},
            expected=trial.expected,
            interval=trial.interval,
            latency=trial.latency,
            reason=reason,
            origin=self.activity.origin,
        )

    def fastest(self, first: _Trial, free: list[str]) -> Choice:
        """Lanes for the cores that limit the throughput; then for those that a sample waits for."""
        best = trial = first
        while True:
            following, reason = self._next(trial, free)
            if following is None:
                break
            trial = following
            if trial.interval < best.interval:
                best = trial
        while True:
            tried = [item for load in loads(best.plan, self.activity) for _, item in self._tried(best, load, free)[0]]
            shorter = min(tried, key=lambda item: item.latency, default=best)
            if shorter.latency > (1 - _WORTH) * best.latency:
                return self.choice(best, reason)
            best = shorter

    def reach(self, first: _Trial, free: list[str], target_cycles: float) -> Choice:
        """No more lanes than a latency takes."""
        trial = first
        while trial.latency > target_cycles:
            shorter = min(self._all_wider(trial, free), key=lambda item: item.latency, default=trial)
            if shorter.latency >= trial.latency:
                raise TargetError(
                    f"Latency of {self.network.name} on {self.board.title} must be at least {trial.latency:,.0f} "
                    f"cycles, not {target_cycles:,.0f}: {self._next(trial, free)[1] or 'no more lanes fit'}"
                )
            trial = shorter
        return self.choice(trial, f"no more than {target_cycles:,.0f} cycles a sample were asked for")

    def _next(self, trial: _Trial, free: list[str]) -> tuple[_Trial | None, str]:
        """The trial in which a core that limits the throughput is wider; or none, and why."""
        parts = sorted(loads(trial.plan, self.activity), key=lambda load: -load.cycles)
        names, prefix, reason = [parts[0].name], "", ""
        if trial.interval > parts[0].cycles:
            names, prefix = _looped(trial.plan), "cores of a loop wait for each other; "
        for load in parts:
            if load.name in names:
                found, why = self._wider(trial, load, free)
                reason = reason or why
                if found is not None:
                    return found, ""
        return None, prefix + reason

    def _all_wider(self, trial: _Trial, free: list[str]) -> list[_Trial]:
        """Trials in which one core each is wider."""
        found = (self._wider(trial, load, free)[0] for load in loads(trial.plan, self.activity))
        return [item for item in found if item is not None]

    def _wider(self, trial: _Trial, load: Load, free: list[str]) -> tuple[_Trial | None, str]:
        """The trial with more lanes or units for a core that saves most for its logic; or none, and why."""
        found, reason = self._tried(trial, load, free)
        return max(found, key=lambda item: item[0])[1] if found else None, reason

    def _tried(self, trial: _Trial, load: Load, free: list[str]) -> tuple[list[tuple[float, _Trial]], str]:
        """Trials with more for a core, and less work, and what each saves for its logic; or why none."""
        core = next((core for core in trial.plan.cores if core.name == load.name), None)
        if core is None:
            what = "its events enter" if load.name == INPUT else "events and scores leave"
            return [], f"the {load.name} takes longest, {load.cycles:,.0f} cycles: {what} one a cycle"
        if load.sending:
            return [], f"{core.name} takes longest, and its spikes leave one a cycle"
        if core.name not in free:
            return [], f"{core.name} takes longest, and its lanes were given"
        shortages: list[str] = []
        found: list[tuple[float, _Trial]] = []
        for lanes, units, skips in self._options(core, trial):
            more = self.trial(
                {**trial.lanes, core.name: lanes}, {**trial.units, core.name: units}, {**trial.skips, core.name: skips}
            )
            made = next(item for item in more.plan.cores if item.name == core.name)
            same = (made.rows, made.sweeps, made.skips) == (core.rows, core.sweeps, core.skips)
            if same or (lanes > core.lanes and found):
                continue
            saved, sweeps = load.cycles - core_load(made, self.activity).cycles, skips != trial.skips[core.name]
            if sweeps and saved < _SKIPPING_WORTH * load.cycles:
                continue
            if more.short:
                what = f"{made.lanes} lanes" if lanes > core.lanes else f"{made.units} neuron units"
                what = "sweeps that skip" if sweeps else what
                shortages.append(f"{core.name} takes longest, and with {what} there are {more.short}")
                continue
            found.append((saved / max(1, more.expected.logic_cells - trial.expected.logic_cells), more))
        if found:
            return found, ""
        full = f"{core.name} takes longest, and has a lane for every channel of a place"
        return [], shortages[0] if shortages else full

    def _options(self, core: CorePlan, trial: _Trial) -> list[tuple[int, int, bool]]:
        """Lanes, units and skips to try: more lanes, the fewest first; then twice the units, or other sweeps."""
        lanes, units, skips = trial.lanes[core.name], trial.units[core.name], trial.skips[core.name]
        found = [(width, units, skips) for width in _widths(core.shape[0], lanes)[:_NEAR]]
        if units < MAX_UNITS:
            found.append((core.lanes, 2 * core.units, skips))
        if self.skips is None:
            found.append((core.lanes, core.units, not skips))
        return found


def _looped(plan: NetworkPlan) -> list[str]:
    """Cores that hear of themselves, at once or by way of others."""
    after: dict[str, set[str]] = {}
    for core in plan.cores:
        for port in core.ports:
            after.setdefault(port.source, set()).add(core.name)
    return [core.name for core in plan.cores if core.name in _reach(after, core.name)]


def _reach(after: Mapping[str, set[str]], name: str) -> set[str]:
    """What hears of a population, near or far."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        more = after.get(waiting.pop(), set()) - found
        found |= more
        waiting += more
    return found


def _widths(channels: int, wanted: int) -> list[int]:
    """More lanes than were wanted that may save a row, or have more neuron units, the fewest first."""
    rows = {-(-channels // rows) for rows in range(1, channels + 1)}
    units = {1 << bit for bit in range(channels.bit_length())}
    return sorted(width for width in rows | units if width > wanted)
