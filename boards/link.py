"""Host's side of the link: send a sample to a board, get its answer; load its weights."""

import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError, SpikeloomError
from quant.ir import Network

from .frame import END, FrameReader, frame

if TYPE_CHECKING:
    from hw.image import WeightImage

__all__ = ["DEFAULT_BAUD", "FAULTS", "Answer", "BoardInfo", "Link", "LinkError", "encode"]

DEFAULT_BAUD = 1_000_000
_VERSION = 3
_INFO, _RUN, _LOAD, _VERIFY, _RESPONSE, _ERROR = 1, 2, 4, 5, 8, 15
_LAYOUT = struct.Struct("<B16sHHBBB?IIIiiIII8sI")
_PIECE_BYTES = 1024  # of weights in a frame
_QUIET_S = 0.02
_POLL_S = 0.05
_PATIENCE = 10  # silences that bytes without sense may take

FAULTS: Mapping[int, str] = {
    1: "bytes were lost or damaged on the line; a lower baud rate may help",
    2: "the frame's checksum was wrong",
    3: "the frame's length was wrong",
    4: "the command is unknown",
    5: "an address was outside the network's input",
    6: "a value was outside the network's range",
    7: "the sample had more steps than the network",
    8: "its weights are not loaded: see `spikeloom load`",
}


class LinkError(SpikeloomError):
    """A port that cannot be used, a board that does not answer, or one that is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class BoardInfo:
    """What a board tells of itself.

    Parameters
    ----------
    build_hash : str
        32 hexadecimal digits.
    classes, populations : int
        Scores of an answer, and spike counts.
    score_bytes : int
        Bytes of a score.
    address_width, value_width : int
        Bits of a beat's fields.
    channels, rows, columns : int
        Shape of the input; of a flat one the last two are 1.
    low, high : int
        Range of an input value.
    steps : int
        Steps that a sample may bring; 1 for a sample that the network repeats by itself.
    clock_hz : int
        Clock of the network.
    loaded : bool
        Whether the weights are there.
    image_bytes : int
        Bytes of the weights that can be loaded; 0 if they cannot.
    shape : str
        16 hexadecimal digits, digest of what such weights must fit.
    weights_crc : int
        CRC-32 of the shape and the weights that are loaded.
    """

    build_hash: str
    classes: int
    populations: int
    score_bytes: int
    address_width: int
    value_width: int
    loaded: bool = True
    channels: int
    rows: int
    columns: int
    low: int
    high: int
    steps: int
    clock_hz: int
    image_bytes: int = 0
    shape: str = "00" * 8
    weights_crc: int = 0

    @property
    def inputs(self) -> int:
        """Number of input values."""
        return self.channels * self.rows * self.columns

    @property
    def address_widths(self) -> tuple[int, int, int]:
        """Bits of a column, a row and a channel in an address, the column's lowest."""
        return (self.columns - 1).bit_length(), (self.rows - 1).bit_length(), (self.channels - 1).bit_length()

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return -(-(self.address_width + self.value_width + 1) // 8)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a board made of one sample.

    Parameters
    ----------
    answer : int
    scores : tuple of int
    cycles : int
        Clock cycles from the end of the frame to the first score. What the network did while the sample was still
        arriving is not among them.
    spikes : tuple of int
        Spikes of each population, in the order of ``network.order``.
    """

    answer: int
    scores: tuple[int, ...]
    cycles: int
    spikes: tuple[int, ...]


def encode(info: BoardInfo, sample: NDArray[np.integer[Any]]) -> bytes:
    """Beats of a sample as a board takes them: per step the values that are not 0; between steps a tick.

    Parameters
    ----------
    sample : array of int
        ``(steps, inputs)``, or ``(inputs,)`` for a single step; a map's inputs in C order.

    Raises
    ------
    NetworkError
        If the sample does not have the shape or the range of the board's input.
    """
    steps = np.atleast_2d(np.asarray(sample))
    if steps.ndim != 2 or steps.shape[1] != info.inputs or not 1 <= len(steps) <= info.steps:
        raise NetworkError(
            f"Sample must be of shape (steps, {info.inputs}) with 1 to {info.steps} steps, not {np.shape(sample)}"
        )
    if steps.dtype.kind not in "iub":
        raise NetworkError(f"Sample must be integers, not {steps.dtype}")
    if steps.min() < info.low or steps.max() > info.high:
        wrong = steps.min() if steps.min() < info.low else steps.max()
        raise NetworkError(f"Sample must hold values between {info.low} and {info.high}, not {wrong}")
    step, place = np.nonzero(steps)
    words = np.full(len(step) + len(steps) - 1, 1 << (info.address_width + info.value_width), "<u8")
    value = steps[step, place].astype(np.int64) & ((1 << info.value_width) - 1)
    column_bits, row_bits, _ = info.address_widths
    row, column = np.divmod(place, info.columns)
    channel, row = np.divmod(row, info.rows)
    address = column | row << column_bits | channel << (column_bits + row_bits)
    words[np.arange(len(step)) + step] = address | value << info.address_width
    return words.view(np.uint8).reshape(-1, 8)[:, : info.beat_bytes].tobytes()


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
            self._info = _parse_info(self.port, self._request(_INFO, b""))
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
        return _parse_answer(self.port, info, self._request(_RUN, encode(info, sample)))

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


def _parse_info(port: str, body: bytes) -> BoardInfo:
    if not body or body[0] != _VERSION:
        spoken = body[0] if body else "none"
        raise LinkError(
            f"Board at {port} must speak version {_VERSION} of the link, not {spoken}: build and flash it again"
        )
    if len(body) != _LAYOUT.size:
        raise LinkError(f"Board at {port} must tell of itself in {_LAYOUT.size} bytes, not {len(body)}")
    _, digest, *numbers = _LAYOUT.unpack(body)
    names = list(BoardInfo.__dataclass_fields__)[1:]
    values = dict(zip(names, numbers, strict=True))
    info = BoardInfo(build_hash=digest.hex(), **{**values, "shape": values["shape"].hex()})
    widths = 1 <= info.address_width <= 32 and 1 <= info.value_width <= 31 and 1 <= info.score_bytes <= 8
    sizes = min(info.classes, info.populations, info.inputs, info.steps) > 0 and info.low <= 0 < info.high
    if not (widths and sizes and info.address_width == max(1, sum(info.address_widths))):
        raise LinkError(f"Board at {port} must tell of a network that can be, not {info}")
    return info


def _parse_answer(port: str, info: BoardInfo, body: bytes) -> Answer:
    scores = (info.classes + 1) * info.score_bytes
    expected = scores + 4 * (1 + info.populations)
    if len(body) != expected:
        raise LinkError(f"Board at {port} must answer in {expected} bytes, not {len(body)}")
    words = [
        int.from_bytes(body[at : at + info.score_bytes], "little", signed=True)
        for at in range(0, scores, info.score_bytes)
    ]
    cycles, *spikes = struct.unpack_from(f"<{1 + info.populations}I", body, scores)
    return Answer(answer=words[-1], scores=tuple(words[:-1]), cycles=cycles, spikes=tuple(spikes))
