from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from handmade import NETWORK, WAVES, Handmade, Waves

from quant.ranges import Range
from sim.testbench import Record, Testbench, ports


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


@pytest.mark.parametrize(
    ("fields", "binary", "length", "text"),
    [
        ((("a", 1), ("b", 7)), False, 3, '$fwrite(file, "%h\\n", {x, y});'),
        ((("a", 1), ("b", 7)), True, 9, '$fwrite(file, "%b\\n", {x, y});'),
        ((("a", 1), ("b", 8)), False, 5, '$fwrite(file, "%h\\n", {7\'d0, x, y});'),
    ],
)
def test_a_record_is_a_number_of_whole_bytes(fields, binary, length, text):
    record = Record(fields=fields, binary=binary)
    assert record.length == length
    assert record.write("file", {"a": "x", "b": "y"}) == text


def test_fields_of_a_record_begin_at_the_top():
    record = Record(fields=(("a", 1), ("b", 5), ("c", 2)), binary=False)
    assert [record.place(name) for name in "abc"] == [(7, 1), (2, 5), (0, 2)]
    with pytest.raises(KeyError):
        record.place("d")


def test_probes_follow_the_network():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    hidden, out = bench.probes
    assert (hidden.name, hidden.size, hidden.units, hidden.sweeps, hidden.index_width) == ("hidden", 3, 2, 2, 1)
    assert (out.name, out.size, out.units, out.sweeps, out.index_width) == ("out", 2, 2, 1, 0)
    assert hidden.values == {"spikes": Range(0, 1), "membranes": Range(-4, 6)}
    assert out.widths == {"spikes": 2, "membranes": 6}
    assert (bench.data_width, bench.answer_width, bench.classes, bench.cores) == (8, 8, 2, 2)
    assert bench.control == ("s_axis_tready", "m_axis_tvalid", "trace_hidden_valid", "trace_out_valid")


def test_signs_and_currents_are_those_of_the_neurons():
    wave, out = Testbench.of(WAVES, Waves(), binary=False).probes
    assert wave.values == {"spikes": Range(-1, 1), "membranes": Range(-6, 6), "currents": Range(-5, 5)}
    assert wave.widths == {"spikes": 4, "membranes": 8, "currents": 8}
    assert out.values == {"spikes": Range(0, 1), "membranes": Range(-9, 9)}


def test_neurons_lie_where_the_plan_puts_them():
    wave = Testbench.of(WAVES, Waves(), binary=False).probes[0]
    assert wave.neurons.tolist() == [[0, 2], [1, 3]]
    assert wave.places.tolist() == [0, 2, 1, 3]


def test_a_core_that_is_no_population_is_paused_and_not_traced():
    bench = Testbench.of(WAVES, Waves(), binary=False)
    assert [probe.name for probe in bench.probes] == ["wave", "out"]
    assert bench.cores == 3
    assert "localparam STREAMS = 3 + 2;" in bench.verilog
    assert "scores" not in bench.verilog


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
        ("input [1:0] pause", "input [1:0] hold", "Verilog must have a port pause"),
    ],
)
def test_refuses_other_ports(old, new, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Testbench.of(NETWORK, Handmade(old=old, new=new), binary=False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "output [3:0] trace_wave_spikes",
            "output [1:0] trace_wave_spikes",
            "Port trace_wave_spikes must have 4 bits, not 2",
        ),
        (", output [7:0] trace_wave_currents", "", "Verilog must have a port trace_wave_currents"),
        (
            "output [7:0] trace_wave_currents",
            "output [5:0] trace_wave_currents",
            "Port trace_wave_currents must have 8 bits, not 6",
        ),
    ],
)
def test_refuses_other_ports_of_second_order(old, new, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        Testbench.of(WAVES, Waves(old=old, new=new), binary=False)


@pytest.mark.parametrize("neurons", [[[0, 1]], [[0, 1], [2, 2]], [[0, 1], [3, -1]], [[0, 1], [1, 2]]])
def test_refuses_a_plan_that_does_not_hold_every_neuron_once(neurons):
    hidden = SimpleNamespace(name="hidden", word_tiling=SimpleNamespace(neurons=np.array(neurons)), skips=False)

    class Wrong(Handmade):
        cores = (hidden, Handmade().cores[1])

    with pytest.raises(ValueError, match=r"^Population hidden: words must hold each of 3 neurons once$"):
        Testbench.of(NETWORK, Wrong(), binary=False)


def test_trace_of_one_word_a_step_has_an_index_of_zero():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    assert "wire t1_index = 1'b0;" in bench.verilog
    assert ".trace_out_index" not in bench.verilog
    assert dict(bench.trace_record(1).fields)["index"] == 1


def test_binary_digits_are_another_text():
    bench = Testbench.of(NETWORK, Handmade(), binary=False)
    assert replace(bench, binary=True).verilog != bench.verilog
