// Drives @module@ from @stimulus@ and records its answers and traces.
`timescale 1ns/1ps
module @top@(
  input clk /*verilator public_flat_rw*/,
  input rst /*verilator public_flat_rw*/,
  input run /*verilator public_flat_rw*/,  // see clock.h
  output reg done /*verilator public_flat_rw*/
);
  // One run: numbers of the command line.
  reg [63:0] patience, drain, answers_most;
  reg [31:0] seed, stall;
  integer isolate;  // cycles without a transfer before a sample begins; 0: it need not wait

  // Stalls: stream 0 is the input, 1 the output, 2 and up the cores. A stream stalls, or does not, for 1, 2, 4 ... 64
  // cycles, each length half as likely as the one before, so that queues fill and empty at times.
  localparam STREAMS = @cores@ + 2;
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
  reg [@data@-1:0] s_data;
  wire s_ready, m_valid, m_last;
  wire m_ready = !stalled[1];
  wire [@answer@-1:0] m_data;
@wires@
  @module@ dut(
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
    .pause(stalled[STREAMS-1:2])@connections@
  );
  wire [@control@-1:0] control = {s_ready, m_valid, @valids@};

  // State of the run. A beat read from the file is {last, tick, data}.
  integer stimulus_file, answers_file, summary_file, read, k;
  reg [@data@+1:0] beat;
  reg have, starting, overflow, timed_out, unknown, complete;
  reg [@control@-1:0] unknown_bits;
  reg [63:0] cycle, idle, accepted, sent, answered, answers, unknown_cycle;
  reg [63:0] first [0:1023];  // cycle of a sample's first beat; no pipeline holds 1024 samples

  task fetch;
    begin
      read = $fscanf(stimulus_file, "%h", beat);
      have = read == 1;
    end
  endtask

  initial begin
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
    {s_valid, s_tick, s_last, s_data} = 0;
    starting = 1;
    {overflow, timed_out, unknown, complete} = 0;
    unknown_bits = 0;
    {cycle, idle, accepted, sent, answered, answers, unknown_cycle} = 0;
    for (k = 0; k < 1024; k = k + 1) first[k] = 0;
    stimulus_file = $fopen("@stimulus@", "r");
    answers_file = $fopen("@answers@", "w");
@open@
    fetch;
  end

  always @(posedge clk)
    for (k = 0; k < STREAMS; k = k + 1) begin
      noise[k] <= xorshift(noise[k]);
      if (held[k] == 0) begin
        stalled[k] <= {16'b0, noise[k][31:16]} < stall;
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
        @write_answer@
        if (m_last) begin
          answered = answered + 1;
          $fflush(answers_file);
        end
        if (answers > answers_most) overflow = 1;
      end
@record@
      if (!unknown && ^control === 1'bx) begin
        unknown = 1;
        unknown_bits = control;
        unknown_cycle = cycle;
      end

      // A beat once offered stays until it is taken.
      if (!s_valid || s_ready) begin
        s_valid <= 0;
        if (have && !stalled[0] && !(isolate != 0 && starting && (answered != sent || idle < isolate))) begin
          {s_last, s_tick, s_data} <= beat;
          s_valid <= 1;
          fetch;
        end
      end

      complete = !have && (!s_valid || s_ready) && answers >= answers_most;
      timed_out = !complete && idle >= patience;
      if (timed_out || overflow || unknown || (complete && idle >= drain)) begin
        summary_file = $fopen("@summary@", "w");
        $fwrite(summary_file, "%0d %0d %0d %0d %0d %b %0d @counts@\n", cycle, accepted, answered, timed_out, overflow,
                unknown ? unknown_bits : @control@'d0, unknown_cycle, @words@);
        $fclose(summary_file);
        $fclose(answers_file);
@close@
        done <= 1;
      end
      cycle = cycle + 1;
    end
endmodule
