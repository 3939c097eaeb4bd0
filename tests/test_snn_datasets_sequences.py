import numpy as np
import pytest

from snn import datasets
from snn.datasets import DatasetError
from snn.datasets.series import read_ts
from snn.datasets.xor import delayed_xor
from snn.encode import encode


def rates(data):
    """Rate of every test sample in its first, middle and last steps."""
    parts = data.test_x[:, :10], data.test_x[:, 10:-10], data.test_x[:, -10:]
    return np.stack([part.mean(axis=(1, 2)) for part in parts], axis=1)


def test_delayed_xor_is_what_it_says():
    data = delayed_xor(train=50, test=400)
    assert (data.name, data.kind, data.shape, data.classes, data.low, data.high) == (
        *("delayed-xor", "sequences", (20, 1, 1), 2, 0, 1),
    )
    assert (data.train_x.shape, data.test_x.shape) == ((50, 200, 20), (400, 200, 20))
    assert set(np.unique(data.test_x)) == {0, 1}
    first, between, last = rates(data).T
    strong = np.stack([first > 0.4, last > 0.4])
    assert (data.test_y == (strong[0] != strong[1])).all()
    for part in (first, last):
        assert abs(part[part > 0.4].mean() - 0.6) < 0.01
        assert abs(part[part < 0.4].mean() - 0.2) < 0.01
    assert abs(between.mean() - 0.01) < 0.0005
    # All four cases come as often.
    assert np.bincount(strong[0] * 2 + strong[1]).min() > 70


def test_delayed_xor_of_another_delay():
    data = datasets.load("delayed-xor/5", train=3, test=1000)
    assert (data.name, data.train_x.shape, data.test_x.shape) == ("delayed-xor/5", (3, 25, 20), (1000, 25, 20))
    assert rates(data)[:, 1].max() < 0.1
    assert delayed_xor(delay=0, train=1, test=1).test_x.shape == (1, 20, 20)


def test_delayed_xor_is_the_same_for_ever():
    data, few = delayed_xor(train=7, test=9), delayed_xor(train=3, test=2)
    np.testing.assert_array_equal(data.train_x[:3], few.train_x)
    np.testing.assert_array_equal(data.test_y[:2], few.test_y)
    assert data.train_x.sum(axis=(1, 2)).tolist() == [264, 260, 200, 191, 112, 264, 211]
    other = delayed_xor(train=7, test=9, seed=1)
    assert (other.train_x != data.train_x).any()
    assert (data.train_x[:7] != data.test_x[:7]).any()


@pytest.mark.parametrize("options", [{"delay": -1}, {"train": -1}, {"test": -1}, {"seed": -1}])
def test_negative_numbers(options):
    with pytest.raises(DatasetError, match=r" must not be negative, not -1$"):
        delayed_xor(**options)


TS = """# A remark.
@problemName Small
@dimensions 2
@classLabel true red 2
@data
1.0,3.0,5:0,0,-1e1:red
3,1:0,2:2
"""


def write_vowels(folder, train=TS, test=TS):
    (folder / "JapaneseVowels_TRAIN.ts").write_text(train)
    (folder / "JapaneseVowels_TEST.ts").write_text(test)


def test_ts_file_by_hand(tmp_path):
    write_vowels(tmp_path)
    samples, labels, classes = read_ts(tmp_path / "JapaneseVowels_TRAIN.ts")
    assert [sample.tolist() for sample in samples] == [[[1, 3, 5], [0, 0, -10]], [[3, 1], [0, 2]]]
    assert (labels, classes) == (["red", "2"], ["red", "2"])


def test_series_are_scaled_by_their_training_samples(tmp_path):
    # Channel 0 has mean 2 and deviation 1, channel 1 does not change.
    write_vowels(
        tmp_path,
        train="@classLabel true a b\n@data\n1,3:5,5:a\n1,3,3,1:5,5,5,5:b\n",
        test="@classLabel true a b\n@data\n2,2.5,9:5,6,5:b\n",
    )
    data = datasets.load("japanese-vowels", tmp_path)
    assert (data.kind, data.shape, data.classes, data.low, data.high) == ("sequences", (2, 1, 1), 2, -127, 127)
    assert data.train_x[0].T.tolist() == [[-32, 32, 32, 32], [0, 0, 0, 0]]
    assert data.test_x[0].T.tolist() == [[0, 16, 127, 127], [0, 32, 0, 0]]
    assert (data.train_y.tolist(), data.test_y.tolist()) == ([0, 1], [1])
    assert encode("level/16^2", data.test_x, 4)[0, :, 0].tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@classLabel true a\n", "must have a line @data$"),
        ("@data\n1:a\n", "must have a line @classLabel true and the names of its classes$"),
        ("@classLabel false\n@data\n1:a\n", "must have a line @classLabel true and the names of its classes$"),
        ("@classLabel true a b\n@data\n\n", "must hold at least one sample after its line @data$"),
        ("@classLabel true a b\n@data\n1,2:c\n", "must end with one of the classes, not 'c'$"),
        ("@classLabel true a b\n@data\na\n", "must end with one of the classes, not 'a'$"),
        ("@classLabel true a b\n@data\n1,2:3,4:a\n1,2:", "must end with one of the classes, not ''$"),
        ("@classLabel true a b\n@data\n1,2:3,4:a\n1,2:a", "Line 4 of .* must have 2 channels, not 1$"),
        ("@classLabel true a b\n@data\n1,2:3:a\n", "must have channels of one length$"),
        ("@classLabel true a b\n@data\n1,?:a\n", "must hold numbers alone$"),
        ("@classLabel true a b\n@data\n1,nan:a\n", "must hold finite numbers alone$"),
        ("@classLabel true a b\n@data\n1,1e999:a\n", "must hold finite numbers alone$"),
    ],
)
def test_hostile_ts(tmp_path, text, message):
    path = tmp_path / "a.ts"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_ts(path)


def test_both_parts_must_be_of_one_kind(tmp_path):
    write_vowels(tmp_path, test=TS.replace("red 2", "2 red"))
    with pytest.raises(DatasetError, match="must have the 2 channels and the classes red 2 of the training samples"):
        datasets.load("japanese-vowels", tmp_path)


def test_series_that_are_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"^Data set basic-motions is not in .*; install spikeloom\[series\], or"):
        datasets.load("basic-motions", tmp_path)


def test_installed_series_are_found_without_an_import(tmp_path, monkeypatch):
    folder = tmp_path / "aeon" / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    (tmp_path / "aeon" / "__init__.py").write_text("raise SystemExit('heavy')")
    write_vowels(folder)
    monkeypatch.syspath_prepend(tmp_path)
    assert len(datasets.load("japanese-vowels").train_x) == 2
