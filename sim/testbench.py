"""Testbench in Verilog: drives a generated network from a file and records what comes out of it, without Python.

Its text is ``testbench.v``, with the wires and the recording of each population put in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from quant.ir import Network
from quant.ranges import Range

__all__ = ["ANSWERS", "STIMULUS", "SUMMARY", "TOP", "Design", "Probe", "Record", "Testbench", "ports"]

TOP = "spikeloom_testbench"

# Files in the folder of a run.
STIMULUS = "stimulus.hex"
ANSWERS = "answers.txt"
SUMMARY = "summary.txt"


class Design(Protocol):
    """What a testbench needs to know of a generated network: see :func:`hw.network.generate`."""

    @property
    def name(self) -> str: ...
    @property
    def instrumented(self) -> str: ...
    @property
    def cores(self) -> Sequence[Any]: ...
    @property
    def input_layout(self) -> Any: ...
    @property
    def score_width(self) -> int: ...
    @property
    def classes(self) -> int: ...
    def predict(self, result: Any, inputs: Any, /) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """Layout of a line that the testbench writes: fields of a fixed number of digits, separated by spaces.

    Parameters
    ----------
    fields : tuple of (str, int)
        Names and widths in bits.
    binary : bool
        One digit a bit, x and z among them; else hexadecimal.
    """

    fields: tuple[tuple[str, int], ...]
    binary: bool

    @property
    def format(self) -> str:
        """Format string of ``$fwrite``."""
        return " ".join(["%b" if self.binary else "%h"] * len(self.fields)) + "\\n"

    def digits(self, width: int) -> int:
        """Number of digits of a field of ``width`` bits."""
        return width if self.binary else (width + 3) // 4

    @property
    def length(self) -> int:
        """Characters of a line, with its end."""
        return sum(self.digits(width) + 1 for _, width in self.fields)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Trace port of one population.

    Parameters
    ----------
    name : str
        The population.
    size : int
        Its neurons.
    units : int
        Neurons in one word: neuron ``index * units + lane``.
    sweeps : int
        Words in one step.
    index_width : int
        Width of the index, in bits; 0 if there is no such port, because ``sweeps`` is 1.
    state : Range
        The rails of its membrane, which give width and sign.
    """

    name: str
    size: int
    units: int
    sweeps: int
    index_width: int
    state: Range


@dataclass(frozen=True, kw_only=True)
class Testbench:
    """Testbench of one design.

    Parameters
    ----------
    module : str
        Name of the design's module.
    data_width, answer_width : int
        Widths of ``s_axis_tdata`` and ``m_axis_tdata``.
    probes : tuple of Probe
        In the order of the network.
    classes : int
        Beats of an answer, less one.
    binary : bool
        Write binary digits, so that unknown bits are seen; for a simulator that has them.
    """

    module: str
    data_width: int
    answer_width: int
    probes: tuple[Probe, ...]
    classes: int
    binary: bool

    __test__ = False  # for pytest: the name begins with Test

    @classmethod
    def of(cls, network: Network, design: Design, *, binary: bool) -> "Testbench":
        """Testbench of a generated network.

        Raises
        ------
        ValueError
            If the Verilog's ports are not those that the plans promise.
        """
        widths = ports(design.instrumented, design.name)
        plans = {plan.name: plan for plan in design.cores}
        probes = tuple(_probe(network, plans[name], widths) for name in network.order)
        return cls(
            module=design.name,
            data_width=_width(widths, "s_axis_tdata"),
            answer_width=_width(widths, "m_axis_tdata"),
            probes=probes,
            classes=design.classes,
            binary=binary,
        )

    def trace_file(self, index: int) -> str:
        """File that holds the words of the probe ``index``."""
        return f"trace_{index}.txt"

    def trace_record(self, index: int) -> Record:
        """Layout of the words of the probe ``index``."""
        probe = self.probes[index]
        fields = (
            ("last", 1),
            ("index", max(1, probe.index_width)),
            ("spikes", probe.units),
            ("membranes", probe.units * probe.state.width),
        )
        return Record(fields=fields, binary=self.binary)

    @property
    def answer_record(self) -> Record:
        """Layout of the output's beats."""
        fields = (("cycle", 64), ("first", 64), ("last", 1), ("data", self.answer_width))
        return Record(fields=fields, binary=self.binary)

    @cached_property
    def control(self) -> tuple[str, ...]:
        """Signals that must never be unknown, highest bit first in the testbench's report."""
        return ("s_axis_tready", "m_axis_tvalid", *(f"trace_{probe.name}_valid" for probe in self.probes))

    @cached_property
    def verilog(self) -> str:
        """The testbench's text."""
        parts = [_declare(index, probe) for index, probe in enumerate(self.probes)]
        bodies = [_record(index, self.trace_record(index), self.trace_file(index)) for index in range(len(self.probes))]
        values = {
            "top": TOP,
            "module": self.module,
            "data": str(self.data_width),
            "answer": str(self.answer_width),
            "probes": str(len(self.probes)),
            "control": str(len(self.control)),
            "stimulus": STIMULUS,
            "answers": ANSWERS,
            "summary": SUMMARY,
            "answer_format": self.answer_record.format,
            "wires": "".join(part[0] for part in parts),
            "connections": "".join(part[1] for part in parts),
            "valids": ", ".join(f"t{index}_valid" for index in range(len(self.probes))),
            "open": "".join(body[0] for body in bodies),
            "record": "".join(body[1] for body in bodies),
            "close": "".join(f"        $fclose(t{index}_file);\n" for index in range(len(self.probes))),
            "counts": " ".join(["%0d"] * len(self.probes)),
            "words": ", ".join(f"t{index}_words" for index in range(len(self.probes))),
        }
        template = Path(__file__).with_name("testbench.v").read_text()
        # A placeholder that is a line by itself stands for lines.
        return re.sub(r"^@(\w+)@\n|@(\w+)@", lambda found: values[found[1] or found[2]], template, flags=re.MULTILINE)


def ports(verilog: str, module: str) -> dict[str, int]:
    """Widths of a module's ports, in bits, by name.

    Raises
    ------
    ValueError
        If the text does not have the module.
    """
    found = re.search(rf"^\s*module\s+\\?{re.escape(module)}\b(.*?)^\s*endmodule\b", verilog, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"Verilog must have a module {module}")
    port = re.compile(r"\b(?:input|output)\s+(?:(?:wire|reg|logic|signed)\s+)*(?:\[(\d+):0\]\s*)?\\?(\w+)")
    return {name: int(high or 0) + 1 for high, name in port.findall(found[1])}


def _width(widths: dict[str, int], name: str) -> int:
    if name not in widths:
        raise ValueError(f"Verilog must have a port {name}")
    return widths[name]


def _probe(network: Network, plan: Any, widths: dict[str, int]) -> Probe:
    population = network[plan.name]
    state = Range(population.state_min, population.state_max)
    expected = {"valid": 1, "last": 1, "spikes": plan.units, "membranes": plan.units * state.width}
    for field, width in expected.items():
        name = f"trace_{plan.name}_{field}"
        if _width(widths, name) != width:
            raise ValueError(f"Port {name} must have {width} bits, not {widths[name]}")
    if plan.units * plan.sweeps < population.size:
        raise ValueError(f"Population {plan.name}: {plan.sweeps} words of {plan.units} do not hold {population.size}")
    index_width = widths.get(f"trace_{plan.name}_index", 0)
    if 1 << index_width < plan.sweeps:
        raise ValueError(f"Port trace_{plan.name}_index of {index_width} bits does not hold {plan.sweeps} words")
    return Probe(
        name=plan.name,
        size=population.size,
        units=plan.units,
        sweeps=plan.sweeps,
        index_width=index_width,
        state=state,
    )


def _declare(index: int, probe: Probe) -> tuple[str, str]:
    """Wires of a probe, and its connections to the design."""
    widths = {"spikes": probe.units, "membranes": probe.units * probe.state.width}
    wires = f"  wire t{index}_valid, t{index}_last;\n  integer t{index}_file;\n"
    wires += f"  reg [63:0] t{index}_words, t{index}_most;\n"
    fields = ["valid", "last", "spikes", "membranes"]
    if probe.index_width:
        fields.append("index")
        widths["index"] = probe.index_width
    else:
        wires += f"  wire t{index}_index = 1'b0;\n"
    wires += "".join(f"  wire [{width - 1}:0] t{index}_{field};\n" for field, width in widths.items())
    return wires, "".join(f",\n    .trace_{probe.name}_{field}(t{index}_{field})" for field in fields)


def _record(index: int, record: Record, file: str) -> tuple[str, str]:
    """Statements that open a probe's file, and that write a word."""
    prefix = f"t{index}"
    values = ", ".join(f"{prefix}_{name}" for name, _ in record.fields)
    opening = (
        f'    {prefix}_file = $fopen("{file}", "w");\n    {prefix}_words = 0;\n'
        f'    if (!$value$plusargs("most{index}=%d", {prefix}_most)) {prefix}_most = 0;\n'
    )
    writing = (
        f"      if ({prefix}_valid) begin\n"
        f'        $fwrite({prefix}_file, "{record.format}", {values});\n'
        f"        {prefix}_words = {prefix}_words + 1;\n"
        f"        if ({prefix}_words > {prefix}_most) overflow = 1;\n"
        f"        idle = 0;\n"
        f"      end\n"
    )
    return opening, writing
