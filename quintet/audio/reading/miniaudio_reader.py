"""Decoding of whole FLAC files with miniaudio (extra `decoding`), in two thirds of libsndfile's time.

The samples are libsndfile's to the last bit, or there are none: miniaudio skips damaged frames and reads on
into whatever follows, so only a file that gives exactly the frames that its header states is taken.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
from numpy.typing import NDArray

from quintet.audio.reading.formats.flac import ends_with_frame

MOST_BYTES = 1 << 26
"""Most bytes of samples that are decoded at once: six minutes of stereo. Longer files are read in blocks."""
SUCCESS = 0
WINDOWS = os.name == "nt"


@cache
def load_miniaudio() -> ModuleType | None:
    """The compiled part of miniaudio, imported on first use; None if it is not installed.

    The Python part takes 30 ms to import, and only wraps the same functions.
    """
    try:
        import _miniaudio
    except ImportError:
        return None
    needed = ("ma_decoder_config_init", "ma_decoder_init_file", "ma_decoder_read_pcm_frames")
    return _miniaudio if all(hasattr(_miniaudio.lib, name) for name in needed) else None


def decode_flac(source: Path, decoder: soundfile.SoundFile, dtype: type) -> NDArray[np.generic] | None:
    """All samples of a FLAC file, shape `(n, channels)`.

    Args:
        source: the file.
        decoder: libsndfile's, which has read the header of this file.
        dtype: int16 or float32.

    Returns:
        None if miniaudio is not installed, the file is too long, or it does not hold exactly the frames that
        its header states: then libsndfile finds out why.
    """
    n_frames, channels = decoder.frames, decoder.channels
    if not 0 < n_frames * channels * np.dtype(dtype).itemsize <= MOST_BYTES:
        return None
    module = load_miniaudio()
    if module is None:
        return None
    samples = np.empty((n_frames + 1, channels), dtype)  # one more frame than there should be
    n_read = _read(module, source, decoder.samplerate, samples)
    return samples[:n_frames] if n_read == n_frames and ends_with_frame(source, n_frames) else None


def _read(module: ModuleType, source: Path, rate: int, samples: NDArray[np.generic]) -> int:
    """Decode into an array; the number of frames, 0 if the file is not as expected."""
    lib, ffi = module.lib, module.ffi
    form = lib.ma_format_s16 if samples.dtype == np.int16 else lib.ma_format_f32
    config = ffi.new("ma_decoder_config *", lib.ma_decoder_config_init(form, 0, 0))
    config.encodingFormat = lib.ma_encoding_format_flac
    state = ffi.new("ma_decoder *")
    if WINDOWS:
        result = lib.ma_decoder_init_file_w(ffi.new("wchar_t[]", str(source)), config, state)
    else:
        result = lib.ma_decoder_init_file(os.fsencode(source), config, state)
    if result != SUCCESS:
        return 0
    try:
        if (state.outputChannels, state.outputSampleRate) != (samples.shape[1], rate):
            return 0
        n_read = ffi.new("ma_uint64 *")
        lib.ma_decoder_read_pcm_frames(state, ffi.from_buffer(samples), len(samples), n_read)
        return int(n_read[0])
    finally:
        lib.ma_decoder_uninit(state)
