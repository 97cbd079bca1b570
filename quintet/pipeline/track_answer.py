"""The answer of `explain` for scripts: the prediction for one track, and what decided it, as JSON."""

from __future__ import annotations

import numpy as np

from quintet.datasets.labels import join_labels
from quintet.explanation.assembly import training_ids
from quintet.explanation.track import TrackExplanation, TrackPrediction, contribution_steps
from quintet.files.json_text import json_value, table_rows
from quintet.files.json_types import JsonObject
from quintet.inference.predict import TAG_THRESHOLD
from quintet.model_folder.run import Run
from quintet.reports.track_sections import column_table
from quintet.reports.track_text import CONFIDENCE, known_clip


def track_answer(track: TrackPrediction, explanation: TrackExplanation, run: Run) -> JsonObject:
    """The answer about a track: the same numbers as on its page.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        run: the model folder.

    Returns:
        `verdict`, `confidence`, `probabilities` (class → probability), `set` (classes that cannot be excluded
        at the confidence `set_confidence`, or None) and `out_of_class` as `quintet predict` gives them;
        `members` (member → class → probability); `explained_class`, and for it `base` (its probability
        without any input), `families` (rows: family, value, low, high, share; the values add up to the
        probability minus `base`) and `columns` (rows: column, value, percentile, shares by member);
        `unexplained` (member → why it is not explained by columns).
    """
    probabilities = track.probabilities
    known = known_clip(track, run)
    answer: JsonObject = json_value(
        {
            **_verdict(track),
            "segments": len(track.starts),
            "duration_s": track.duration_s,
            **_prediction_set(track),
            "probabilities": dict(zip(track.classes, probabilities.tolist(), strict=True)),
            "members": {
                name: dict(zip(track.classes, values.mean(axis=0).tolist(), strict=True))
                for name, values in track.members.items()
            },
            "known_id": None if known is None else known.id,
            "known_part": None if known is None else known.part,
            "explained_class": track.classes[track.order[0]],
            "base": _base(track, explanation),
            "families": _families(track, explanation),
            "columns": _columns(track, explanation, run),
            "unexplained": dict(explanation.reasons),
        }
    )
    return answer


def _verdict(track: TrackPrediction) -> JsonObject:
    """The prediction of the ensemble, as in the rows of `predict`."""
    highest = float(track.probabilities.max())
    if not track.multilabel:
        return {"verdict": track.classes[track.order[0]], "verdict_size": None, "confidence": highest}
    tags = [name for name, p in zip(track.classes, track.probabilities, strict=True) if p >= TAG_THRESHOLD]
    return {"verdict": join_labels(tags), "verdict_size": len(tags), "confidence": highest}


def _prediction_set(track: TrackPrediction) -> JsonObject:
    """The prediction set and the rank of the track among clips of no class; None for label sets."""
    if track.conformal is None:
        return {"set": None, "set_confidence": None, "out_of_class": None}
    probabilities = track.probabilities[None]
    distances = None if track.distance is None else np.array([track.distance])
    inside = track.conformal.sets(probabilities, CONFIDENCE, distances=distances)[0]
    names = [name for name, is_inside in zip(track.classes, inside, strict=True) if is_inside]
    out_of_class = float(track.conformal.out_of_class(probabilities, distances)[0])
    return {"set": names, "set_confidence": CONFIDENCE, "out_of_class": out_of_class}


def _base(track: TrackPrediction, explanation: TrackExplanation) -> float | None:
    """Probability of the first class if all inputs are those of training clips."""
    if explanation.game is None:
        return None
    return float(explanation.game.base[:, track.order[0]].mean())


def _families(track: TrackPrediction, explanation: TrackExplanation) -> list[JsonObject]:
    """Contributions of the families to the probability of the first class, the largest size first."""
    if explanation.game is None:
        return []
    steps = contribution_steps(explanation.game, track.order[0]).rename(columns={"player": "family"})
    total = float(steps["value"].abs().sum())
    return table_rows(steps.assign(share=steps["value"] / (total or 1.0)))


def _columns(track: TrackPrediction, explanation: TrackExplanation, run: Run) -> list[JsonObject]:
    """The columns with the largest contributions in any member, and their share in each member."""
    if not explanation.contributions:
        return []
    train = run.values.loc[training_ids(run), list(track.features.columns)]
    table = column_table(track, explanation, train, run)
    members = list(explanation.contributions)
    rows = table_rows(table[["value", "percentile"]].reset_index(names="column"))
    shares = table_rows(table[members])
    return [{**row, "shares": share} for row, share in zip(rows, shares, strict=True)]
