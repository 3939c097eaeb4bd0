"""Two small networks, written in Verilog by hand: what a checker must accept, and break to its cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from hw.layout import BeatLayout
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.ranges import Range

__all__ = ["INPUTS", "NETWORK", "WAVES", "WAVE_INPUTS", "Handmade", "Waves"]

NETWORK = Network(
    name="handmade",
    steps=4,
    input=Input(shape=(3,), low=-1, high=2),
    populations=(
        Population(
            name="hidden",
            shape=(3,),
            threshold=5,
            reset="subtract",
            decay=Decay(numerator=3, shift=2),
            state_min=-4,
            state_max=6,
        ),
        Population(name="out", shape=(2,), threshold=3, state_min=0, state_max=7),
    ),
    connections=(
        Connection(
            source="input",
            target="hidden",
            kind="dense",
            weights=np.array([[3, -2, 1], [1, 2, 3], [-3, 4, 2]]),
            weight_bits=4,
        ),
        Connection(
            source="hidden", target="out", kind="dense", weights=np.array([[1, 2, 0], [2, 0, 3]]), weight_bits=4
        ),
    ),
    readout=Readout(population="out"),
)

INPUTS = np.random.default_rng(5).integers(-1, 3, (12, 4, 3))

_VERILOG = """
module spikeloom_handmade(
  input clk, input rst,
  input s_axis_tvalid, output s_axis_tready, input [7:0] s_axis_tdata, input s_axis_tuser, input s_axis_tlast,
  output m_axis_tvalid, input m_axis_tready, output [7:0] m_axis_tdata, output m_axis_tlast,
  input [1:0] pause,
  output trace_hidden_valid, output trace_hidden_index, output trace_hidden_last,
  output [1:0] trace_hidden_spikes, output [7:0] trace_hidden_membranes,
  output trace_out_valid, output trace_out_last, output [1:0] trace_out_spikes, output [5:0] trace_out_membranes
);
  localparam TAKE = 0, HIDDEN = 1, OUT = 2, SCORE0 = 3, SCORE1 = 4, ANSWER = 5;
  reg [2:0] state;
  reg last, row;
  reg signed [15:0] sum [0:3];
  reg signed [15:0] v [0:3];
  reg signed [15:0] u [0:1];
  reg [3:0] count [0:1];

  function signed [15:0] weight(input [1:0] target, input [1:0] source);
    case ({target, source})
      4'h0: weight = 3;  4'h1: weight = -2; 4'h2: weight = 1;
      4'h4: weight = 1;  4'h5: weight = 2;  4'h6: weight = 3;
      4'h8: weight = -3; 4'h9: weight = 4;  4'ha: weight = 2;
      default: weight = 0;
    endcase
  endfunction
  function signed [15:0] kept(input signed [15:0] h);
    reg signed [15:0] d;
    begin
      d = ((h >= 5 ? h - 5 : h) * 3 + 2) >>> 2;
      kept = d < -4 ? -4 : d > 6 ? 6 : d;
    end
  endfunction

  wire [1:0] address = s_axis_tdata[1:0];
  wire signed [2:0] value = s_axis_tdata[4:2];

  // Sweep of two hidden neurons, and of the outputs.
  wire [1:0] n0 = {row, 1'b0}, n1 = {row, 1'b1};
  wire signed [15:0] h0 = v[n0] + sum[n0], h1 = v[n1] + sum[n1];
  wire signed [15:0] k0 = kept(h0), k1 = kept(h1);
  wire s0 = h0 >= 5, s1 = h1 >= 5 && !row;
  wire o0 = u[0] >= 3, o1 = u[1] >= 3;
  wire signed [15:0] u0 = o0 ? 0 : u[0], u1 = o1 ? 0 : u[1];
  wire [2:0] r0 = u0 > 7 ? 7 : u0, r1 = u1 > 7 ? 7 : u1;

  assign s_axis_tready = state == TAKE;
  assign trace_hidden_valid = state == HIDDEN && !pause[0];
  assign trace_hidden_index = row;
  assign trace_hidden_last = last;
  assign trace_hidden_spikes = {s1, s0};
  assign trace_hidden_membranes = {k1[3:0], k0[3:0]};
  assign trace_out_valid = state == OUT && !pause[1];
  assign trace_out_last = last;
  assign trace_out_spikes = {o1, o0};
  assign trace_out_membranes = {r1, r0};
  assign m_axis_tvalid = state >= SCORE0;
  assign m_axis_tdata = state == SCORE0 ? count[0] : state == SCORE1 ? count[1] : count[1] > count[0];
  assign m_axis_tlast = state == ANSWER;

  integer k;
  always @(posedge clk)
    if (rst) begin
      state <= TAKE; row <= 0;
      for (k = 0; k < 4; k = k + 1) begin sum[k] <= 0; v[k] <= 0; end
      for (k = 0; k < 2; k = k + 1) begin u[k] <= 0; count[k] <= 0; end
    end else case (state)
      TAKE: if (s_axis_tvalid) begin
        if (s_axis_tuser) begin state <= HIDDEN; last <= s_axis_tlast; end
        else for (k = 0; k < 3; k = k + 1) sum[k] <= sum[k] + weight(k, address) * value;
      end
      HIDDEN: if (!pause[0]) begin
        v[n0] <= k0; v[n1] <= k1;
        sum[n0] <= 0; sum[n1] <= 0;
        u[0] <= u[0] + (row ? 0 : s0 + 2 * s1);
        u[1] <= u[1] + (row ? 3 * s0 : 2 * s0);
        row <= !row;
        if (row) state <= OUT;
      end
      OUT: if (!pause[1]) begin
        u[0] <= r0; u[1] <= r1;
        count[0] <= count[0] + o0; count[1] <= count[1] + o1;
        state <= last ? SCORE0 : TAKE;
      end
      default: if (m_axis_tready) begin
        if (state == ANSWER) begin
          state <= TAKE;
          for (k = 0; k < 4; k = k + 1) v[k] <= 0;
          for (k = 0; k < 2; k = k + 1) begin u[k] <= 0; count[k] <= 0; end
        end else state <= state + 1;
      end
    endcase
endmodule
"""


#: Ternary neurons of second order, in a map; and a readout of membranes, which never fires.
WAVES = Network(
    name="waves",
    steps=4,
    input=Input(shape=(2,), low=-2, high=2),
    populations=(
        Population(
            name="wave",
            shape=(2, 1, 2),
            threshold=4,
            reset="subtract",
            ternary=True,
            decay=Decay(numerator=3, shift=2),
            current_decay=Decay(numerator=1, shift=1),
            state_min=-6,
            state_max=6,
            current_min=-5,
            current_max=5,
        ),
        Population(name="out", shape=(2,), threshold=None, reset="none", state_min=-9, state_max=9),
    ),
    connections=(
        Connection(
            source="input",
            target="wave",
            kind="dense",
            weights=np.array([[3, -2], [1, 2], [-3, 3], [2, 1]]),
            weight_bits=4,
        ),
        Connection(
            source="wave", target="out", kind="dense", weights=np.array([[3, 2, -1, 1], [2, -1, 3, -3]]), weight_bits=4
        ),
    ),
    readout=Readout(population="out", kind="membrane", reduce="last"),
)

WAVE_INPUTS = np.random.default_rng(6).integers(-2, 3, (12, 4, 2))

_WAVES_VERILOG = """
module spikeloom_waves(
  input clk, input rst,
  input s_axis_tvalid, output s_axis_tready, input [7:0] s_axis_tdata, input s_axis_tuser, input s_axis_tlast,
  output m_axis_tvalid, input m_axis_tready, output [7:0] m_axis_tdata, output m_axis_tlast,
  input [2:0] pause,
  output trace_wave_valid, output trace_wave_index, output trace_wave_last,
  output [3:0] trace_wave_spikes, output [7:0] trace_wave_membranes, output [7:0] trace_wave_currents,
  output trace_out_valid, output trace_out_last, output [1:0] trace_out_spikes, output [9:0] trace_out_membranes
);
  localparam TAKE = 0, WAVE = 1, OUT = 2, SCORE0 = 3, SCORE1 = 4, ANSWER = 5;
  reg [2:0] state;
  reg last, row;
  reg signed [15:0] sum [0:3];
  reg signed [15:0] v [0:3];
  reg signed [15:0] i [0:3];
  reg signed [15:0] u [0:1];
  reg signed [15:0] h [0:1];

  function signed [15:0] weight(input [1:0] target, input source);
    case ({target, source})
      0: weight = 3;  1: weight = -2;
      2: weight = 1;  3: weight = 2;
      4: weight = -3; 5: weight = 3;
      6: weight = 2;  7: weight = 1;
    endcase
  endfunction
  function signed [15:0] clip(input signed [15:0] x, input signed [15:0] rail);
    clip = x < -rail ? -rail : x > rail ? rail : x;
  endfunction
  function signed [15:0] spike(input signed [15:0] h);
    spike = h >= 4 ? 1 : h <= -4 ? -1 : 0;
  endfunction
  function signed [15:0] kept(input signed [15:0] h);
    kept = clip(((h - 4 * spike(h)) * 3 + 2) >>> 2, 6);
  endfunction

  wire address = s_axis_tdata[0];
  wire signed [2:0] value = s_axis_tdata[3:1];

  // A word is a place of the map: one neuron of either channel.
  wire [1:0] n0 = {1'b0, row}, n1 = {1'b1, row};
  wire signed [15:0] j0 = i[n0] + sum[n0], j1 = i[n1] + sum[n1];
  wire signed [15:0] s0 = spike(v[n0] + j0), s1 = spike(v[n1] + j1);
  wire signed [15:0] k0 = kept(v[n0] + j0), k1 = kept(v[n1] + j1);
  wire signed [15:0] c0 = clip((j0 + 1) >>> 1, 5), c1 = clip((j1 + 1) >>> 1, 5);
  wire signed [15:0] r0 = clip(u[0], 9), r1 = clip(u[1], 9);

  assign s_axis_tready = state == TAKE;
  assign trace_wave_valid = state == WAVE && !pause[0];
  assign trace_wave_index = row;
  assign trace_wave_last = last;
  assign trace_wave_spikes = {s1[1:0], s0[1:0]};
  assign trace_wave_membranes = {k1[3:0], k0[3:0]};
  assign trace_wave_currents = {c1[3:0], c0[3:0]};
  assign trace_out_valid = state == OUT && !pause[1];
  assign trace_out_last = last;
  assign trace_out_spikes = 0;
  assign trace_out_membranes = {r1[4:0], r0[4:0]};
  assign m_axis_tvalid = state >= SCORE0;
  assign m_axis_tdata = state == SCORE0 ? h[0] : state == SCORE1 ? h[1] : h[1] > h[0];
  assign m_axis_tlast = state == ANSWER;

  integer k;
  always @(posedge clk)
    if (rst) begin
      state <= TAKE; row <= 0;
      for (k = 0; k < 4; k = k + 1) begin sum[k] <= 0; v[k] <= 0; i[k] <= 0; end
      for (k = 0; k < 2; k = k + 1) u[k] <= 0;
    end else case (state)
      TAKE: if (s_axis_tvalid) begin
        if (s_axis_tuser) begin state <= WAVE; last <= s_axis_tlast; end
        else for (k = 0; k < 4; k = k + 1) sum[k] <= sum[k] + weight(k, address) * value;
      end
      WAVE: if (!pause[0]) begin
        v[n0] <= k0; v[n1] <= k1;
        i[n0] <= c0; i[n1] <= c1;
        sum[n0] <= 0; sum[n1] <= 0;
        u[0] <= u[0] + (row ? 2 * s0 + s1 : 3 * s0 - s1);
        u[1] <= u[1] + (row ? -s0 - 3 * s1 : 2 * s0 + 3 * s1);
        row <= !row;
        if (row) state <= OUT;
      end
      OUT: if (!pause[1]) begin
        h[0] <= u[0]; h[1] <= u[1];
        u[0] <= r0; u[1] <= r1;
        state <= last ? SCORE0 : TAKE;
      end
      default: if (m_axis_tready) begin
        if (state == ANSWER) begin
          state <= TAKE;
          for (k = 0; k < 4; k = k + 1) begin v[k] <= 0; i[k] <= 0; end
          for (k = 0; k < 2; k = k + 1) u[k] <= 0;
        end else state <= state + 1;
      end
    endcase
endmodule
"""


def _core(name: str, neurons: Sequence[Sequence[int]]) -> Any:
    return SimpleNamespace(name=name, word_tiling=SimpleNamespace(neurons=np.array(neurons)), skips=False)


@dataclass(frozen=True, kw_only=True)
class Handmade:
    """The first as :mod:`sim.testbench` wants it, with the parts of its text ``old`` replaced by ``new``."""

    old: str = ""
    new: str = ""
    name: str = "spikeloom_handmade"
    text: str = _VERILOG
    score_width: int = 5
    classes: int = 2

    @property
    def instrumented(self) -> str:
        if self.old and self.text.count(self.old) != 1:
            raise ValueError(f"{self.old!r} must stand once in the Verilog, not {self.text.count(self.old)} times")
        return self.text.replace(self.old, self.new) if self.old else self.text

    @property
    def cores(self) -> tuple[Any, ...]:
        return _core("hidden", [[0, 1], [2, -1]]), _core("out", [[0, 1]])

    @property
    def input_layout(self) -> BeatLayout:
        return BeatLayout((3,), Range(-1, 2))

    def predict(self, result: Any, inputs: Any) -> Any:
        """Beats, two words and one word a step, three output beats."""
        return result.totals["input"] + NETWORK.steps * (1 + 2 + 1) + 3


@dataclass(frozen=True, kw_only=True)
class Waves(Handmade):
    """The second. It has a core that is no population."""

    name: str = "spikeloom_waves"
    text: str = _WAVES_VERILOG
    score_width: int = 8

    @property
    def cores(self) -> tuple[Any, ...]:
        return _core("wave", [[0, 2], [1, 3]]), _core("out", [[0, 1]]), SimpleNamespace(name="scores")

    @property
    def input_layout(self) -> BeatLayout:
        return BeatLayout((2,), Range(-2, 2))
