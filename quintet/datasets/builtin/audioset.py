"""AudioSet (Gemmeke et al. 2017, ICASSP): ten-second segments of YouTube videos.

The classes are the seven genres of bahuleyan2018. Layout on disk, in one folder (or one folder below it):

- at least one of `balanced_train_segments.csv, unbalanced_train_segments.csv, eval_segments.csv`: three
  header lines that begin with #, then `YTID, start_seconds, end_seconds, "/m/064t9,/m/04rlf"`;
- `ontology.json`, a list of `{"id", "name", "child_ids", …}`;
- clips of ten seconds, already cut, at any depth and with any audio extension: `-0RWZT-miFs.flac`,
  `Y-0RWZT-miFs.wav`, `-0RWZT-miFs_420_430.wav`.

Segments come from AudioSet's download page, the ontology from its repository audioset/ontology. The clips are
not distributed: `quintet fetch audioset FOLDER` (`audioset_download.retrieve`) requests each from YouTube,
and writes into `gone.csv` which ones it did not get.

| source | label |
|---|---|
| `audioset:FOLDER` | set of those of the seven genres that the segment is labelled with |
| `audioset@single:FOLDER` | the genre of segments with exactly one; the others are rows with a problem |
| `audioset@branches:FOLDER` | the set; a genre includes all labels below it (Grunge is Rock) |

Segments without any of the genres are not listed, but counted in `ignored`. A segment without a clip is a row
with the problem `no clip` or the reason in `gone.csv`; these are counted in `ignored` as well. If there are
training and evaluation segments, the split is the official one. The performers are not known, so the manifest
is not grouped. AudioSet has one segment per video.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from quintet.datasets.folder import audio_files, list_audio
from quintet.datasets.labels import join_labels
from quintet.datasets.manifest import Manifest, build_manifest
from quintet.errors import DatasetError, unknown_name
from quintet.files.text import open_text, read_text

GENRES = {
    "/m/064t9": "Pop",
    "/m/06by7": "Rock",
    "/m/0glt670": "Hip hop",
    "/m/07gxw": "Techno",
    "/m/06j6l": "Rhythm & blues",
    "/m/0y4f8": "Vocal",
    "/m/06cqb": "Reggae",
}
SEGMENTS = {  # file → part of the official split
    "balanced_train_segments.csv": "train",
    "unbalanced_train_segments.csv": "train",
    "eval_segments.csv": "test",
}
LEDGER = "gone.csv"
LEDGER_COLUMNS = ("id", "label", "start", "end", "outcome", "reason")
VARIANTS = ("single", "branches")
ID_LENGTH = 11  # of a YouTube id
_ID = re.compile(rf"[0-9A-Za-z_-]{{{ID_LENGTH}}}")
_PAGE = "Get it from AudioSet's download page"


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a video that has at least one of the genres.

    Args:
        id: YouTube id.
        start_s: start in the video, seconds.
        end_s: end in the video, seconds.
        genres: names, in the order of `GENRES`.
        part: part of the official split.
    """

    id: str
    start_s: float
    end_s: float
    genres: tuple[str, ...]
    part: str

    @property
    def label(self) -> str:
        """Label set for a manifest."""
        return join_labels(self.genres)


def load(folder: Path | None, variant: str | None = None) -> Manifest:
    """Manifest of an AudioSet folder. Ids are YouTube ids.

    Args:
        folder: contains segments, ontology and clips.
        variant: `single`, `branches`, or None.

    Raises:
        DatasetError: if no folder is named, or segments, ontology or all of the clips are missing.
        ConfigError: if the variant is unknown.
    """
    if folder is None:
        raise DatasetError(
            "AudioSet is read from a folder that you have. "
            "Name it: audioset:/path/to/folder (with eval_segments.csv and the like)."
        )
    listed, n_others = segments(folder, variant)
    listing = list_audio(folder)
    files = _match_clips(folder / name for name in listing.paths)
    if not any(segment.id in files for segment in listed):
        raise DatasetError(
            f"AudioSet must have clips named for YouTube ids ('{listed[0].id}.flac'). "
            f"'{folder}' has none for the {len(listed)} segments with one of the genres: "
            f"retrieve them with `quintet fetch audioset {folder}`."
        )
    missing = _missing_clips(folder, listed, files)
    rows = pd.DataFrame(
        {
            "id": [segment.id for segment in listed],
            "label": [segment.label for segment in listed],
            "path": [str(files.get(segment.id, f"audio/{segment.id}.flac")) for segment in listed],
            "problem": [missing.get(segment.id) for segment in listed],
        }
    )
    if variant == "single":
        problems = zip(listed, rows["problem"], strict=True)
        rows["problem"] = [_several_genres(segment) or problem for segment, problem in problems]
    if {segment.part for segment in listed} == {"train", "test"}:
        rows["split"] = [segment.part for segment in listed]
    notes = [f"{n_others} segments with none of the genres"] if n_others else []
    for reason, count in _count_reasons(missing[segment.id] for segment in listed if segment.id in missing):
        notes.append(f"{count} of {len(listed)} clips are not here ({reason})")
    notes += listing.notes
    manifest = build_manifest(rows, name="audioset", root=folder, ignored=notes)
    return replace(manifest, grouped=False)


def _missing_clips(folder: Path, listed: list[Segment], files: Mapping[str, Path]) -> dict[str, str]:
    """Id of every segment without a clip → reason."""
    reasons: dict[str, str] = {}
    for row in read_ledger(folder):
        reasons[row["id"]] = f"{row['outcome']}: {row['reason']}"
    missing: dict[str, str] = {}
    for segment in listed:
        if segment.id not in files:
            missing[segment.id] = reasons.get(segment.id, "no clip")
    return missing


def _several_genres(segment: Segment) -> str | None:
    """The problem of a segment with several genres under `audioset@single`, or None."""
    if len(segment.genres) == 1:
        return None
    names = ", ".join(segment.genres)
    return f"{len(segment.genres)} genres ({names}), and audioset@single takes segments with one"


def _count_reasons(reasons: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Kinds of reasons (the text before the colon) with their numbers, the most frequent first."""
    kinds = pd.Series([reason.partition(":")[0] for reason in reasons], dtype="str")
    for kind, count in kinds.value_counts().items():
        yield str(kind), int(count)


def segments(folder: Path, variant: str | None = None) -> tuple[list[Segment], int]:
    """Segments with at least one of the genres, in the order of the files.

    Args:
        folder: contains the segments and the ontology.
        variant: `branches` if a genre includes all labels below it; else `single` or None.

    Returns:
        The segments, and the number of segments without any of the genres.

    Raises:
        DatasetError: if there are no segments, or a line of them or the ontology cannot be read.
        ConfigError: if the variant is unknown.
    """
    if variant not in (None, *VARIANTS):
        raise unknown_name("variant of audioset", str(variant), VARIANTS)
    tables = [(path, part) for name, part in SEGMENTS.items() if (path := _find_file(folder, name))]
    if not tables:
        raise DatasetError(
            f"AudioSet must have its segments. '{folder}' has none of {', '.join(SEGMENTS)}. {_PAGE}."
        )
    genre_of = genre_labels(folder, branches=variant == "branches")
    listed: list[Segment] = []
    n_others = 0
    for path, part in tables:
        for row in _read_segments(path):
            present = {genre_of[label] for label in row.labels if label in genre_of}
            genres = tuple(genre for genre in GENRES.values() if genre in present)
            if genres:
                listed.append(Segment(row.id, row.start_s, row.end_s, genres, part))
            else:
                n_others += 1
    if not listed:
        raise DatasetError(
            f"AudioSet's segments must have the genres {', '.join(GENRES.values())}. "
            f"None of {n_others} in '{folder}' has one."
        )
    return listed, n_others


def genre_labels(folder: Path, *, branches: bool = False) -> dict[str, str]:
    """Label of the ontology → genre.

    Args:
        folder: contains the ontology.
        branches: whether a genre includes all labels below it. If not, only the seven genres are mapped.

    Raises:
        DatasetError: if `branches` needs an ontology that is missing, or the ontology lacks one of the seven.
    """
    path = _find_file(folder, "ontology.json")
    if path is None:
        if branches:
            raise DatasetError(
                "audioset@branches must have the ontology. "
                f"'{folder}' has no ontology.json (repository audioset/ontology)."
            )
        return dict(GENRES)
    children = _read_ontology(path)
    genre_of = dict(GENRES)
    waiting = list(GENRES) if branches else []
    while waiting:
        label = waiting.pop()
        new = [child for child in children.get(label, []) if child not in genre_of]
        genre_of |= dict.fromkeys(new, genre_of[label])
        waiting += new
    return genre_of


def _read_ontology(path: Path) -> dict[str, list[str]]:
    """Label → labels directly below it."""
    try:
        entries = json.loads(read_text(path))
        children = {entry["id"]: entry["child_ids"] for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"An ontology must be a JSON list of entries with id and child_ids. '{path}' is not: {error}."
        ) from error
    missing = [label for label in GENRES if label not in children]
    if missing:
        raise DatasetError(
            f"AudioSet's ontology must have the seven genres. '{path}' lacks {', '.join(missing)}."
        )
    return children


def clip_files(folder: Path) -> dict[str, Path]:
    """YouTube id → clip, by file name: `ID.ext`, `YID.ext`, or either followed by `_` or `.` and more.

    A file whose name is exactly the id is preferred. Among equals it is the first in the order of paths.
    """
    return _match_clips(audio_files(folder))


def _match_clips(files: Iterable[Path]) -> dict[str, Path]:
    exact: dict[str, Path] = {}
    loose: dict[str, Path] = {}
    for path in files:
        id, rest = path.stem[:ID_LENGTH], path.stem[ID_LENGTH:]
        if _is_id(id, rest):
            (loose if rest else exact).setdefault(id, path)
        if path.stem.startswith("Y"):
            id, rest = path.stem[1 : 1 + ID_LENGTH], path.stem[1 + ID_LENGTH :]
            if _is_id(id, rest):
                loose.setdefault(id, path)
    return loose | exact


def _is_id(id: str, rest: str) -> bool:
    """Whether part of a file name can be a YouTube id, given what follows it."""
    return len(id) == ID_LENGTH and (not rest or rest[0] in "_.")


def read_ledger(folder: Path) -> list[dict[str, str]]:
    """Clips that were requested and not received: the latest row per id. Empty without a ledger.

    Raises:
        DatasetError: if the ledger lacks a column.
    """
    path = folder / LEDGER
    if not path.is_file():
        return []
    with open_text(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not set(LEDGER_COLUMNS) <= set(rows[0]):
        raise DatasetError(
            f"AudioSet's ledger must have the columns {', '.join(LEDGER_COLUMNS)}. "
            f"'{path}' has {', '.join(map(str, rows[0]))}."
        )
    return list({row["id"]: row for row in rows}.values())


def _find_file(folder: Path, name: str) -> Path | None:
    """The file in the folder, or else in the first sub-folder that has it."""
    paths = [*folder.glob(name), *sorted(folder.glob(f"*/{name}"))]
    return paths[0] if paths else None


class _Row(NamedTuple):
    """One line of a file of segments."""

    id: str
    start_s: float
    end_s: float
    labels: list[str]


def _read_segments(path: Path) -> Iterator[_Row]:
    with open_text(path, newline="") as file:
        for number, fields in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            if not fields or fields[0].startswith("#"):
                continue
            try:
                id, start_s, end_s, labels = fields
                row = _Row(id, float(start_s), float(end_s), labels.split(","))
                if not _ID.fullmatch(id):  # clips are files of that name: `../x` would leave the folder
                    raise ValueError(f"{id!r} is no YouTube id")
            except ValueError as error:
                raise DatasetError(
                    f"A segment must be YTID ({ID_LENGTH} letters, digits, - or _), start, end and labels in "
                    f"quotation marks. Line {number} of '{path}' is {','.join(fields)[:80]!r}."
                ) from error
            yield row
