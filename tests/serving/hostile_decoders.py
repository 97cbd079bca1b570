"""What worker processes of the tests do: decoders that crash or hang, and the names of loaded modules."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from typing import Any

import soundfile

from quintet.audio.decode import DecodedClip, load_clip

CRASH_RATE, HANG_RATE = 8101, 8102


def load(path: str, **options: Any) -> DecodedClip:
    """What `load_clip` returns, unless the rate of the file says otherwise."""
    rate = soundfile.info(path).samplerate
    if rate == CRASH_RATE:
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    if rate == HANG_RATE:
        time.sleep(60)
    return load_clip(path, **options)


def loaded_modules() -> list[str]:
    """Names of the modules that this process has loaded, without those inside of packages."""
    return sorted({name.split(".")[0] for name in sys.modules})
