"""Testbench in Verilog: drives a generated network from a file and records what comes out of it, without Python."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
        return _TEMPLATE.format(
            top=TOP,
            module=self.module,
            data=self.data_width,
            answer=self.answer_width,
            probes=len(self.probes),
            control=len(self.control),
            stimulus=STIMULUS,
            answers=ANSWERS,
            summary=SUMMARY,
            answer_format=self.answer_record.format,
            wires="".join(part[0] for part in parts),
            connections="".join(part[1] for part in parts),
            valids=", ".join(f"t{index}_valid" for index in range(len(self.probes))),
            open="".join(body[0] for body in bodies),
            record="".join(body[1] for body in bodies),
            close="".join(f"      $fclose(t{index}_file);\n" for index in range(len(self.probes))),
            counts=" ".join(["%0d"] * len(self.probes)),
            words=", ".join(f"t{index}_words" for index in range(len(self.probes))),
        )


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


_TEMPLATE = """\
// Drives {module} from {stimulus} and records its answers and traces.
`timescale 1ns/1ps
module {top}(
  input clk /*verilator public_flat_rw*/,
  input rst /*verilator public_flat_rw*/,
  output reg done /*verilator public_flat_rw*/
);
  // One run: numbers of the command line.
  reg [63:0] samples, patience, drain, answers_most;
  reg [31:0] seed, stall;
  integer isolate;

  // Stalls: stream 0 is the input, 1 the output, 2 and up the cores. A stream stalls, or does not, for 1, 2, 4 ... 64
  // cycles, each length half as likely as the one before, so that queues fill and empty at times.
  localparam STREAMS = {probes} + 2;
  reg [31:0] noise [0:STREAMS-1];
  reg [6:0] held [0:STREAMS-1];
  reg [STREAMS-1:0] stalled;

  function [31:0] xorshift(input [31:0] x);
    reg [31:0] y;
    begin
      y = x ^ (x << 13);
      y = y ^ (y >> 17);
      xorshift = y ^ (y << 5);
    end
  endfunction

  function [6:0] length(input [5:0] x);
    length = x[0] ? 1 : x[1] ? 2 : x[2] ? 4 : x[3] ? 8 : x[4] ? 16 : x[5] ? 32 : 64;
  endfunction

  // The design.
  reg s_valid, s_tick, s_last;
  reg [{data}-1:0] s_data;
  wire s_ready, m_valid, m_last;
  wire m_ready = !stalled[1];
  wire [{answer}-1:0] m_data;
{wires}
  {module} dut(
    .clk(clk),
    .rst(rst),
    .s_axis_tvalid(s_valid),
    .s_axis_tready(s_ready),
    .s_axis_tdata(s_data),
    .s_axis_tuser(s_tick),
    .s_axis_tlast(s_last),
    .m_axis_tvalid(m_valid),
    .m_axis_tready(m_ready),
    .m_axis_tdata(m_data),
    .m_axis_tlast(m_last),
    .pause(stalled[STREAMS-1:2]){connections}
  );
  wire [{control}-1:0] control = {{s_ready, m_valid, {valids}}};

  // State of the run. A beat read from the file is {{last, tick, data}}.
  integer stimulus_file, answers_file, summary_file, read, k;
  reg [{data}+1:0] beat;
  reg have, starting, overflow, timed_out, unknown, complete;
  reg [{control}-1:0] unknown_bits;
  reg [63:0] cycle, idle, accepted, sent, answered, answers, unknown_cycle;
  reg [63:0] first [0:1023];  // cycle of a sample's first beat; no pipeline holds 1024 samples

  task fetch;
    begin
      read = $fscanf(stimulus_file, "%h", beat);
      have = read == 1;
    end
  endtask

  initial begin
    if (!$value$plusargs("samples=%d", samples)) samples = 0;
    if (!$value$plusargs("patience=%d", patience)) patience = 100000;
    if (!$value$plusargs("drain=%d", drain)) drain = 1000;
    if (!$value$plusargs("answers=%d", answers_most)) answers_most = 0;
    if (!$value$plusargs("noise=%d", seed)) seed = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = 0;
    if (!$value$plusargs("isolate=%d", isolate)) isolate = 0;
    for (k = 0; k < STREAMS; k = k + 1) begin
      noise[k] = xorshift(seed * 32'h9e3779b1 + k * 32'h85ebca77 + 32'h1b873593);
      noise[k] = xorshift(noise[k] == 0 ? k + 1 : noise[k]);
      held[k] = 0;
    end
    stalled = 0;
    done = 0;
    {{s_valid, s_tick, s_last, s_data}} = 0;
    starting = 1;
    {{overflow, timed_out, unknown, complete}} = 0;
    unknown_bits = 0;
    {{cycle, idle, accepted, sent, answered, answers, unknown_cycle}} = 0;
    for (k = 0; k < 1024; k = k + 1) first[k] = 0;
    stimulus_file = $fopen("{stimulus}", "r");
    answers_file = $fopen("{answers}", "w");
{open}    fetch;
  end

  always @(posedge clk)
    for (k = 0; k < STREAMS; k = k + 1) begin
      noise[k] <= xorshift(noise[k]);
      if (held[k] == 0) begin
        stalled[k] <= {{16'b0, noise[k][31:16]}} < stall;
        held[k] <= length(noise[k][5:0]) - 7'd1;
      end else held[k] <= held[k] - 7'd1;
    end

  always @(posedge clk)
    if (!rst && !done) begin
      idle = idle + 1;
      if (s_valid && s_ready) begin
        idle = 0;
        accepted = accepted + 1;
        if (starting) first[sent[9:0]] = cycle;
        starting = s_last;
        if (s_last) sent = sent + 1;
      end
      if (m_valid && m_ready) begin
        idle = 0;
        answers = answers + 1;
        $fwrite(answers_file, "{answer_format}", cycle, first[answered[9:0]], m_last, m_data);
        if (m_last) begin
          answered = answered + 1;
          $fflush(answers_file);
        end
        if (answers > answers_most) overflow = 1;
      end
{record}      if (!unknown && ^control === 1'bx) begin
        unknown = 1;
        unknown_bits = control;
        unknown_cycle = cycle;
      end

      // A beat once offered stays until it is taken.
      if (!s_valid || s_ready) begin
        s_valid <= 0;
        if (have && !stalled[0] && !(isolate && starting && answered != sent)) begin
          {{s_last, s_tick, s_data}} <= beat;
          s_valid <= 1;
          fetch;
        end
      end

      complete = !have && (!s_valid || s_ready) && answered == samples;
      timed_out = !complete && idle >= patience;
      if (timed_out || overflow || unknown || (complete && idle >= drain)) begin
        summary_file = $fopen("{summary}", "w");
        $fwrite(summary_file, "%0d %0d %0d %0d %0d %b %0d {counts}\\n", cycle, accepted, answered, timed_out, overflow,
                unknown ? unknown_bits : {control}'d0, unknown_cycle, {words});
        $fclose(summary_file);
        $fclose(answers_file);
{close}        done <= 1;
      end
      cycle = cycle + 1;
    end
endmodule
"""
