"""How long a file is, from its header alone."""

from __future__ import annotations

import os
from typing import Any

import soundfile


def probe_duration_s(path: str | os.PathLike[str]) -> float | None:
    """Seconds of audio that a file's header announces; None where no header can be read or says nothing.

    Nothing is decoded, so a damaged file may announce what it does not hold: `load_clip` finds out.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.zeros(11025), 22050)
        >>> probe_duration_s(path), probe_duration_s("nowhere.wav")
        (0.5, None)
    """
    if not os.path.isfile(path):
        return None  # to open a pipe would wait for who never writes
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        return _through_av(path)
    return float(info.frames) / info.samplerate if info.samplerate else None


def _through_av(path: str | os.PathLike[str]) -> float | None:
    try:
        import av
    except ImportError:
        return None
    try:
        container: Any
        with (
            open(path, "rb") as file,
            av.open(file, options={"protocol_whitelist": "file"}, metadata_errors="ignore") as container,
        ):
            return None if container.duration is None else float(container.duration) / float(av.time_base)
    except (av.error.FFmpegError, OSError, UnicodeDecodeError):
        return None
