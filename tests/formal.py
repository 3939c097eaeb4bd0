"""Proofs: assertions about hardware that hold for all inputs, by the SAT solver of Yosys."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amaranth import ClockDomain, Module, Signal, Value
from amaranth.back import rtlil

from boards.tools import find_tool

__all__ = ["Refuted", "Unproved", "keeps", "past", "prove"]


class Refuted(AssertionError):
    """An assertion fails; the message shows inputs that make it fail, cycle by cycle."""


class Unproved(AssertionError):
    """No failure is known, but no proof either."""


def prove(
    m: Module,
    inputs: Iterable[Any],
    *,
    steps: int,
    always: bool = True,
) -> None:
    """Prove the assertions of a module, for all values of its inputs that fulfil its assumptions.

    Parameters
    ----------
    m : Module
        With ``Assert`` and ``Assume`` in its combinational domain.
    inputs : iterable of Value
        Signals that are free in every cycle.
    steps : int
        Cycles, from the reset on.
    always : bool
        Prove it of every cycle that ever comes, by induction over at most ``steps`` of them; else of the first.

    Raises
    ------
    Refuted
        If an assertion can fail.
    Unproved
        If the induction does not close, or nothing fulfils the assumptions.
    """
    m.domains.sync = domain = ClockDomain(reset_less=True)
    ports = [domain.clk, *(Value.cast(value) for value in inputs)]
    script = [
        "read_rtlil design.il",
        "proc",
        "flatten",
        "memory_map",
        "opt -full",
        "chformal -lower",
        f"sat -verify -set-assumes -seq {steps}",
        f"sat -verify -set-assumes -prove-asserts -show-ports -tempinduct -maxsteps {steps}"
        + ("" if always else " -tempinduct-baseonly"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "design.il").write_text(rtlil.convert(m, ports=ports, emit_src=False))
        # Yosys as a package sees no folder but its own.
        command = [find_tool("yosys").path, "-p", "; ".join(script)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    _judge(done.stdout + done.stderr, done.returncode)


def _judge(said: str, code: int) -> None:
    """Raises what Yosys found, with its last table."""
    table = said[said.rfind("  Time Signal Name") :].partition("\n\n")[0]
    if "model found for base case: FAIL!" in said:
        raise Refuted(f"An assertion fails:\n{table}")
    if "Reached maximum number of time steps -> proof failed" in said:
        raise Unproved(f"The induction does not close; in its last try:\n{table}")
    if "SAT solving finished - no model found" in said:
        raise Unproved("Nothing fulfils the assumptions")
    if code or "Import proof for assert: " not in said or "SUCCESS!" not in said:
        raise Unproved(f"Yosys did not come to the proof:\n{said[-2000:]}")


def past(m: Module, value: Any, cycles: int = 1, init: int = 0) -> Any:
    """Value of some cycles before; ``init`` where there was none."""
    for _ in range(cycles):
        held = Signal(Value.cast(value).shape(), init=init)
        m.d.sync += held.eq(value)
        value = held
    return value


def keeps(m: Module, port: Any) -> Any:
    """Whether a stream keeps what it offers: what was valid and not taken a cycle ago is valid, and the same."""
    waited = past(m, port.valid & ~port.ready)
    payload = Value.cast(port.payload)
    return ~waited | (port.valid & (payload == past(m, payload)))
