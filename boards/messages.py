"""Messages of the link: what a board tells of itself, samples on their way to it, and its answers."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError, SpikeloomError

__all__ = ["FAULTS", "Answer", "BoardInfo", "LinkError", "encode", "parse_answer", "parse_info"]

_VERSION = 3
_LAYOUT = struct.Struct("<B16sHHBBB?IIIiiIII8sI")

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


def parse_info(port: str, body: bytes) -> BoardInfo:
    """What the board at ``port`` tells of itself.

    Raises
    ------
    LinkError
        If it is of another version, or makes no sense.
    """
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


def parse_answer(port: str, info: BoardInfo, body: bytes) -> Answer:
    """Answer of the board at ``port`` to a sample.

    Raises
    ------
    LinkError
        If it is not as long as it should be.
    """
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
