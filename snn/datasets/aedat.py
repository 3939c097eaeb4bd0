"""AEDAT 3.1, the files of iniVation's cameras: https://docs.inivation.com, "AEDAT 3.1".

A header of lines that begin with ``#``, the first ``#!AER-DAT3.1``, the last ``#!END-HEADER``; then packets. All
numbers are little-endian. A packet's header is 28 bytes: type and source of its events in 16 bits each, then in 32
bits each the size of an event, the offset of its time, the overflow count of the time, the capacity, the number of
events and the number of valid ones. A polarity event (type 1) is 8 bytes: 32 bits of data and a time in microseconds
of 31 bits, which the overflow count extends. Its data are, from bit 0: valid, polarity, y in 15 bits, x in 15 bits.
"""

from pathlib import Path

import numpy as np

from .errors import DatasetError
from .events import Sample

__all__ = ["read_aedat"]

_FIRST = b"#!AER-DAT3.1"
_LAST = b"#!END-HEADER"
_PACKET = np.dtype(
    [
        ("kind", "<i2"),
        ("source", "<i2"),
        *((name, "<i4") for name in ("size", "time_offset", "overflow", "capacity", "number", "valid")),
    ]
)
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])
_POLARITY = 1
_MOST_BYTES = 1 << 30
_LONGEST_LINE = 1 << 16


def read_aedat(path: Path) -> Sample:
    """x, y, polarity and microseconds (int64) of the valid polarity events of a file, in its order.

    Raises
    ------
    DatasetError
        If the file is missing, too large, cut short, or not AEDAT 3.1.
    """
    data = _read(path)
    blocks = [np.zeros(0, _EVENT)]
    overflows = [0]
    place = _packets(data, path)
    while place < len(data):
        if place + _PACKET.itemsize > len(data):
            raise DatasetError(f"File {path} is cut short: it ends within the header of a packet")
        header = np.frombuffer(data, _PACKET, 1, place)[0]
        place += _PACKET.itemsize
        number, size = int(header["number"]), int(header["size"])
        polarity = header["kind"] == _POLARITY
        if number < 0 or size < 1 or (polarity and size != _EVENT.itemsize):
            raise DatasetError(
                f"File {path} must have packets of polarity events of {_EVENT.itemsize} bytes, "
                f"not of {number} events of {size} bytes of type {header['kind']}"
            )
        if place + number * size > len(data):
            raise DatasetError(
                f"File {path} is cut short: a packet of {number * size} bytes has {len(data) - place} of them"
            )
        if polarity:
            blocks.append(np.frombuffer(data, _EVENT, number, place))
            overflows.append(int(header["overflow"]))
        place += number * size
    times = [block["time"] + (np.int64(overflow) << 31) for block, overflow in zip(blocks, overflows, strict=True)]
    words = np.concatenate([block["data"] for block in blocks])
    valid = (words & 1).astype(np.bool_)
    words, time = words[valid], np.concatenate(times)[valid]
    return (
        (words >> 17).astype(np.uint16),
        (words >> 2 & 0x7FFF).astype(np.uint16),
        (words >> 1 & 1).astype(np.uint8),
        time,
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise DatasetError(f"File {path} does not exist") from None
    except OSError as error:
        raise DatasetError(f"File {path} cannot be read: {error.strerror or error}") from None
    if len(data) > _MOST_BYTES:
        raise DatasetError(f"File {path} must hold at most {_MOST_BYTES} bytes")
    return data


def _packets(data: bytes, path: Path) -> int:
    """Where the packets begin: after the line that ends the header, or where lines of ``#`` end."""
    place, line = 0, b""
    while data[place : place + 1] == b"#" and line != _LAST:
        end = data.find(b"\n", place, place + _LONGEST_LINE)
        line = data[place:end].rstrip(b"\r")
        if end < 0 or (place == 0 and line != _FIRST):
            break
        place = end + 1
    if not place:
        shown = data[: len(_FIRST)].decode("latin-1")
        raise DatasetError(f"File {path} must begin with the line {_FIRST.decode()}, not {shown!r}")
    return place
