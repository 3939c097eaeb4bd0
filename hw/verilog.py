"""Verilog of a network: one readable file, with AXI4-Stream ports."""

import re
from collections.abc import Iterator
from typing import Any

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal, Value
from amaranth.back import verilog
from amaranth.hdl import Elaboratable

from .image import shape_digest
from .layout import BeatLayout
from .network import NetworkCore
from .plan import NetworkPlan

__all__ = ["plain_names", "to_verilog"]


_DROPPED_BITS = 16


def _bytes(width: int) -> int:
    return -(-width // 8) * 8


_LOAD_INPUTS = {"load_start": 1, "load_tvalid": 1, "load_tdata": 8, "load_verify": 1, "load_expected": 32}
_LOAD_OUTPUTS = {"load_tready": 1, "load_busy": 1, "load_crc": 32, "load_done": 1}


class _Axi(Elaboratable):
    """Network with the port names of AXI4-Stream."""

    def __init__(self, plan: NetworkPlan, *, instrumented: bool):
        self.network = network = NetworkCore(plan, instrumented=instrumented)
        self.clk, self.rst = Signal(name="clk"), Signal(name="rst")
        layout = network.layout
        self.width = layout["address"].width + layout["value"].width
        self.inputs = {
            "s_axis_tvalid": Signal(name="s_axis_tvalid"),
            "s_axis_tdata": Signal(_bytes(self.width), name="s_axis_tdata"),
            "s_axis_tuser": Signal(name="s_axis_tuser"),
            "s_axis_tlast": Signal(name="s_axis_tlast"),
            "m_axis_tready": Signal(name="m_axis_tready"),
        }
        self.outputs = {
            "s_axis_tready": Signal(name="s_axis_tready"),
            "s_axis_dropped": Signal(_DROPPED_BITS, name="s_axis_dropped"),
            "m_axis_tvalid": Signal(name="m_axis_tvalid"),
            "m_axis_tdata": Signal(_bytes(plan.score_width), name="m_axis_tdata"),
            "m_axis_tlast": Signal(name="m_axis_tlast"),
        }
        self.traces = {}
        # What is instrumented has its weights from the start.
        self.loads = plan.reloadable and not instrumented
        if self.loads:
            self.inputs |= {name: Signal(width, name=name) for name, width in _LOAD_INPUTS.items()}
            self.outputs |= {name: Signal(width, name=name) for name, width in _LOAD_OUTPUTS.items()}
        if instrumented:
            self.inputs["pause"] = Signal(len(plan.cores), name="pause")
            self.traces = dict(self._traces(plan))
            self.outputs |= {name: signal for name, (_, signal) in self.traces.items()}

    def _traces(self, plan: NetworkPlan) -> Iterator[tuple[str, tuple[Value, Signal]]]:
        for core in plan.populations:
            trace = getattr(self.network, f"trace_{core.name}")
            for member in trace.signature.members:
                name = f"trace_{core.name}_{member}"
                value = Value.cast(getattr(trace, member))
                yield name, (value, Signal(max(1, len(value)), name=name))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.clk), ResetSignal().eq(self.rst)]
        m.submodules.network = network = self.network
        address = len(network.i.payload.address)
        i, o = self.inputs, self.outputs
        m.d.comb += [
            network.i.valid.eq(i["s_axis_tvalid"]),
            network.i.payload.address.eq(i["s_axis_tdata"][:address]),
            network.i.payload.value.eq(i["s_axis_tdata"][address : self.width]),
            network.i.payload.tick.eq(i["s_axis_tuser"]),
            network.i.payload.last.eq(i["s_axis_tlast"]),
            o["s_axis_tready"].eq(network.i.ready),
            o["m_axis_tvalid"].eq(network.o.valid),
            o["m_axis_tdata"].eq(network.o.payload.data),
            o["m_axis_tlast"].eq(network.o.payload.last),
            network.o.ready.eq(i["m_axis_tready"]),
        ]
        dropped = Signal(_DROPPED_BITS)
        m.d.comb += o["s_axis_dropped"].eq(dropped)
        with m.If(network.dropped & ~dropped.all()):
            m.d.sync += dropped.eq(dropped + 1)
        if "pause" in i:
            m.d.comb += network.pause.eq(i["pause"])
        if self.loads:
            load = network.load
            m.d.comb += [
                load.start.eq(i["load_start"]),
                load.bytes.valid.eq(i["load_tvalid"] & ~load.outside),
                load.bytes.payload.eq(i["load_tdata"]),
                load.verify.eq(i["load_verify"]),
                load.expected.eq(i["load_expected"]),
                o["load_tready"].eq(load.bytes.ready & ~load.outside),
                o["load_busy"].eq(load.busy),
                o["load_crc"].eq(load.crc),
                o["load_done"].eq(load.loaded),
            ]
        m.d.comb += [signal.eq(value) for value, signal in self.traces.values()]
        return m


def _parts(layout: BeatLayout) -> Iterator[str]:
    """Fields of the address of a map, in words."""
    if len(layout.fields.shape) == 3:
        named = zip(("column", "row", "channel"), layout.fields.widths, strict=True)
        yield "             An address is, from its lowest bit: " + ", ".join(
            f"{w} bits of {name}" for name, w in named if w
        )


def _header(plan: NetworkPlan, axi: _Axi) -> str:
    network = plan.network
    layout = axi.network.layout
    address, value = layout["address"].width, layout["value"].width
    lines = [
        f"Spiking network {network.name}, generated by Spikeloom from the integer network of SHA-256",
        f"{network.digest}.",
        "",
        *(
            f"Core {core.name}: {', '.join(port.source for port in core.ports)} -> {core.population.size} neurons, "
            f"{core.lanes} synaptic operations a cycle, {core.units} neuron updates a cycle."
            for core in plan.cores
        ),
        "",
        "clk, rst     One clock; rst is synchronous, active high.",
        f"s_axis_*     Input: tdata[{address - 1}:0] address, tdata[{address + value - 1}:{address}] value"
        f"{', signed' if layout.values.signed else ''}; tuser 1: a tick, the end of a step;",
        "             tlast with the tick that ends the sample.",
        *_parts(layout),
        f"             dropped counts events of other addresses since rst, up to {(1 << _DROPPED_BITS) - 1}.",
        "             Per sample: the values that are not 0, each input at most once, then one tick."
        if plan.input.kind != "events"
        else f"             Per step, {network.steps} at most: its events, each input at most once, then a tick.",
        f"m_axis_*     Answer: per sample {plan.readout.classes} scores, then the answer, with tlast; "
        f"signed, {plan.score_width} bits.",
        *(_load_lines(plan) if axi.loads else ()),
    ]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)


def _load_lines(plan: NetworkPlan) -> Iterator[str]:
    yield "load_*       Weights, while no sample is in the network. A piece is load_start, then its bytes, each with"
    yield "             load_tvalid and load_tready: a memory's number (1 byte), its first word (3), its words, little"
    yield "             endian. After all pieces load_verify, with a CRC-32 in load_expected: once load_busy is low,"
    yield "             load_done tells whether load_crc, that of the memories, is the same. It is the CRC-32 of"
    yield f"             {shape_digest(plan).hex(' ')} and then the words of all memories."
    for number, port in enumerate(plan.writable):
        source, target = port.source, port.connection.target
        yield f"             Memory {number}, {source} -> {target}: {port.words} words of {port.word_bytes} bytes."


def to_verilog(plan: NetworkPlan, name: str, *, instrumented: bool = False) -> str:
    """Verilog of a planned network, as a module called ``name``.

    With ``instrumented``, ports that show every spike and membrane and that hold up any stream come on top; the
    cores are the same.
    """
    axi = _Axi(plan, instrumented=instrumented)
    text = verilog.convert(axi, name=name, ports=_ports(axi), emit_src=False, strip_internal_attrs=True)
    return _header(plan, axi) + "\n" + plain_names(re.sub(r"^/\* Generated by .*\*/\n", "", text))


def plain_names(text: str) -> str:
    """Verilog with a name of letters, digits and underscores for each that had to be escaped, such as ``\\sums[0]``."""
    taken = set(re.findall(r"(?<!\\)\b\w+", text))
    plain: dict[str, str] = {}
    for name in dict.fromkeys(re.findall(r"\\(\S+)", text)):
        short = re.sub(r"\W+", "_", name).strip("_") or "_"
        # What needs no escape but has it is a keyword.
        while short in taken or short == name or short[0].isdigit():
            short = f"{short}_" if not short[0].isdigit() else f"_{short}"
        taken.add(short)
        plain[name] = short
    return re.sub(r"\\(\S+)(?: (?=[,;()[]))?", lambda found: plain[found[1]], text)


def _ports(axi: _Axi) -> list[Signal]:
    return [axi.clk, axi.rst, *axi.inputs.values(), *axi.outputs.values()]
