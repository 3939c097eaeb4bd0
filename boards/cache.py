"""Cache: what the tools made of a plan, so that the same plan is not built twice."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs

__all__ = ["VARIABLE", "Cache"]

#: Environment variable that names the cache's folder.
VARIABLE = "SPIKELOOM_CACHE"

_MANIFEST = "manifest.json"


class Cache:
    """Files by key, in a folder of the user's; files that were altered are as if they were not there.

    Parameters
    ----------
    root : Path, optional
        Default: the folder that SPIKELOOM_CACHE names, else the user's cache folder.
    """

    def __init__(self, root: Path | None = None):
        self.root = root or Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("spikeloom"))

    def load(self, key: str) -> dict[str, bytes] | None:
        """Files of a key, whole, or nothing."""
        folder = self._folder(key)
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
            files = {name: (folder / name).read_bytes() for name in manifest}
            good = all(_digest(files[name]) == digest for name, digest in manifest.items())
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return files if good else None

    def store(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep files under a key, all or none.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        folder = self._folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key[:8]}."))
        try:
            for name, data in files.items():
                (beside / name).write_bytes(data)
            manifest = {name: _digest(data) for name, data in files.items()}
            (beside / _MANIFEST).write_text(json.dumps(manifest))
            if self.load(key) is None:
                shutil.rmtree(folder, ignore_errors=True)
                beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _folder(self, key: str) -> Path:
        return self.root / "builds" / key


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
