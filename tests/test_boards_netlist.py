"""Netlists: what Yosys makes of a top level, simulated cell by cell."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from boards.board import BOARDS
from boards.link import Link
from boards.netlist import models_used, synthesise
from boards.steps import BuildError
from hw.memory import Ram
from hw.plan import plan_network
from quant.ir import Readout
from sim.board import simulated_board
from tests.links import same_as_golden, small_network
from tests.tools import needs_netlists
from tests.whole import random_inputs, random_network

ICE40, ECP5 = BOARDS["icebreaker"], BOARDS["ulx3s-25f"]
FAMILIES = pytest.mark.parametrize("board", [ICE40, ECP5], ids=["ice40", "ecp5"])


def assert_answers(network, inputs, board, **hardware):
    simulated = simulated_board(network, simulator="icarus", sources=partial(synthesise, board=board), **hardware)
    with simulated as found, Link(found.port, timeout_s=300.0) as link:
        if link.info().image_bytes:
            link.load(found.image)
        same_as_golden(link, network, inputs)


@needs_netlists
@FAMILIES
@pytest.mark.parametrize("hardware", [{}, {"lanes": 1, "skips": True}], ids=["plain", "skips"])
def test_a_netlist_answers_as_the_golden_model(board, hardware):
    network = small_network()
    assert plan_network(network, **hardware).cores[0].skips == bool(hardware)
    assert_answers(network, np.random.default_rng(5).integers(0, 2, (4, 3, 6)), board, **hardware)


@needs_netlists
@FAMILIES
def test_scores_below_zero_come_out_of_a_netlist(board):
    """Of 12 bits, in two bytes each: the sign fills the upper one."""
    network = small_network()
    silent = {"threshold": None, "reset": "none", "reset_amount": None}
    last = replace(network.populations[1], **silent, initial=-700, state_min=-1504, state_max=788)
    readout = Readout(population="second", kind="membrane")
    network = replace(network, populations=(network.populations[0], last), readout=readout)
    assert_answers(network, np.random.default_rng(5).integers(0, 2, (2, 3, 6)), board, lanes=1)


@needs_netlists
@pytest.mark.slow
@FAMILIES
def test_a_netlist_takes_weights(board):
    storage = {"first": "spram" if board is ICE40 else "ram", "second": "ram"}
    assert_answers(small_network(), np.random.default_rng(6).integers(0, 2, (4, 3, 6)), board, storage=storage)


@needs_netlists
@pytest.mark.slow
@FAMILIES
@pytest.mark.parametrize("seed", range(3))
def test_netlists_of_random_networks_answer_as_the_golden_model(board, seed):
    rng = np.random.default_rng(9000 + seed)
    network = random_network(rng, neurons=40)
    assert_answers(network, random_inputs(rng, network, 3), board, lanes=int(rng.integers(1, 5)))


LOG = """\
Parsing Verilog input from `cells.v' to AST representation.
-- Verilog code after preprocessor --
`file_push "cells.v"
module A(input I, output O);
  B #(.INIT(1)) inner (.I(I), .O(O));
endmodule
module B (input I, output O);
  assign O = I;
endmodule
(* blackbox *)
module C(
  input I);
endmodule
module D(input I); endmodule
module A(input I, output O);
  B second (.I(I), .O(O));
endmodule
`file_pop
-- END OF DUMP --
module D(); endmodule
"""


def test_models_are_those_that_a_netlist_needs_each_once_and_none_that_is_but_a_name():
    found = models_used(LOG, "module board(); A a(); C c(); endmodule")
    assert re.findall(r"^module (\w)", found, re.MULTILINE) == ["A", "B"]
    assert "second" in found
    assert "inner" not in found


@FAMILIES
def test_synthesis_that_fails_is_said(board, tmp_path, monkeypatch):
    tool = tmp_path / "yosys"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Yosys 0.70 && exit\necho ERROR: no such thing > top.rpt\nexit 1\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(tool))
    with pytest.raises(BuildError, match=rf"^Synthesis for {board.title} failed: ERROR: no such thing$"):
        synthesise(Ram(width=2, depth=4), board)
