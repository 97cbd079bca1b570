"""Recall, false matches and time of the audit's fingerprints on a folder of recordings.

    python benchmarks/fingerprints.py SOURCE [--work FOLDER]

ffmpeg copies every clip in eight ways: mp3 128k, ogg, flac at 22.05 kHz, ±6 dB, 10 % cut off at the beginning
or at the end, and three of these at once. For each way, the audit looks for pairs among the originals and the
copies. Different clips that were made from one recording count as false matches here: look at the list.
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
from quintet.auditing.duplicates import find_same_recordings
from quintet.auditing.fingerprints import RATE, Fingerprint, fingerprint
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


def make_copy(source: ClipSource, folder: Path, kind: str, duration_s: float) -> ClipSource:
    """Copy one clip, unless the copy exists."""
    suffix, options = COPIES[kind]
    target = folder / kind / (source.key.replace("/", "__") + suffix)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        conversion = options.format(tenth=0.1 * duration_s, rest=0.9 * duration_s).split()
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", source.path, *conversion, str(target)]
        subprocess.run(command, check=True)
    return ClipSource(str(target), id=f"{kind}:{source.id}")


def make_fingerprints(sources: list[ClipSource]) -> tuple[list[Fingerprint], float, float]:
    """Fingerprints, their CPU time in seconds (without decoding), and the seconds of audio."""
    prints, cpu_s, audio_s = [], 0.0, 0.0
    for source in sources:
        clip = load_clip(source.path, sample_rate=RATE).clip
        before = time.process_time()
        prints.append(fingerprint(clip))
        cpu_s += time.process_time() - before
        audio_s += clip.duration_s
    return prints, cpu_s, audio_s


def main() -> None:
    """Print a line per kind of copy, then the pairs of different originals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "quintet-copies")
    given = parser.parse_args()
    clips = load_source(given.source).usable
    originals = [ClipSource(path, id=id) for id, path in zip(clips["id"], clips["path"], strict=True)]
    durations = [load_clip(source.path, sample_rate=None).duration_s for source in originals]
    prints, cpu_s, audio_s = make_fingerprints(originals)
    n_marks = sum(len(p.marks) for p in prints)
    print(
        f"{len(originals)} clips, {audio_s:.0f} s: {1e3 * cpu_s / audio_s:.2f} ms of CPU "
        f"and {n_marks / audio_s:.0f} marks per second of audio"
    )
    n_pairs = len(originals) * (len(originals) - 1) // 2
    others = find_same_recordings(originals, prints)
    rates = []
    for kind in COPIES:
        copies = [
            make_copy(source, given.work, kind, duration)
            for source, duration in zip(originals, durations, strict=True)
        ]
        before = time.process_time()
        pairs = find_same_recordings(originals + copies, prints + make_fingerprints(copies)[0])
        seconds = time.process_time() - before
        is_right = pairs["second"] == kind + ":" + pairs["first"]
        first_is_copy, second_is_copy = (
            pairs[side].str.startswith(kind + ":") for side in ("first", "second")
        )
        n_false = int((~is_right & second_is_copy & ~first_is_copy).sum())
        recall = is_right.sum() / len(originals)
        rates.append((kind, recall, n_false, 1e4 * n_false / (2 * n_pairs), seconds))
    columns = ["copy", "recall", "false, original against copy", "per 10,000 pairs", "CPU s"]
    print(pd.DataFrame(rates, columns=columns).to_string(index=False))
    others_rate = 1e4 * len(others) / n_pairs
    print(f"\nPairs of different originals: {len(others)} of {n_pairs}, {others_rate:.2f} per 10,000")
    print(others[["first", "second", "agreement"]].to_string(index=False))
    recalls = [recall for _, recall, *_ in rates]
    print(f"\nSmallest recall {min(recalls):.4f}, mean {np.mean(recalls):.4f}")


if __name__ == "__main__":
    main()
