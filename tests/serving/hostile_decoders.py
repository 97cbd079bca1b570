"""What worker processes of the tests do: decoders that crash, hang or take all memory; names of modules."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from typing import Any

import numpy as np
import soundfile

from quintet.audio.decode import DecodedClip, load_clip

CRASH_RATE, HANG_RATE, BOMB_RATE = 8101, 8102, 8103


def load(path: str, **options: Any) -> DecodedClip:
    """What `load_clip` returns, unless the rate of the file says otherwise."""
    rate = soundfile.info(path).samplerate
    if rate == CRASH_RATE:
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    if rate == HANG_RATE:
        time.sleep(60)
    if rate == BOMB_RATE:
        np.ones(1 << 29)  # four gigabytes
    return load_clip(path, **options)


def loaded_modules() -> list[str]:
    """Names of the modules that this process has loaded, without those inside of packages."""
    return sorted({name.split(".")[0] for name in sys.modules})
