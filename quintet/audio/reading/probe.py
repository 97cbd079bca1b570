"""Duration of a file as its header states it, without decoding."""

from __future__ import annotations

import os

import soundfile


def probe_duration_s(path: str | os.PathLike[str]) -> float | None:
    """Seconds of audio that the header of a file states; None if the header cannot be read or states nothing.

    Nothing is decoded, so a damaged file may state more than it holds. `load_clip` notices that.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.zeros(11025), 22050)
        >>> probe_duration_s(path), probe_duration_s("nowhere.wav")
        (0.5, None)
    """
    if not os.path.isfile(path):
        return None  # opening a pipe would wait for a writer
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        return _probe_with_pyav(path)
    return float(info.frames) / info.samplerate if info.samplerate else None


def _probe_with_pyav(path: str | os.PathLike[str]) -> float | None:
    try:
        import av
    except ImportError:
        return None
    try:
        with (
            open(path, "rb") as file,
            av.open(
                file, mode="r", options={"protocol_whitelist": "file"}, metadata_errors="ignore"
            ) as container,
        ):
            duration = container.duration
            return None if duration is None else float(duration) / float(av.time_base)
    except (av.error.FFmpegError, OSError, UnicodeDecodeError):
        return None
