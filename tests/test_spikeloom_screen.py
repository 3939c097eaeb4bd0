import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from spikeloom.screen import Screen
from spikeloom.tables import facts, percent, span, table


def test_json_is_one_line_on_standard_output(capsys):
    values = {"array": np.arange(3), "number": np.float32(0.5), "path": Path("a/b"), "words": "[bold]ü"}
    Screen(as_json=True).show(values, "not this")
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out.count("\n") == 1
    assert json.loads(written.out) == {"array": [0, 1, 2], "number": 0.5, "path": "a/b", "words": "[bold]ü"}


def test_numbers_that_json_lacks_are_refused(capsys):
    with pytest.raises(ValueError, match="JSON"):
        Screen(as_json=True).show({"x": float("nan")})


def test_messages_go_to_standard_error_as_they_are(capsys):
    Screen().say("[red] 1 of 2 [/red] " + "x" * 300)
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "[red] 1 of 2 [/red] " + "x" * 300 + "\n")


def test_a_log_hears_now_and_then_how_far_it_is(capsys, monkeypatch):
    clock = iter([0, 0, 20, 31, 31, 40, 62, 62])
    monkeypatch.setattr("spikeloom.screen.monotonic", lambda: next(clock))
    with Screen().progress() as advance:
        advance("Training", 0, 9)
        for done in range(1, 5):
            advance(f"Training\nloss 0.{done}", done, 9)
    lines = ["Training ...", "Training 2/9 loss 0.2", "Training 4/9 loss 0.4"]
    assert capsys.readouterr().err.splitlines() == lines


def test_tables_go_to_standard_output(capsys):
    Screen().show({}, table("Title", ("a", "b"), [("x", 1), ("y", None)]), "words [1]")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Title"
    assert [line.split("│")[1:3] for line in lines if "│" in line] == [[" x ", " 1 "], [" y ", " - "]]
    assert lines[-1] == "words [1]"


def test_without_a_terminal_each_stage_is_told_once(capsys):
    with Screen().progress() as advance:
        for done in range(3):
            advance("Compiling\nfile 1", done, 3)
        advance("Running", 0, 1)
    assert capsys.readouterr().err == "Compiling ...\nRunning ...\n"


def test_on_a_terminal_stages_are_bars():
    screen, shown = Screen(), io.StringIO()
    screen.messages = Console(file=shown, force_terminal=True, width=100)
    with screen.progress() as advance:
        advance("Synthesis\n[1/3] reading", 0, 1)
        advance("Running", 2, 5)
    assert "Synthesis  [1/3] reading" in shown.getvalue()
    assert "2/5" in shown.getvalue()
    assert "0/1" not in shown.getvalue()


def test_numbers_in_words():
    assert [percent(value) for value in (None, 0.9861, 1.0)] == ["-", "98.61%", "100.00%"]
    assert [span(values) for values in ((), (5, 5), (4, 7))] == ["-", "5.0", "5.5, 4 to 7"]
    assert facts("t", {"a": 1}).row_count == 1
