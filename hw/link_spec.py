"""What a link must know of a network, and what it tells of it."""

import struct
from dataclasses import dataclass

from amaranth import signed
from amaranth.lib import data

from .image import shape_digest, weight_image
from .layout import BeatLayout
from .plan import NetworkPlan
from .uart import baud_divisor

__all__ = ["DEFAULT_BAUD", "HASH_BYTES", "VERSION", "LinkSpec"]

DEFAULT_BAUD = 1_000_000
VERSION = 3
HASH_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class LinkSpec:
    """What a link must know of a network, and what it tells of it.

    Parameters
    ----------
    plan : NetworkPlan
        The network behind the link.
    build_hash : bytes
        16 bytes that name the build.
    clock_hz : int
        Clock of the network.
    baud : int
        Bits per second on the line.

    Raises
    ------
    BaudError
        If the clock cannot make the baud rate.
    """

    plan: NetworkPlan
    build_hash: bytes = bytes(HASH_BYTES)
    clock_hz: int = 24_000_000
    baud: int = DEFAULT_BAUD

    def __post_init__(self) -> None:
        baud_divisor(self.clock_hz, self.baud)
        if len(self.build_hash) != HASH_BYTES:
            raise ValueError(f"Build hash must be {HASH_BYTES} bytes, not {len(self.build_hash)}")

    @property
    def divisor(self) -> int:
        """Clock cycles of one bit."""
        return baud_divisor(self.clock_hz, self.baud)

    @property
    def layout(self) -> BeatLayout:
        """Layout of an input beat."""
        return self.plan.input_layout

    @property
    def output(self) -> data.StructLayout:
        """Layout of an output beat."""
        return data.StructLayout({"data": signed(self.plan.score_width), "last": 1})

    @property
    def populations(self) -> int:
        """Number of spike counters."""
        return len(self.plan.populations)

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.plan.readout.classes

    @property
    def score_bytes(self) -> int:
        """Bytes of a score, and of the answer."""
        return -(-self.plan.score_width // 8)

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat in a frame."""
        return -(-(self.layout["address"].width + self.layout["value"].width + 1) // 8)

    @property
    def steps(self) -> int:
        """Steps that a sample may bring: 1 if the network makes its steps by itself."""
        return self.plan.network.steps if self.plan.input.kind == "events" else 1

    def info(self) -> bytes:
        """Response to INFO after its first byte, as it is after configuration.

        Version (1 byte), build hash (16), classes (2), populations (2), bytes of a score (1), bits of an address (1),
        bits of a value (1), whether the weights are loaded (1), channels, rows and columns of the input (4 each),
        lowest and highest value (4 each), steps that a sample may bring (4), clock in Hz (4). Then, all 0 where weights
        cannot be loaded: bytes of the image of weights (4), digest of its shape (8), CRC-32 of what is loaded (4).
        """
        plan = self.plan
        image = weight_image(plan) if plan.reloadable else None
        loaded = all(port.storage == "ram" for port in plan.writable)
        return struct.pack(
            "<B16sHHBBBBIIIiiIII8sI",
            VERSION,
            self.build_hash,
            self.classes,
            self.populations,
            self.score_bytes,
            self.layout["address"].width,
            self.layout["value"].width,
            loaded,
            *(*self.plan.input.shape, 1, 1)[:3],
            self.layout.values.low,
            self.layout.values.high,
            self.steps,
            self.clock_hz,
            image.size if image else 0,
            shape_digest(plan) if image else b"",
            image.crc if image and loaded else 0,
        )
