"""Sentences about one track, made from its numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
from quintet.reports.formats import MINUS, count, format_list
from quintet.reports.section import Note
from quintet.reports.text import display_name, inline_name

RIVAL_PROBABILITY = 0.1
"""Probability from which on another class is named."""

UNUSUAL_DISTANCE = 0.98
"""Distance percentile from which on a track is called unlike the training clips."""

CONFIDENCE = 0.9
"""Confidence of the prediction set."""

SMALL_CONTRIBUTION = 0.005
"""Contribution below which a feature family is not named."""

SMALL_OCCLUSION = 0.01
"""Change of probability below which a region of the spectrogram is not named."""


class Contribution(NamedTuple):
    """A feature family or the spectrogram, and what it adds to the probability."""

    subject: str
    value: float


def seconds(value: float) -> str:
    """Duration: `4.1 s`, `3:20 min`.

    Example:
        >>> seconds(4.13), seconds(200)
        ('4.1 s', '3:20 min')
    """
    return f"{value:.1f} s" if value < 100 else f"{int(value // 60)}:{int(value % 60):02d} min"


def hertz(low: float, high: float) -> str:
    """Range of frequencies with an en dash: `120–340 Hz`, `2.1–3 kHz`.

    Example:
        >>> hertz(120.2, 341.0), hertz(2100, 3000)
        ('120–341 Hz', '2.1–3 kHz')
    """
    return f"{low:.0f}–{high:.0f} Hz" if high < 1000 else f"{low / 1000:.2g}–{high / 1000:.2g} kHz"


def opening(
    track: TrackPrediction, explanation: TrackExplanation, neighbours: Neighbours | None, run: Run
) -> list[str]:
    """The opening paragraph, one sentence per entry.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        neighbours: the nearest training clips; None if there are none.
        run: the model folder.
    """
    sentences = [
        _prediction_sentence(track),
        _rival_sentence(track),
        _time_sentence(track),
        _family_sentence(track, explanation),
    ]
    sentences += [_region_sentence(track, network, run) for network in explanation.networks]
    if neighbours is not None:
        sentences.append(_neighbour_sentence(track, neighbours))
    return [sentence for sentence in sentences if sentence]


def _prediction_sentence(track: TrackPrediction) -> str:
    probabilities, order = track.probabilities, track.order
    first, highest = track.classes[order[0]], float(probabilities[order[0]])
    if track.multilabel:
        tags = [f"{track.classes[k]} ({probabilities[k]:.2f})" for k in order if probabilities[k] >= 0.5]
        if tags:
            return f"Quintet predicts {format_list(tags)}."
        return f"No tag has a probability of one half. The most probable one is {first} ({highest:.2f})."
    if highest >= 0.5:
        return f"Quintet predicts {first}, with a probability of {highest:.2f}."
    return f"Quintet predicts {first}, but only with a probability of {highest:.2f}."


def _rival_sentence(track: TrackPrediction) -> str:
    if track.multilabel or len(track.classes) < 2:
        return ""
    probabilities, order = track.probabilities, track.order
    rivals = [k for k in order[1:4] if probabilities[k] >= RIVAL_PROBABILITY]
    if rivals:
        names = [f"{track.classes[k]} ({probabilities[k]:.2f})" for k in rivals]
        return f"Other probable classes: {format_list(names)}."
    second = order[1]
    return (
        f"No other class is probable: the next is {track.classes[second]} with {probabilities[second]:.2f}."
    )


def _time_sentence(track: TrackPrediction) -> str:
    """In how many segments each class has the highest probability; empty for fewer than three segments.

    Windows that are shorter than the clips of the training do not count.
    """
    if len(track.curve) < 3 or track.has_short_windows:
        return ""
    values = track.curve[list(track.classes)]
    counts = values.idxmax(axis=1).value_counts()
    name = track.classes[track.order[0]]
    n = int(counts.get(name, 0))
    if n == len(values):
        return f"{name} leads in all {count(n, 'segment')}."
    others = counts.drop(name, errors="ignore").head(2)
    listed = format_list([f"{other} in {number}" for other, number in others.items()])
    return f"{name} leads in {n} of {count(len(values), 'segment')}, {listed}."


def _family_sentence(track: TrackPrediction, explanation: TrackExplanation) -> str:
    """The largest contributions for the prediction, and the largest one against it."""
    if explanation.game is None:
        return ""
    steps = contribution_steps(explanation.game, track.order[0]).set_index("player")["value"]
    steps = steps.sort_values(ascending=False, kind="stable")
    contributions = [Contribution(_subject(str(name)), float(value)) for name, value in steps.items()]
    largest = [c for c in contributions[:2] if c.value >= SMALL_CONTRIBUTION]
    if not largest:
        return ""
    sources = [f"{contribution.subject} (+{contribution.value:.2f})" for contribution in largest]
    sentence = f"The largest contributions come from {format_list(sources)}"
    last = contributions[-1]
    if last.value <= -SMALL_CONTRIBUTION:
        return f"{sentence}; the largest one against it comes from {last.subject} ({MINUS}{-last.value:.2f})."
    return f"{sentence}."


def _subject(family: str) -> str:
    return "the spectrogram" if family == SPECTROGRAM else f"the {family} features"


def _region_sentence(track: TrackPrediction, network: NetworkExplanation, run: Run) -> str:
    """Frequencies and time on which a network relied most; empty if no region matters."""
    if network.bands.max() < SMALL_OCCLUSION:
        return ""
    weight = run.member_shares.get(network.name, 0.0)
    edges = band_hz(track.log_mel, network.occlusions[0].band_edges)
    band = int(network.bands.argmax())
    low, high = edges[band]
    largest = [float(occlusion.times.max()) for occlusion in network.occlusions]
    best = int(np.argmax(largest))
    occlusion, segment = network.occlusions[best], network.segments[best]
    stripe = int(np.argmax(occlusion.times))
    moment = ""
    if occlusion.times[stripe] >= SMALL_OCCLUSION:
        start = track.starts[segment]
        length = track.ends[segment] - start
        n_frames = float(occlusion.frame_edges[-1])
        edges_of_stripe = occlusion.frame_edges[stripe : stripe + 2]
        first, last = (start + length * float(edge) / n_frames for edge in edges_of_stripe)
        moment = f", and on {first:.1f}–{last:.1f} s"
    name = inline_name(network.name, run)
    return f"The network {name} (weight {weight:.2f}) relied most on {hertz(low, high)}{moment}."


def _neighbour_sentence(track: TrackPrediction, neighbours: Neighbours) -> str:
    name = track.classes[track.order[0]]
    same = sum(name in label_set(label) for label in neighbours.nearest["label"])
    verb = "is" if same == 1 else "are"
    clips = count(len(neighbours.nearest), "nearest training clip")
    return f"Of the {clips}, {same or 'none'} {verb} {name}."


class KnownClip(NamedTuple):
    """A clip of the data of the training run: its id, its label, and its part of the split or nothing."""

    id: str
    label: str
    part: str


def own_clips(track: TrackPrediction, run: Run) -> list[str]:
    """Ids of clips of the run that are the track itself, by the digests of its samples."""
    if "audio_digest" not in run.features:
        return []
    digests = run.features["audio_digest"].astype(str)
    return [str(name) for name in run.features.index[digests.isin(track.digests)]]


def known_clip(track: TrackPrediction, run: Run) -> KnownClip | None:
    """The same recording in the data of the training run, found by the digest of its samples."""
    if "audio_digest" not in run.features:
        return None
    digests = run.features["audio_digest"].astype(str)
    same = run.features[digests.isin(track.digests)]
    if same.empty:
        return None
    clip = same.index[0]
    part = run.split.set_index("id")["part"].get(clip, "")
    return KnownClip(str(clip), str(same["label"].iloc[0]), str(part))


def known_recording(track: TrackPrediction, run: Run) -> Note | None:
    """Note that the same recording is in the data of the training run."""
    clip = known_clip(track, run)
    if clip is None:
        return None
    identity = f"It is {clip.id}, labelled {clip.label}"
    if clip.part == "train":
        text = (
            f"{identity}. The members were trained on this very recording: a right prediction proves nothing."
        )
        return Note("warn", "A training clip.", text)
    place = "in the data, but in no part of the split"
    if clip.part == "test":
        place = "in the held-out part, on which no member was trained"
    return Note("good", "A known recording.", f"{identity}, {place}.")


def novelty_note(track: TrackPrediction, neighbours: Neighbours | None) -> Note | None:
    """Note on the prediction set of the track, and whether the track looks like none of the classes.

    Prediction sets have a guarantee for clips like those of the training part, not for the mean of several
    segments. A track of several segments therefore has a note only if it is unlike the training clips.
    """
    distance = _distance_sentence(neighbours)
    unlike = None
    if distance:
        unlike = Note(
            "warn", "Unlike the training clips.", f"{distance} It may belong to none of the classes."
        )
    if track.conformal is None or len(track.ensemble_predictions) > 1:
        return unlike
    probabilities = track.probabilities[None]
    distances = None if track.distance is None else np.array([track.distance])
    members = track.conformal.sets(probabilities, CONFIDENCE, distances=distances)[0]
    names = [track.classes[k] for k in track.order if members[k]]
    if not names:
        share = float(track.conformal.out_of_class(probabilities, distances)[0])
        subject = "Its probabilities are"
        if distances is not None:
            subject = "Its probabilities and its place in feature space are"
        text = f"{subject} more unusual than those of {share:.0%} of the training clips. {distance}"
        return Note("warn", "Perhaps none of these.", text.strip())
    if unlike is not None:
        return unlike
    if len(names) == len(track.classes):
        text = f"No class can be excluded with {CONFIDENCE:.0%} confidence."
        return Note("warn", "Any class is possible.", text)
    return Note(
        "good",
        f"With {CONFIDENCE:.0%} confidence: {' or '.join(names)}.",
        "For tracks like those of the training part, the set contains the true class at least that often.",
    )


def _distance_sentence(neighbours: Neighbours | None) -> str:
    """How far the track is from the training clips; empty if the distance is usual."""
    if neighbours is None or not neighbours.distance_percentile >= UNUSUAL_DISTANCE:
        return ""
    return (
        f"It is farther from its nearest training clip than {neighbours.distance_percentile:.0%} of the "
        "training clips are from theirs (of another group)."
    )


def why_not_explained(explanation: TrackExplanation, run: Run) -> list[str]:
    """One sentence per reason for which members are not explained, with all members that it holds for.

    Args:
        explanation: why the members predict what they predict.
        run: the model folder.
    """
    members: dict[str, list[str]] = {}
    for name, reason in explanation.reasons.items():
        members.setdefault(reason, []).append(display_name(name, run))
    sentences = []
    for reason, names in members.items():
        each = ": each" if len(names) > 1 else ""
        sentences.append(f"{format_list(names)}{each} {reason}.")
    return sentences
