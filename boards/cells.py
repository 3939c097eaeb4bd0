"""Cells of ECP5 that Yosys uses and has no models of: a block RAM and a multiplier, in Verilog.

They do what Yosys' mapping expects of them (its ``lattice/brams_16kd.txt`` and ``dsp_map_18x18.v``), and have its
settings alone: no output registers, no cascades.
"""

__all__ = ["MODELS"]


def _bus(name: str, width: int) -> str:
    return ", ".join(f"{name}{bit}" for bit in reversed(range(width)))


def _port(port: str, other: str) -> str:
    """One of the two ports of a block RAM.

    Bits are counted in bytes of nine. A port of 1, 2 or 4 bits does not reach a byte's ninth; one of 36 takes its upper
    half from, and gives it to, the other port's pins.
    """
    return f"""
  wire [13:0] address_{port} = {{{_bus(f"AD{port}", 14)}}};
  wire [35:0] given_{port} = {{{_bus(f"DI{other}", 18)}, {_bus(f"DI{port}", 18)}}};
  reg [35:0] found_{port} = 0;
  integer bit_{port}, base_{port}, write_{port};
  always @(posedge clock_{port}) begin
    if (DATA_WIDTH_{port} == 36) base_{port} = 36 * address_{port}[13:5];
    else if (DATA_WIDTH_{port} == 18) base_{port} = 18 * address_{port}[13:4];
    else base_{port} = 9 * address_{port}[13:3];
    if (DATA_WIDTH_{port} < 9) base_{port} = base_{port} + (address_{port}[2:0] & ~(DATA_WIDTH_{port} - 1));
    write_{port} = CE{port} & WE{port} & ~RST{port};
    for (bit_{port} = 0; bit_{port} < DATA_WIDTH_{port}; bit_{port} = bit_{port} + 1) begin
      if (CE{port} && (!write_{port} || WRITEMODE_{port} == "READBEFOREWRITE"))
        found_{port}[bit_{port}] <= bits[base_{port} + bit_{port}];
      if (write_{port} && (DATA_WIDTH_{port} < 18 || address_{port}[bit_{port} / 9])) begin
        bits[base_{port} + bit_{port}] <= given_{port}[bit_{port}];
        if (WRITEMODE_{port} == "WRITETHROUGH") found_{port}[bit_{port}] <= given_{port}[bit_{port}];
      end
    end
    if (RST{port}) found_{port} <= 0;
  end
"""


_SLICES = [f"INITVAL_{index:02X}" for index in range(64)]
_FILL = "\n".join(
    f"    for (row = 0; row < 16; row = row + 1) bits[18 * ({16 * index} + row) +: 18] = {name}[20 * row +: 18];"
    for index, name in enumerate(_SLICES)
)

_BLOCK_RAM = f"""
module DP16KD (
  input {_bus("DIA", 18)}, {_bus("DIB", 18)}, {_bus("ADA", 14)}, {_bus("ADB", 14)},
  input CEA, OCEA, CLKA, WEA, RSTA, {_bus("CSA", 3)}, CEB, OCEB, CLKB, WEB, RSTB, {_bus("CSB", 3)},
  output {_bus("DOA", 18)}, {_bus("DOB", 18)}
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL", CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "AUTO";
  parameter [319:0] {", ".join(f"{name} = 0" for name in _SLICES)};
  reg [18431:0] bits;
  integer row;
  initial begin
{_FILL}
  end
  wire clock_A = CLKA, clock_B = CLKB;
{_port("A", "B")}{_port("B", "A")}
  assign {{{_bus("DOA", 18)}}} = DATA_WIDTH_B == 36 ? found_B[17:0] : found_A[17:0];
  assign {{{_bus("DOB", 18)}}} = DATA_WIDTH_B == 36 ? found_B[35:18] : found_B[17:0];
endmodule
"""

_MULTIPLIER = f"""
module MULT18X18D (
  input {_bus("A", 18)}, {_bus("B", 18)}, {_bus("C", 18)}, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  output {_bus("P", 36)}
);
  wire [17:0] a = {{{_bus("A", 18)}}}, b = {{{_bus("B", 18)}}};
  wire signed [35:0] wide_a = {{{{18{{SIGNEDA & a[17]}}}}, a}}, wide_b = {{{{18{{SIGNEDB & b[17]}}}}, b}};
  assign {{{_bus("P", 36)}}} = wide_a * wide_b;
endmodule
"""

#: Verilog, by family.
MODELS = {"ice40": "", "ecp5": _BLOCK_RAM + _MULTIPLIER}
