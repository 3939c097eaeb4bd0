import struct
import zipfile

import numpy as np
import pytest

from snn import datasets
from snn.datasets import DatasetError
from snn.datasets.aedat import read_aedat
from snn.datasets.events import gathered
from snn.datasets.nmnist import read_events

FEW = [(1, 2, 1, 5), (33, 0, 0, 5), (0, 33, 1, 0x7FFFFF)]


def packed(events):
    """Events (x, y, polarity, time) in N-MNIST's five bytes."""
    return b"".join(bytes((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255)) for x, y, p, t in events)


def write_nmnist(folder, *, train=((3, 2), (0, 10), (0, 1)), test=((9, 1),)):
    """Files of (label, number); sample i of a part has i + 1 events."""
    for part, files in (("Train", train), ("Test", test)):
        for index, (label, number) in enumerate(files):
            path = folder / part / str(label) / f"{number:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed([(label, number, event % 2, 10 * event) for event in range(index + 1)]))


def zip_parts(folder, *, into):
    for part in ("Train", "Test"):
        with zipfile.ZipFile(into / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{part}/", "")
            archive.writestr(f"__MACOSX/{part}/0/._00001.bin", "no events")
            for path in (folder / part).rglob("*.bin"):
                archive.write(path, path.relative_to(folder))


def test_five_bytes_by_hand():
    x, y, polarity, time = read_events(bytes((7, 30, 0b1000_0001, 2, 3)), what="File")
    assert (x.tolist(), y.tolist(), polarity.tolist(), time.tolist()) == ([7], [30], [1], [0x010203])


def test_events_of_a_file():
    found = read_events(packed(FEW), what="File")
    assert list(zip(*(part.tolist() for part in found), strict=True)) == FEW


@pytest.mark.parametrize("unpacked", [True, False])
def test_nmnist_is_read_in_the_order_of_its_numbers(tmp_path, unpacked):
    tree = tmp_path / "tree"
    write_nmnist(tree)
    zip_parts(tree, into=tmp_path)
    data = datasets.load("n-mnist", tree if unpacked else tmp_path)
    assert (data.kind, data.shape, data.classes, data.low, data.high) == ("events", (2, 34, 34), 10, 0, 1)
    assert data.train_y.tolist() == [0, 3, 0]
    assert data.train_x.counts.tolist() == [3, 1, 2]
    assert data.train_x.x.tolist() == [0, 0, 0, 3, 0, 0]
    assert data.train_x.y.tolist() == [1, 1, 1, 2, 10, 10]
    assert data.train_x.polarity.tolist() == [0, 1, 0, 0, 0, 1]
    assert data.train_x.time_us.tolist() == [0, 10, 20, 0, 0, 10]
    assert (data.test_y.tolist(), data.test_x.counts.tolist()) == ([9], [1])


def test_parts_that_nobody_wants_are_not_read(tmp_path):
    write_nmnist(tmp_path)
    (tmp_path / "Test/9/00001.bin").write_bytes(b"not whole")
    (tmp_path / "Train/0/00010.bin").write_bytes(b"not whole")
    data = datasets.load("n-mnist", tmp_path, train=2, test=0)
    assert (len(data.train_x), data.train_y.tolist(), len(data.test_x), len(data.test_y)) == (2, [0, 3], 0, 0)
    with pytest.raises(DatasetError, match="whole events"):
        datasets.load("n-mnist", tmp_path, train=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must hold whole events of 5 bytes, at least one, not 0 bytes$"),
        (packed(FEW)[:-1], "must hold whole events of 5 bytes, at least one, not 14 bytes$"),
        (packed([(1, 1, 0, 0), (34, 2, 0, 1)]), "34 columns and 34 rows, not event 1 at column 34, row 2$"),
        (packed([(33, 34, 0, 0)]), "not event 0 at column 33, row 34$"),
        (packed([(0, 0, 0, 9), (0, 0, 0, 7)]), "in order of time, not event 1 at 7 us after one at 9 us$"),
        (bytes(5 * (1 << 20) + 5), "must hold at most 5242880 bytes$"),
    ],
    ids=["empty", "cut", "column", "row", "order", "size"],
)
@pytest.mark.parametrize("unpacked", [True, False])
def test_hostile_event_file(tmp_path, data, message, unpacked):
    write_nmnist(tmp_path)
    (tmp_path / "Train/3/00002.bin").write_bytes(data)
    folder, name = tmp_path, rf"File {tmp_path}/Train/3/00002\.bin"
    if not unpacked:
        folder = tmp_path / "zips"
        folder.mkdir()
        zip_parts(tmp_path, into=folder)
        name = rf"File Train/3/00002\.bin in {folder}/Train\.zip"
    with pytest.raises(DatasetError, match=f"^{name} .*{message}"):
        datasets.load("n-mnist", folder)


@pytest.mark.parametrize("damage", ["cut", "data", "kind", "packing"])
def test_hostile_zip(tmp_path, damage):
    write_nmnist(tmp_path / "tree")
    zip_parts(tmp_path / "tree", into=tmp_path)
    path = tmp_path / "Train.zip"
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("Train/0/00010.bin")
    start, whole = member.header_offset + 30 + len(member.filename), path.read_bytes()
    damaged = {"cut": whole[:-30], "data": whole[:start] + b"\xff\xff" + whole[start + 2 :], "kind": b"no zip file"}
    path.write_bytes(damaged.get(damage, b""))
    if damage == "packing":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("Train/0/00001.bin", packed(FEW))
    with pytest.raises(DatasetError, match=rf"^File {path} is not a whole zip file: it is truncated or altered$"):
        datasets.load("n-mnist", tmp_path)


def test_nmnist_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"^Data set n-mnist is not in .*; get Train.zip and Test.zip from its"):
        datasets.load("n-mnist", tmp_path)
    (tmp_path / "Train").mkdir()
    with pytest.raises(DatasetError, match=r"Train must hold 1 to 1048576 event files such as .*, not 0$"):
        datasets.load("n-mnist", tmp_path)
    write_nmnist(tmp_path, test=())
    with pytest.raises(DatasetError, match=r"must hold a folder Test or a file Test.zip of N-MNIST$"):
        datasets.load("n-mnist", tmp_path)


def some_events(counts, *, seed=0):
    random = np.random.default_rng(seed)
    samples = [
        (
            random.integers(0, 34, count),
            random.integers(0, 34, count),
            random.integers(0, 2, count),
            np.sort(random.integers(0, 1000, count)),
        )
        for count in counts
    ]
    return samples, gathered(samples, (2, 34, 34))


@pytest.mark.parametrize(
    "chosen", [slice(1, 3), slice(None, 0), slice(0, 4, 2), [3, 0, 0], [2], np.array([True, False, False, True]), -1]
)
def test_samples_are_chosen_like_those_of_an_array(chosen):
    samples, events = some_events([3, 0, 5, 2])
    some = events[chosen]
    wanted = [samples[index] for index in np.atleast_1d(np.arange(4)[chosen])]
    assert len(some) == len(wanted)
    assert some.counts.tolist() == [len(sample[0]) for sample in wanted]
    for index, name in enumerate(("x", "y", "polarity", "time_us")):
        expected = np.concatenate([sample[index] for sample in wanted]) if wanted else []
        np.testing.assert_array_equal(getattr(some, name), expected)


def test_kept_events_stay_in_their_samples():
    _, events = some_events([3, 0, 2])
    some = events.kept(np.array([True, False, True, False, True]))
    assert some.counts.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(some.x, events.x[[0, 2, 4]])
    assert some.samples.tolist() == [0, 0, 2]


HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def word(x, y, polarity, valid=1):
    return x << 17 | y << 2 | polarity << 1 | valid


def packet(events, *, kind=1, size=8, overflow=0, number=None):
    """A packet of (x, y, polarity, time[, valid])."""
    number = len(events) if number is None else number
    body = b"".join(struct.pack("<Ii", word(*event[:3], *event[4:]), event[3]) for event in events)
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, number, number, number) + body


def test_aedat_by_hand(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(
        HEADER
        + packet([(127, 0, 1, 3), (4, 5, 0, 7, 0), (0, 127, 0, 8)])
        + packet([(1, 1, 1, 2**31 - 1)], kind=0)
        + packet([])
        + packet([(32767, 2, 1, 6)], overflow=1)
    )
    x, y, polarity, time = read_aedat(path)
    assert x.tolist() == [127, 0, 32767]
    assert y.tolist() == [0, 127, 2]
    assert polarity.tolist() == [1, 0, 1]
    assert time.tolist() == [3, 8, 2**31 + 6]


def test_header_of_aedat_may_end_without_its_last_line(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(b"#!AER-DAT3.1\n#Format: RAW\n" + packet([(1, 2, 0, 3)]))
    assert read_aedat(path)[3].tolist() == [3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must begin with the line #!AER-DAT3.1, not ''$"),
        (b"#!AER-DAT2.0\r\n" + HEADER, "must begin with the line #!AER-DAT3.1, not '#!AER-DAT2.0'$"),
        (b"#!AER-DAT3.1", "must begin with the line #!AER-DAT3.1"),
        (HEADER + packet([(1, 1, 1, 1)])[:-1], "is cut short: a packet of 8 bytes has 7 of them$"),
        (HEADER + packet([(1, 1, 1, 1)])[:27], "is cut short: it ends within the header of a packet$"),
        (HEADER + packet([(1, 1, 1, 1)], number=2**31 - 1), "is cut short: a packet of 17179869176 bytes has 8 of"),
        (HEADER + packet([], number=-1), "of 8 bytes, not of -1 events of 8 bytes of type 1$"),
        (HEADER + packet([(1, 1, 1, 1)], size=4), "of 8 bytes, not of 1 events of 4 bytes of type 1$"),
        (HEADER + packet([], kind=2, size=0, number=5), "of 8 bytes, not of 5 events of 0 bytes of type 2$"),
    ],
)
def test_hostile_aedat(tmp_path, data, message):
    path = tmp_path / "a.aedat"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=f"^File {path} .*{message}"):
        read_aedat(path)


CSV = "class,startTime_usec,endTime_usec\n"


def write_gestures(folder):
    trials = {
        "user01_lab": (
            "1,10,20\n11,30,40\n",
            [(1, 2, 1, 9), (1, 2, 1, 10), (3, 4, 0, 19), (0, 0, 0, 20), (5, 6, 1, 33)],
        ),
        "user02_led": ("4,0,100\n", [(127, 127, 1, 50)]),
        "user03_led": ("2,0,100\n3,200,300\n", [(7, 7, 0, 50), (8, 8, 1, 250)]),
    }
    for name, (labels, events) in trials.items():
        (folder / f"{name}_labels.csv").write_text(CSV + labels)
        (folder / f"{name}.aedat").write_bytes(HEADER + packet(events))
    (folder / "trials_to_train.txt").write_text("user01_lab.aedat\nuser02_led.aedat\n\n")
    (folder / "trials_to_test.txt").write_text("user03_led.aedat\n")


def test_gestures_are_cut_out_of_their_recordings(tmp_path):
    write_gestures(tmp_path)
    data = datasets.load("dvs-gesture", tmp_path)
    assert (data.kind, data.shape, data.classes) == ("events", (2, 128, 128), 11)
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([0, 10, 3], [1, 2])
    assert data.train_x.counts.tolist() == [2, 1, 1]
    assert data.train_x.x.tolist() == [1, 3, 5, 127]
    assert data.train_x.y.tolist() == [2, 4, 6, 127]
    assert data.train_x.polarity.tolist() == [1, 0, 1, 1]
    assert data.train_x.time_us.tolist() == [0, 9, 3, 50]
    assert data.test_x.time_us.tolist() == [50, 50]


def test_gestures_that_nobody_wants_are_not_read(tmp_path):
    write_gestures(tmp_path)
    (tmp_path / "user02_led.aedat").unlink()
    (tmp_path / "user03_led.aedat").unlink()
    data = datasets.load("dvs-gesture", tmp_path, train=1, test=0)
    assert (data.train_y.tolist(), data.train_x.counts.tolist(), len(data.test_x)) == ([0], [2], 0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trials_to_train.txt", "../user01_lab.aedat", "must list recordings such as user01_lab.aedat, not '../user01"),
        ("trials_to_train.txt", "user01\0.aedat", "must list recordings such as user01_lab.aedat, not 'user01"),
        ("trials_to_train.txt", "user09_lab.aedat", "user09_lab_labels.csv does not exist$"),
        ("trials_to_test.txt", "\n", "must hold 1 to 1048576 bytes of lines$"),
        ("trials_to_test.txt", "\xff", "must be text$"),
        (
            "user01_lab_labels.csv",
            "class,start\n1,2\n",
            "must begin with class,startTime_usec,endTime_usec, not",
        ),
        ("user01_lab_labels.csv", CSV + "1,2\n", "must have lines of three numbers, not '1,2'$"),
        ("user01_lab_labels.csv", CSV + "1,-2,3\n", "must have lines of three numbers, not '1,-2,3'$"),
        (
            "user01_lab_labels.csv",
            CSV + "12,2,3\n",
            "of 1 to 11 that start before they end, not '12,2,3'",
        ),
        (
            "user01_lab_labels.csv",
            CSV + "0,2,3\n",
            "of 1 to 11 that start before they end, not '0,2,3'",
        ),
        (
            "user01_lab_labels.csv",
            CSV + "1,3,3\n",
            "of 1 to 11 that start before they end, not '1,3,3'",
        ),
    ],
)
def test_hostile_lists(tmp_path, name, text, message):
    write_gestures(tmp_path)
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=message):
        datasets.load("dvs-gesture", tmp_path)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([(128, 0, 0, 11)], "within 128 columns and 128 rows, not event 0 at column 128, row 0$"),
        (
            [(0, 0, 0, 12), (0, 0, 0, 11)],
            "in order of time, not event 1 at 1 us after one at 2 us$",
        ),
    ],
)
def test_hostile_recording(tmp_path, events, message):
    write_gestures(tmp_path)
    path = tmp_path / "user01_lab.aedat"
    path.write_bytes(HEADER + packet(events))
    with pytest.raises(DatasetError, match=f"^Gesture of class 1 from 10 us of {path} must .*{message}"):
        datasets.load("dvs-gesture", tmp_path)
