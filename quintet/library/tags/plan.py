"""The plan of tags: what the files of a library hold now, and what its predictions propose.

A proposal needs a confidence. A genre also needs a prediction set with exactly one member: a song that may be
of two genres gets none, and a song that is like no class gets none. A genre that the owner has corrected
needs neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from quintet.audio.isolation.calls import map_isolated
from quintet.datasets.genre_map import genre_key
from quintet.datasets.labels import label_set
from quintet.errors import ConfigError, QuintetError, unknown_name
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.reasons import reason
from quintet.library.corrections import read_corrections
from quintet.library.store import Library
from quintet.library.tags.entries import FIELDS, FieldState
from quintet.library.tags.plan_file import PlanRow, Refusal
from quintet.library.tags.rewriting import require_ordinary
from quintet.library.tags.tag_file import open_tags

MODES = ("fill", "append", "replace")
"""What a plan does where a field is not empty: nothing, add the new values, or replace them."""
DEFAULT_CONFIDENCE = 0.5
CONFIDENCE_STEP = 0.2
"""How much less confidence of the prediction sets is suggested where they are large."""
LEAST_SET_CONFIDENCE = 0.5
"""Smallest confidence of prediction sets that is suggested."""
MOOD_FAMILY = "mood_"

UNASKED, SEVERAL, NONE = (
    "without a prediction set",
    "several in the prediction set",
    "an empty prediction set",
)
UNKNOWN, UNSURE, FILLED = "without a prediction", "below the confidence", "filled already"

Progress = Callable[[int, int], object]
"""Receives the number of files that are finished, and of all."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What is proposed.

    Args:
        fields: names of `entries.FIELDS`.
        mode: a name of `MODES`.
        min_confidence: smallest confidence of a proposal, in [0, 1]: the probability of a genre, the
            activation of a mood, the confidence of a tempo or a key.
        n_jobs: worker processes that read tags.

    Raises:
        ConfigError: a setting is none of these.
    """

    fields: tuple[str, ...] = ("genre",)
    mode: str = "fill"
    min_confidence: float = DEFAULT_CONFIDENCE
    n_jobs: int = 1

    def __post_init__(self) -> None:
        for field in self.fields:
            if field not in FIELDS:
                raise unknown_name("field of a tag", field, FIELDS)
        if self.mode not in MODES:
            raise unknown_name("mode of a plan", self.mode, MODES)
        if not self.fields or not 0 <= self.min_confidence <= 1:
            raise ConfigError(
                "A plan must have a field or more, and a confidence from 0 to 1. Received "
                f"{list(self.fields)} and {self.min_confidence}."
            )


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a prediction proposes for a field of a song.

    Args:
        values: the values.
        confidence: in [0, 1].
        source: what made it: `model`, `correction`, `tags of a network`, `tempo`, `key`.
    """

    values: tuple[str, ...]
    confidence: float
    source: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Proposals for the files of a library.

    Args:
        rows: the proposals, in the order of the library.
        refusals: the ledger: files whose tags cannot be read or written, with the reason.
        left_out: field → reason → number of songs without a proposal.
        n_songs: songs of the library whose files were there at the last scan.
        advice: what gives more proposals, if most songs have several genres in their set; else empty.
    """

    rows: tuple[PlanRow, ...]
    refusals: tuple[Refusal, ...]
    left_out: dict[str, dict[str, int]]
    n_songs: int
    advice: str = ""

    def to_json(self) -> JsonObject:
        """Numbers and the ledger."""
        return {
            "songs": self.n_songs,
            "proposals": len(self.rows),
            "files": len({row.file for row in self.rows}),
            "left_out": self.left_out,
            "advice": self.advice,
            "refused": [refusal.to_json() for refusal in self.refusals],
        }


def make_plan(
    library: Library,
    options: PlanOptions = PlanOptions(),
    *,
    ids: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Propose tags for the songs of a library. The files are only read.

    Args:
        library: a scanned library.
        options: fields, mode and confidence.
        ids: the songs; None: all.
        progress: receives the progress of reading tags.

    Raises:
        ArtefactError: a table of the library is damaged.
    """
    songs = library.present_songs()
    if ids is not None:
        songs = songs.filter(pc.is_in(songs.column("id"), value_set=pa.array(ids, pa.string())))
    left_out: dict[str, Counter[str]] = {field: Counter() for field in options.fields}
    work = list(_work(library, songs, options, left_out))
    rows: list[PlanRow] = []
    refusals: list[Refusal] = []
    calls = ((str(path), tuple(by_field)) for path, by_field in work)
    results = map_isolated(read_states, calls, n_workers=options.n_jobs)
    for number, ((path, by_field), states) in enumerate(zip(work, results, strict=True), 1):
        if isinstance(states, Exception):
            refusals.append(Refusal(name_text(path), tuple(by_field), _sentence(states)))
        else:
            rows += _rows(path, by_field, states, options.mode, left_out)
        if progress is not None:
            progress(number, len(work))
    counts = {field: dict(counter) for field, counter in left_out.items()}
    n_genres = sum(row.field == "genre" for row in rows)
    advice = smaller_sets(library, n_genres, counts.get("genre", {}).get(SEVERAL, 0))
    return Plan(tuple(rows), tuple(refusals), counts, songs.num_rows, advice)


def smaller_sets(library: Library, n_proposed: int, n_several: int) -> str:
    """What gives more proposals, and what it costs, if more songs have several genres than one in their set.

    Args:
        library: whose model has made the sets.
        n_proposed: genres that are proposed.
        n_several: songs with several genres in their set.

    Returns:
        Sentences; empty if the sets are small enough, or cannot be made smaller in earnest.
    """
    confidence = (library.facts.model or {}).get("confidence")
    if not isinstance(confidence, float) or n_several <= n_proposed:
        return ""
    lower = round(confidence - CONFIDENCE_STEP, 2)
    if lower < LEAST_SET_CONFIDENCE:
        return ""
    return (
        f"At the confidence {confidence:g}, {n_several} songs have several genres in their prediction set. "
        f"Scan with --model and --confidence {lower:g} for smaller sets: more songs "
        "get a proposal, and more of these may be wrong."
    )


def proposals_by_file(library: Library, options: PlanOptions) -> dict[Path, dict[str, Proposal]]:
    """Proposals for each file of a library, whatever its tags hold now: for other programs.

    Args:
        library: a scanned library.
        options: fields and confidence.

    Raises:
        ArtefactError: a table of the library is damaged.
    """
    left_out: dict[str, Counter[str]] = {field: Counter() for field in options.fields}
    return dict(_work(library, library.present_songs(), options, left_out))


def _work(
    library: Library, songs: pa.Table, options: PlanOptions, left_out: dict[str, Counter[str]]
) -> Iterator[tuple[Path, dict[str, Proposal]]]:
    """Files with their proposals, those that have one; the reasons of the others are counted."""
    proposals = [_proposals(library, songs, field, options, left_out[field]) for field in options.fields]
    for song, *found in zip(songs.select(["id", "root", "path"]).to_pylist(), *proposals, strict=True):
        pairs = zip(options.fields, found, strict=True)
        by_field = {field: proposal for field, proposal in pairs if proposal is not None}
        if by_field:
            yield library.path_of(song), by_field


def read_states(path: str, fields: Sequence[str]) -> dict[str, FieldState]:
    """Fields of a file that can be written. It runs in a worker process.

    Args:
        path: the file.
        fields: names of `entries.FIELDS`.

    Raises:
        TagError: the tags cannot be read, or the file cannot be replaced without a loss.
        OSError: the file cannot be read.
    """
    require_ordinary(Path(path))
    tags = open_tags(Path(path))
    return {field: tags.state(field) for field in fields}


def key_text(key: str) -> str:
    """A key as tags write it: `Am`, `F#`.

    Args:
        key: as in a library.

    Example:
        >>> key_text("A minor"), key_text("F# major"), key_text("Bb minor")
        ('Am', 'F#', 'Bbm')
    """
    tonic, _, scale = key.partition(" ")
    return f"{tonic}m" if scale.strip().casefold().startswith("min") else tonic


def _rows(
    path: Path,
    by_field: dict[str, Proposal],
    states: dict[str, FieldState],
    mode: str,
    left_out: dict[str, Counter[str]],
) -> Iterator[PlanRow]:
    """Rows of one file; the others are counted."""
    for field, proposal in by_field.items():
        now = states[field]
        values = _merge(now.values, proposal.values, mode)
        if values == now.values or (mode == "fill" and now.values):
            left_out[field][FILLED] += 1
            continue
        yield PlanRow(path, field, now.text, values, proposal.confidence, proposal.source)


def _merge(now: tuple[str, ...], new: tuple[str, ...], mode: str) -> tuple[str, ...]:
    """The values of a field: the new ones, or those of now and the new ones that are not among them."""
    if mode != "append":
        return new
    known = {value.casefold() for value in now}
    return (*now, *(value for value in new if value.casefold() not in known))


def _proposals(
    library: Library, songs: pa.Table, field: str, options: PlanOptions, left_out: Counter[str]
) -> Iterator[Proposal | None]:
    """A proposal for each song or None; the reasons are counted. A field that was filled at the last scan
    needs none in the mode `fill`."""
    filled = _songs_with(library, field) if options.mode == "fill" else set()
    if field == "genre":
        is_set = bool((library.facts.model or {}).get("multilabel"))
        predicted = _label_sets(library, songs) if is_set else _single_genres(songs)
        found = _corrected(library, songs, _spelt(library, predicted))
    elif field == "mood":
        found = _moods(library, songs, options.min_confidence)
    else:
        found = _measured(songs, field)
    for (id,), proposal in zip(_columns(songs, "id"), found, strict=True):
        if isinstance(proposal, str):
            left_out[FILLED if id in filled else proposal] += 1
            yield None
        elif proposal.confidence < options.min_confidence:
            left_out[FILLED if id in filled else UNSURE] += 1
            yield None
        else:
            yield proposal


def _songs_with(library: Library, field: str) -> set[object]:
    """Songs whose tags had a field at the last scan."""
    rows = _columns(library.table("tags"), "id", "field", "value")
    return {id for id, name, value in rows if name == field and value}


def _spelt(library: Library, predicted: Iterator[Proposal | str]) -> Iterator[Proposal | str]:
    """Predicted genres in the spelling that the tags of the library have most often: a model knows keys."""
    counts: Counter[str] = Counter()
    for field, value in _columns(library.table("tags"), "field", "value"):
        if field == "genre":
            counts[str(value)] += 1
    spellings = {genre_key(name): name for name, _ in reversed(counts.most_common())}
    for proposal in predicted:
        if isinstance(proposal, Proposal):
            values = tuple(spellings.get(genre_key(value), value) for value in proposal.values)
            proposal = replace(proposal, values=values)
        yield proposal


def _corrected(
    library: Library, songs: pa.Table, predicted: Iterator[Proposal | str]
) -> Iterator[Proposal | str]:
    """The genre that the owner has given to each song, or else the predicted one."""
    corrections = read_corrections(library.folder)
    for (sound,), proposal in zip(_columns(songs, "audio_digest"), predicted, strict=True):
        label = corrections.get(str(sound))
        yield proposal if label is None else Proposal(label_set(label), 1.0, "correction")


def _single_genres(songs: pa.Table) -> Iterator[Proposal | str]:
    """The genre of each song, or the reason why it has none."""
    names = ("verdict", "verdict_probability", "verdict_set")
    for genre, probability, members in _columns(songs, *names):
        if not isinstance(genre, str) or not isinstance(probability, float):
            yield UNKNOWN
        elif not isinstance(members, str):
            yield UNASKED
        elif not members:
            yield NONE
        elif len(label_set(members)) > 1:
            yield SEVERAL
        else:
            yield Proposal(label_set(members), probability, "model")


def _label_sets(library: Library, songs: pa.Table) -> Iterator[Proposal | str]:
    """The genres of each song of a model of label sets: those in its set."""
    genres: dict[str, list[tuple[float, str]]] = {}
    verdicts = library.table("verdicts")
    for id, label, probability, in_set in _columns(verdicts, "id", "label", "probability", "in_set"):
        found = genres.setdefault(str(id), [])
        if in_set and isinstance(probability, float):
            found.append((probability, str(label)))
    for (id,) in _columns(songs, "id"):
        found = sorted(genres.get(str(id), []), reverse=True)
        if str(id) not in genres:
            yield UNKNOWN
        elif not found:
            yield NONE
        else:
            yield Proposal(tuple(label for _, label in found), found[-1][0], "model")


def _moods(library: Library, songs: pa.Table, least: float) -> Iterator[Proposal | str]:
    """The moods of each song: those whose activation is large enough, the largest first."""
    activations = library.table("activations")
    names = [name for name in activations.column_names if name.startswith(MOOD_FAMILY)]
    rows = {str(id): values for id, *values in _columns(activations, "id", *names)}
    moods = [name.removeprefix(MOOD_FAMILY).replace("_", " ") for name in names]
    for (id,) in _columns(songs, "id"):
        pairs = zip(rows.get(str(id), ()), moods, strict=False)
        known = [(value, mood) for value, mood in pairs if isinstance(value, float)]
        found = sorted(((value, mood) for value, mood in known if value >= least), reverse=True)
        if not known:
            yield UNKNOWN
        elif not found:
            yield UNSURE
        else:
            yield Proposal(tuple(mood for _, mood in found), found[-1][0], "tags of a network")


def _measured(songs: pa.Table, field: str) -> Iterator[Proposal | str]:
    """Tempo or key of each song."""
    column = "tempo" if field == "bpm" else field
    for value, confidence in _columns(songs, column, f"{column}_confidence"):
        if value is None or not isinstance(confidence, float):
            yield UNKNOWN
        else:
            text = f"{value:.0f}" if isinstance(value, float) else key_text(str(value))
            yield Proposal((text,), confidence, column)


def _columns(table: pa.Table, *names: str) -> Iterator[tuple[object, ...]]:
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def _sentence(error: Exception) -> str:
    if isinstance(error, QuintetError):
        return str(error)
    return f"A song must be readable. {reason(error)}."
