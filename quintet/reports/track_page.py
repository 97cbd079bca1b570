"""The page of one track: its predictions over time and the reasons, in one file that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quintet.classifiers.registry import reads_table
from quintet.explanation.assembly import has_weight, training_ids
from quintet.explanation.neighbours import Neighbours, nearest_tracks
from quintet.explanation.track import TrackExplanation, TrackPrediction
from quintet.files.json_text import json_text
from quintet.files.json_types import JsonObject
from quintet.model_folder.run import Run
from quintet.reports.figures.timeline import hz_ticks, time_ticks
from quintet.reports.formats import count, format_range, number
from quintet.reports.front.sounds import make_sounds, sounds_json
from quintet.reports.html import NumberFiles, PageKind, check_page_folder, render, replace_page
from quintet.reports.section import Cell, Column, Fold, Row, Section, Table
from quintet.reports.text import display_name
from quintet.reports.track_layers import leaders_json, network_layers, time_layers, track_loudness
from quintet.reports.track_sections import (
    NEIGHBOURS,
    contributions_section,
    members_section,
    neighbours_section,
    probable_classes,
    track_reproduction_section,
)
from quintet.reports.track_text import known_recording, novelty_note, opening, own_clips, seconds

KIND = PageKind("An explanation", mark="Quintet, the explanation of one track")
"""Text in the head of every such page, by which an earlier page is recognised."""

PARTS = ("report", "sounds", "track")
"""Stems of the style sheets and scripts of the page."""

SOUNDS_INSIDE = 3
"""Nearest training clips whose sound is inside of the page; the others are linked."""

ANSWER = "answer.json"
"""File in `numbers/` with the prediction and its reasons, for scripts."""


@dataclass(frozen=True)
class Sound:
    """Sound of the audio player.

    Args:
        source: a data URI or a link; empty if there is no sound.
        note: what the player plays, for the caption.
        outside: whether `source` is a link to a file outside of the page.
    """

    source: str
    note: str
    outside: bool = False


def check_folder(output: Path) -> None:
    """Refuse a folder that holds anything but an explanation.

    Raises:
        ArtefactError: if it holds other files, or another page.
    """
    check_page_folder(output, KIND)


def write_track(
    track: TrackPrediction,
    explanation: TrackExplanation,
    run: Run,
    output: Path,
    sound: Sound,
    *,
    answer: JsonObject | None = None,
) -> Path:
    """Write the page as `index.html` into a folder of its own, with the numbers of its figures beside it.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        run: the model folder.
        output: the folder.
        sound: sound of the audio player.
        answer: what scripts read, written as `numbers/answer.json`. None: no such file.

    Returns:
        The path of `index.html`.

    Raises:
        ArtefactError: if the folder holds other files, or another page.
    """
    with replace_page(output, KIND) as numbers:
        context = page_context(track, explanation, run, numbers=numbers, sound=sound, folder=output)
        if answer is not None:
            numbers.files[ANSWER] = json_text(answer).encode()
        numbers.page = render("track.html", context, parts=PARTS, plays_file=bool(context["links_sound"]))
    return output / "index.html"


def track_html(track: TrackPrediction, explanation: TrackExplanation, run: Run, sound: Sound) -> str:
    """The page as one text: the numbers of all its figures are inside.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        run: the model folder.
        sound: the sound, inside the page.
    """
    numbers = NumberFiles(beside=False)
    context = page_context(track, explanation, run, numbers=numbers, sound=sound)
    return render("track.html", context, parts=PARTS)


def page_context(
    track: TrackPrediction,
    explanation: TrackExplanation,
    run: Run,
    *,
    numbers: NumberFiles,
    sound: Sound,
    folder: Path | None = None,
) -> dict[str, object]:
    """Values of the template. Writes the numbers of the page.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        run: the model folder.
        numbers: writer of the numbers.
        sound: sound of the audio player.
        folder: folder of the page, for links to the sound of training clips; None if it may link nothing.
    """
    train = run.values.loc[training_ids(run), list(track.features.columns)]
    neighbours = _neighbours(track, run, train)
    near = [] if neighbours is None else neighbours.nearest["id"].tolist()
    sounds = make_sounds(run, near, folder, n_inside=SOUNDS_INSIDE)
    sections: list[Section | None] = [
        contributions_section(track, explanation, run, train),
        members_section(track, run),
        neighbours_section(track, explanation, neighbours, run, sounds),
        track_reproduction_section(track, run, beside=numbers.beside),
    ]
    present = [section for section in sections if section is not None]
    networks = [network_layers(track, network, run) for network in explanation.networks]
    numbers.add("over-time", track.curve)
    for section in present:
        numbers.add_all(section.downloads)
    for network in networks:
        numbers.add_all(network.downloads)
    entries = [("time", "Over time"), ("where", "Spectrogram")]
    notes = (known_recording(track, run), novelty_note(track, neighbours))
    return {
        "generator": KIND.mark,
        "name": track.name,
        "opening": opening(track, explanation, neighbours, run),
        "notes": [note for note in notes if note is not None],
        "nouns": "tags" if track.multilabel else "classes",
        "headline": _headline(track),
        "basis": _basis(track, run),
        "contents": entries + [(section.id, section.contents) for section in present],
        "sound": sound,
        "links_sound": sound.outside or bool(sounds.linked),
        "sounds": sounds_json(sounds),
        "time_fold": _fold_text(track),
        "spectrogram_note": _spectrogram_note(run),
        "duration_s": track.duration_s,
        "time_ticks": time_ticks(track.duration_s),
        "hz_ticks": hz_ticks(track.log_mel),
        "layers": time_layers(track),
        "time_caption": _time_caption(track),
        "time_table": _time_table(track),
        "leaders": leaders_json(track),
        "loudness": track_loudness(track),
        "networks": networks,
        "sections": present,
        "links": numbers.links,
    }


def _neighbours(track: TrackPrediction, run: Run, train: pd.DataFrame) -> Neighbours | None:
    """The nearest training clips, without the track itself; None if there are no others."""
    others = train.drop(index=own_clips(track, run), errors="ignore")
    if not len(others):
        return None
    return nearest_tracks(others, track.features, run.features[["label", "group"]], k=NEIGHBOURS)


def _fold_text(track: TrackPrediction) -> str:
    """Text of the fold around the prediction over time, if its windows are too short; otherwise nothing."""
    if not track.has_short_windows or not len(track.curve):
        return ""
    length = seconds(float(track.curve["end"].iloc[0] - track.curve["start"].iloc[0]))
    return f"Over time, in {count(len(track.curve), 'window')} of {length}: too short to count"


def _spectrogram_note(run: Run) -> str:
    """Why there is no map of regions."""
    networks = [name for name in run.members if not reads_table(name)]
    if not networks:
        return "No member of this model uses it, so there is no map of the regions behind the prediction."
    if any(has_weight(run, name) for name in networks):
        return "The regions on which its networks rely were not computed."
    weights = ", ".join(f"{display_name(name, run)} {run.member_shares[name]:.2f}" for name in networks)
    return f"The networks hardly move the ensemble (weights: {weights}), so their regions are not drawn."


def _headline(track: TrackPrediction) -> list[tuple[str, str, str]]:
    """Most probable classes for the top of the page: caption, class and probability."""
    result = []
    for place, name in enumerate(probable_classes(track)):
        caption = "prediction" if place == 0 and not track.multilabel else "probability"
        probability = float(track.probabilities[track.classes.index(name)])
        result.append((caption, name, number(probability, 2)))
    return result


def _basis(track: TrackPrediction, run: Run) -> str:
    """Length of the track, and the model behind the predictions."""
    model = display_name(run.best, run)
    if run.rules:
        model += f" of {count(len(run.members), 'member')}"
    noun = "tag" if track.multilabel else "class"
    length = f"{seconds(track.duration_s)} of sound in {count(len(track.starts), 'segment')}"
    return f"{length}; {model}, {count(len(track.classes), noun)}."


def _time_caption(track: TrackPrediction) -> str:
    if track.has_short_windows:
        first = track.curve.iloc[0]
        length = seconds(float(first["end"] - first["start"]))
        text = (
            "The track is short and was predicted as a whole. The figure shows "
            f"{count(len(track.curve), 'window')} of {length} that overlap. This is shorter than the clips "
            "on which the members were trained, so the curve is only a hint."
        )
    else:
        segments = count(len(track.curve), "segment")
        text = f"{segments}, as long as the training clips. The ensemble prediction is their mean."
    unusable = track.unusable_windows
    if len(unusable):
        reason = unusable["reason"].iloc[0]
        text += f" {count(len(unusable), 'window')} could not be described and left out: {reason}"
    return text


def _time_table(track: TrackPrediction) -> Fold:
    classes = probable_classes(track)
    rows = []
    for record in track.curve.to_dict("records"):
        head = Cell(format_range(record["start"], record["end"], 1))
        rows.append(Row(head, tuple(Cell(number(record[name], 2)) for name in classes)))
    table = Table(
        label="Probabilities over time",
        columns=(Column("Seconds"), *(Column(name, numeric=True) for name in classes)),
        rows=tuple(rows),
        caption="Probabilities by window.",
    )
    return Fold("The same as a table", (table,))
