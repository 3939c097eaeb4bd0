"""Host's side of the link: send a sample to a board, get its answer; load its weights."""

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quant.ir import Network

from .frame import END, FrameReader, frame
from .messages import FAULTS, Answer, BoardInfo, LinkError, encode, parse_answer, parse_info

if TYPE_CHECKING:
    from hw.image import WeightImage

__all__ = ["DEFAULT_BAUD", "Link", "LinkError"]

DEFAULT_BAUD = 1_000_000
_INFO, _RUN, _LOAD, _VERIFY, _RESPONSE, _ERROR = 1, 2, 4, 5, 8, 15
_PIECE_BYTES = 1024  # of weights in a frame
_QUIET_S = 0.02
_POLL_S = 0.05
_PATIENCE = 10  # silences that bytes without sense may take


class Link:
    """A board at a serial port.

    A frame that the board refuses, or that gets no answer, is sent a second time; then it is an error.

    Parameters
    ----------
    port : str
        Name of a serial port, or a URL of pyserial's (``socket://host:port``).
    baud : int
    timeout_s : float
        Seconds of silence after which a board is taken not to answer.

    Raises
    ------
    LinkError
        If the port cannot be opened.
    """

    def __init__(self, port: str, *, baud: int = DEFAULT_BAUD, timeout_s: float = 2.0):
        self.port = port
        self.timeout_s = timeout_s
        self._serial = _open(port, baud, _PATIENCE * timeout_s)
        self._reader = FrameReader()
        self._tag = 0
        self._info: BoardInfo | None = None

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._serial.close()

    def info(self) -> BoardInfo:
        """What is on the board; asked once.

        Raises
        ------
        LinkError
            If there is no answer, or one that this version does not understand.
        """
        if self._info is None:
            self._info = parse_info(self.port, self._request(_INFO, b""))
        return self._info

    def check(self, network: Network, build_hash: str | None = None, weights: Collection[int] = ()) -> None:
        """Refuse a board on which is not this network, not this build, or not the weights of one of these checksums.

        Raises
        ------
        LinkError
            Naming the first thing that differs.
        """
        info, port = self.info(), network.input
        if build_hash is not None and info.build_hash != build_hash:
            raise LinkError(
                f"Board at {self.port} must hold build {build_hash}, not {info.build_hash}: flash the bitstream again"
            )
        steps = network.steps if port.kind == "events" else 1
        linear = network.readout.weights
        classes = network[network.readout.population].size if linear is None else len(linear)
        for what, here, there in (
            ("shape of inputs", (*port.shape, 1, 1)[:3], (info.channels, info.rows, info.columns)),
            ("lowest input value", port.low, info.low),
            ("highest input value", port.high, info.high),
            ("steps a sample", steps, info.steps),
            ("populations", len(network.populations), info.populations),
            ("classes", classes, info.classes),
        ):
            if here != there:
                raise LinkError(f"Board at {self.port} must have the network's {what}, {here}, not {there}")
        if not info.loaded:
            raise LinkError(f"Weights of the board at {self.port} must be loaded first: see `spikeloom load`")
        if weights and info.image_bytes and info.weights_crc not in weights:
            known = " or ".join(f"{crc:08x}" for crc in weights)
            raise LinkError(
                f"Weights of the board at {self.port} must be those of {network.name}, of checksum {known}, "
                f"not {info.weights_crc:08x}: see `spikeloom load`"
            )

    def load(self, image: "WeightImage", *, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Load weights, and let the board read them back.

        While this goes on, and after it has failed, the board runs no sample: it never has a part of an image.

        Parameters
        ----------
        image : WeightImage
        progress : callable
            Called with the bytes done, and how many there are.

        Raises
        ------
        LinkError
            If the weights are not of the board's shape, before anything is sent; if the board does not answer, or
            what it reads back is not what was sent.
        """
        info = self.info()
        if not info.image_bytes:
            raise LinkError(f"Board at {self.port} must be built with --reloadable or with SPRAM to take weights")
        if (info.shape, info.image_bytes) != (image.shape.hex(), image.size):
            raise LinkError(
                f"Weights of {image.network} must have the shape of the board at {self.port}, {info.shape} of "
                f"{info.image_bytes} bytes, not {image.shape.hex()} of {image.size}: build this network, and flash it"
            )
        self._info = None
        done = 0
        progress(done, image.size)
        for place, content in image.pieces(_PIECE_BYTES):
            self._request(_LOAD, place + content)
            done += len(content)
            progress(done, image.size)
        found = int.from_bytes(self._request(_VERIFY, image.crc.to_bytes(4, "little")), "little")
        if found != image.crc or not self.info().loaded:
            raise LinkError(
                f"Board at {self.port} must read weights of checksum {image.crc:08x} back, not {found:08x}: load again"
            )

    def run(self, sample: NDArray[np.integer[Any]]) -> Answer:
        """Answer to one sample, of the shape that :func:`encode` takes.

        Raises
        ------
        LinkError
            If the board refuses the sample twice, or does not answer.
        NetworkError
            If the sample does not have the shape or the range of the board's input.
        """
        info = self.info()
        return parse_answer(self.port, info, self._request(_RUN, encode(info, sample)))

    def _request(self, command: int, body: bytes) -> bytes:
        """Body of the response; a second try after a fault or silence."""
        for attempt in range(2):
            if attempt:
                self._resynchronise()
            self._tag = self._tag % 15 + 1  # 0 is what the board says of a frame without a command
            self._write(frame(bytes([self._tag << 4 | command]) + body))
            response = self._response(command)
            if response and response[0] & 15 == command | _RESPONSE:
                return response[1:]
        if response is None:
            raise LinkError(f"Board at {self.port} did not answer within {self.timeout_s:g} s: is it flashed and on?")
        fault = FAULTS.get(response[1] if len(response) > 1 else 0, "for a reason that this version does not know")
        raise LinkError(f"Board at {self.port} refused the frame: {fault}")

    def _response(self, command: int) -> bytes | None:
        """The response or fault that carries the tag; if the line falls silent before, the last fault without it."""
        complaint = None
        now = time.monotonic()
        quiet, patience = now + self.timeout_s, now + _PATIENCE * self.timeout_s
        while time.monotonic() < min(quiet, patience):
            received = self._read()
            if received:
                quiet = time.monotonic() + self.timeout_s
            for payload in self._reader.feed(received):
                tag, kind = payload[0] >> 4, payload[0] & 15
                if tag == self._tag and kind in (command | _RESPONSE, _ERROR):
                    return payload
                if kind == _ERROR:
                    complaint = payload
        return complaint

    def _resynchronise(self) -> None:
        """End whatever the board takes to be a frame, and let its complaints pass."""
        self._write(END + END)
        quiet = time.monotonic() + _QUIET_S
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < min(quiet, deadline):
            if self._read():
                quiet = time.monotonic() + _QUIET_S
        self._reader.clear()

    def _write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
            self._serial.flush()
        except OSError as error:
            raise _lost(self.port, error) from None

    def _read(self) -> bytes:
        try:
            return bytes(self._serial.read(max(1, self._serial.in_waiting)))
        except (OSError, TypeError) as error:  # TypeError: pyserial's when the other end closes the port while it reads
            raise _lost(self.port, error) from None


def _lost(port: str, error: Exception) -> LinkError:
    return LinkError(f"Port {port} was lost: {error}")


def _open(port: str, baud: int, write_timeout_s: float) -> Any:
    try:
        import serial
    except ImportError:
        raise LinkError("The link needs pyserial, which is not installed: pip install 'spikeloom[link]'") from None
    try:
        return serial.serial_for_url(port, baudrate=baud, timeout=_POLL_S, write_timeout=write_timeout_s)
    except (OSError, ValueError) as error:
        raise LinkError(_why_not(port, error, serial)) from None


def _why_not(port: str, error: Exception, serial: Any) -> str:
    number = getattr(error, "errno", None)
    if number == 2:
        from serial.tools import list_ports

        there = ", ".join(sorted(item.device for item in list_ports.comports()))
        return f"Port {port} does not exist; " + (f"there is {there}" if there else "no serial port is connected")
    if number == 13:
        return f"Port {port} may not be opened by this user: on Debian, join the group dialout"
    if number == 16:
        return f"Port {port} is in use by another program"
    return f"Port {port} cannot be opened: {error}"
