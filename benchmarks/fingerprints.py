"""Recall and false matches of the audit's fingerprints on a folder of recordings, and what they cost.

    python benchmarks/fingerprints.py SOURCE [--work FOLDER]

Every clip is copied by ffmpeg in eight ways (mp3 128k, ogg, flac at 22.05 kHz, ±6 dB, 10 % cut off at the beginning or the end, and three of these
at once); each set of copies is thrown together with the originals, and the audit looks for pairs. Clips of one class that were made from
one recording count as false matches here: look at the list.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.audio.decode import ClipSource, load_clip
from quintet.audit.duplicates import find_same_recordings
from quintet.audit.fingerprints import RATE, Fingerprint, fingerprint
from quintet.datasets.source import load_source

COPIES = {
    "mp3": (".mp3", "-c:a libmp3lame -b:a 128k"),
    "ogg": (".ogg", "-c:a libvorbis -q:a 4"),
    "flac22": (".flac", "-ar 22050"),
    "up6": (".flac", "-af volume=6dB"),
    "down6": (".flac", "-af volume=-6dB"),
    "begin": (".flac", "-ss {tenth}"),
    "end": (".flac", "-t {rest}"),
    "begin+up6+mp3": (".mp3", "-ss {tenth} -af volume=6dB -c:a libmp3lame -b:a 128k"),
}


def copied(place: ClipSource, folder: Path, kind: str, duration_s: float) -> ClipSource:
    """The copy of one clip, made if it is not there yet."""
    suffix, options = COPIES[kind]
    target = folder / kind / (place.id.replace("/", "__") + suffix)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        words = options.format(tenth=0.1 * duration_s, rest=0.9 * duration_s).split()
        subprocess.run(
            ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", place.path, *words, str(target)], check=True
        )
    return ClipSource(str(target), id=f"{kind}:{place.id}")


def printed(places: list[ClipSource]) -> tuple[list[Fingerprint], float, float]:
    """Fingerprints, seconds of CPU that they took (decoding left out), and seconds of audio."""
    prints, cpu_s, audio_s = [], 0.0, 0.0
    for place in places:
        clip = load_clip(place.path, sample_rate=RATE).clip
        before = time.process_time()
        prints.append(fingerprint(clip))
        cpu_s += time.process_time() - before
        audio_s += clip.duration_s
    return prints, cpu_s, audio_s


def main() -> None:
    """Print a line per kind of copy, then the pairs of different clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "quintet-copies")
    given = parser.parse_args()
    clips = load_source(given.source).usable
    originals = [ClipSource(path, id=id) for id, path in zip(clips["id"], clips["path"], strict=True)]
    durations = [load_clip(place.path, sample_rate=None).duration_s for place in originals]
    prints, cpu_s, audio_s = printed(originals)
    n_marks = sum(len(p.marks) for p in prints)
    print(
        f"{len(originals)} clips, {audio_s:.0f} s: {1e3 * cpu_s / audio_s:.2f} ms of CPU and {n_marks / audio_s:.0f} marks per second of audio"
    )
    n_pairs = len(originals) * (len(originals) - 1) // 2
    others = find_same_recordings(originals, prints)
    rates = []
    for kind in COPIES:
        copies = [
            copied(place, given.work, kind, duration)
            for place, duration in zip(originals, durations, strict=True)
        ]
        before = time.process_time()
        pairs = find_same_recordings(originals + copies, prints + printed(copies)[0])
        spent = time.process_time() - before
        right = pairs["second"] == kind + ":" + pairs["first"]
        crossed = pairs[
            ~right & pairs["second"].str.startswith(kind + ":") & ~pairs["first"].str.startswith(kind + ":")
        ]
        rates.append(
            (kind, right.sum() / len(originals), len(crossed), 1e4 * len(crossed) / (2 * n_pairs), spent)
        )
    print(
        pd.DataFrame(
            rates, columns=["copy", "recall", "false, original against copy", "per 10,000 pairs", "CPU s"]
        ).to_string(index=False)
    )
    print(
        f"\nPairs of different originals: {len(others)} of {n_pairs}, {1e4 * len(others) / n_pairs:.2f} per 10,000"
    )
    print(others[["first", "second", "agreement"]].to_string(index=False))
    print(
        f"\nSmallest recall {min(rate for _, rate, *_ in rates):.4f}, mean {np.mean([rate for _, rate, *_ in rates]):.4f}"
    )


if __name__ == "__main__":
    main()
