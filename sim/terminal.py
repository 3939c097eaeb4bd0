"""Pseudo terminal of a simulated board, and what its two sides agree on."""

import os
import pty
import select
import tty

__all__ = ["BIT_CYCLES", "CLOCK_HZ", "PORT", "STOP", "Terminal"]

CLOCK_HZ = 100_000_000
BIT_CYCLES = 8

# Files in the folder of a run: the port's name, and, once it exists, the sign to stop.
PORT = "port"
STOP = "stop"

_IDLE_S = 0.001


class Terminal:
    """The board's end of a pseudo terminal; ``name`` is the other one's."""

    def __init__(self) -> None:
        self._board, self._host = pty.openpty()  # the host's end stays open, so that hosts may come and go
        tty.setraw(self._host)
        os.set_blocking(self._board, False)
        self.name = os.ttyname(self._host)

    def close(self) -> None:
        """Give both ends back."""
        os.close(self._board)
        os.close(self._host)

    def read(self) -> bytes:
        """What the host has sent; waits a moment for it."""
        ready, _, _ = select.select([self._board], [], [], _IDLE_S)
        return os.read(self._board, 4096) if ready else b""

    def write(self, data: bytes) -> None:
        """Send to the host; lost if it does not read, as on a line."""
        try:
            os.write(self._board, data)
        except BlockingIOError:
            return
