import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from boards.board import BOARDS
from boards.messages import FAULTS
from hw.beats import beats
from sim import golden
from snn.recipes import RECIPES
from spikeloom.pipeline import generate, quantized
from spikeloom.source import find_source
from spikeloom.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ("study",)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

BENCH = """
module bench;
  reg clk = 0, rst = 1, start = 0, end_of_image = 0;
  reg [5:0] pixel = 0;
  reg [4:0] value = 0;
  wire ready, done;
  wire [3:0] digit;
  reg [12:0] beats [0:COUNT-1];
  integer sent = 0;
  example dut(clk, rst, start, pixel, value, end_of_image, ready, digit, done);
  always #1 clk = !clk;
  initial begin $readmemh("beats.hex", beats); repeat (3) @(posedge clk); #1 rst = 0; end
  always @(negedge clk) if (!rst) begin
    start = sent < COUNT;
    {end_of_image, value, pixel} = start ? beats[sent] : 0;
  end
  always @(posedge clk) begin
    if (start && ready) sent <= sent + 1;
    if (done) begin $display("digit %0d", digit); if (sent == COUNT) $finish; end
  end
  initial #200000 $finish;
endmodule
"""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_there(page, spikeloom):
    """Every verb and long option that a page shows."""
    found = re.findall(r"^spikeloom (\w+)(.*?)(?:#.*)?$", "\n".join(blocks(page, "sh")), re.MULTILINE)
    found += re.findall(r"`spikeloom ([a-z]+)([^`]*)`", page.read_text())
    for verb, rest in found:
        # The options of a group, as study, are those of its commands.
        inner = re.match(r" ([a-z]+)", rest)
        words = spikeloom(verb, *([inner[1]] if verb in GROUPS and inner else []), "--help").out
        for option in re.findall(r"--[\w-]+", rest):
            assert option in words, f"{verb} {option}"


def test_boards_and_recipes_are_named():
    readme = (ROOT / "README.md").read_text().lower()
    assert all(board.title.split()[-1].lower() in readme for board in BOARDS.values())
    assert all(name in (ROOT / "docs" / "getting-started.md").read_text() for name in ("digits-klif", "fashion-klif"))
    assert {"digits-klif", "fashion-klif"} <= set(RECIPES)


def test_every_fault_of_the_link_is_named():
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "link.md").read_text(), re.MULTILINE)
    assert {int(row) for row in rows} >= set(FAULTS)


def test_the_python_of_getting_started_runs(tmp_path):
    program = "\n".join(blocks("docs/getting-started.md", "python"))
    command = [sys.executable, "-W", "error", "-c", program]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build" / "mine" / "network.v").exists()


@pytest.mark.skipif(which("iverilog") is None, reason="needs iverilog on PATH")
def test_the_verilog_example_answers_as_the_golden_model(tmp_path):
    network, _ = quantized(find_source("digits-klif").model)
    design = generate(network, Workspace(folder=tmp_path))
    layout = design.input_layout
    assert (layout["address"].width, layout["value"].width) == (6, 5)
    inputs = np.random.default_rng(0).integers(0, 17, (5, 64))
    stream = np.concatenate([beats(network, sample) for sample in inputs])
    words = stream["tick"].astype(int) << 11 | stream["value"] << 6 | stream["address"]
    (tmp_path / "beats.hex").write_text("\n".join(f"{word:x}" for word in words))
    (example,) = blocks("docs/verilog.md", "verilog")
    (tmp_path / "bench.v").write_text(example + BENCH.replace("COUNT", str(len(words))))
    compiled = ["iverilog", "-g2005", "-s", "bench", "-o", "bench", "bench.v", "network.v"]
    subprocess.run(compiled, cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.findall(r"digit (\d+)", done.stdout) == [str(answer) for answer in golden.run(network, inputs).answers]
