"""Memory is measured in a process of its own: what is set once stays."""

import subprocess
import sys

import pytest

_SCRIPT = """
import resource, sys
import numpy as np
from snn.memory import keep_memory
kept = keep_memory() if sys.argv[1] == "keep" else False
def faults():
    np.ones(1 << 22)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(1 << 22)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(kept), faults())
"""


def run(mode):
    result = subprocess.run([sys.executable, "-c", _SCRIPT, mode], capture_output=True, text=True, check=True)
    return [int(word) for word in result.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is not glibc")
def test_freed_memory_is_not_asked_for_again():
    kept, faults = run("keep")
    assert kept
    assert faults < run("plain")[1] / 2
