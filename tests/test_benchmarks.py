import json

import pytest

from benchmarks import datapath
from benchmarks.table import Measurement, show, write


@pytest.mark.parametrize(("density", "useful"), [(0.1, 0.95), (0.01, 0.9)])
def test_the_datapath_is_near_its_bound(density, useful):
    cycles = datapath.measure(density)
    assert cycles.bound <= cycles.cycles <= cycles.bound / useful
    assert cycles.cycles < datapath.SPIKER_PLUS / 10


def test_measurements_are_written_and_shown(tmp_path, capsys):
    made = [Measurement(id="speed", value=1234.5, unit="images/s", peer="a peer 7", command="make bench")]
    write(made, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"id": "speed", "value": 1234.5, "unit": "images/s", "peer": "a peer 7", "command": "make bench"}
    ]
    show(made)
    shown = capsys.readouterr().out
    assert "1,234.50" in shown
    assert "a peer 7" in shown
