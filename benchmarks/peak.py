"""How much memory a process has held. In a module that imports nothing large, because `quintet` chooses Arrow's allocator before Arrow is there."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mb(process: int | str = "self") -> float:
    """The most memory that a process ever held (for another one than this: on Linux only)."""
    status = Path(f"/proc/{process}/status")
    if status.exists():  # what getrusage answers begins with the memory of the parent
        return next(
            int(line.split()[1]) / 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )
