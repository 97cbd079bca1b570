"""Peak memory of a process.

This module imports nothing large: `quintet` must choose the allocator of Arrow before Arrow is imported.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mb(process: int | str = "self") -> float:
    """Peak memory of a process in MB. Another process than this one can be measured on Linux only."""
    status = Path(f"/proc/{process}/status")
    if status.exists():  # the number of getrusage includes the memory of the parent at the start
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
