"""Decoders that crash, hang or take all memory, by the name of the file: what a hostile file does to them.

`install` changes this process and the workers that it forks. As `sitecustomize` (see `write_sitecustomize`)
it changes every Python process of a command.
"""

from __future__ import annotations

import ctypes
import faulthandler
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quintet.audio.reading import soundfile_reader

KINDS = ("crash", "opencrash", "hang", "bomb")
"""Names of files: a crash while decoding, a crash while the header is read, a hang, memory without end."""


def install(set_attribute: Callable[[object, str, Any], None] = setattr) -> None:
    """Let soundfile's decoder act by the names of the files."""
    original = soundfile_reader._open

    def open_file(source: Path) -> Any:
        kind = source.stem.split("-")[0]
        if kind == "opencrash":
            act("crash")
        file = original(source)
        if kind in ("crash", "hang", "bomb"):
            file.decoder.read = lambda *_, **__: act(kind)
        return file

    set_attribute(soundfile_reader, "_open", open_file)


def act(kind: str) -> None:
    """What a decoder does with a file of this kind."""
    if kind == "crash":
        faulthandler.disable()  # pytest's report of a crash is long
        ctypes.string_at(0)
    elif kind == "hang":
        time.sleep(60)
    elif kind == "bomb":
        held = []
        while True:
            held.append(np.ones(1 << 26))  # half a gigabyte


def write_sitecustomize(folder: Path) -> None:
    """Write a module that installs the hook in every Python process with `folder` in its PYTHONPATH."""
    here = str(Path(__file__).parent)
    text = f"import sys\nsys.path.insert(0, {here!r})\nimport decoder_hook\ndecoder_hook.install()\n"
    (folder / "sitecustomize.py").write_text(text)
