"""Warm-up of the engine: compile or load the kernels, and let the C library keep memory."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np

from quintet.audio.clip import Clip
from quintet.audio.mel import AMIN
from quintet.features.engine import native, passes
from quintet.features.engine.kernel_cache import (
    FOLDER,
    JIT_ENABLED,
    compile_once,
    is_compiled,
    save_privately,
)
from quintet.features.engine.moments import RowMoments, sample_moments
from quintet.features.engine.old_caches import note_use, remove_old_folders
from quintet.features.engine.stretches import clip_stretch
from quintet.features.engine.tables import Measurement, MelBands
from quintet.files.notices import announce


@cache
def kernels_available() -> bool:
    """Whether the kernels can be used. The first call loads them, or compiles them if this machine never did.

    If numba cannot compile them (an unknown processor, its compiler switched off), a line on stderr says so,
    and the definitions do the work.
    """
    _keep_memory()
    if not JIT_ENABLED:
        return False
    was_compiled = is_compiled(FOLDER)
    try:
        compile_once(_compile_kernels, FOLDER, native.load_kernels)
    except _errors_of_the_compiler() as error:
        announce(
            "the feature kernels cannot be compiled here, so features take about ten times as long "
            f"({type(error).__name__})"
        )
        return False
    if FOLDER is not None:
        note_use(FOLDER)
        if not was_compiled:
            remove_old_folders(FOLDER)
    return True


def load_if_compiled() -> None:
    """Load the kernels if this machine has compiled them, so that forked processes have them.

    Without a cache folder they are compiled here, once, and not in each of these processes.
    """
    if FOLDER is None or is_compiled(FOLDER):
        kernels_available()


def _errors_of_the_compiler() -> tuple[type[Exception], ...]:
    """Numba's own errors, if it was imported, and those that an unknown version of it raises."""
    unknown = (AttributeError, TypeError, RuntimeError)
    errors = sys.modules.get("numba.core.errors")
    return unknown if errors is None else (*unknown, errors.NumbaError)


def _compile_kernels() -> None:
    """Compile all kernels and keep their machine code in the cache folder, if there is one."""
    call_every_kernel()
    if FOLDER is not None:
        save_privately(native.save_kernels, FOLDER)


def call_every_kernel() -> None:
    """Call each kernel once, with the types of every later call: the first call compiles it."""
    samples = np.linspace(-1, 1, 256, dtype=np.float32)
    clip = Clip(samples, 8000)
    bank = MelBands(2)
    stretch = clip_stretch(clip, n_fft=64, hop_length=32)
    measurement = Measurement(
        8000, 64, 32, filterbanks=(bank,), contrast=(1, 1000.0), peak_stride=1, keeps_power=True
    )
    series = passes.measure(stretch, measurement)
    passes.MeanPower(n_fft=64, hop_length=32, bandwidth=33).add(stretch)
    passes.chroma(series, 0.0)
    passes.find_peaks(stretch, n_fft=64, hop_length=32, bins=(1, 32), share=0.1)
    series.decibels(bank, floor=AMIN, dtype=np.float32)
    mel_db = series.decibels(bank, floor=AMIN)
    passes.mfcc(np.asarray(mel_db, np.float64), 2)
    passes.median_gaps(np.asarray(mel_db, np.float64))
    passes.waveform_frames(stretch, frame_length=64, hop_length=32)
    sample_moments(clip.samples)[1].median.sum()
    RowMoments(np.ones((1, 9)))
    passes.mean_autocorrelation(np.ones(8), 4)


def _keep_memory() -> None:
    """Let the C library keep the memory of one clip for the next.

    Fresh memory comes page by page, which took a third of the time of a clip. glibc raises its thresholds
    when a block of up to 32 MB is freed (mallopt(3), "dynamic mmap threshold"); other libraries ignore this.
    The block is never written, so it takes no memory.
    """
    np.empty(31 << 20, np.uint8)
