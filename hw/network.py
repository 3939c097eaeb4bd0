"""Network: cores in a row, from the input stream to the answer."""

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .core import Core
from .gate import Gate
from .layout import BeatLayout
from .plan import QUEUE_DEPTH, NetworkPlan
from .readout import Readout

__all__ = ["NetworkCore"]


class NetworkCore(wiring.Component):
    """A whole network: a sample goes in as events and ticks, its scores and answer come out.

    Cores work side by side on different steps, and on different samples. Nothing is dropped: every stream waits
    until it is taken.

    Parameters
    ----------
    plan : NetworkPlan
    instrumented : bool
        With ports that show every spike and membrane, and that hold up any stream.

    Members
    -------
    i : In(stream.Signature(BeatLayout))
        Input kind ``events``: the events of a step, then a tick; the last step's tick has ``last`` set. Input kind
        ``current``: the values of the sample that are not 0, then one tick with ``last`` set.
    o : Out(stream.Signature({"data": signed(plan.score_width), "last": 1}))
        Per sample a score for each class, then the answer with ``last`` set.
    fired : Out
        Bit k: population k of ``network.order`` sends an event in this cycle.
    pause : In
        Bit k: the output of core k neither offers nor is taken. Instrumented only.
    trace_<population> : Out
        What :class:`hw.sweep.Sweep` traces. Instrumented only.
    """

    def __init__(self, plan: NetworkPlan, *, instrumented: bool = False):
        self.plan = plan
        self.instrumented = instrumented
        first, last = plan.cores[0], plan.cores[-1]
        self.layout = BeatLayout(first.inputs, first.values)
        self.cores = {core.name: Core(core) for core in plan.cores}
        self.readout = Readout(
            kind=plan.network.readout.kind,
            neurons=last.population.size,
            steps=plan.network.steps,
            width=plan.score_width,
        )
        members: dict[str, Any] = {
            "i": In(stream.Signature(self.layout)),
            "o": Out(stream.Signature(data.StructLayout({"data": signed(plan.score_width), "last": 1}))),
            "fired": Out(len(plan.cores)),
        }
        if instrumented:
            members["pause"] = In(len(plan.cores))
            for name, core in self.cores.items():
                members[f"trace_{name}"] = core.signature.members["trace"]
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.gate = gate = Gate(self.layout)
        wiring.connect(m, **{"network.i": wiring.flipped(self.i), "gate.i": gate.i})
        source_name, source = "gate.o", gate.o
        for number, (name, core) in enumerate(self.cores.items()):
            m.submodules[f"core_{name}"] = core
            wiring.connect(m, **{source_name: source, f"{name}.i": core.i})
            source_name, source = f"{name}.o", core.o
            if self.instrumented:
                source_name, source = f"{name}.paused", self._pause(m, core.o, self.pause[number])
                wiring.connect(m, core.trace, wiring.flipped(getattr(self, f"trace_{name}")))
            m.d.comb += self.fired[number].eq(core.o.valid & core.o.ready & ~core.o.payload.tick)
        m.submodules.readout = readout = self.readout
        wiring.connect(m, **{source_name: source, "readout.i": readout.i})
        wiring.connect(m, **{"readout.o": readout.o, "network.o": wiring.flipped(self.o)})
        self._stop_early(m, gate, readout)
        return m

    def _pause(self, m: Module, source: Any, pause: Any) -> Any:
        target = stream.Signature(source.payload.shape()).create()
        m.d.comb += [
            target.payload.eq(source.payload),
            target.valid.eq(source.valid & ~pause),
            source.ready.eq(target.ready & ~pause),
        ]
        return target

    def _stop_early(self, m: Module, gate: Gate, readout: Readout) -> None:
        """The source of the steps stops when the sample it works on is the one that the readout has decided."""
        if not self.plan.early_stop:
            return
        first = next(iter(self.cores.values()))
        stepper: Any = first if first.plan.steps else gate
        # Samples between the two ends: each holds at least one word of a queue, or is in a register beside it.
        in_flight = len(self.cores) * (QUEUE_DEPTH + 8)
        entered, answered = Signal(range(in_flight)), Signal(range(in_flight))
        m.d.sync += [entered.eq(entered + stepper.finished), answered.eq(answered + readout.finished)]
        m.d.comb += stepper.stop.eq(readout.decided & (entered == answered))
