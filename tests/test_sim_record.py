import json
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import FileError
from sim.compare import Comparison
from sim.record import Record
from sim.shards import ShardResult, digest_of

INPUTS = np.arange(24).reshape(12, 2)
IDENTITY = {
    "network": "a" * 64,
    "design": "b" * 64,
    "simulator": {"name": "icarus", "version": "11.0"},
    "options": {"stall": 0.0, "seed": 0, "isolate": False, "early_stop": False},
}
COMPARISON = Comparison(
    spikes=7,
    membranes=40,
    currents=20,
    spike_mismatches=1,
    membrane_mismatches=2,
    current_mismatches=3,
    answer_mismatches=0,
    stream_mismatches=0,
    first_difference="sample 5, step 1, population 'hidden', neuron 0: golden 1, rtl 0",
)


def result(start, stop):
    return ShardResult(
        start=start,
        stop=stop,
        inputs=digest_of(INPUTS[start:stop]),
        comparison=replace(COMPARISON, spikes=start),
        cycles=tuple(range(start, stop)),
        cycles_predicted=(9,) * (stop - start),
        total_cycles=100,
        seconds=0.5,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "record.jsonl"


@pytest.fixture
def kept(path):
    """A record of the samples 0 to 2 and 5 to 8."""
    record = Record(path, IDENTITY)
    for edges in ((5, 9), (0, 3)):
        record.add(result(*edges))
    return path


def resumed(path, inputs=INPUTS, **changes):
    record = Record(path, {**IDENTITY, **changes})
    record.resume(inputs)
    return record.results


def test_what_was_written_is_read():
    assert result(0, 3) == result(0, 3)
    assert result(0, 3) != result(0, 4)


def test_a_record_is_read_in_order(kept):
    assert resumed(kept) == [result(0, 3), result(5, 9)]


def test_a_line_is_a_shard_and_what_it_is_of(kept):
    lines = kept.read_text().splitlines()
    assert len(lines) == 2
    first = json.loads(lines[0])
    assert (first["start"], first["stop"], first["version"]) == (5, 9, 1)
    assert {key: first[key] for key in IDENTITY} == IDENTITY
    assert first["comparison"]["current_mismatches"] == 3
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_cycles_need_not_be_predicted(path):
    Record(path, IDENTITY).add(replace(result(0, 3), cycles_predicted=()))
    assert resumed(path)[0].cycles_predicted == ()


def test_a_record_goes_on(kept):
    record = Record(kept, IDENTITY)
    record.resume(INPUTS)
    record.add(result(3, 5))
    assert resumed(kept) == [result(0, 3), result(3, 5), result(5, 9)]


def test_without_resuming_it_starts_anew(kept):
    Record(kept, IDENTITY).add(result(9, 12))
    assert resumed(kept) == [result(9, 12)]


def test_nothing_is_there_yet(path):
    assert resumed(path) == []
    assert not path.exists()


def test_samples_may_be_of_another_type_of_integer_and_more(kept):
    more = np.concatenate([INPUTS, INPUTS]).astype(np.uint8)
    assert len(resumed(kept, more)) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "c" * 64}, "of another network"),
        ({"design": "c" * 64}, "of other Verilog"),
        ({"simulator": {"name": "icarus", "version": "12.0"}}, "of another simulator: version 11.0, not 12.0"),
        ({"simulator": {"name": "verilator", "version": "11.0"}}, "of another simulator: name icarus, not verilator"),
        (
            {"options": {"stall": 0.5, "seed": 1, "isolate": False, "early_stop": False}},
            "of other options: stall 0.0, not 0.5; seed 0, not 1",
        ),
    ],
)
def test_refuses_a_record_of_something_else(kept, changes, words):
    before = kept.read_bytes()
    with pytest.raises(FileError) as error:
        resumed(kept, **changes)
    assert str(error.value) == f"Record {kept} is {words}; start anew, without resuming it"
    assert error.value.exit_code == 2
    assert kept.read_bytes() == before


def test_refuses_a_line_of_something_else_among_others(kept):
    other = Record(kept.parent / "other", {**IDENTITY, "network": "c" * 64})
    other.add(result(9, 12))
    kept.write_bytes(kept.read_bytes() + other.path.read_bytes())
    with pytest.raises(FileError, match="is of another network; "):
        resumed(kept)


def test_refuses_a_record_of_another_version(kept, monkeypatch):
    monkeypatch.setattr("sim.record._VERSION", 2)
    with pytest.raises(FileError, match=r"is of another version of the record: 1, not 2; "):
        resumed(kept)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (INPUTS[:8], "of 9 samples and more, not 8"),
        (INPUTS[::-1], "of other samples, from 0 to 2"),
        (np.where(INPUTS == 17, 0, INPUTS), "of other samples, from 5 to 8"),
        (np.pad(INPUTS, [(0, 0), (0, 1)]), "of other samples, from 0 to 2"),
    ],
)
def test_refuses_a_record_of_other_samples(kept, inputs, words):
    with pytest.raises(FileError, match=rf" is {words}; start anew, without resuming it$"):
        resumed(kept, inputs)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:-20] + "\n",  # cut off
        lambda line: "\n" + line,
        lambda line: "[]\n",
        lambda line: "7\n",
        lambda line: line.replace('"start": 0', '"start": -1'),
        lambda line: line.replace('"start": 0', '"start": 3'),
        lambda line: line.replace('"start": 0', '"start": 0.5'),
        lambda line: line.replace('"stop": 3', '"end": 3'),
        lambda line: line.replace('"spike_mismatches": 1', '"spike_mismatches": true'),
        lambda line: line.replace('"spike_mismatches": 1', '"spike_mismatches": "none"'),
        lambda line: line.replace('"spike_mismatches": 1, ', ""),
        lambda line: line.replace('"first_difference": "sample', '"first_difference": 5, "more": "sample'),
        lambda line: line.replace('"cycles": [0, 1, 2]', '"cycles": 3'),
        lambda line: line.replace('"cycles_predicted": [9, ', '"cycles_predicted": ['),
        lambda line: line.replace('"seconds": 0.5', '"seconds": "0.5"'),
        lambda line: line.replace('"network": ', '"net": '),
    ],
)
def test_refuses_what_is_not_a_record(kept, damage):
    first, second = kept.read_text().splitlines(keepends=True)
    damaged = damage(second)
    assert damaged != second
    kept.write_text(first + damaged)
    with pytest.raises(FileError, match=r"is not a record of co-simulation: line 2; remove it$"):
        resumed(kept)


def test_refuses_a_record_with_a_sample_twice(kept):
    Record(kept.parent / "other", IDENTITY).add(result(8, 12))
    kept.write_bytes(kept.read_bytes() + (kept.parent / "other").read_bytes())
    with pytest.raises(FileError, match=r"has sample 8 twice; remove it$"):
        resumed(kept)


def test_refuses_what_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match="cannot be read: "):
        resumed(tmp_path)
