import hashlib
import json
import shutil
import stat

import pytest

from boards.board import BoardError
from boards.flash import FlashError, flash
from boards.tools import ToolError

ICE40 = b"\xff\x00\x00\xff\x7e\xaa\x99\x7e" + bytes(range(200))
ECP5 = b"\xff\x00Part: LFE5U-25F-6CABGA381\x00\xff\xff\xff\xbd\xb3" + bytes(200)

STUB = """#!/bin/sh
for last; do :; done
printf '%s\\n' "$@" > {folder}/arguments
sha256sum < "$last" > {folder}/hash
cat <<'EOT'
{says}
EOT
exit {code}
"""


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    for name in ("ICEPROG", "OPENFPGALOADER", "FUJPROG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    for name in ("cat", "sha256sum"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """Installs a programmer that records its arguments and the file it was given."""

    def install(name, *, says="", code=0, variable=None):
        path = tmp_path / ("bin" if variable is None else "") / name
        path.write_text(STUB.format(folder=tmp_path, says=says, code=code))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        if variable:
            monkeypatch.setenv(variable, str(path))

    return install


@pytest.fixture
def bitstream(tmp_path):
    path = tmp_path / "network.bin"
    path.write_bytes(ICE40)
    return path


def recorded(tmp_path):
    return (tmp_path / "arguments").read_text().split("\n")[:-1], (tmp_path / "hash").read_text().split()[0]


def test_iceprog_gets_the_very_file(stub, bitstream, tmp_path):
    stub("my-iceprog", variable="ICEPROG")
    report = flash(bitstream, "icebreaker")
    assert recorded(tmp_path) == ([str(bitstream)], hashlib.sha256(ICE40).hexdigest())
    assert report.done
    assert report.command == (str(tmp_path / "my-iceprog"), str(bitstream))
    assert json.loads(json.dumps(report.as_dict()))["board"] == "icebreaker"


@pytest.mark.parametrize(
    ("board", "tool", "permanent", "arguments"),
    [
        ("icebreaker", "iceprog", None, []),
        ("icebreaker", "iceprog", True, []),
        ("icebreaker", "iceprog", False, ["-S"]),
        ("ulx3s-85f", "openFPGALoader", None, ["-b", "ulx3s", "-m"]),
        ("ulx3s-85f", "openFPGALoader", True, ["-b", "ulx3s", "-f"]),
        ("ulx3s-25f", "fujprog", None, ["-j", "sram"]),
        ("ulx3s-25f", "fujprog", True, ["-j", "flash"]),
    ],
)
def test_arguments(stub, tmp_path, board, tool, permanent, arguments):
    path = tmp_path / "network.bit"
    path.write_bytes(ICE40 if board == "icebreaker" else ECP5)
    stub(tool)
    flash(path, board, permanent=permanent)
    assert recorded(tmp_path)[0] == [*arguments, str(path)]


def test_variable_goes_before_the_first_choice(stub, tmp_path):
    path = tmp_path / "network.bit"
    path.write_bytes(ECP5)
    stub("openFPGALoader")
    stub("my-fujprog", variable="FUJPROG")
    assert flash(path, "ulx3s-45f").command == (str(tmp_path / "my-fujprog"), "-j", "sram", str(path))


def test_dry_run_runs_nothing(stub, bitstream, tmp_path):
    stub("iceprog", code=1)
    report = flash(bitstream, "icebreaker", dry_run=True)
    assert not report.done
    assert report.shell == f"{tmp_path / 'bin' / 'iceprog'} {bitstream}"
    assert not (tmp_path / "arguments").exists()


def test_dry_run_without_a_programmer(bitstream):
    assert flash(bitstream, "icebreaker", dry_run=True).command == ("iceprog", str(bitstream))


def test_no_programmer(bitstream):
    with pytest.raises(ToolError, match=r"^Programmer of iCEBreaker is not installed: iceprog \(apt install fpga-ice"):
        flash(bitstream, "icebreaker")


def test_variable_that_leads_nowhere(bitstream, monkeypatch):
    monkeypatch.setenv("ICEPROG", "/nowhere/iceprog")
    with pytest.raises(ToolError, match=r"^Tool iceprog must be at /nowhere/iceprog, as ICEPROG says, but"):
        flash(bitstream, "icebreaker")


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [
        (
            "init..\nCan't find iCE FTDI USB device (vendor_id 0x0403).",
            2,
            r"^iCEBreaker is not connected, or not on \(ic",
        ),
        (
            "init..\nCan't find iCE FTDI USB device.\nABORT.",
            2,
            r"^iCEBreaker is not .*\(iceprog: Can't find iCE FTDI USB",
        ),
        ("init..\nABORT: LIBUSB_ERROR_ACCESS", 3, r"^iCEBreaker may not be opened by this user .*udev"),
        ("Found difference between flash and file!", 3, r"^iceprog failed: Found difference between flash and file!$"),
        ("", 7, r"^iceprog failed: exit code 7$"),
        ("write to flash\nFAIL", 0, r"^iceprog: FAIL$"),
        ("unable to open ftdi device: -3 (device not found)\nJTAG init failed", 1, r"^iCEBreaker is not connected"),
        ("Error: unable to open ftdi device: -3 (device not found)", 0, r"^iCEBreaker is not connected, or not on"),
    ],
)
def test_failures_in_words(stub, bitstream, says, code, message):
    stub("iceprog", says=says, code=code)
    with pytest.raises(FlashError, match=message):
        flash(bitstream, "icebreaker")


def test_success_is_not_mistaken(stub, bitstream):
    stub("iceprog", says="init..\ncdone: high\nprogramming..\nVERIFY OK\ncdone: high\nBye.")
    assert flash(bitstream, "icebreaker").done


def test_program_that_cannot_be_run(bitstream, tmp_path, monkeypatch):
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF nothing")
    path.chmod(0o755)
    monkeypatch.setenv("ICEPROG", str(path))
    with pytest.raises(FlashError, match=r"^iceprog cannot be run: Exec format error$"):
        flash(bitstream, "icebreaker")


def write_report(folder, *, board="icebreaker", bitstream="network.bin"):
    (folder / "report.json").write_text(json.dumps({"board": board, "bitstream": f"/elsewhere/{bitstream}"}))


def test_folder_of_a_build(bitstream, tmp_path):
    write_report(tmp_path)
    report = flash(tmp_path, dry_run=True)
    assert (report.board, report.bitstream) == ("icebreaker", bitstream)
    assert flash(bitstream, dry_run=True).board == "icebreaker"


def test_bitstream_of_another_board(bitstream, tmp_path):
    write_report(tmp_path)
    with pytest.raises(FlashError, match=r"^Bitstream .* must be for ulx3s-25f, not for icebreaker, as its report"):
        flash(bitstream, "ulx3s-25f", dry_run=True)


def test_report_of_another_bitstream_says_nothing(bitstream, tmp_path):
    write_report(tmp_path, bitstream="other.bin")
    with pytest.raises(FlashError, match=r"^Board must be named: no report.json beside .* says which one it is for$"):
        flash(bitstream, dry_run=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"board": 1}', "\udcff"])
def test_folder_without_a_report(tmp_path, text):
    (tmp_path / "report.json").write_text(text, errors="surrogateescape")
    with pytest.raises(FlashError, match=r"^Folder .* holds no build: there is no report.json that names a bitstream$"):
        flash(tmp_path, dry_run=True)


def test_file_that_is_no_bitstream(tmp_path):
    path = tmp_path / "text.bin"
    path.write_text("hello")
    with pytest.raises(FlashError, match=r"^File .*text.bin is not a bitstream for iCE40UP5K-SG48$"):
        flash(path, "icebreaker", dry_run=True)


def test_bitstream_that_is_not_there(tmp_path):
    with pytest.raises(FlashError, match=r"^Bitstream .*none.bin cannot be read: No such file or directory$"):
        flash(tmp_path / "none.bin", "icebreaker", dry_run=True)


def test_board_misspelt(bitstream):
    with pytest.raises(BoardError, match=r"^Board must be one of icebreaker, not 'icebraker'$"):
        flash(bitstream, "icebraker", dry_run=True)
