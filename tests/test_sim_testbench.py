from dataclasses import replace
from types import SimpleNamespace

import pytest
from handmade import NETWORK, Handmade

from quant.ranges import Range
from sim.testbench import Probe, Record, Testbench, ports


def test_ports_in_the_head():
    text = "module other(input c);\nendmodule\n"
    text += "module top(\n  input clk, input signed [3:0] a,\n  output reg [11:0] b\n);\nendmodule\n"
    assert ports(text, "top") == {"clk": 1, "a": 4, "b": 12}


def test_ports_in_the_body():
    text = "module top(a, \\b , clk);\n  input [7:0] a;\n  wire [7:0] a;\n"
    text += "  output \\b ;\n  input clk;\n  wire clk;\nendmodule\n"
    assert ports(text, "top") == {"a": 8, "b": 1, "clk": 1}


def test_ports_of_another_module_are_left_out():
    text = "module top(input a);\nendmodule\nmodule top_x(input c);\nendmodule\n"
    assert ports(text, "top") == {"a": 1}


def test_ports_of_no_module():
    with pytest.raises(ValueError, match=r"^Verilog must have a module top$"):
        ports("module other(input a);\nendmodule\n", "top")


@pytest.mark.parametrize(("binary", "format_", "length"), [(False, "%h %h\\n", 2 + 3), (True, "%b %b\\n", 2 + 6)])
def test_a_record_has_a_fixed_length(binary, format_, length):
    record = Record(fields=(("a", 1), ("b", 5)), binary=binary)
    assert record.format == format_
    assert record.length == length


def test_probes_follow_the_network():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    assert bench.probes == (
        Probe(name="hidden", size=3, units=2, sweeps=2, index_width=1, state=Range(-4, 6)),
        Probe(name="out", size=2, units=2, sweeps=1, index_width=0, state=Range(0, 7)),
    )
    assert (bench.data_width, bench.answer_width, bench.classes) == (8, 8, 2)
    assert bench.control == ("s_axis_tready", "m_axis_tvalid", "trace_hidden_valid", "trace_out_valid")


def test_text_does_not_depend_on_the_run():
    assert (
        Testbench.of(NETWORK, Handmade(), binary=True).verilog == Testbench.of(NETWORK, Handmade(), binary=True).verilog
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("module spikeloom_handmade", "module other", "Verilog must have a module spikeloom_handmade"),
        ("output [7:0] m_axis_tdata", "output [7:0] data", "Verilog must have a port m_axis_tdata"),
        ("output trace_hidden_valid,", "", "Verilog must have a port trace_hidden_valid"),
        ("output [1:0] trace_out_spikes", "output trace_out_spikes", "Port trace_out_spikes must have 2 bits, not 1"),
        (
            "output [5:0] trace_out_membranes",
            "output [7:0] trace_out_membranes",
            "Port trace_out_membranes must have 6 bits, not 8",
        ),
        ("output trace_hidden_index,", "", "Port trace_hidden_index of 0 bits does not hold 2 words"),
    ],
)
def test_refuses_other_ports(old, new, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Testbench.of(NETWORK, Handmade(old=old, new=new), binary=False)


def test_refuses_a_plan_that_leaves_neurons_out():
    plans = (SimpleNamespace(name="hidden", units=2, sweeps=1), SimpleNamespace(name="out", units=2, sweeps=1))

    class Short(Handmade):
        cores = plans

    with pytest.raises(ValueError, match=r"^Population hidden: 1 words of 2 do not hold 3$"):
        Testbench.of(NETWORK, Short(), binary=False)


def test_trace_of_one_word_a_step_has_an_index_of_zero():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    assert "wire t1_index = 1'b0;" in bench.verilog
    assert ".trace_out_index" not in bench.verilog
    assert dict(bench.trace_record(1).fields)["index"] == 1


def test_binary_digits_are_another_text():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    assert replace(bench, binary=True).verilog != bench.verilog
