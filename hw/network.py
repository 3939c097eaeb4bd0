"""Network: cores joined by streams, from the input stream to the answer."""

from functools import reduce
from operator import and_
from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.graph import INPUT

from .core import Core
from .delay import Delay
from .encoder import Encoder
from .gate import Gate
from .layout import BeatLayout
from .loader import Loader, LoadSignature
from .plan import QUEUE_DEPTH, NetworkPlan
from .readout import Readout

__all__ = ["NetworkCore"]


class NetworkCore(wiring.Component):
    """A whole network: a sample goes in as events and ticks, its scores and answer come out.

    Cores work side by side on different steps, and on different samples. Nothing is dropped: every stream waits
    until it is taken. Where a stream goes to several cores, all take a beat in the same cycle.

    Parameters
    ----------
    plan : NetworkPlan
    instrumented : bool
        With ports that show every spike and membrane, and that hold up any stream; and with SPRAM, whose contents
        no simulation knows, as if the network's weights had been loaded.

    Members
    -------
    i : In(stream.Signature(BeatLayout))
        Input kind ``events``: the events of a step, then a tick; the last step's tick has ``last`` set. All others:
        the values of the sample that are not 0, then one tick with ``last`` set.
    o : Out(stream.Signature({"data": signed(plan.score_width), "last": 1}))
        Per sample a score for each class, then the answer with ``last`` set.
    fired : Out
        Bit k: population k of ``network.order`` sends a spike in this cycle.
    dropped : Out(1)
        An event of an address outside the input has been dropped in this cycle.
    load : In(LoadSignature())
        See :mod:`hw.loader`. Of a reloadable plan only.
    pause : In
        Bit k: the output of core k neither offers nor is taken. Instrumented only.
    trace_<population> : Out
        What :class:`hw.sweep.Sweep` traces. Instrumented only.
    """

    def __init__(self, plan: NetworkPlan, *, instrumented: bool = False):
        self.plan = plan
        self.instrumented = instrumented
        self.layout = plan.input_layout
        heard = BeatLayout(plan.input.shape, plan.input.value_range)
        self.cores = {
            core.name: Core(
                core, pace=heard if all(port.delayed for port in core.ports) else None, preloaded=instrumented
            )
            for core in plan.cores
        }
        self.readout = Readout(plan.readout)
        members: dict[str, Any] = {
            "i": In(stream.Signature(self.layout)),
            "o": Out(stream.Signature(data.StructLayout({"data": signed(plan.score_width), "last": 1}))),
            "fired": Out(len(plan.populations)),
            "dropped": Out(1),
        }
        if plan.reloadable:
            members["load"] = In(LoadSignature())
        if instrumented:
            members["pause"] = In(len(plan.cores))
            for core in plan.populations:
                members[f"trace_{core.name}"] = self.cores[core.name].signature.members["trace"]
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        gate, stepper = self._enter(m)
        sources = {INPUT: stepper.o}
        for number, (name, core) in enumerate(self.cores.items()):
            m.submodules[f"core_{name}"] = core
            sources[name] = core.o
            if self.instrumented:
                sources[name] = self._pause(m, core.o, self.pause[number])
        for number, plan in enumerate(self.plan.populations):
            o = self.cores[plan.name].o
            if not plan.shows:
                m.d.comb += self.fired[number].eq(o.valid & o.ready & ~o.payload.tick)
            if self.instrumented:
                wiring.connect(m, self.cores[plan.name].trace, wiring.flipped(getattr(self, f"trace_{plan.name}")))
        m.submodules.readout = readout = self.readout
        for name, source in sources.items():
            self._send(m, source, self._listeners(m, name))
        wiring.connect(m, **{"readout.o": readout.o, "network.o": wiring.flipped(self.o)})
        m.d.comb += self.dropped.eq(gate.dropped)
        self._stop_early(m, stepper, readout)
        if self.plan.reloadable:
            self._load(m)
        return m

    def _load(self, m: Module) -> None:
        m.submodules.loader = loader = Loader(self.plan)
        wiring.connect(m, **{"network.load": wiring.flipped(self.load), "loader.load": loader.load})
        entries = [
            (f"core_{core.plan.name}.load{index}", getattr(core, f"load{index}"))
            for core in self.cores.values()
            for index, port in enumerate(core.plan.ports)
            if port.writable
        ]
        for number, (name, entry) in enumerate(entries):
            wiring.connect(m, **{f"loader.port_{number}": getattr(loader, f"port_{number}"), name: entry})

    def _enter(self, m: Module) -> tuple[Gate, Any]:
        """What stands before the cores, and which of it makes the steps."""
        port = self.plan.input
        steps = self.plan.network.steps if port.kind == "current" else 0
        m.submodules.gate = gate = Gate(self.layout, steps=steps)
        wiring.connect(m, **{"network.i": wiring.flipped(self.i), "gate.i": gate.i})
        if not port.coded:
            return gate, gate
        m.submodules.encoder = encoder = Encoder(port, self.plan.network.steps)
        wiring.connect(m, **{"gate.o": gate.o, "encoder.i": encoder.i})
        return gate, encoder

    def _listeners(self, m: Module, name: str) -> list[Any]:
        """Streams that want what a source sends."""
        found = []
        for target, core in self.cores.items():
            for index, port in enumerate(core.plan.ports):
                if port.source != name:
                    continue
                entry = getattr(core, f"i{index}")
                if port.delayed:
                    delay = Delay(BeatLayout(port.geometry.source, port.values), foretold=name != INPUT)
                    m.submodules[f"delay_{target}_{index}"] = delay
                    wiring.connect(m, **{f"delay_{target}_{index}.o": delay.o, f"core_{target}.i{index}": entry})
                    entry = delay.i
                found.append(entry)
            if name == INPUT and core.paced is not None:
                found.append(core.pace)
        if name == self.plan.readout.source:
            found.append(self.readout.i)
        return found

    def _send(self, m: Module, source: Any, listeners: list[Any]) -> None:
        """A beat goes to all at once; where nobody listens, it is gone."""
        m.d.comb += source.ready.eq(reduce(and_, (item.ready for item in listeners), 1))
        for item in listeners:
            others = [other.ready for other in listeners if other is not item]
            m.d.comb += [item.payload.eq(source.payload), item.valid.eq(reduce(and_, others, source.valid))]

    def _pause(self, m: Module, source: Any, pause: Any) -> Any:
        target = stream.Signature(source.payload.shape()).create()
        m.d.comb += [
            target.payload.eq(source.payload),
            target.valid.eq(source.valid & ~pause),
            source.ready.eq(target.ready & ~pause),
        ]
        return target

    def _stop_early(self, m: Module, stepper: Any, readout: Readout) -> None:
        """The source of the steps stops when the sample it works on is the one that the readout has decided."""
        if not self.plan.early_stop:
            return
        # Samples between the two ends: each holds at least a beat somewhere.
        in_flight = (len(self.cores) + 1) * (QUEUE_DEPTH + 16)
        entered, answered = Signal(range(in_flight)), Signal(range(in_flight))
        m.d.sync += [entered.eq(entered + stepper.finished), answered.eq(answered + readout.finished)]
        m.d.comb += stepper.stop.eq(readout.decided & (entered == answered))
