"""Cells that this package has models of: parts whose netlists have them do what was generated, with random inputs."""

import re
import subprocess

import numpy as np
import pytest
from amaranth import Module, Shape, signed, unsigned
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards.board import BOARDS
from boards.cells import MODELS
from boards.netlist import synthesise
from hw.memory import Ram, Rom
from sim.board import MODULE
from sim.tools import find_simulator
from tests.tools import needs_netlists

ECP5 = BOARDS["ulx3s-25f"]


class Product(wiring.Component):
    """A product of 18 bits each, which an ECP5 makes in a DSP, behind a register."""

    def __init__(self, shape):
        super().__init__({"a": In(shape), "b": In(shape), "o": Out(signed(36))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a * self.b)
        return m


def bench(inputs, outputs, cycles):
    """Two modules, ``plain`` and the netlist, with the same random inputs: counts the cycles in which they differ."""
    given = "".join(f".{name}({name}), " for name in inputs)
    modules = (
        f"  {module} {of}({given}{', '.join(f'.{name}({of}_{name})' for name in outputs)}, .clk(clk), .rst(1'b0));\n"
        for module, of in (("plain", "generated"), (MODULE, "made"))
    )
    random = "".join(f"      {name} = {{$random, $random}};\n" for name in inputs)
    same = " && ".join(f"generated_{name} === made_{name}" for name in outputs)
    return f"""
`timescale 1ns/1ps
module bench;
  reg clk = 0;
  integer cycle, wrong = 0;
{"".join(f"  reg [{width - 1}:0] {name} = 0;{chr(10)}" for name, width in inputs.items())}
{"".join(f"  wire [{width - 1}:0] generated_{name}, made_{name};{chr(10)}" for name, width in outputs.items())}
{"".join(modules)}
  initial begin
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
{random}      #1 clk = 1;
      #1 if (cycle > 1 && !({same})) wrong = wrong + 1;
      clk = 0;
      #1;
    end
    $display("%0d", wrong);
  end
endmodule
"""


def differences(make, folder, cell, alter=lambda models: models, cycles=4000):
    """Cycles in which a component and its netlist, which has a ``cell``, differ."""
    netlist, known, own = synthesise(make(), ECP5)
    assert re.search(rf"^\s*{cell}\b", netlist, re.MULTILINE)
    component = make()
    inputs, outputs = (
        {
            name: Shape.cast(member.shape).width
            for name, member in component.signature.members.items()
            if member.flow is flow
        }
        for flow in (In, Out)
    )
    plain = verilog.convert(component, name="plain", emit_src=False)
    (folder / "bench.v").write_text("\n".join([netlist, known, alter(own), plain, bench(inputs, outputs, cycles)]))
    compiler = find_simulator("icarus").compiler
    subprocess.run([compiler, "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"], cwd=folder, check=True)
    done = subprocess.run(["vvp", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def words(width, depth):
    rng = np.random.default_rng(width)
    return [int.from_bytes(rng.bytes(8), "little") % 2**width for _ in range(depth)]


@needs_netlists
@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "depth"), [(1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512), (40, 256), (12, 512)]
)
def test_block_rams(width, depth, tmp_path):
    assert not differences(lambda: Ram(width=width, depth=depth, init=words(width, depth)), tmp_path, "DP16KD")


@needs_netlists
@pytest.mark.slow
@pytest.mark.parametrize(("width", "depth"), [(3, 4096), (9, 2048), (36, 512), (64, 512)])
def test_block_rams_that_are_only_read(width, depth, tmp_path):
    assert not differences(lambda: Rom(width=width, init=words(width, depth)), tmp_path, "DP16KD")


@needs_netlists
@pytest.mark.slow
@pytest.mark.parametrize("shape", [signed(18), unsigned(18), signed(11)])
def test_products(shape, tmp_path):
    assert not differences(lambda: Product(shape), tmp_path, "MULT18X18D")


@needs_netlists
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "cell", "right", "wrong"),
    [
        (lambda: Ram(width=9, depth=2048, init=words(9, 2048)), "DP16KD", "= 9 * address_A", "= 8 * address_A"),
        (lambda: Ram(width=4, depth=4096, init=words(4, 4096)), "DP16KD", "[2:0] & ~", "[1:0] & ~"),
        (lambda: Ram(width=18, depth=1024, init=words(18, 1024)), "DP16KD", "base_A = 18 *", "base_A = 16 *"),
        (lambda: Rom(width=36, init=words(36, 512)), "DP16KD", "= 36 * address_B", "= 18 * address_B"),
        (lambda: Rom(width=9, init=words(9, 2048)), "DP16KD", "[20 * row +: 18]", "[18 * row +: 18]"),
        (lambda: Product(signed(18)), "MULT18X18D", "SIGNEDA & a[17]", "1'b0"),
        (lambda: Product(unsigned(18)), "MULT18X18D", "SIGNEDB & b[17]", "b[17]"),
    ],
    ids=["rows of a byte", "bits of a byte", "rows of 18", "rows of 36", "contents", "sign", "no sign"],
)
def test_models_that_are_wrong_are_seen(make, cell, right, wrong, tmp_path):
    assert right in MODELS["ecp5"]
    assert differences(make, tmp_path, cell, lambda models: models.replace(right, wrong))
