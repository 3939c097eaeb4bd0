"""Frames on a byte stream, the host's side of :mod:`hw.frame`."""

from binascii import crc_hqx

__all__ = ["END", "FrameReader", "checksum", "frame"]

END = b"\xc0"
_ESC, _ESC_END, _ESC_ESC = b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
_CHECKSUM_BYTES = 2
_LONGEST = 1 << 16


def checksum(payload: bytes) -> bytes:
    """CRC-16/CCITT-FALSE, low byte first."""
    return crc_hqx(payload, 0xFFFF).to_bytes(_CHECKSUM_BYTES, "little")


def frame(payload: bytes) -> bytes:
    """Payload with its checksum, escaped, between two ENDs."""
    body = payload + checksum(payload)
    return END + body.replace(_ESC, _ESC_ESC).replace(END, _ESC_END) + END


class FrameReader:
    """Payloads out of bytes that come in pieces; what is not a good frame is dropped."""

    def __init__(self) -> None:
        self._pending = b""

    def clear(self) -> None:
        """Forget what has come of a frame."""
        self._pending = b""

    def feed(self, received: bytes) -> list[bytes]:
        """Payloads of the good frames that these bytes complete."""
        *bodies, self._pending = (self._pending + received).split(END)
        self._pending = self._pending[-_LONGEST:]
        return [payload for payload in map(_payload, bodies) if payload is not None]


def _payload(body: bytes) -> bytes | None:
    pieces = body.split(_ESC)
    if any(piece[:1] not in (b"\xdc", b"\xdd") for piece in pieces[1:]):
        return None
    plain = pieces[0] + b"".join((END if piece[:1] == b"\xdc" else _ESC) + piece[1:] for piece in pieces[1:])
    payload, stated = plain[:-_CHECKSUM_BYTES], plain[-_CHECKSUM_BYTES:]
    return payload if payload and stated == checksum(payload) else None
