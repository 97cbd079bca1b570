"""A decoder that crashes or hangs by the sample rate of the file. Worker processes import this module."""

from __future__ import annotations

import faulthandler
import os
import signal
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
