"""Testbench in Verilog: drives a generated network from a file and records what comes out of it, without Python.

Its text is ``testbench.v``, with the wires and the recording of each population put in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quant.ir import Network, Population
from quant.ranges import Range

__all__ = ["ANSWERS", "STIMULUS", "SUMMARY", "TOP", "Design", "Probe", "Record", "Testbench", "ports"]

TOP = "spikeloom_testbench"

# Files in the folder of a run.
STIMULUS = "stimulus.hex"
ANSWERS = "answers.txt"
SUMMARY = "summary.txt"

# Fields of an output beat in the testbench.
_ANSWER = {"cycle": "cycle", "first": "first[answered[9:0]]", "last": "m_last", "data": "m_data"}


class Design(Protocol):
    """What a testbench needs to know of a generated network: see :class:`hw.design.Design`.

    Of a core, these are its ``name``, ``word_tiling.neurons`` and ``skips``: whether its sweeps may leave out words in
    which nothing changes, but never the last. Cores that are no population are left alone.
    """

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
    """Layout of a line that the testbench writes: one number of a fixed number of digits, which holds fields.

    Parameters
    ----------
    fields : tuple of (str, int)
        Names and widths in bits, the highest first. Above them are zeros, so that the number has whole bytes.
    binary : bool
        One digit a bit, x and z among them; else hexadecimal.
    """

    fields: tuple[tuple[str, int], ...]
    binary: bool

    @property
    def width(self) -> int:
        """Bits of all fields."""
        return sum(width for _, width in self.fields)

    @property
    def bytes(self) -> int:
        """Bytes of the number."""
        return -(-self.width // 8)

    @property
    def length(self) -> int:
        """Characters of a line, with its end."""
        return self.bytes * (8 if self.binary else 2) + 1

    def place(self, name: str) -> tuple[int, int]:
        """Lowest bit of a field, and its width."""
        low = 0
        for field, width in reversed(self.fields):
            if field == name:
                return low, width
            low += width
        raise KeyError(name)

    def write(self, file: str, values: Mapping[str, str]) -> str:
        """Verilog that writes a line, whose fields are expressions."""
        zeros = 8 * self.bytes - self.width
        parts = [f"{zeros}'d0"] if zeros else []
        parts += [values[name] for name, _ in self.fields]
        return f'$fwrite({file}, "{"%b" if self.binary else "%h"}\\n", {{{", ".join(parts)}}});'


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """Trace port of one population.

    Parameters
    ----------
    name : str
        The population.
    neurons : array of int, (words, lanes)
        Neuron of each lane of each word of a step, in C order; -1 for none.
    values : mapping of str to Range
        What it shows of a neuron, and of which range: ``spikes``, ``membranes``, and of second order ``currents``.
    index_width : int
        Width of a word's number, in bits; 0 if there is no such port, because there is one word.
    initial : array of int, (words, lanes), optional
        Membranes that a sample begins with, where words may be left out. Default: every word comes.
    """

    name: str
    neurons: NDArray[np.int64]
    values: Mapping[str, Range]
    index_width: int
    initial: NDArray[np.int64] | None = None

    @property
    def sweeps(self) -> int:
        """Words of a step."""
        return len(self.neurons)

    @property
    def units(self) -> int:
        """Lanes of a word."""
        return self.neurons.shape[1]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Place of every neuron among the lanes of all words of a step."""
        lanes = self.neurons.reshape(-1)
        places = np.flatnonzero(lanes >= 0)
        return places[np.argsort(lanes[places])]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.places)

    @property
    def widths(self) -> dict[str, int]:
        """Widths of the ports with a value for each lane."""
        return {name: self.units * item.width for name, item in self.values.items()}


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
    cores : int
        Streams that can be paused.
    classes : int
        Beats of an answer, less one.
    binary : bool
        Write binary digits, so that unknown bits are seen; for a simulator that has them.
    """

    module: str
    data_width: int
    answer_width: int
    probes: tuple[Probe, ...]
    cores: int
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
            cores=_width(widths, "pause"),
            classes=design.classes,
            binary=binary,
        )

    def trace_file(self, index: int) -> str:
        """File that holds the words of the probe ``index``."""
        return f"trace_{index}.txt"

    def trace_record(self, index: int) -> Record:
        """Layout of the words of the probe ``index``."""
        probe = self.probes[index]
        fields = (("last", 1), ("index", max(1, probe.index_width)), *probe.widths.items())
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
            "cores": str(self.cores),
            "control": str(len(self.control)),
            "stimulus": STIMULUS,
            "answers": ANSWERS,
            "summary": SUMMARY,
            "write_answer": self.answer_record.write("answers_file", _ANSWER),
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
    neurons = np.asarray(plan.word_tiling.neurons)
    held = np.sort(neurons[neurons >= 0])
    if not np.array_equal(held, np.arange(population.size)):
        raise ValueError(f"Population {plan.name}: words must hold each of {population.size} neurons once")
    index_width = widths.get(f"trace_{plan.name}_index", 0)
    if 1 << index_width < len(neurons):
        raise ValueError(f"Port trace_{plan.name}_index of {index_width} bits does not hold {len(neurons)} words")
    initial = np.where(neurons < 0, 0, population.per_neuron(population.initial)[np.maximum(neurons, 0)])
    probe = Probe(
        name=plan.name,
        neurons=neurons,
        values=_values(population),
        index_width=index_width,
        initial=initial if plan.skips else None,
    )
    for field, width in {"valid": 1, "last": 1, **probe.widths}.items():
        name = f"trace_{plan.name}_{field}"
        if _width(widths, name) != width:
            raise ValueError(f"Port {name} must have {width} bits, not {widths[name]}")
    return probe


def _values(population: Population) -> dict[str, Range]:
    values = {
        "spikes": Range(-1 if population.ternary else 0, 1),
        "membranes": Range(population.state_min, population.state_max),
    }
    if population.current_decay is not None:
        values["currents"] = Range(population.current_min, population.current_max)
    return values


def _declare(index: int, probe: Probe) -> tuple[str, str]:
    """Wires of a probe, and its connections to the design."""
    widths = probe.widths
    wires = f"  wire t{index}_valid, t{index}_last;\n  integer t{index}_file;\n"
    wires += f"  reg [63:0] t{index}_words, t{index}_most;\n"
    fields = ["valid", "last", *widths]
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
    write = record.write(f"{prefix}_file", {name: f"{prefix}_{name}" for name, _ in record.fields})
    opening = (
        f'    {prefix}_file = $fopen("{file}", "w");\n    {prefix}_words = 0;\n'
        f'    if (!$value$plusargs("most{index}=%d", {prefix}_most)) {prefix}_most = 0;\n'
    )
    writing = (
        f"      if ({prefix}_valid) begin\n"
        f"        {write}\n"
        f"        {prefix}_words = {prefix}_words + 1;\n"
        f"        if ({prefix}_words > {prefix}_most) overflow = 1;\n"
        f"        idle = 0;\n"
        f"      end\n"
    )
    return opening, writing
