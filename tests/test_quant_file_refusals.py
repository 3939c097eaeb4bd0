"""Files that were cut off, altered or made up: they are refused, in one line, before anything in them can do harm."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from quant.errors import FileError
from quant.file import _digest, load_network, load_parts
from tests.specimen import same, saved_fixture, small  # noqa: F401

NOT_WHOLE = r"is not a whole Spikeloom file: it is truncated, altered or of another kind$"


def refused(path, match, content="network"):
    with pytest.raises(FileError, match=match) as caught:
        load_network(path) if content == "network" else load_parts(path, content)
    message = str(caught.value)
    assert message.startswith(f"File {path} ")
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_every_truncation_is_refused(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), 7):
        saved.write_bytes(data[:length])
        refused(saved, NOT_WHOLE)


def loaded_or_message(path):
    try:
        return load_network(path)
    except FileError as error:
        return str(error)


def test_an_altered_byte_is_refused_or_changes_nothing(saved):
    data, network = saved.read_bytes(), small()
    harmless = 0
    for offset in range(0, len(data), 2):
        altered = bytearray(data)
        altered[offset] ^= (0x01, 0x80, 0xFF)[offset % 3]
        saved.write_bytes(altered)
        loaded = loaded_or_message(saved)
        if isinstance(loaded, str):
            assert loaded.startswith(f"File {saved} ")
        else:
            assert same(loaded, network)
            harmless += 1
    assert harmless < len(data) // 6  # only what a zip says twice: dates, versions, attributes


def test_bytes_after_the_end_are_not_read(saved):
    saved.write_bytes(b"#!/bin/sh\n" + saved.read_bytes())
    assert same(load_network(saved), small())


def rewritten(path, *, sign=True, **changes):
    """Write ``path`` anew with other members; a value of None drops one."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {name.replace("__", "."): data for name, data in changes.items()}
    members = {name: data for name, data in members.items() if data is not None}
    if sign:
        header = json.loads(members["header.json"])
        header.pop("sha256", None)
        header["sha256"] = _digest(header, {name: data for name, data in members.items() if name != "header.json"})
        members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def header_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("header.json"))


def with_header(path, **changes):
    rewritten(path, header__json=json.dumps({**header_of(path), **changes}).encode())


def with_body(path, change):
    body = header_of(path)["body"]
    change(body)
    with_header(path, body=body)


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "none", r"does not exist$")


def test_a_directory_is_refused(tmp_path):
    refused(tmp_path, r"cannot be read: Is a directory$")


@pytest.mark.parametrize("data", [b"", b"PK", b"module top;", b"\x00" * 1000, b"PK\x05\x06" + b"\x00" * 18])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "other").write_bytes(data)
    refused(tmp_path / "other", r"is not a (whole )?Spikeloom file: ")


@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]", b"null", b'"spikeloom"', b"\xff\xfe", b"{}", b'{"format": "other"}']
)
def test_a_header_that_is_none_is_refused(saved, header):
    rewritten(saved, sign=False, header__json=header)
    refused(saved, r"is not a Spikeloom file: it has no header$")


def test_a_file_without_header_is_refused(saved):
    rewritten(saved, sign=False, header__json=None)
    refused(saved, r"is not a Spikeloom file: it has no header$")


def test_a_deep_header_is_refused(saved):
    rewritten(saved, sign=False, header__json=b"[" * 100_000 + b"]" * 100_000)
    refused(saved, r"is not a Spikeloom file: it has no header$")


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_a_deep_field_is_refused(saved, depth):
    header = {**header_of(saved), "deep": "here"}
    text = json.dumps(header).replace('"here"', "[" * depth + "]" * depth)
    rewritten(saved, sign=False, header__json=text.encode())
    refused(saved, r"(was altered|nested too deeply|no header)")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(saved, version):
    with_header(saved, version=version)
    refused(saved, rf"must have format version 1, not {version!r}$")


def test_another_content_is_refused(saved):
    refused(saved, r"must hold a model, not a 'network'$", content="model")
    with_header(saved, content=["network"])
    refused(saved, r"must hold a network, not a \['network'\]$")


@pytest.mark.parametrize("changes", [{"sha256": None}, {"sha256": "0" * 64}, {"other": 1}])
def test_a_header_that_was_altered_is_refused(saved, changes):
    rewritten(saved, sign=False, header__json=json.dumps({**header_of(saved), **changes}).encode())
    refused(saved, r"was altered: its contents do not have the digest in its header$")


def test_an_array_that_was_altered_is_refused(saved):
    rewritten(saved, sign=False, connections__0__weights__npy=None)
    rewritten(saved, sign=False, **{"connections.0.weights.npy": npy(np.array([[1, 2], [3, -4], [-8, 6]], np.int8))})
    refused(saved, r"was altered")


def test_an_array_that_was_added_is_refused(saved):
    rewritten(saved, sign=False, **{"extra.npy": npy([1])})
    refused(saved, r"was altered")


def test_a_body_that_is_no_object_is_refused(saved):
    with_header(saved, body=[1])
    refused(saved, r"has no body in its header$")


def replaced_weights(path, data):
    rewritten(path, **{"connections.0.weights.npy": data})


def test_a_pickle_is_refused_and_never_loaded(saved):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(saved) + ".evil",)

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Evil()], object), allow_pickle=True)
    replaced_weights(saved, buffer.getvalue())
    refused(saved, r"holds an array that cannot be read: it must be of numbers, not of object$")
    assert not os.path.exists(str(saved) + ".evil")


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.array([1j]), np.zeros(2, "i4,f4"), np.array([True]), np.array([0], "M8[s]")]
)
def test_arrays_of_other_things_are_refused(saved, array):
    replaced_weights(saved, npy(array))
    refused(saved, r"holds an array that cannot be read: it must be of numbers, not of ")


def test_a_huge_array_of_few_bytes_is_refused_before_it_is_made(saved, monkeypatch):
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776, 1024), }"
    header += b" " * (117 - len(header)) + b"\n"
    replaced_weights(saved, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\x00" * 64)
    monkeypatch.setattr(np, "ndarray", None)
    refused(saved, r"cannot be read: shape \(1099511627776, 1024\) of int64 does not fit 64 bytes$")


@pytest.mark.parametrize("size", [0, 5, 30, 127, 128, 130])
def test_a_truncated_array_is_refused(saved, size):
    replaced_weights(saved, npy(np.zeros((3, 2), np.int8))[:size])
    refused(saved, r"holds an array that cannot be read: ")


def test_an_array_of_too_many_bytes_is_refused(saved):
    replaced_weights(saved, npy(np.zeros((3, 2), np.int8)) + b"\x00")
    refused(saved, r"shape \(3, 2\) of int8 does not fit 7 bytes$")


def test_an_array_of_another_version_is_refused(saved):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros((3, 2), np.int8), version=(2, 0))
    replaced_weights(saved, buffer.getvalue())
    refused(saved, r"its version must be \(1, 0\), not \(2, 0\)$")


@pytest.mark.parametrize("text", [b"not python", b"{'descr': '<i8'}", b"__import__('os')", b"(" * 90])
def test_an_array_header_that_is_none_is_refused(saved, text):
    header = text + b" " * (117 - len(text)) + b"\n"
    replaced_weights(saved, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refused(saved, r"holds an array that cannot be read: ")


def test_arrays_of_any_order_and_endianness_are_read(saved):
    replaced_weights(saved, npy(np.asfortranarray(small().connections[0].weights.astype(">i4"))))
    assert same(load_network(saved), small())


def test_huge_declared_sizes_are_refused_without_unpacking(saved, monkeypatch):
    data = bytearray(saved.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (0xFFFF0000).to_bytes(4, "little")
    saved.write_bytes(data)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    refused(saved, r"must unpack to at most 1073741824 bytes$")


def test_a_member_longer_than_it_says_is_refused(saved):
    data = bytearray(saved.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    saved.write_bytes(data)
    refused(saved, NOT_WHOLE)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "other", "w", method) as archive:
        archive.writestr("header.json", b"{}")
    refused(tmp_path / "other", NOT_WHOLE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body.pop("steps"), r"its header does not describe a network \(KeyError\('steps'\)\)$"),
        (lambda body: body.update(steps=0), r"Network steps must be between 1 and 65536, not 0$"),
        (lambda body: body.update(steps=1e400), r"Network steps must be integers, not inf$"),
        (lambda body: body.update(steps=10**30), r"Network steps must be integers, not 10{30}$"),
        (lambda body: body.update(steps=[3]), r"Network steps must be one integer, not \[3\]$"),
        (lambda body: body.update(name=["a"]), r"Network name must be a letter"),
        (lambda body: body.update(metadata=[1]), r"Network metadata must be JSON values"),
        (lambda body: body.update(metadata=None), r"Network metadata must be JSON values"),
        (lambda body: body.update(populations={"p": 1}), r"does not describe a network"),
        (lambda body: body.update(populations=None), r"does not describe a network"),
        (lambda body: body.update(populations=[]), r"Network must have at least one population$"),
        (lambda body: body.update(connections=[[]]), r"does not describe a network"),
        (lambda body: body.update(input="events"), r"does not describe a network"),
        (lambda body: body["input"].update(shape=[-1]), r"Input: shape must be"),
        (lambda body: body["input"].update(shape=None), r"Input: shape must be"),
        (lambda body: body["input"].update(shape=[1 << 70]), r"Input: shape must be"),
        (lambda body: body["input"].update(unknown=1), r"does not describe a network"),
        (lambda body: body["populations"][0].update(threshold={"array": "none"}), r"KeyError\('none'\)"),
        (lambda body: body["populations"][0].update(threshold={"array": ["x"]}), r"does not describe a network"),
        (lambda body: body["populations"][0].update(threshold="4"), r"threshold must be integers, not '4'$"),
        (
            lambda body: body["populations"][0].update(threshold=0),
            r"threshold must be between 1 and 2147483647, not 0$",
        ),
        (lambda body: body["populations"][0].update(decay={"shift": 99}), r"Decay shift must be between 0 and 24"),
        (lambda body: body["populations"][0].update(decay={"shift": {"shift": 1}}), r"Decay shift must be"),
        (lambda body: body["populations"][0].update(state_max=2**31), r"state_max must be between"),
        (lambda body: body["connections"][0].update(kind=3), r"kind must be one of"),
        (lambda body: body["connections"][0].update(kind=["dense"]), r"kind must be one of"),
        (lambda body: body["connections"][0].update(weight_bits=2), r"weights must be between -2 and 1, not -8$"),
        (lambda body: body["connections"][0].update(weights={"array": "readout.bias"}), r"do not fit kind dense$"),
        (
            lambda body: body["connections"][0].update(stride={"array": "readout.bias"}),
            r"stride must be one integer or two",
        ),
        (lambda body: body["connections"][0].update(delay=[0]), r"delay must be 0 or 1 step"),
        (lambda body: body["connections"][0].update(source="q"), r"'q' must be one of input, p$"),
        (lambda body: body["readout"].update(population="q"), r"Readout population must be one of p, not 'q'$"),
        (lambda body: body["readout"].update(weights=3), r"Readout weights and bias must have shapes"),
    ],
)
def test_an_inconsistent_file_is_refused(saved, change, words):
    with_body(saved, change)
    refused(saved, rf"is inconsistent[.:] .*{words}")


def test_a_deep_body_is_refused(saved):
    deep = 1
    for _ in range(300):
        deep = {"numerator": deep}
    with_body(saved, lambda body: body["populations"][0].update(decay=deep))
    refused(saved, r"is inconsistent")
