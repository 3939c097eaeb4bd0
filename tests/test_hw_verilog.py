import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from hw.design import generate
from hw.verilog import plain_names
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from sim import golden

needs_icarus = pytest.mark.skipif(which("iverilog") is None, reason="needs iverilog in PATH")


def network(kind="events", readout="first_spike"):
    """Eleven inputs of -2 to 5, layers of 20 and 3 neurons, the first one with parameters of each neuron."""
    rng = np.random.default_rng(0)
    return Network(
        name="written",
        steps=9,
        input=Input(shape=(11,), kind=kind, low=-2, high=5),
        populations=(
            Population(
                name="hidden",
                shape=(20,),
                threshold=rng.integers(3, 9, 20),
                initial=rng.integers(0, 4, 20),
                reset="latch",
                state_min=-8,
                state_max=7,
            ),
            Population(name="out", shape=(3,), threshold=2, state_min=0, state_max=9),
        ),
        connections=(
            Connection(
                source="input", target="hidden", kind="dense", weights=rng.integers(-4, 4, (20, 11)), weight_bits=3
            ),
            Connection(
                source="hidden", target="out", kind="dense", weights=rng.integers(-4, 4, (3, 20)), weight_bits=3
            ),
        ),
        readout=Readout(population="out", kind=readout),
    )


def design(kind="events", readout="first_spike"):
    return generate(network(kind, readout), lanes=8)


@pytest.fixture(scope="module")
def written():
    return design()


def modules(text):
    """Text of each module, by name."""
    found = re.findall(r"^module (\\\S+ |\w+)\s*\((.*?)^endmodule", text, re.MULTILINE | re.DOTALL)
    return {name.strip(): body for name, body in found}


def ports(text, module):
    """Direction and width in bits of each port, by name."""
    body = modules(text)[module]
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\S+)\s?;", body, re.MULTILINE)
    return {name: (direction, int(high) + 1 if high else 1) for direction, high, name in found}


PLAIN = {
    "clk": ("input", 1),
    "rst": ("input", 1),
    "s_axis_tvalid": ("input", 1),
    "s_axis_tready": ("output", 1),
    "s_axis_tdata": ("input", 8),  # 4 bits of address, 4 of value
    "s_axis_tuser": ("input", 1),
    "s_axis_tlast": ("input", 1),
    "s_axis_dropped": ("output", 16),
    "m_axis_tvalid": ("output", 1),
    "m_axis_tready": ("input", 1),
    "m_axis_tdata": ("output", 8),
    "m_axis_tlast": ("output", 1),
}


def test_ports_are_those_of_two_streams(written):
    assert ports(written.verilog, "spikeloom_written") == PLAIN


def test_instrumented_has_ports_that_trace_and_pause_on_top(written):
    hidden, out = written.cores
    assert (hidden.units, hidden.sweeps, out.units, out.sweeps) == (4, 5, 1, 3)
    expected = dict(PLAIN)
    expected["pause"] = ("input", 2)
    for core, width in ((hidden, 4), (out, 4)):
        expected |= {
            f"trace_{core.name}_valid": ("output", 1),
            f"trace_{core.name}_index": ("output", (core.sweeps - 1).bit_length()),
            f"trace_{core.name}_last": ("output", 1),
            f"trace_{core.name}_spikes": ("output", core.units),
            f"trace_{core.name}_membranes": ("output", core.units * width),
        }
    assert ports(written.instrumented, "spikeloom_written") == expected


def test_a_trace_of_one_word_has_an_index_too():
    single = generate(network_of_one())
    assert ports(single.instrumented, "spikeloom_one")["trace_a_index"] == ("output", 1)


def network_of_one():
    """One neuron, one input."""
    return Network(
        name="one",
        steps=1,
        input=Input(shape=(1,)),
        populations=(Population(name="a", shape=(1,), threshold=1, state_min=0, state_max=1),),
        connections=(
            Connection(source="input", target="a", kind="dense", weights=np.ones((1, 1), int), weight_bits=2),
        ),
        readout=Readout(population="a"),
    )


def network_of_maps():
    """Connections of every kind and delay, neurons of second order, an input that is coded, a linear readout."""
    rng = np.random.default_rng(1)
    rails = {"state_min": -8, "state_max": 7, "threshold": 3}
    maps = Population(
        name="maps", shape=(2, 3, 4), ternary=True, current_decay=Decay(numerator=1, shift=1), current_max=5, **rails
    )
    out = Population(name="out", shape=(4, 1, 2), reset="latch", **rails)

    def connection(source, target, kind, weights, **fields):
        return Connection(source=source, target=target, kind=kind, weights=weights, weight_bits=4, **fields)

    return Network(
        name="maps",
        steps=3,
        input=Input(shape=(2, 3, 4), kind="rate", high=7),
        populations=(maps, out),
        connections=(
            connection("input", "maps", "conv2d", rng.integers(-4, 5, (2, 1, 3, 3)), padding=1, groups=2),
            connection("input", "maps", "max_pool", [1, 2], kernel=3, stride=1, padding=1),
            connection("maps", "maps", "identity", rng.integers(-4, 5, (2, 3, 4)), delay=1),
            connection("maps", "out", "conv_transpose2d", rng.integers(-4, 5, (2, 4, 1, 1)), pool=(2, 2)),
            connection("out", "maps", "dense", rng.integers(-4, 5, (24, 8)), delay=1),
        ),
        readout=Readout(population="out", kind="linear", weights=rng.integers(-4, 5, (3, 8))),
    )


@pytest.fixture(scope="module")
def of_maps():
    return generate(network_of_maps())


def header(text):
    return text[: text.index("module ")].rstrip()


def test_the_header_says_what_it_is_and_how_to_use_it(written):
    digest = written.network.digest
    hidden, _ = written.cores
    assert header(written.verilog) == "\n".join(
        [
            "// Spiking network written, generated by Spikeloom from the integer network of SHA-256",
            f"// {digest}.",
            "//",
            f"// Core hidden: input -> 20 neurons, {hidden.lanes} synaptic operations a cycle, "
            f"{hidden.units} neuron updates a cycle.",
            "// Core out: hidden -> 3 neurons, 3 synaptic operations a cycle, 1 neuron updates a cycle.",
            "//",
            "// clk, rst     One clock; rst is synchronous, active high.",
            "// s_axis_*     Input: tdata[3:0] address, tdata[7:4] value, signed; tuser 1: a tick, the end of a step;",
            "//              tlast with the tick that ends the sample.",
            "//              dropped counts events of other addresses since rst, up to 65535.",
            "//              Per step, 9 at most: its events, each input at most once, then a tick.",
            "// m_axis_*     Answer: per sample 3 scores, then the answer, with tlast; signed, 5 bits.",
        ]
    )
    assert header(written.instrumented) == header(written.verilog)


def test_the_header_of_a_current_says_that_a_sample_comes_once():
    text = header(design("current").verilog)
    assert (
        "//              Per sample: the values that are not 0, each input at most once, then one tick."
        in text.splitlines()
    )
    assert "Per step" not in text


def test_the_header_of_a_map_says_what_an_address_is(of_maps):
    lines = header(of_maps.verilog).splitlines()
    assert lines[3:6] == [
        "// Core maps: input, input, maps, out -> 24 neurons, 2 synaptic operations a cycle, 2 neuron updates a cycle.",
        "// Core out: maps -> 8 neurons, 4 synaptic operations a cycle, 1 neuron updates a cycle.",
        "// Core scores: out -> 3 neurons, 3 synaptic operations a cycle, 1 neuron updates a cycle.",
    ]
    assert (
        "//              An address is, from its lowest bit: 2 bits of column, 2 bits of row, 1 bits of channel"
        in lines
    )
    assert "tdata[4:0] address, tdata[7:5] value; tuser" in header(of_maps.verilog)
    assert any(line.startswith("//              Per sample: the values that are not 0") for line in lines)


def test_a_core_that_is_no_population_is_paused_but_not_traced(of_maps):
    found = ports(of_maps.instrumented, "spikeloom_maps")
    assert found["pause"] == ("input", 3)
    assert {name for name in found if name.startswith("trace_")} == {
        *(f"trace_maps_{member}" for member in ("valid", "index", "last", "spikes", "membranes", "currents")),
        *(f"trace_out_{member}" for member in ("valid", "index", "last", "spikes", "membranes")),
    }


def test_another_network_has_another_digest(written):
    other = network()
    weights = other.connections[0].weights.copy()
    weights[0, 0] += 1 if weights[0, 0] < 3 else -1
    changed = Connection(source="input", target="hidden", kind="dense", weights=weights, weight_bits=3)
    fields = {name: getattr(other, name) for name in ("name", "steps", "input", "populations", "readout")}
    other = Network(**fields, connections=(changed, other.connections[1]))
    assert header(generate(other, lanes=8).verilog) != header(written.verilog)


def traceless(body):
    """Lines of a module without the ports that trace, its list of ports sorted, and without running numbers."""
    ports, _, rest = re.sub(r"(port|dump_module)\$\d+", r"\1", body).partition(")")
    names = sorted(port for port in ports.split(", ") if "trace__" not in port)
    return names, [line for line in rest.splitlines() if "trace__" not in line]


def test_both_share_their_cores(written):
    """Every register and every gate of the cores is the same; only ports are added."""
    plain, instrumented = modules(written.verilog), modules(written.instrumented)
    assert plain.keys() == instrumented.keys()
    for name in plain:
        if name not in ("spikeloom_written", "spikeloom_written_network"):
            assert traceless(plain[name]) == traceless(instrumented[name]), name


def test_names_come_from_the_source(written):
    """No port has a name that was made up for want of one."""
    for text in (written.verilog, written.instrumented):
        assert "\\" not in text, "no name has to be escaped"
        assert "port$" not in text


def self_reading(text):
    """Signals that a combinational block reads while it assigns parts of them, which Verilator orders wrongly."""
    name = r"\\\S+ |[A-Za-z_$][\w$]*"
    found = []
    for block in re.findall(r"^  always @\* begin\n(.*?)^  end\n", text, flags=re.M | re.S):
        for part in set(re.findall(rf"^\s*({name})\s*\[[^\]]+\] = ", block, flags=re.M)):
            reads = re.sub(rf"^\s*{re.escape(part)}\s*(\[[^\]]+\])? = ", "", block, flags=re.M)
            found += [part] * (part in re.findall(name, reads))
    return found


def test_no_block_reads_a_signal_of_which_it_assigns_parts(written, of_maps):
    assert self_reading(written.verilog) == []
    assert self_reading(of_maps.instrumented) == []


def test_a_block_that_reads_what_it_assigns_is_seen():
    assert self_reading("  always @* begin\n    a[0] = b;\n    if (a[1]) begin\n    end\n  end\n") == ["a"]


def test_tells_nothing_of_who_wrote_it_and_where(written):
    for text in (written.verilog, written.instrumented):
        assert "Generated by" not in text
        assert "(* src" not in text
        assert ".py" not in text


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from test_hw_verilog import design
sys.stdout.write({kind!r} + design({kind!r}).instrumented)
"""


def test_is_the_same_in_every_process():
    tests = Path(__file__).parent
    texts = []
    for seed in ("0", "1"):
        script = SCRIPT.format(paths=[str(tests.parent), str(tests)], kind="current")
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        assert run.returncode == 0, run.stderr
        texts.append(run.stdout)
    assert texts[0] == texts[1]
    assert texts[0].startswith("current// Spiking network written")


@needs_icarus
@pytest.mark.parametrize(("made", "variant"), [("written", "verilog"), ("of_maps", "instrumented"), ("one", "verilog")])
def test_icarus_compiles_it_without_a_warning(made, variant, tmp_path, request):
    made = generate(network_of_one()) if made == "one" else request.getfixturevalue(made)
    source = tmp_path / "design.v"
    source.write_text(getattr(made, variant))
    command = ["iverilog", "-Wall", "-g2005", "-s", made.name, "-o", str(tmp_path / "design.vvp"), str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


BENCH = """
`timescale 1ns/1ps
module bench;
  reg clk = 0, rst = 1, valid = 0, user = 0, last = 0;
  reg [7:0] data;
  wire ready, answered, end_of_answer;
  wire [7:0] word;
  wire [15:0] dropped;
  spikeloom_written dut(
    .clk(clk), .rst(rst),
    .s_axis_tvalid(valid), .s_axis_tready(ready), .s_axis_tdata(data), .s_axis_tuser(user), .s_axis_tlast(last),
    .s_axis_dropped(dropped),
    .m_axis_tvalid(answered), .m_axis_tready(1'b1), .m_axis_tdata(word), .m_axis_tlast(end_of_answer));
  always #5 clk = !clk;
  task send(input [7:0] d, input u, input l); begin
    data = d; user = u; last = l; valid = 1;
    #1; while (!ready) begin @(negedge clk); #1; end
    @(negedge clk); valid = 0;
  end endtask
  always @(posedge clk) if (!rst && answered) begin
    $display("%0d %0d", $signed(word), end_of_answer);
    if (end_of_answer) begin $display("%0d dropped", dropped); $finish; end
  end
  initial begin
    repeat (3) @(negedge clk); rst = 0;
BEATS
    repeat (2000) @(negedge clk);
    $display("no answer"); $finish;
  end
endmodule
"""


def shown(made, beats, folder):
    """Lines that the bench writes."""
    source = folder / "bench.v"
    source.write_text(made.verilog + BENCH.replace("BEATS", "\n".join(beats)))
    subprocess.run(["iverilog", "-g2005", "-s", "bench", "-o", str(folder / "bench.vvp"), str(source)], check=True)
    run = subprocess.run(["vvp", "-n", str(folder / "bench.vvp")], capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if "finish" not in line]


@needs_icarus
def test_the_count_of_dropped_events_stays_at_its_largest(tmp_path):
    beats = ["    repeat (65600) send(8'd15, 0, 0);", "    send(0, 1, 1);"]
    assert shown(design(readout="count"), beats, tmp_path)[-1] == "65535 dropped"


@needs_icarus
def test_the_documented_ports_give_the_documented_answer(tmp_path):
    """Address low, value above it in two's complement; the data of a tick mean nothing; scores, then the answer."""
    counting = design(readout="count")
    rng = np.random.default_rng(5)
    sample = rng.integers(-2, 6, (9, 11)) * (rng.random((9, 11)) < 0.2)
    result = golden.run(counting.network, sample[np.newaxis], record=("spikes",))
    assert len(set(result.scores[0])) > 1
    assert (result.spikes["hidden"][0].sum(axis=1) > 0).sum() > 2, "ticks matter"
    beats = []
    for step, values in enumerate(sample):
        addresses = [*np.flatnonzero(values), *rng.integers(11, 16, step % 3)]
        spread = [*values, *rng.integers(-2, 6, 5)]
        beats += [
            f"    send({address | (int(spread[address]) & 15) << 4}, 0, 0);" for address in rng.permutation(addresses)
        ]
        beats.append(f"    send({rng.integers(256)}, 1, {int(step == 8)});")
    *lines, dropped = shown(counting, beats, tmp_path)
    assert dropped == "9 dropped"
    words = [tuple(int(part) for part in line.split()) for line in lines]
    assert words == [*((int(score), 0) for score in result.scores[0]), (int(result.answers[0]), 1)]


def test_names_that_had_to_be_escaped_are_plain_and_differ():
    text = (
        "module \\a.b (x, \\sums[0] , \\x$1 );\n  wire [3:0] \\sums[0] ;\n  wire sums_0, \\end , \\0 ;\n"
        "  assign x = \\sums[0] [3:1] == \\sums(0 ;\n  \\c.d e(.\\x$1 (\\end ));\nendmodule\n"
    )
    assert plain_names(text) == (
        "module a_b(x, sums_0_, x_1);\n  wire [3:0] sums_0_;\n  wire sums_0, end_, _0;\n"
        "  assign x = sums_0_[3:1] == sums_0__;\n  c_d e(.x_1(end_));\nendmodule\n"
    )
