"""AudioSet (Gemmeke et al. 2017, ICASSP): ten-second pieces of YouTube videos; here the seven genres of bahuleyan2018.

On disk, in one folder (or one folder below it): at least one of `balanced_train_segments.csv, unbalanced_train_segments.csv,
eval_segments.csv` (three header lines that begin with #; then `YTID, start_seconds, end_seconds, "/m/064t9,/m/04rlf"`), `ontology.json`
(a list of `{"id", "name", "child_ids", …}`), and clips of ten seconds, cut already, at any depth and with any audio extension:
`-0RWZT-miFs.flac`, `Y-0RWZT-miFs.wav`, `-0RWZT-miFs_420_430.wav`. Segments and ontology come from AudioSet's download page and from its
repository audioset/ontology. The clips are not handed out: `quintet fetch audioset FOLDER` (`audioset_retrieval.retrieve`) asks
YouTube for each, and writes into `gone.csv` what it did not get.

| source | label |
|---|---|
| `audioset:FOLDER` | the set of those of the seven genres that the segment is labelled with |
| `audioset@single:FOLDER` | the genre, of segments with exactly one; the others are rows with a problem |
| `audioset@branches:FOLDER` | the set, where a genre counts for everything below it in the ontology, too (Grunge is Rock) |

Segments without any of the genres are not listed, but counted in `ignored`. A segment without a clip is a row with the problem `no clip`
or what `gone.csv` says of it; these are counted in `ignored` as well. With training and evaluation segments the split is the official
one. Nothing is known of who plays, so that the manifest is not grouped; AudioSet has one segment per video.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from quintet.datasets.folder import audio_files
from quintet.datasets.labels import LABEL_SEPARATOR
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name

GENRES = {
    "/m/064t9": "Pop",
    "/m/06by7": "Rock",
    "/m/0glt670": "Hip hop",
    "/m/07gxw": "Techno",
    "/m/06j6l": "Rhythm & blues",
    "/m/0y4f8": "Vocal",
    "/m/06cqb": "Reggae",
}
SEGMENTS = {
    "balanced_train_segments.csv": "train",
    "unbalanced_train_segments.csv": "train",
    "eval_segments.csv": "test",
}
LEDGER = "gone.csv"
LEDGER_COLUMNS = ("id", "label", "start", "end", "outcome", "reason")
VARIANTS = ("single", "branches")
ID_LENGTH = 11  # of a YouTube id
_PAGE = "Get it from AudioSet's download page"


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a video that has at least one of the genres: `start_s` and `end_s` in seconds of the video, `genres` in the order of `GENRES`."""

    id: str
    start_s: float
    end_s: float
    genres: tuple[str, ...]
    part: str

    @property
    def label(self) -> str:
        """The label set as a manifest has it."""
        return LABEL_SEPARATOR.join(self.genres)


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """The manifest of an AudioSet folder; ids are YouTube ids.

    Args:
        folder: where segments, ontology and clips are.
        variant: `single`, `branches`, or None.

    Raises:
        DatasetError: if no folder is named, or segments, ontology or all of the clips are missing.
    """
    if folder is None:
        raise DatasetError(
            "AudioSet is read from a folder that you have. Name it: audioset:/path/to/folder (with eval_segments.csv and the like)."
        )
    listed, n_others = segments(folder, variant)
    files = clip_files(folder)
    refused = {row["id"]: f"{row['outcome']}: {row['reason']}" for row in read_ledger(folder)}
    found = [files.get(segment.id) for segment in listed]
    if not any(found):
        raise DatasetError(
            f"AudioSet must have clips named for YouTube ids ('{listed[0].id}.flac'). '{folder}' has none for the {len(listed)} segments with "
            f"one of the genres: retrieve them with `quintet fetch audioset {folder}`."
        )
    rows = pd.DataFrame({"id": [s.id for s in listed], "label": [s.label for s in listed]})
    rows["path"] = [
        str(file) if file else f"audio/{s.id}.flac" for file, s in zip(found, listed, strict=True)
    ]
    lost = [None if file else refused.get(s.id, "no clip") for file, s in zip(found, listed, strict=True)]
    rows["problem"] = [
        _not_single(s) if variant == "single" and len(s.genres) > 1 else why
        for s, why in zip(listed, lost, strict=True)
    ]
    if {segment.part for segment in listed} == {"train", "test"}:
        rows["split"] = [segment.part for segment in listed]
    notes = [f"{n_others} segments with none of the genres"] if n_others else []
    notes += [f"{count} of {len(listed)} clips are not here ({why})" for why, count in _counted(lost).items()]
    return replace(build_manifest(rows, name="audioset", root=folder, ignored=notes), grouped=False)


def segments(folder: Path, variant: str | None = None) -> tuple[list[Segment], int]:
    """The segments with at least one of the genres, in the order of the files, and how many there are besides.

    Raises:
        DatasetError: if there are no segments, or a line of them or the ontology cannot be read.
    """
    if variant not in (None, *VARIANTS):
        raise unknown_name("variant of audioset", str(variant), VARIANTS)
    tables = [(path, part) for name, part in SEGMENTS.items() if (path := _located(folder, name))]
    if not tables:
        raise DatasetError(
            f"AudioSet must have its segments. '{folder}' has none of {', '.join(SEGMENTS)}. {_PAGE}."
        )
    genre_of = genre_labels(folder, branches=variant == "branches")
    listed: list[Segment] = []
    n_others = 0
    for path, part in tables:
        for id, start_s, end_s, labels in _lines(path):
            here = {genre_of[label] for label in labels if label in genre_of}
            if here:
                listed.append(
                    Segment(
                        id, start_s, end_s, tuple(genre for genre in GENRES.values() if genre in here), part
                    )
                )
            else:
                n_others += 1
    if not listed:
        raise DatasetError(
            f"AudioSet's segments must have the genres {', '.join(GENRES.values())}. None of {n_others} in '{folder}' has one."
        )
    return listed, n_others


def genre_labels(folder: Path, *, branches: bool = False) -> dict[str, str]:
    """Label of the ontology → genre: the seven, and with `branches` all that is below one of them.

    Raises:
        DatasetError: if `branches` needs an ontology that is not there, or it does not have the seven.
    """
    path = _located(folder, "ontology.json")
    if path is None:
        if branches:
            raise DatasetError(
                f"audioset@branches must have the ontology. '{folder}' has no ontology.json (repository audioset/ontology)."
            )
        return dict(GENRES)
    try:
        children: Mapping[str, list[str]] = {
            entry["id"]: entry["child_ids"] for entry in json.loads(path.read_text(encoding="utf-8"))
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"An ontology must be a JSON list of entries with id and child_ids. '{path}' is not: {error}."
        ) from error
    lacking = [label for label in GENRES if label not in children]
    if lacking:
        raise DatasetError(
            f"AudioSet's ontology must have the seven genres. '{path}' lacks {', '.join(lacking)}."
        )
    found = dict(GENRES)
    waiting = list(GENRES) if branches else []
    while waiting:
        label = waiting.pop()
        new = [child for child in children.get(label, []) if child not in found]
        found |= dict.fromkeys(new, found[label])
        waiting += new
    return found


def clip_files(folder: Path) -> dict[str, Path]:
    """YouTube id → clip, by file name: `ID.ext`, `YID.ext`, or either with `_` or `.` and more behind the id.

    A file that is named exactly for the id goes before the others; of equals the first in the order of paths.
    """
    exact: dict[str, Path] = {}
    loose: dict[str, Path] = {}
    for path in audio_files(folder):
        for skip in (0, 1):
            id, rest = path.stem[skip : skip + ID_LENGTH], path.stem[skip + ID_LENGTH :]
            if len(id) == ID_LENGTH and (not rest or rest[0] in "_.") and (not skip or path.stem[0] == "Y"):
                (loose if rest or skip else exact).setdefault(id, path)
    return loose | exact


def read_ledger(folder: Path) -> list[dict[str, str]]:
    """What retrieval did not get: one row per id, the latest; empty without a ledger."""
    path = folder / LEDGER
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not set(LEDGER_COLUMNS) <= set(rows[0]):
        raise DatasetError(
            f"AudioSet's ledger must have the columns {', '.join(LEDGER_COLUMNS)}. '{path}' has {', '.join(map(str, rows[0]))}."
        )
    return list({row["id"]: row for row in rows}.values())


def _located(folder: Path, name: str) -> Path | None:
    return next(iter([*folder.glob(name), *sorted(folder.glob(f"*/{name}"))]), None)


def _lines(path: Path) -> Iterator[tuple[str, float, float, list[str]]]:
    """Id, start, end and labels of every segment of a file."""
    with path.open(encoding="utf-8", newline="") as file:
        for number, fields in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            if not fields or fields[0].startswith("#"):
                continue
            try:
                id, start, end, labels = fields
                yield id, float(start), float(end), labels.split(",")
            except ValueError as error:
                raise DatasetError(
                    f"A segment must be YTID, start, end and labels in quotation marks. Line {number} of '{path}' is {','.join(fields)[:80]!r}."
                ) from error


def _not_single(segment: Segment) -> str:
    return f"{len(segment.genres)} genres ({', '.join(segment.genres)}), and audioset@single takes segments with one"


def _counted(reasons: list[str | None]) -> dict[str, int]:
    """How often what stands before the colon of a reason occurs."""
    kinds = pd.Series([why.partition(":")[0] for why in reasons if why], dtype="str")
    return {str(why): int(count) for why, count in kinds.value_counts().items()}
