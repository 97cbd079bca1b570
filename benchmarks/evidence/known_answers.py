"""Key and tempo of real recordings whose key and tempo people have noted.

    python -m benchmarks.evidence.known_answers --gtzan FOLDER --keys FOLDER --tempi FOLDER

`--gtzan` is the folder that `../shared/tools/gtzan_excerpts.py` makes. `--keys` is a checkout of
alexanderlerch/gtzan_key, `--tempi` one of TempoBeatDownbeat/gtzan_tempo_beat. Excerpts of 10 s and more are
the judged ones: nothing was chosen or fitted on them. The shorter ones served for the choice of the key's
profile and confidence. Tempo needs 4 s, and nothing of it was fitted on real recordings.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import answers
from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.library.sound.key import PITCH_CLASSES, find_key, key_names
from quintet.library.sound.tempo import LEAST_S

Floats = NDArray[np.float64]

RATE = 22050
JUDGED_S = 10.0
WITHIN = 0.04
MULTIPLES = (1 / 3, 1 / 2, 1, 2, 3)
"""Multiples of a tempo that accuracy 2 forgives."""
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)


class Excerpt(NamedTuple):
    """An excerpt, and what people noted: a key and beats per minute, or None."""

    file: Path
    seconds: float
    key: str | None
    bpm: float | None


def read_excerpts(gtzan: Path, keys: Path, tempi: Path) -> list[Excerpt]:
    """The excerpts with their annotations."""
    found = []
    with open(gtzan / "manifest.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            genre, number = row["track"].split(".")
            code = _first_number(keys / f"gtzan_key/genres/{genre}/{row['track']}.lerch.txt")
            bpm = _first_number(tempi / f"tempo/gtzan_{genre}_{number}.bpm")
            key = None
            if code is not None and code >= 0:  # 0: A major, 12: A minor
                key = key_names()[(int(code) % 12 + 9) % 12 + 12 * (code >= 12)]
            found.append(Excerpt(gtzan / row["path"], float(row["seconds"]), key, bpm))
    return found


def _first_number(path: Path) -> float | None:
    words = path.read_text(encoding="utf-8").split() if path.is_file() else []
    return float(words[0]) if words else None


def mirex_points(estimate: str, truth: str) -> float:
    """Points of the MIREX task: 1 equal, .5 a fifth above, .3 relative, .2 parallel."""
    (tonic, mode), (true_tonic, true_mode) = estimate.split(), truth.split()
    distance = (PITCH_CLASSES.index(tonic) - PITCH_CLASSES.index(true_tonic)) % 12
    if mode == true_mode:
        return {0: 1.0, 7: 0.5}.get(distance, 0.0)
    relative = 9 if true_mode == "major" else 3
    return {relative: 0.3, 0: 0.2}.get(distance, 0.0)


def librosa_key(clip: Clip) -> str:
    """Key by the same correlation from librosa's constant-Q chroma."""
    chroma = librosa.feature.chroma_cqt(y=np.asarray(clip.samples), sr=clip.sample_rate)
    return find_key(chroma.mean(axis=1)).name


def krumhansl_key(clip: Clip) -> str:
    """The usual recipe: librosa's chroma and the profiles of Krumhansl and Kessler."""
    chroma = librosa.feature.chroma_cqt(y=np.asarray(clip.samples), sr=clip.sample_rate).mean(axis=1)
    turned = [np.roll(profile, tonic) for profile in KRUMHANSL for tonic in range(12)]
    return key_names()[int(np.argmax([np.corrcoef(chroma, profile)[0, 1] for profile in turned]))]


def interval(values: Sequence[float] | Floats) -> str:
    """Mean with its 95 % bootstrap interval."""
    array = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(0, len(array), (2000, len(array)))
    low, high = np.percentile(array[draws].mean(axis=1), [2.5, 97.5])
    return f"{array.mean():.3f} [{low:.2f}, {high:.2f}]"


def _is_near(bpm: float, truth: float, multiples: Sequence[float]) -> bool:
    return any(abs(bpm / (truth * multiple) - 1) <= WITHIN for multiple in multiples)


KEYS: dict[str, Callable[[Clip], str]] = {
    "librosa, same profile": librosa_key,
    "librosa, Krumhansl": krumhansl_key,
}


class Tally:
    """Right and wrong answers, by kind of excerpt and method."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        self.key_trust: dict[str, list[tuple[float, bool, bool]]] = defaultdict(list)
        self.tempi: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.tempo_trust: list[tuple[float, bool]] = []

    def take(self, one: Excerpt) -> None:
        """Compare the answers about an excerpt with what people noted."""
        kind = "judged" if one.seconds >= JUDGED_S else "short"
        clip = load_clip(one.file, sample_rate=RATE).clip
        found = answers(clip)
        if one.key is not None:
            estimates = {"Quintet": str(found["key"])} | {name: find(clip) for name, find in KEYS.items()}
            for name, estimate in estimates.items():
                self.keys[kind, name].append((estimate == one.key, mirex_points(estimate, one.key)))
            trust = (float(found["key_confidence"] or 0), found["key"] == one.key)
            self.key_trust[kind].append((*trust, found["key_runner_up"] == one.key))
        if one.bpm is not None and kind == "judged" and found["tempo"]:
            beats, _ = librosa.beat.beat_track(y=np.asarray(clip.samples), sr=RATE)
            own = float(found["tempo"])
            for name, bpm in (("Quintet", own), ("librosa", float(np.ravel(beats)[0]))):
                for accuracy, multiples in ((1, (1.0,)), (2, MULTIPLES)):
                    self.tempi[name, accuracy].append(_is_near(bpm, one.bpm, multiples))
            self.tempo_trust.append((float(found["tempo_confidence"] or 0), _is_near(own, one.bpm, (1.0,))))

    def show(self) -> None:
        """Print the tables."""
        print(f"Excerpts from {JUDGED_S:g} s on are judged; tempo needs {LEAST_S:g} s.\n")
        for (kind, name), rows in sorted(self.keys.items()):
            exact, points = np.array(rows, float).T
            head = f"key    {kind:7s} {len(rows):4d}  {name:22s}"
            print(f"{head} exact {interval(exact)}  MIREX {interval(points)}")
        for kind, trust in sorted(self.key_trust.items()):
            confidence, right, runner_up = np.array(trust, float).T
            print(f"key    {kind:7s} {_halves(confidence, right)}; runner-up right {runner_up.mean():.3f}")
        for (name, accuracy), hits in sorted(self.tempi.items(), key=lambda item: item[0][1]):
            print(f"tempo  judged  {len(hits):4d}  {name:22s} accuracy {accuracy} {interval(hits)}")
        confidence, right = np.array(self.tempo_trust, float).T
        print(f"tempo  judged  {_halves(confidence, right)}")


def _halves(confidence: Floats, right: Floats) -> str:
    half = confidence >= np.median(confidence)
    return (
        f"more certain half {right[half].mean():.3f}, other half {right[~half].mean():.3f}, "
        f"mean confidence {confidence.mean():.3f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("gtzan", "keys", "tempi"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    tally = Tally()
    for one in read_excerpts(options.gtzan, options.keys, options.tempi):
        tally.take(one)
    tally.show()


if __name__ == "__main__":
    main()
