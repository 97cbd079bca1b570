"""Short songs in every format that holds tags, made by the tests."""

from __future__ import annotations

from pathlib import Path

import av
import mutagen
import numpy as np
import soundfile
from mutagen.apev2 import APEv2File
from mutagen.asf import ASF, ASFUnicodeAttribute
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, TALB, TBPM, TIT2, TKEY, TPE1, TYER
from mutagen.mp4 import MP4, MP4Cover

RATE = 22050
FORMATS = ("mp3", "flac", "ogg", "opus", "m4a", "wma", "wv", "wav", "aiff")
COVER = b"\x89PNG\r\n\x1a\n" + bytes(500)
_CODECS = {"m4a": "aac", "wma": "wmav2", "wv": "wavpack"}
_CONTAINERS = {"m4a": "mp4", "wma": "asf", "wv": "wv"}


def make_song(path: Path, *, seconds: float = 0.3, seed: int = 0) -> Path:
    """A song of noise in the format of its suffix, without tags."""
    suffix = path.suffix[1:]
    rate = {"opus": 48000, "wma": 44100}.get(suffix, RATE)
    rng = np.random.default_rng(seed)
    samples = (0.2 * rng.standard_normal((int(seconds * rate), 2))).clip(-1, 1).astype(np.float32)
    return encode_song(path, samples, rate)


def encode_song(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Samples `(frames, 2)` at a rate that the format has, in the format of the suffix, without tags."""
    suffix = path.suffix[1:]
    if suffix in _CODECS:
        _encode(path, suffix, samples, rate)
    elif suffix == "opus":
        soundfile.write(path, samples, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, samples, rate)
    return path


def _encode(path: Path, suffix: str, samples: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w", format=_CONTAINERS[suffix]) as container:
        stream = container.add_stream(_CODECS[suffix], rate=rate)
        stream.layout, stream.bit_rate = "stereo", 128_000
        kind = "s16p" if suffix == "wv" else "fltp"
        content = (samples * 32767).astype(np.int16) if suffix == "wv" else samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(content.T), format=kind, layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def add_tags(path: Path, *, id3_version: int = 4) -> None:
    """Title, artist, tempo, key, comment and a cover, in the form of the format. No genre, no mood."""
    file = mutagen.File(path)
    if isinstance(file, FLAC):
        picture = Picture()
        picture.data, picture.type, picture.mime = COVER, 3, "image/png"
        file.add_picture(picture)
    if isinstance(file, MP4):
        file["\xa9nam"], file["tmpo"], file["covr"] = ["Söng"], [97], [MP4Cover(COVER, MP4Cover.FORMAT_PNG)]
        file["\xa9cmt"] = ["my comment"]
    elif isinstance(file, ASF):
        file["Title"], file["WM/BeatsPerMinute"] = [ASFUnicodeAttribute("Söng")], ["97"]
    elif isinstance(file, APEv2File):
        file["Title"], file["BPM"], file["Comment"] = "Söng", "97", "my comment"
    elif path.suffix in (".mp3", ".wav", ".aiff"):
        if file.tags is None:
            file.add_tags()
        for frame in (TIT2(3, "Söng"), TPE1(3, ["A", "B"]), TALB(3, "x"), TBPM(3, "97"), TKEY(3, "Am")):
            file.tags.add(frame)
        file.tags.add(COMM(3, "eng", "", "my comment"))
        file.tags.add(APIC(3, "image/png", 3, "", COVER))
        if id3_version == 3:
            file.tags.update_to_v23()
            file.tags.add(TYER(0, "1994"))
        file.tags.save(path, v2_version=id3_version, v23_sep=None)
        return
    else:
        file["Title"], file["artist"], file["BPM"], file["Comment"] = "Söng", ["A", "B"], "97", "my comment"
    file.save()
