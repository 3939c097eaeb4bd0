import numpy as np
import pytest

from quant.ranges import Range
from sim.testbench import ANSWERS, SUMMARY, Probe, Record, Testbench
from sim.traces import integers, read_record, read_recording

FIELDS = (("last", 1), ("data", 6))


def test_reads_hexadecimal_digits():
    fields = read_record(b"1 2a\n0 3F\n", Record(fields=FIELDS, binary=False))
    assert fields["last"].tolist() == [[1], [0]]
    assert fields["data"].tolist() == [[1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1]]


def test_reads_binary_digits_and_unknown_ones():
    fields = read_record(b"x 10z0x1\n", Record(fields=FIELDS, binary=True))
    assert fields["last"].tolist() == [[2]]
    assert fields["data"].tolist() == [[1, 0, 2, 0, 2, 1]]


def test_an_unknown_hexadecimal_digit_is_four_unknown_bits():
    assert read_record(b"0 1X\n", Record(fields=FIELDS, binary=False))["data"].tolist() == [[0, 1, 2, 2, 2, 2]]


@pytest.mark.parametrize("binary", [False, True])
def test_reads_nothing(binary):
    fields = read_record(b"", Record(fields=FIELDS, binary=binary))
    assert fields["last"].shape == (0, 1)
    assert fields["data"].shape == (0, 6)


def test_refuses_a_line_cut_short():
    with pytest.raises(ValueError, match=r"^Trace must be lines of 5 characters, not 9 in all$"):
        read_record(b"1 2a\n0 3F", Record(fields=FIELDS, binary=False))


@pytest.mark.parametrize(
    ("bits", "signed", "value"),
    [([1, 0, 1], False, 5), ([1, 0, 1], True, -3), ([0, 1, 1], True, 3), ([1], True, -1), ([1], False, 1)],
)
def test_integers(bits, signed, value):
    values, known = integers(np.array([bits], np.uint8), signed=signed)
    assert values.tolist() == [value]
    assert known.tolist() == [True]


def test_an_integer_with_an_unknown_bit_is_unknown():
    assert integers(np.array([[0, 2], [0, 1]], np.uint8), signed=False)[1].tolist() == [False, True]


def bench(**fields):
    probe = Probe(name="p", size=3, units=2, sweeps=2, index_width=1, state=Range(-4, 3))
    return Testbench(module="m", data_width=8, answer_width=8, probes=(probe,), classes=1, binary=True)


def test_lane_zero_is_in_the_lowest_bits(tmp_path):
    number = "0" * 63
    (tmp_path / SUMMARY).write_text("99 7 1 0 0 000 0 2\n")
    (tmp_path / ANSWERS).write_text(f"{number}1 {number}0 0 11111110\n{number}1 {number}1 1 0000000x\n")
    (tmp_path / "trace_0.txt").write_text("0 0 01 111010\nx 1 1x 01x001\n")
    recording = read_recording(bench(), tmp_path)
    (words,) = recording.words
    assert words.last.tolist() == [0, -1]
    assert words.index.tolist() == [0, 1]
    assert words.spikes.tolist() == [[1, 0], [-1, 1]]
    assert words.membranes[0].tolist() == [2, -1]
    assert words.known.tolist() == [[True, True], [True, False]]
    assert recording.answer_data[0] == -2
    assert recording.answer_known.tolist() == [True, False]
    assert recording.answer_last.tolist() == [0, 1]
    assert recording.answer_cycle.tolist() == [1, 1]
    assert recording.first_cycle.tolist() == [0, 1]
    assert (recording.cycles, recording.accepted, recording.answered) == (99, 7, 1)
    assert not recording.timed_out
    assert not recording.overflow
    assert recording.unknown == ""


def test_summary_of_a_run_that_failed(tmp_path):
    (tmp_path / SUMMARY).write_text("99 7 0 1 1 01x 98 0\n")
    for name in (ANSWERS, "trace_0.txt"):
        (tmp_path / name).write_text("")
    recording = read_recording(bench(), tmp_path)
    assert recording.timed_out
    assert recording.overflow
    assert recording.unknown == "01x"
    assert recording.unknown_cycle == 98
