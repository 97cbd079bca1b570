"""What a report computes to say why the ensemble as a whole says what it says: its game of families, and what is lost without each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import MODELS
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import Fusion
from quintet.evaluation.intervals import group_codes
from quintet.reports.families import SPECTROGRAM, FamilyShapley, families_of, family_shapley
from quintet.reports.importance import family
from quintet.reports.permutation import ensemble_predictor, permutation_importance
from quintet.reports.run import Run
from quintet.reports.sampling import SampledShapley, ensemble_game, sampled_shapley

MAX_GAME_CLIPS, MAX_GAME_BACKGROUND = 60, 12
MAX_SHUFFLED_CLIPS = 400
MAX_SAMPLED_CLIPS, SAMPLED_PAIRS = 24, 12
"""A report plays the game for at most so many held-out clips against so many training clips, and shuffles at most so many;
columns are sampled on at most so many clips, with so many pairs of orders each."""

Fuse = Callable[[NDArray[np.float64]], NDArray[np.float64]]
TABLE_MEMBERS = frozenset(row.name for row in MODELS if row.input == "table")


@dataclass(frozen=True)
class Assembly:
    """The ensemble taken apart: `members` (None for a network) in the order that `fuse` expects."""

    members: Mapping[str, Any]
    fuse: Fuse

    @property
    def networks(self) -> tuple[str, ...]:
        """The members that hear spectrograms."""
        return tuple(name for name, member in self.members.items() if member is None)


def assemble(run: Run, tables: Mapping[str, Any]) -> Assembly | None:
    """The run's verdict, as `predict` gives it, from its fitted table members; None where a part of it is not there, or labels are sets.

    Args:
        tables: table member → fitted estimator.
    """
    rule = run.fusion.get("rules", {}).get(run.best)
    if run.multilabel or (run.rules and rule is None):
        return None
    order = tuple(rule["members"]) if rule else (run.best,)
    networks = [name for name in order if name not in tables]
    if len(networks) == len(order) or any(name in TABLE_MEMBERS or name not in run.oof for name in networks):
        return None
    fuse = Fusion.from_json(rule).apply if rule else _only
    return Assembly({name: tables.get(name) for name in order}, _calibrated(fuse, run.calibration))


@dataclass(frozen=True)
class GameWhy:
    """The ensemble explained as one game, towards the true class of each clip.

    Args:
        shapley: values per clip, player and class.
        clips: indexed by id, columns `label` and `group`.
        own: (n, k) values for each clip's true class.
        steps: one row per player, largest first: `player, value, low, high` (mean over clips, 95 % bootstrap interval by group).
        base, prediction: mean probability of the true class when nothing, and when everything is heard.
        by_class: true class × player: mean value for that class over its clips.
        n_background: clips that stand in for what is absent. background_error: the largest standard error of a step that comes from
            their being so few.
    """

    shapley: FamilyShapley
    clips: pd.DataFrame
    own: NDArray[np.float64]
    steps: pd.DataFrame
    base: float
    prediction: float
    by_class: pd.DataFrame
    n_background: int
    background_error: float

    @property
    def shares(self) -> pd.Series:
        """Player → share of what the ensemble knows beyond the base; sums to 1, single shares may be negative."""
        return pd.Series(self.steps["value"].to_numpy() / max(self.prediction - self.base, 1e-12), index=self.steps["player"])


@dataclass(frozen=True)
class ColumnWhy:
    """Columns within the verdict, towards the true class: `steps` has one row per player, largest first: `player, value, low, high` (mean over clips,
    95 % by group), `standard_error` (of sampling), `mean_size` (mean absolute value). `n_background`: clips that stand in for what is absent."""

    sampled: SampledShapley
    steps: pd.DataFrame
    n_background: int


def play(run: Run, assembly: Assembly, rows: pd.DataFrame, background: pd.DataFrame, *, seed: int = 0) -> GameWhy:
    """The ensemble as one game on held-out clips.

    Args:
        rows: held-out clips with a label. background: training clips; a network's out-of-fold prediction stands for what it hears in them.
    """
    rng = np.random.default_rng(seed)
    rows, background = draw(rows, MAX_GAME_CLIPS, rng), draw(background, MAX_GAME_BACKGROUND, rng)
    heard = {name: (_on(run, "test", name, rows), _on(run, "oof", name, background)) for name in assembly.networks}
    players = families_of([str(c) for c in rows.columns], family)
    shapley = family_shapley(assembly.members, assembly.fuse, rows, background, players=players, networks=heard)
    p = run.held_out.take(list(rows.index))
    clips = pd.DataFrame({"label": p.labels, "group": p.clip_ids if p.groups is None else p.groups}, index=rows.index)
    return towards_the_truth(shapley, clips, p.codes(), seed=seed)


def shuffle(run: Run, assembly: Assembly, rows: pd.DataFrame, players: Mapping[str, list[str]], *, seed: int = 0) -> pd.DataFrame:
    """`permutation_importance` of the ensemble for these players (`family_players`, or columns)."""
    rows = draw(rows, MAX_SHUFFLED_CLIPS, np.random.default_rng(seed))
    heard = {name: _on(run, "test", name, rows) for name in assembly.networks}
    p = run.held_out.take(list(rows.index))
    predict = ensemble_predictor(assembly.members, assembly.fuse, rows, heard, SPECTROGRAM)
    return permutation_importance(predict, p.indicator(), p.clip_ids if p.groups is None else p.groups, players, seed=seed)


def sample(
    run: Run, assembly: Assembly, rows: pd.DataFrame, background: pd.DataFrame, columns: Mapping[str, list[str]], *, seed: int = 0
) -> ColumnWhy:
    """Columns within the verdict, by sampling: these players, the other columns of each family, and the spectrogram where networks take part."""
    rng = np.random.default_rng(seed)
    rows, background = draw(rows, MAX_SAMPLED_CLIPS, rng), draw(background, MAX_GAME_BACKGROUND, rng)
    taken = {column for names in columns.values() for column in names}
    rest = families_of([str(c) for c in rows.columns if str(c) not in taken], family)
    players = dict(columns) | {f"{len(names)} other {name} {'columns' if len(names) > 1 else 'column'}": names for name, names in rest.items()}
    players |= {SPECTROGRAM: [SPECTROGRAM]} if assembly.networks else {}
    heard = {name: (_on(run, "test", name, rows), _on(run, "oof", name, background)) for name in assembly.networks}
    p = run.held_out.take(list(rows.index))
    game = ensemble_game(assembly.members, assembly.fuse, rows, background, players=players, classes=p.codes(), networks=heard)
    found = sampled_shapley(game, list(players), n_clips=len(rows), n_background=len(background), n_pairs=SAMPLED_PAIRS, seed=seed)
    low, high = group_intervals(found.values, p.clip_ids if p.groups is None else p.groups, seed=seed)
    errors = np.sqrt((found.errors**2).sum(axis=0)) / len(rows)
    steps = pd.DataFrame(
        {"player": found.players, "value": found.values.mean(axis=0), "low": low, "high": high, "standard_error": errors,
         "mean_size": np.abs(found.values).mean(axis=0)}
    )  # fmt: skip
    return ColumnWhy(found, steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True), len(background))


def family_players(run: Run, assembly: Assembly) -> dict[str, list[str]]:
    """Family → columns, and the spectrogram where networks take part."""
    players = families_of([str(c) for c in run.values.columns], family)
    return players | ({SPECTROGRAM: [SPECTROGRAM]} if assembly.networks else {})


def towards_the_truth(shapley: FamilyShapley, clips: pd.DataFrame, codes: NDArray[np.integer], *, seed: int = 0) -> GameWhy:
    """What each player adds, on average over clips, to the probability of the true class `codes` (n,)."""
    at = np.arange(len(codes))
    own = shapley.values[at, :, codes]
    low, high = group_intervals(own, clips["group"].to_numpy(), seed=seed)
    steps = pd.DataFrame({"player": shapley.players, "value": own.mean(axis=0), "low": low, "high": high})
    steps = steps.sort_values("value", ascending=False, kind="stable").reset_index(drop=True)
    by_class = pd.DataFrame(own, columns=list(shapley.players)).groupby(clips["label"].to_numpy()).mean()[list(steps["player"])]
    base, prediction = float(shapley.base[at, codes].mean()), float(shapley.prediction[at, codes].mean())
    against = shapley.by_background[at, :, :, codes].mean(axis=0)  # (players, background clips)
    n_background = against.shape[1]
    error = float(against.std(axis=1, ddof=1).max() / np.sqrt(n_background)) if n_background > 1 else float("nan")
    return GameWhy(shapley, clips, own, steps, base, prediction, by_class, n_background, error)


def group_intervals(
    values: NDArray[np.float64], groups: NDArray[Any], *, seed: int = 0, n_resamples: int = 1000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % percentile intervals of the column means of `values` (n, k), resampling whole groups; NaN where there is but one.

    Example:
        >>> low, high = group_intervals(np.array([[1.0], [1.0]]), np.array(["a", "b"]))
        >>> low.tolist(), high.tolist()
        ([1.0], [1.0])
    """
    codes, n_groups = group_codes(groups, len(values))
    if n_groups < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, codes, values)
    sizes = np.bincount(codes, minlength=n_groups)
    draws = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
    means = (draws @ sums) / np.maximum(draws @ sizes, 1)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def draw(frame: pd.DataFrame, limit: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most `limit` rows, at random, in their order."""
    return frame if len(frame) <= limit else frame.iloc[np.sort(rng.choice(len(frame), limit, replace=False))]


def _calibrated(fuse: Fuse, calibration: Calibration | None) -> Fuse:
    return fuse if calibration is None else lambda stack: calibration.apply(fuse(stack))


def _only(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(stack[0])


def _on(run: Run, part: str, name: str, rows: pd.DataFrame) -> NDArray[np.float64]:
    """A network's probabilities on these clips, columns in the order of the run's classes."""
    p = run.parts[part][name].take(list(rows.index))
    return np.asarray(p.probabilities[:, [p.classes.index(c) for c in run.classes]], dtype=np.float64)
