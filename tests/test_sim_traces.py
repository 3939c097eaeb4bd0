import numpy as np
import pytest

from quant.ranges import Range
from sim.testbench import ANSWERS, SUMMARY, Probe, Record, Testbench
from sim.traces import Field, Lines, read_recording

FIELDS = (("last", 1), ("data", 6))
HEX, BINARY = (Record(fields=FIELDS, binary=binary) for binary in (False, True))


def hex_lines(record, *numbers):
    return "".join(f"{number:0{record.length - 1}x}\n" for number in numbers).encode()


def test_reads_hexadecimal_digits():
    lines = Lines.read(b"6a\n3F\n", HEX)
    assert lines.field("last").values.tolist() == [1, 0]
    assert lines.field("data").values.tolist() == [0x2A, 0x3F]
    assert lines.field("data").unknown is None


def test_reads_binary_digits_and_unknown_ones():
    lines = Lines.read(b"0x10z0x1\n01000010\n", BINARY)
    last, data = lines.field("last"), lines.field("data")
    assert last.unknown.tolist() == [True, False]
    assert last.marked().tolist() == [-1, 1]
    assert data.unknown.tolist() == [True, False]
    assert data.values[1] == 2
    assert lines.lanes("data", 3, Range(0, 3)).unknown.tolist() == [[True, True, False], [False, False, False]]
    assert lines.lanes("data", 6, Range(0, 1)).unknown[0].tolist() == [False, True, False, True, False, False]


@pytest.mark.parametrize("record", [HEX, BINARY])
def test_reads_nothing(record):
    lines = Lines.read(b"", record)
    assert lines.field("last").marked().shape == (0,)
    assert lines.lanes("data", 2, Range(0, 7)).values.shape == (0, 2)


@pytest.mark.parametrize(("text", "record"), [(b"6a\n3f", HEX), (b"01000010\n0100001", BINARY)])
def test_refuses_a_line_cut_short(text, record):
    with pytest.raises(
        ValueError, match=rf"^Trace must be lines of {record.length} characters, not {len(text)} in all$"
    ):
        Lines.read(text, record)


def test_refuses_an_unknown_digit_where_there_can_be_none():
    with pytest.raises(ValueError, match="hexadecimal"):
        Lines.read(b"6x\n", HEX)


@pytest.mark.parametrize(
    ("bits", "values", "lanes"),
    [
        (0b101, Range(0, 7), [5]),
        (0b101, Range(-4, 3), [-3]),
        (0b011, Range(-4, 3), [3]),
        (0b110, Range(0, 1), [0, 1, 1]),
        (0b110, Range(-1, 0), [0, -1, -1]),
        (0b00_01_11, Range(-1, 1), [-1, 1, 0]),
        (0b10, Range(-1, 1), [-2]),  # no spike, but two bits hold it
    ],
)
def test_lane_zero_is_in_the_lowest_bits(bits, values, lanes):
    record = Record(fields=(("last", 1), ("data", len(lanes) * values.width), ("end", 3)), binary=False)
    read = Lines.read(hex_lines(record, bits << 3), record).lanes("data", len(lanes), values)
    assert read.values.tolist() == [lanes]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 13, 31, 32, 33, 60])
def test_any_width_at_any_place(width, binary):
    rng = np.random.default_rng(width)
    values = Range(-(1 << (width - 1)), (1 << (width - 1)) - 1)
    for lanes, before in ((1, 1), (5, 3), (16, 62)):
        record = Record(fields=(("data", lanes * width), ("before", before)), binary=binary)
        numbers = [[int(n) for n in rng.integers(values.low, values.high, lanes, endpoint=True)] for _ in range(4)]
        packed = [
            sum((number & ((1 << width) - 1)) << (lane * width + before) for lane, number in enumerate(row))
            for row in numbers
        ]
        digits = "b" if binary else "x"
        text = "".join(f"{number:0{record.length - 1}{digits}}\n" for number in packed).encode()
        assert Lines.read(text, record).lanes("data", lanes, values).values.tolist() == numbers


def test_marked_values_are_those_that_are_known():
    assert Field(values=np.array([3, 4]), unknown=np.array([False, True])).marked().tolist() == [3, -1]


def bench(binary=True):
    probe = Probe(
        name="p",
        neurons=np.array([[0, 2], [1, -1]]),
        values={"spikes": Range(-1, 1), "membranes": Range(-4, 3), "currents": Range(0, 1)},
        index_width=1,
    )
    return Testbench(module="m", data_width=8, answer_width=8, probes=(probe,), cores=1, classes=1, binary=binary)


def test_reads_what_a_run_has_left(tmp_path):
    def answer(cycle, first, last, data):
        return f"{0:07b}{cycle:064b}{first:064b}{last}{data}\n"

    (tmp_path / SUMMARY).write_text("99 7 1 0 0 000 0 2\n")
    (tmp_path / ANSWERS).write_text(answer(1, 0, 0, "11111110") + answer(2, 1, 1, "0000000x"))
    # Zeros, last, index, spikes, membranes, currents; each with the first lane on the right.
    (tmp_path / "trace_0.txt").write_text("0000011111101010\n" + "00x11x0101x0010x\n")
    recording = read_recording(bench(), tmp_path)
    (words,) = recording.words
    assert words.last.tolist() == [0, -1]
    assert words.index.tolist() == [0, 1]
    spikes, membranes, currents = (words.values[name] for name in ("spikes", "membranes", "currents"))
    assert spikes.values[0].tolist() == [-1, 1]
    assert spikes.values[1, 0] == 1
    assert spikes.unknown.tolist() == [[False, False], [False, True]]
    assert membranes.values[0].tolist() == [2, -1]
    assert membranes.unknown.tolist() == [[False, False], [False, True]]
    assert currents.values[0].tolist() == [0, 1]
    assert currents.unknown.tolist() == [[False, False], [True, False]]
    assert recording.answer_data[0] == -2
    assert recording.answer_known.tolist() == [True, False]
    assert recording.answer_last.tolist() == [0, 1]
    assert recording.answer_cycle.tolist() == [1, 2]
    assert recording.first_cycle.tolist() == [0, 1]
    assert (recording.cycles, recording.accepted, recording.answered) == (99, 7, 1)
    assert not recording.timed_out
    assert not recording.overflow
    assert recording.unknown == ""


def test_summary_of_a_run_that_failed(tmp_path):
    (tmp_path / SUMMARY).write_text("99 7 0 1 1 01x 98 0\n")
    for name in (ANSWERS, "trace_0.txt"):
        (tmp_path / name).write_text("")
    recording = read_recording(bench(binary=False), tmp_path)
    assert recording.timed_out
    assert recording.overflow
    assert recording.unknown == "01x"
    assert recording.unknown_cycle == 98
