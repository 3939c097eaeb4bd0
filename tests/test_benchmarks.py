import json

import pytest

from benchmarks import __main__ as bench
from benchmarks import datapath
from benchmarks.__main__ import GROUPS, main
from benchmarks.table import RESULTS, Measurement, merge, show
from quant.errors import SpikeloomError


@pytest.mark.parametrize(("density", "useful"), [(0.1, 0.95), (0.01, 0.7)])
def test_the_datapath_is_near_its_bound(density, useful):
    cycles = datapath.measure(density)
    assert cycles.bound <= cycles.cycles <= cycles.bound / useful
    assert cycles.cycles < datapath.SPIKER_PLUS / 10
    assert cycles.useful == pytest.approx(cycles.dense * density, rel=0.05)
    assert cycles.per_lane_cycle == pytest.approx(cycles.useful / (datapath.LANES * cycles.cycles))


def test_measurements_are_merged_by_id_and_shown(tmp_path, capsys):
    path = tmp_path / "results.json"
    speed = Measurement(id="speed", value=1234.5, unit="images/s", peer="a peer 7", command="make bench")
    cells = Measurement(id="cells", value=0.875, unit="cells", peer="-", command="make bench")
    assert merge([speed, cells], path) == [speed, cells]
    faster = Measurement(id="speed", value=2000, unit="images/s", peer="a peer 7", command="make bench")
    assert merge([faster], path) == [faster, cells]
    assert json.loads(path.read_text())[0] == {
        "id": "speed",
        "value": 2000,
        "unit": "images/s",
        "peer": "a peer 7",
        "command": "make bench",
    }
    show([speed, cells])
    shown = capsys.readouterr().out
    assert "1,234.5" in shown
    assert "0.875" in shown
    assert "a peer 7" in shown


def test_every_id_has_one_group_and_results_name_them():
    ids = [name for _, names in GROUPS.values() for name in names]
    assert len(set(ids)) == len(ids)
    if RESULTS.exists():
        written = json.loads(RESULTS.read_text())
        assert {item["id"] for item in written} <= set(ids)
        assert all(item["command"].split()[-1] in ids for item in written)


def test_what_cannot_be_measured_leaves_the_rest(tmp_path, monkeypatch, capsys):
    made = Measurement(id="good", value=1, unit="-", peer="-", command="python -m benchmarks good")

    def fails():
        raise SpikeloomError("no checkpoint")

    groups = {"First": (fails, ("bad",)), "Second": (lambda: [made], ("good",))}
    monkeypatch.setattr(bench, "GROUPS", groups)
    monkeypatch.setattr(bench, "merge", lambda found: merge(found, tmp_path / "results.json"))
    with pytest.raises(SystemExit, match="Not measured:\nFirst: no checkpoint"):
        main([])
    assert [item["id"] for item in json.loads((tmp_path / "results.json").read_text())] == ["good"]
    assert "good" in capsys.readouterr().out


def test_refuses_an_id_that_there_is_not():
    with pytest.raises(SystemExit, match=r"Benchmark must be one of cycles_dense_10pct, .*, not 'speed'"):
        main(["speed"])
