"""Sentences about one track, made from its numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from quintet.datasets.labels import label_set
from quintet.explanation.neighbours import Neighbours
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.track import (
    NetworkExplanation,
    TrackExplanation,
    TrackPrediction,
    contribution_steps,
)
from quintet.model_folder.run import Run
from quintet.reports.figures.timeline import band_hz
from quintet.reports.text import count, format_list, inline_name

NEAR, STRANGE, CONFIDENCE = 0.1, 0.98, 0.9
"""A class is in play from this probability on; a track is strange beyond this share of training clips; of prediction sets."""


class Note(NamedTuple):
    """A remark that must not be missed: `kind` "good" or "warn", `head`, `text`."""

    kind: str
    head: str
    text: str


def seconds(value: float) -> str:
    """`4.1 s`, `3:20 min`.

    Example:
        >>> seconds(4.13), seconds(200)
        ('4.1 s', '3:20 min')
    """
    return f"{value:.1f} s" if value < 100 else f"{int(value // 60)}:{int(value % 60):02d} min"


def hertz(low: float, high: float) -> str:
    """`120-340 Hz`, `2.1-3 kHz` with an en dash.

    Example:
        >>> hertz(120.2, 341.0), hertz(2100, 3000)
        ('120–341 Hz', '2.1–3 kHz')
    """
    return f"{low:.0f}–{high:.0f} Hz" if high < 1000 else f"{low / 1000:.2g}–{high / 1000:.2g} kHz"


def opening(heard: TrackPrediction, why: TrackExplanation, near: Neighbours | None, run: Run) -> list[str]:
    """The opening paragraph, sentence by sentence."""
    sentences = [_verdict(heard), _torn(heard), _in_time(heard)]
    sentences.append(_families(heard, why))
    sentences += [_where(heard, found, run) for found in why.networks]
    if near is not None:
        name = heard.classes[heard.order[0]]
        same = sum(name in label_set(label) for label in near.nearest["label"])
        sentences.append(
            f"Of the {count(len(near.nearest), 'nearest training clip')}, {same if same else 'none'} {'is' if same == 1 else 'are'} {name}."
        )
    return [sentence for sentence in sentences if sentence]


def _verdict(heard: TrackPrediction) -> str:
    p, order = heard.probabilities, heard.order
    if not heard.multilabel:
        says = "hears" if p[order[0]] >= 0.5 else "leans towards"
        return f"Quintet {says} {heard.classes[order[0]]}, with a probability of {p[order[0]]:.2f}."
    tags = [f"{heard.classes[k]} ({p[k]:.2f})" for k in order if p[k] >= 0.5]
    if tags:
        return f"Quintet hears {format_list(tags)}."
    return f"Quintet hears no tag for certain; most likely is {heard.classes[order[0]]} ({p[order[0]]:.2f})."


def _torn(heard: TrackPrediction) -> str:
    if heard.multilabel or len(heard.classes) < 2:
        return ""
    p, order = heard.probabilities, heard.order
    rivals = [f"{heard.classes[k]} ({p[k]:.2f})" for k in order[1:4] if p[k] >= NEAR]
    if rivals:
        return f"It was torn between {format_list([heard.classes[order[0]], *rivals])}."
    return f"Nothing else came near: next is {heard.classes[order[1]]} with {p[order[1]]:.2f}."


def _in_time(heard: TrackPrediction) -> str:
    if len(heard.curve) < 3:
        return ""
    leaders = pd.Series(
        [heard.classes[int(row.argmax())] for row in heard.curve[list(heard.classes)].to_numpy()]
    )
    counts = leaders.value_counts()
    name, what = heard.classes[heard.order[0]], "window" if heard.has_short_windows else "segment"
    own, others = int(counts.get(name, 0)), counts.drop(name, errors="ignore")
    if own == len(leaders):
        return f"{name} leads in all {count(own, what)}."
    told = format_list([f"{other} in {n}" for other, n in others.head(2).items()])
    return f"{name} leads in {own} of {count(len(leaders), what)}, {told}."


def _families(heard: TrackPrediction, why: TrackExplanation) -> str:
    if why.game is None:
        return ""
    steps = (
        contribution_steps(why.game, heard.order[0])
        .set_index("player")["value"]
        .sort_values(ascending=False, kind="stable")
    )
    players = [(_player(str(player)), float(value)) for player, value in steps.items()]
    pushing = [f"{name} (+{value:.2f})" for name, value in players[:2] if value >= 0.005]
    if not pushing:
        return ""
    sentence = f"What moved it there: {format_list(pushing)}"
    last, value = players[-1]
    return (
        f"{sentence}; most against it {'was' if last.startswith('the spec') else 'were'} {last} (−{-value:.2f})."
        if value <= -0.005
        else f"{sentence}."
    )


def _player(name: str) -> str:
    return "the spectrogram" if name == SPECTROGRAM else f"the {name} features"


def _where(heard: TrackPrediction, found: NetworkExplanation, run: Run) -> str:
    if found.bands.max() < 0.01:
        return ""
    edges = band_hz(heard.log_mel, found.occlusions[0].band_edges)
    best = max(range(len(found.occlusions)), key=lambda i: float(found.occlusions[i].times.max()))
    o, segment = found.occlusions[best], found.segments[best]
    t = int(np.argmax(o.times))
    start, length = heard.starts[segment], heard.ends[segment] - heard.starts[segment]
    first, last = (start + length * float(o.frame_edges[j]) / float(o.frame_edges[-1]) for j in (t, t + 1))
    when = f", and on {first:.1f}–{last:.1f} s" if o.times[t] >= 0.01 else ""
    return f"The network {inline_name(found.name, run)} relied most on {hertz(*edges[int(found.bands.argmax())])}{when}."


def known_recording(heard: TrackPrediction, run: Run) -> Note | None:
    """Whether the very same recording was in the data of the training run, by the digest of its samples."""
    if "audio_digest" not in run.features:
        return None
    same = run.features[run.features["audio_digest"].astype(str).isin(heard.digests)]
    if same.empty:
        return None
    clip = same.index[0]
    part = run.split.set_index("id")["part"].get(clip, "")
    told = f"It is {clip}, labelled {same['label'].iloc[0]}"
    if part == "train":
        return Note(
            "warn",
            "A training clip.",
            f"{told}. The members have learnt this very recording: that they know it proves nothing.",
        )
    where = (
        "in the held-out part, which no member has learnt from"
        if part == "test"
        else "in the data, but in no part of the split"
    )
    return Note("good", "A known recording.", f"{told}, {where}.")


def novelty_note(heard: TrackPrediction, near: Neighbours | None) -> Note | None:
    """What the track may be with a promised confidence, and whether it looks like none of the classes."""
    strange = near is not None and near.distance_percentile >= STRANGE
    far = (
        f"It is farther from its nearest training clip than {near.distance_percentile:.0%} of the training clips are from theirs (of another group)."
        if near is not None and strange
        else ""
    )
    if (
        heard.conformal is None or len(heard.ensemble_predictions) > 1
    ):  # sets are promised for clips like those of the training, not for means of many
        return (
            Note("warn", "Unlike the training clips.", f"{far} It may belong to none of the classes.")
            if far
            else None
        )
    verdict = heard.probabilities[None]
    distances = None if heard.distance is None else np.array([heard.distance])
    held = heard.conformal.sets(verdict, CONFIDENCE, distances=distances)[0]
    inside = [heard.classes[k] for k in heard.order if held[k]]
    if not inside:
        share = float(heard.conformal.out_of_class(verdict, distances)[0])
        what = (
            "Its probabilities are"
            if distances is None
            else "What the members say of it, and its place among the features, are"
        )
        return Note(
            "warn",
            "Perhaps none of these.",
            f"{what} stranger than those of {share:.0%} of the training clips. {far}".strip(),
        )
    if strange:
        return Note("warn", "Unlike the training clips.", f"{far} It may belong to none of the classes.")
    if len(inside) == len(heard.classes):
        return Note(
            "warn", "Anything is possible.", f"No class can be ruled out with {CONFIDENCE:.0%} confidence."
        )
    return Note(
        "good",
        f"With {CONFIDENCE:.0%} confidence: {' or '.join(inside)}.",
        "A set of classes that holds the true one that often, for tracks like those of the training.",
    )
