"""One track as the ensemble heard it, and why: values of columns and families, and the regions of the spectrogram, for one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor
from quintet.explanation.embeddings import embed_clips
from quintet.explanation.ensemble import draw_rows
from quintet.explanation.importance import SPACES, additivity_residual, explain, family, outputs, value_space
from quintet.explanation.occlusion import N_BANDS, Occlusion, grad_cam, occlusion
from quintet.explanation.shapley.family_shapley import FamilyShapley, columns_by_family, family_shapley
from quintet.features.parameters import LogMelParameters
from quintet.model_folder.run import Run

Array = NDArray[np.float64]
MAX_BACKGROUND, MAX_SEGMENTS = 16, 24
"""Training clips that stand in for what is absent; segments that are explained."""
MAX_PATCHES = 80
"""Of a network, over the segments whose spectrogram is covered piece by piece: each is asked about some sixty times."""
TIMES = (4, 28)
"""Stripes of time in which a segment is covered: at least, and over all segments together."""


@dataclass(frozen=True)
class TrackPrediction:
    """A track and what was said of it.

    Args:
        name, duration_s, native_sample_rate, native_channels: of the file. digests: of its segments, to recognise known recordings.
        classes, multilabel: of the model.
        starts, ends: (m,) seconds, of the segments whose mean is the verdict.
        features: (m, columns). pictures: m log-mel spectrograms (n_mels, frames), dB, made with `log_mel`.
        members: member → (m, K) probabilities. ensemble_predictions: (m, K).
        curve: `start, end` and one column per class: the verdict over time; `has_short_windows`: whether these windows are shorter than the segments.
        unusable_windows: `start, end, reason` of windows that could not be used.
        conformal: the model's calibrated prediction sets, where it has them; distance: from every class among the features, mean over segments.
    """

    name: str
    duration_s: float
    native_sample_rate: int
    native_channels: int
    digests: tuple[str, ...]
    classes: tuple[str, ...]
    multilabel: bool
    starts: tuple[float, ...]
    ends: tuple[float, ...]
    features: pd.DataFrame
    pictures: tuple[NDArray[np.float32], ...]
    log_mel: LogMelParameters
    members: Mapping[str, Array]
    ensemble_predictions: Array
    curve: pd.DataFrame
    has_short_windows: bool
    unusable_windows: pd.DataFrame
    conformal: ConformalPredictor | None = None
    distance: float | None = None

    @property
    def probabilities(self) -> Array:
        """(K,): the verdict, the mean over segments."""
        return np.asarray(self.ensemble_predictions.mean(axis=0))

    @property
    def order(self) -> list[int]:
        """Classes, the most probable first."""
        return [int(k) for k in np.argsort(-self.probabilities, kind="stable")]


@dataclass(frozen=True)
class ColumnContributions:
    """What each column did for every class in one member, mean over segments: `values` (columns × classes), in the member's own `space`."""

    values: pd.DataFrame
    base: pd.Series
    space: str
    residual: float


@dataclass(frozen=True)
class NetworkExplanation:
    """Where one network heard a class: per probed segment (`segments`, positions) what covering takes away, and Grad-CAM (None: no convolutions)."""

    name: str
    column: int
    segments: tuple[int, ...]
    occlusions: tuple[Occlusion, ...]
    cams: tuple[Array, ...] | None

    @property
    def probability(self) -> float:
        """That the network gives to the class, mean over the probed segments."""
        return float(np.mean([found.probability for found in self.occlusions]))

    @property
    def bands(self) -> Array:
        """(b,): what a stripe of bands adds, mean over segments."""
        return np.asarray(np.mean([found.bands for found in self.occlusions], axis=0))


@dataclass(frozen=True)
class TrackEmbedding:
    """The track (one row per segment) and training clips (indexed by id) in a network's last hidden layer."""

    name: str
    track: pd.DataFrame
    train: pd.DataFrame


@dataclass(frozen=True)
class TrackExplanation:
    """Why the ensemble said so. `reasons`: member → why it could not be explained by columns."""

    contributions: Mapping[str, ColumnContributions]
    reasons: Mapping[str, str]
    game: FamilyShapley | None
    networks: tuple[NetworkExplanation, ...]
    n_background: int
    n_explained: int
    embeddings: tuple[TrackEmbedding, ...] = ()


def explain_track(
    heard: TrackPrediction, ensemble: EnsembleClassifier, run: Run, *, seed: int = 0
) -> TrackExplanation:
    """SHAP values of the table members, the family game of the fused verdict, and what the networks listened to, on one track.

    Args:
        heard: the track.
        ensemble: the model of `run`.
        run: its folder: training clips stand in for what is absent.
        seed: draws these.
    """
    chosen = _evenly(len(heard.ensemble_predictions), MAX_SEGMENTS)
    rows = heard.features.iloc[chosen]
    background = draw_rows(
        run.values.loc[training_ids(run), list(rows.columns)], MAX_BACKGROUND, np.random.default_rng(seed)
    )
    tables = {name: member for name, member in ensemble.members_.items() if name in TABLE_MEMBERS}
    reasons = {
        name: "listens to the spectrogram, not to columns: see the maps"
        for name in ensemble.members_
        if name not in TABLE_MEMBERS
    }
    if not len(background):
        pushes, game = {}, None
        reasons |= dict.fromkeys(
            tables, "is not explained by columns: the model folder has no training clips"
        )
    else:
        tags = heard.classes if heard.multilabel else None
        pushes = {
            name: column_contributions(member, rows, background, tags=tags)
            for name, member in tables.items()
            if name in SPACES
        }
        game = _game(heard, ensemble, run, rows, background, chosen) if tables else None
    networks = {name: member for name, member in ensemble.members_.items() if name not in TABLE_MEMBERS}
    looked = tuple(explain_network(heard, name, member, heard.order[0]) for name, member in networks.items())
    resembled = tuple(
        found
        for name, member in networks.items()
        if (found := embed_track(heard, name, member, run, seed=seed)) is not None
    )
    return TrackExplanation(pushes, reasons, game, looked, len(background), len(chosen), resembled)


def embed_track(
    heard: TrackPrediction, name: str, member: Any, run: Run, *, seed: int = 0
) -> TrackEmbedding | None:
    """The track among training clips as a network hears them; None where their spectrograms are gone."""
    train = embed_clips(run, member, training_ids(run), seed=seed)
    return (
        None
        if train is None
        else TrackEmbedding(name, pd.DataFrame(member.embed(list(heard.pictures))), train)
    )


def column_contributions(
    member: Any, rows: pd.DataFrame, background: pd.DataFrame, *, tags: Sequence[str] | None = None
) -> ColumnContributions:
    """The mean SHAP values of a table member over the segments of a track: they add up to its mean output. `tags`: their names, for label sets."""
    explanation = explain(member, rows, background, tags=tags)
    names = explanation.output_names
    values = pd.DataFrame(explanation.values.mean(axis=0), index=explanation.feature_names, columns=names)
    base = pd.Series(explanation.base_values.mean(axis=0), index=names)
    space = value_space(member.member, multilabel=member.multilabel_)
    return ColumnContributions(values, base, space, additivity_residual(explanation, outputs(member, rows)))


def explain_network(heard: TrackPrediction, name: str, member: Any, k: int) -> NetworkExplanation:
    """Occlusion and Grad-CAM of one network for class `k` of the model."""
    column = (
        k if heard.multilabel else [str(c) for c in member.classes_].index(heard.classes[k])
    )  # tags are numbers there, in this order
    longest = max(picture.shape[1] for picture in heard.pictures)
    patches = min(member.max_patches, -(-longest // member.patch_frames))
    probed = _evenly(len(heard.pictures), min(MAX_SEGMENTS, max(4, MAX_PATCHES // patches)))
    times = max(TIMES[0], TIMES[1] // len(probed))
    fill = np.broadcast_to(np.asarray(member.mean_), (heard.log_mel.n_mels, 1))
    covered = [
        occlusion(member.predict_proba, heard.pictures[i], column, n_bands=N_BANDS, n_times=times, fill=fill)
        for i in probed
    ]
    cams = [grad_cam(member, heard.pictures[i], column) for i in probed]
    known = tuple(cam for cam in cams if cam is not None)
    return NetworkExplanation(
        name, k, tuple(probed), tuple(covered), known if len(known) == len(cams) else None
    )


def training_ids(run: Run) -> list[str]:
    """Ids of the clips that the members were fitted on, as far as their features are kept."""
    train = run.split.loc[run.split["part"] == "train", "id"] if len(run.split) else pd.Series(dtype=str)
    return [str(name) for name in run.values.index.intersection(pd.Index(train), sort=False)]


def _game(
    heard: TrackPrediction,
    ensemble: EnsembleClassifier,
    run: Run,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    chosen: list[int],
) -> FamilyShapley | None:
    networks = {}
    for name in ensemble.members_:
        if name in TABLE_MEMBERS:
            continue
        if name not in run.oof:
            return None
        known = run.oof[name].take(list(background.index))
        networks[name] = (
            heard.members[name][chosen],
            known.in_classes(heard.classes).probabilities.astype(np.float64),
        )
    players = columns_by_family([str(c) for c in rows.columns], family)

    def fuse(stack: Array) -> Array:
        return ensemble.fuse_and_calibrate(dict(zip(ensemble.members_, stack, strict=True)))

    return family_shapley(ensemble.members_, fuse, rows, background, players=players, networks=networks)


def contribution_steps(game: FamilyShapley, k: int) -> pd.DataFrame:
    """What each player adds to class `k`, mean over segments, largest size first: `player, value, low, high`.

    The interval (± 1.96 standard errors) is what so few background clips leave open.
    """
    value = game.values[:, :, k].mean(axis=0)
    against = game.by_background[:, :, :, k].mean(axis=0)
    error = (
        against.std(axis=1, ddof=1) / np.sqrt(against.shape[1])
        if against.shape[1] > 1
        else np.zeros(len(value))
    )
    table = pd.DataFrame(
        {"player": game.players, "value": value, "low": value - 1.96 * error, "high": value + 1.96 * error}
    )
    return table.loc[table["value"].abs().sort_values(ascending=False, kind="stable").index].reset_index(
        drop=True
    )


def percentiles(rows: pd.DataFrame, train: pd.DataFrame) -> pd.Series:
    """For each column, the share of training clips with a smaller value than the track's mean, ties half; NaN where nothing is known."""
    mean, known = rows.mean(axis=0), train[list(rows.columns)]
    below = (known.lt(mean, axis=1).sum() + 0.5 * known.eq(mean, axis=1).sum()) / known.notna().sum().clip(
        lower=1
    )
    return below.where(mean.notna() & known.notna().any())


def _evenly(n: int, most: int) -> list[int]:
    """At most `most` of `n` positions, evenly spread.

    Example:
        >>> _evenly(5, 8), _evenly(100, 3)
        ([0, 1, 2, 3, 4], [0, 50, 99])
    """
    return list(range(n)) if n <= most else [int(i) for i in np.rint(np.linspace(0, n - 1, most))]
