"""Marks for tests that need tools."""

import pytest

from boards.tools import ToolError, find_tool
from sim.tools import available

__all__ = ["needs_netlists"]


def _has_yosys() -> bool:
    try:
        find_tool("yosys")
    except ToolError:
        return False
    return True


needs_netlists = pytest.mark.skipif(not (available("icarus") and _has_yosys()), reason="needs yosys and icarus")
