"""Explanation of the ensemble prediction for one track.

In: a `TrackPrediction` (the predictions for the segments of a track), the ensemble and its run. Out:
`TrackExplanation`: values of columns and of feature families, and regions of the spectrogram, for one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import reads_table
from quintet.ensemble.conformal import ConformalPredictor
from quintet.explanation.assembly import background_ids, draw_rows, has_weight, training_ids
from quintet.explanation.contracts import Floats
from quintet.explanation.importance import SPACES, additivity_residual, explain, family, outputs, value_space
from quintet.explanation.shapley.family_shapley import FamilyShapley, columns_by_family, family_shapley
from quintet.explanation.spectrogram.embeddings import embed_clips
from quintet.explanation.spectrogram.grad_cam import grad_cam
from quintet.explanation.spectrogram.occlusion import N_BANDS, Occlusion, occlusion
from quintet.features.parameters import LogMelParameters
from quintet.frozen.quick_table import QuickTable
from quintet.model_folder.run import Run

if TYPE_CHECKING:
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
    from quintet.classifiers.tabular.members import TableMember
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.ensemble import ExplainedEnsemble
    from quintet.frozen.network_member import NetworkMember

    AnyEnsemble = EnsembleClassifier | ExplainedEnsemble
    AnyNetwork = SpectrogramClassifier | NetworkMember

MAX_BACKGROUND, MAX_SEGMENTS = 16, 24
"""Most training clips that give the values of absent columns, and most segments that are explained."""
MAX_PATCHES = 80
"""Most patches of a network, over the segments on which occlusion is computed: each is predicted about sixty
times."""
MIN_TIMES, TOTAL_TIMES = 4, 28
"""Stripes of time into which a segment is cut for occlusion: at least, and over all segments together."""


@dataclass(frozen=True)
class TrackPrediction:
    """A track and its predictions.

    Args:
        name: of the file.
        duration_s: of the file.
        native_sample_rate: of the file, in Hz.
        native_channels: of the file.
        digests: of its segments, to recognise known recordings.
        classes: of the model.
        multilabel: whether the model predicts label sets.
        starts: (m,) seconds, of the segments. The mean of their predictions is the ensemble prediction.
        ends: (m,) seconds, of the segments.
        features: (m, columns).
        pictures: m log-mel spectrograms (n_mels, frames), dB, made with `log_mel`.
        log_mel: parameters of the spectrograms.
        members: member → (m, K) probabilities.
        ensemble_predictions: (m, K).
        curve: `start, end` and one column per class: the ensemble prediction over time.
        has_short_windows: whether the windows of `curve` are shorter than the segments.
        unusable_windows: `start, end, reason` of windows that could not be used.
        conformal: the model's calibrated prediction sets, if it has them.
        distance: from every class in feature space, mean over segments.
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
    members: Mapping[str, Floats]
    ensemble_predictions: Floats
    curve: pd.DataFrame
    has_short_windows: bool
    unusable_windows: pd.DataFrame
    conformal: ConformalPredictor | None = None
    distance: float | None = None

    @property
    def probabilities(self) -> Floats:
        """(K,) the ensemble prediction: the mean over segments."""
        return np.asarray(self.ensemble_predictions.mean(axis=0))

    @property
    def order(self) -> list[int]:
        """Classes, the most probable first."""
        return [int(k) for k in np.argsort(-self.probabilities, kind="stable")]


@dataclass(frozen=True)
class ColumnContributions:
    """SHAP values of one member, mean over the segments of a track.

    Args:
        values: columns × classes.
        base: of each class.
        space: the quantity that the values add up to, in words.
        residual: largest difference between the sum of the values and the output; 0 is exact.
    """

    values: pd.DataFrame
    base: pd.Series
    space: str
    residual: float


@dataclass(frozen=True)
class NetworkExplanation:
    """Regions of the spectrogram that speak for a class in one network.

    Args:
        name: the network.
        column: the class, as a position in the classes of the model.
        segments: positions of the segments that were explained.
        occlusions: one per segment.
        cams: Grad-CAM, one map per segment; None if the network has no convolutions.
    """

    name: str
    column: int
    segments: tuple[int, ...]
    occlusions: tuple[Occlusion, ...]
    cams: tuple[Floats, ...] | None

    @property
    def probability(self) -> float:
        """The network's probability of the class, mean over the explained segments."""
        return float(np.mean([one.probability for one in self.occlusions]))

    @property
    def bands(self) -> Floats:
        """(b,) contribution of each stripe of bands, mean over the explained segments."""
        return np.asarray(np.mean([one.bands for one in self.occlusions], axis=0))


@dataclass(frozen=True)
class TrackEmbedding:
    """A track and training clips in the last hidden layer of a network.

    Args:
        name: the network.
        track: one row per segment.
        train: one row per training clip, indexed by id.
    """

    name: str
    track: pd.DataFrame
    train: pd.DataFrame


@dataclass(frozen=True)
class TrackExplanation:
    """Explanation of the ensemble prediction for a track.

    Args:
        contributions: table member → values of columns.
        reasons: member → why it is not explained by columns.
        game: values of feature families for the ensemble prediction; None if they cannot be computed.
        networks: regions of the spectrogram, one entry per network.
        n_background: number of training clips that give the values of absent columns.
        embeddings: one entry per network whose training spectrograms are available.
    """

    contributions: Mapping[str, ColumnContributions]
    reasons: Mapping[str, str]
    game: FamilyShapley | None
    networks: tuple[NetworkExplanation, ...]
    n_background: int
    embeddings: tuple[TrackEmbedding, ...] = ()


def explain_track(
    track: TrackPrediction, ensemble: AnyEnsemble, run: Run, *, seed: int = 0, full: bool = False
) -> TrackExplanation:
    """Explain the ensemble prediction for one track.

    Table members are explained by SHAP values, the ensemble by values of feature families, and networks by
    regions of the spectrogram for the most probable class.

    Args:
        track: predictions for the segments of the track.
        ensemble: the model of `run`.
        run: its folder. Its training clips give the values of absent columns.
        seed: draws these training clips.
        full: whether to explain members with little weight (`assembly.has_weight`) by themselves, too.
    """
    tables, networks = _split_members(ensemble)
    heavy = {name for name in ensemble.members_ if full or has_weight(run, name)} or set(ensemble.members_)
    segments = _spread_evenly(len(track.ensemble_predictions), MAX_SEGMENTS)
    rows = track.features.iloc[segments]
    train = run.values.loc[training_ids(run), list(rows.columns)]
    candidates = train.loc[background_ids(run)]
    background = draw_rows(candidates, MAX_BACKGROUND, np.random.default_rng(seed))
    networks = {name: network for name, network in networks.items() if name in heavy}
    reasons = dict.fromkeys(networks, "reads the spectrogram, not columns: see the maps")
    for name in ensemble.members_:
        if name not in heavy:
            reasons[name] = "hardly moves the ensemble and is not explained by itself"
    contributions: dict[str, ColumnContributions] = {}
    game = None
    if len(background):
        tags = track.classes if track.multilabel else None
        for name, member in tables.items():
            if member.member in SPACES and name in heavy:
                contributions[name] = column_contributions(member, rows, background, tags=tags)
        if tables:
            game = _family_values(track, ensemble, run, background, segments)
    else:
        no_clips = "is not explained by columns: the model folder has no training clips"
        reasons |= dict.fromkeys((name for name in tables if name in heavy), no_clips)
    top_class = track.order[0]
    found = [embed_track(track, name, network, run, seed=seed) for name, network in networks.items()]
    return TrackExplanation(
        contributions=contributions,
        reasons=reasons,
        game=game,
        networks=tuple(
            explain_network(track, name, network, top_class) for name, network in networks.items()
        ),
        n_background=len(background),
        embeddings=tuple(embedding for embedding in found if embedding is not None),
    )


def _split_members(
    ensemble: AnyEnsemble,
) -> tuple[dict[str, TableMember], dict[str, AnyNetwork]]:
    """The table members and the networks of an ensemble."""
    tables: dict[str, TableMember] = {}
    networks: dict[str, AnyNetwork] = {}
    for name, member in ensemble.members_.items():
        if reads_table(name):
            tables[name] = cast("TableMember", member)
        else:
            networks[name] = cast("AnyNetwork", member)
    return tables, networks


def embed_track(
    track: TrackPrediction,
    name: str,
    member: AnyNetwork,
    run: Run,
    *,
    seed: int = 0,
) -> TrackEmbedding | None:
    """A track and training clips in the last hidden layer of a network.

    Args:
        track: with spectrograms.
        name: the network.
        member: the fitted network.
        run: its model folder.
        seed: draws training clips if there are many.

    Returns:
        None if the spectrograms of the training clips are not available.
    """
    train = embed_clips(run, member, training_ids(run), seed=seed)
    if train is None:
        return None
    return TrackEmbedding(name, pd.DataFrame(member.embed(list(track.pictures))), train)


def column_contributions(
    member: TableMember,
    rows: pd.DataFrame,
    background: pd.DataFrame,
    *,
    tags: Sequence[str] | None = None,
) -> ColumnContributions:
    """Mean SHAP values of a table member over the segments of a track; they add up to its mean output.

    Args:
        member: a fitted table member.
        rows: (m, d) segments.
        background: (n, d) training clips.
        tags: names of the tags, for label sets.
    """
    explanation = explain(member, rows, background, tags=tags)
    names = explanation.output_names
    mean_values = explanation.values.mean(axis=0)
    mean_base = explanation.base_values.mean(axis=0)
    values = pd.DataFrame(mean_values, index=explanation.feature_names, columns=names)
    base = pd.Series(mean_base, index=names)
    space = value_space(member.member, multilabel=member.multilabel_)
    residual = additivity_residual(explanation, outputs(member, rows))
    return ColumnContributions(values, base, space, residual)


def explain_network(track: TrackPrediction, name: str, member: AnyNetwork, k: int) -> NetworkExplanation:
    """Occlusion and Grad-CAM of one network for one class.

    Args:
        track: with spectrograms.
        name: the network.
        member: the fitted network.
        k: the class, as a position in the classes of the model.
    """
    classes = [str(c) for c in member.classes_]
    column = k if track.multilabel else classes.index(track.classes[k])  # tags keep the order of the model
    segments = _occlusion_segments(track, member)
    n_times = max(MIN_TIMES, TOTAL_TIMES // len(segments))
    fill = np.broadcast_to(np.asarray(member.mean_), (track.log_mel.n_mels, 1))
    occlusions, cams = [], []
    for i in segments:
        spectrogram = track.pictures[i]
        result = occlusion(
            member.predict_proba, spectrogram, column, n_bands=N_BANDS, n_times=n_times, fill=fill
        )
        occlusions.append(result)
        cams.append(grad_cam(member, spectrogram, column))
    maps = tuple(cam for cam in cams if cam is not None)
    has_maps = len(maps) == len(cams)
    return NetworkExplanation(name, k, tuple(segments), tuple(occlusions), maps if has_maps else None)


def _occlusion_segments(track: TrackPrediction, member: AnyNetwork) -> list[int]:
    """Segments for occlusion: as many as `MAX_PATCHES` allows, evenly spread."""
    longest = max(spectrogram.shape[1] for spectrogram in track.pictures)
    patches_of_longest = ceil(longest / member.patch_frames)
    patches = min(member.max_patches, patches_of_longest)
    limit = max(4, MAX_PATCHES // patches)
    limit = min(MAX_SEGMENTS, limit)
    return _spread_evenly(len(track.pictures), limit)


def _family_values(
    track: TrackPrediction,
    ensemble: AnyEnsemble,
    run: Run,
    background: pd.DataFrame,
    segments: list[int],
) -> FamilyShapley | None:
    """Shapley values of families on some segments; None if a network has no out-of-fold predictions."""
    tables, networks = _split_members(ensemble)
    predictions = {}
    for name in networks:
        if name not in run.oof:
            return None
        recorded = run.oof[name].take(list(background.index))
        recorded = recorded.in_classes(track.classes)
        of_background = recorded.probabilities.astype(np.float64)
        of_segments = track.members[name][segments]
        predictions[name] = (of_segments, of_background)
    rows = track.features.iloc[segments]
    players = columns_by_family([str(c) for c in rows.columns], family)
    names = list(ensemble.members_)

    def fuse(stack: Floats) -> Floats:
        return ensemble.fuse_and_calibrate(dict(zip(names, stack, strict=True)))

    members = {name: QuickTable(tables[name]) if name in tables else None for name in names}
    return family_shapley(members, fuse, rows, background, players=players, networks=predictions)


def contribution_steps(game: FamilyShapley, k: int) -> pd.DataFrame:
    """The contribution of each player to one class, mean over segments.

    Args:
        game: values of the segments of a track.
        k: the class.

    Returns:
        One row per player, largest size first: `player, value, low, high`. The interval (± 1.96 standard
            errors)
        shows the uncertainty from the small number of background clips.
    """
    values = game.values[:, :, k]
    value = values.mean(axis=0)
    by_background = game.by_background[:, :, :, k].mean(axis=0)
    n_background = by_background.shape[1]
    error = np.zeros(len(value))
    if n_background > 1:
        error = by_background.std(axis=1, ddof=1) / np.sqrt(n_background)
    low = value - 1.96 * error
    high = value + 1.96 * error
    table = pd.DataFrame({"player": game.players, "value": value, "low": low, "high": high})
    sizes = table["value"].abs().sort_values(ascending=False, kind="stable")
    return table.loc[sizes.index].reset_index(drop=True)


def percentiles(rows: pd.DataFrame, train: pd.DataFrame) -> pd.Series:
    """For each column, the share of training clips with a smaller value than the track's mean; ties count
    half.

    Args:
        rows: (m, d) segments of the track.
        train: training clips, with the columns of `rows`.

    Returns:
        Indexed by column; NaN if the track, or all training clips, have no value.
    """
    mean = rows.mean(axis=0)
    values = train[list(rows.columns)]
    is_known = values.notna()
    n_below = values.lt(mean, axis=1).sum()
    n_equal = values.eq(mean, axis=1).sum()
    n_values = is_known.sum()
    shares = (n_below + 0.5 * n_equal) / n_values.clip(lower=1)
    has_share = mean.notna() & is_known.any()
    return shares.where(has_share)


def _spread_evenly(n: int, limit: int) -> list[int]:
    """At most `limit` of `n` positions, evenly spread.

    Example:
        >>> _spread_evenly(5, 8), _spread_evenly(100, 3)
        ([0, 1, 2, 3, 4], [0, 50, 99])
    """
    if n <= limit:
        return list(range(n))
    places = np.rint(np.linspace(0, n - 1, limit))
    return [int(place) for place in places]
