"""What the extraction's tests put in the place of decoding: it logs, and does as the file's name says. Imported by worker processes too."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from quintet.audio.decode import Decoded, load_clip


def load(path: str, **settings: Any) -> Decoded:
    """Decode, after a line in `decoded.log` beside the corpus."""
    with (Path(path).parents[1] / "decoded.log").open("a", encoding="utf-8") as log:
        log.write(Path(path).name + "\n")
    act(Path(path).name)
    return load_clip(path, **settings)


def act(name: str) -> None:
    """What a file's name asks for."""
    if "segfault" in name:
        ctypes.string_at(0)
    elif "exit" in name:
        os._exit(3)
    elif "hang" in name:
        time.sleep(60)
    elif "memory" in name:
        raise MemoryError
    elif "index" in name:
        raise IndexError("list index out of range")
    elif "slow" in name:
        time.sleep(0.01)


def counts(corpus: Path) -> dict[str, int]:
    """How often each file was decoded."""
    log = corpus / "decoded.log"
    names = log.read_text(encoding="utf-8").split() if log.exists() else []
    return {name: names.count(name) for name in sorted(set(names))}
