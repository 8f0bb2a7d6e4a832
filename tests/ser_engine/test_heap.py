"""The C library's heap."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HELD_MB = """
import sys
import numpy as np
from ser_engine.heap import return_large_blocks

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4 / 1024

if sys.argv[1] == "return":
    return_large_blocks()
np.ones(3 * 2**20)  # 24 MB: glibc raises its limit to this
before = resident_mb()
blocks = [np.ones(2**20) for _ in range(8)]
above = bytes(100_000)
blocks.clear()
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_return_to_the_system_when_they_are_freed() -> None:
    def held_mb(how: str) -> float:
        return float(subprocess.run([sys.executable, "-c", HELD_MB, how], capture_output=True, check=True).stdout)

    assert held_mb("return") < 2 < held_mb("keep")
