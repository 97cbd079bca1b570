"""What a report computes to say why: SHAP values of every table member on held-out clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import MODELS
from quintet.classifiers.storage import load_member
from quintet.ensemble.fusion import Fusion
from quintet.evaluation.intervals import group_codes
from quintet.reports.families import FamilyShapley, families_of, family_shapley
from quintet.reports.importance import SPACES, additivity_residual, column_importance, explain, family, family_importance, outputs
from quintet.reports.run import Run

if TYPE_CHECKING:
    import shap

MAX_CLIPS, MAX_BACKGROUND = 120, 16
MAX_GAME_CLIPS, MAX_GAME_BACKGROUND = 60, 12
"""A report explains at most so many held-out clips, against so many training clips: means settle long before, minutes do not."""


@dataclass(frozen=True)
class MemberWhy:
    """One member explained: its SHAP values, their means by column and by family, and how far they are from adding up."""

    name: str
    explanation: shap.Explanation
    columns: pd.DataFrame
    families: pd.DataFrame
    residual: float

    @property
    def space(self) -> str:
        """What the values add up to."""
        return SPACES[self.name]


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
class Why:
    """Every table member explained on the same held-out clips. `reasons`: member → why it could not be."""

    members: Mapping[str, MemberWhy]
    reasons: Mapping[str, str]
    rows: pd.DataFrame
    background: pd.DataFrame
    game: GameWhy | None = None

    @property
    def main(self) -> MemberWhy:
        """The member whose importance the page shows in full: XGBoost where it takes part."""
        return self.members.get("xgboost") or next(iter(self.members.values()))

    @property
    def columns(self) -> pd.DataFrame:
        """Share of each column in each member's importance: rows are columns, largest mean first; a member's shares sum to 1."""
        shares = {name: why.columns["all"] / max(float(why.columns["all"].sum()), 1e-300) for name, why in self.members.items()}
        table = pd.DataFrame(shares).fillna(0.0)
        return table.loc[table.mean(axis=1).sort_values(ascending=False, kind="stable").index]


def explain_run(run: Run, *, seed: int = 0) -> Why:
    """SHAP values of the run's table members on its held-out clips (out-of-fold clips are never explained: the final members were fitted on them).

    Args:
        run: a model folder with features, and with a held-out part.
        seed: draws the clips where there are more than `MAX_CLIPS`, and the background.
    """
    tables = {row.name for row in MODELS if row.input == "table"}
    reasons = {name: "works on spectrograms, not on columns" for name in run.members if name not in tables}
    rows, background = _rows(run, seed)
    members: dict[str, MemberWhy] = {}
    for name in (n for n in run.members if n in tables):
        folder = run.path / "members" / name
        if run.multilabel:
            reasons[name] = "label sets: columns are explained for single labels only"
        elif not len(rows):
            reasons[name] = "there are no held-out clips with features"
        elif not folder.is_dir():
            reasons[name] = "its folder is not there"
        else:
            members[name] = explain_member(name, load_member(folder), rows, background)
    return Why(members, reasons, rows, background, explain_game(run, rows, background, seed=seed))


def explain_member(name: str, member: Any, rows: pd.DataFrame, background: pd.DataFrame) -> MemberWhy:
    """A member explained on `rows`."""
    explanation = explain(member, rows, background)
    return MemberWhy(
        name, explanation, column_importance(explanation), family_importance(explanation), additivity_residual(explanation, outputs(member, rows))
    )


def explain_game(run: Run, rows: pd.DataFrame, background: pd.DataFrame, *, seed: int = 0) -> GameWhy | None:
    """The run's chosen ensemble as one game; None where a part of it is not there."""
    order = tuple(run.fusion.get("rules", {}).get(run.best, {}).get("members", ())) if run.rules else run.members
    tables = {row.name for row in MODELS if row.input == "table"}
    folders = {name: run.path / "members" / name for name in order if name in tables}
    networks = [name for name in order if name not in tables]
    if (
        run.multilabel
        or not len(rows)
        or not folders
        or not all(folder.is_dir() for folder in folders.values())
        or any(n not in run.oof for n in networks)
    ):
        return None
    fuse = Fusion.from_json(run.fusion["rules"][run.best]).apply if run.rules else _only
    rng = np.random.default_rng(seed)
    known = pd.Index(run.held_out.clip_ids[run.held_out.scorable])
    rows, background = _draw(rows.loc[rows.index.intersection(known, sort=False)], MAX_GAME_CLIPS, rng), _draw(background, MAX_GAME_BACKGROUND, rng)
    heard = {name: (_on(run, "test", name, rows), _on(run, "oof", name, background)) for name in networks}
    members = {name: load_member(folders[name]) if name in folders else None for name in order}
    players = families_of([str(c) for c in rows.columns], family)
    shapley = family_shapley(members, fuse, rows, background, players=players, networks=heard)
    p = run.held_out.take(list(rows.index))
    clips = pd.DataFrame({"label": p.labels, "group": p.clip_ids if p.groups is None else p.groups}, index=rows.index)
    return towards_the_truth(shapley, clips, p.codes(), seed=seed)


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
    """95 % percentile intervals of the column means of `values` (n, k), resampling whole groups.

    Example:
        >>> low, high = group_intervals(np.array([[1.0], [1.0]]), np.array(["a", "b"]))
        >>> low.tolist(), high.tolist()
        ([1.0], [1.0])
    """
    codes, n_groups = group_codes(groups, len(values))
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, codes, values)
    sizes = np.bincount(codes, minlength=n_groups)
    draws = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
    means = (draws @ sums) / np.maximum(draws @ sizes, 1)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def _only(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(stack[0])


def _on(run: Run, part: str, name: str, rows: pd.DataFrame) -> NDArray[np.float64]:
    """A network's probabilities on these clips, columns in the order of the run's classes."""
    p = run.parts[part][name].take(list(rows.index))
    return np.asarray(p.probabilities[:, [p.classes.index(c) for c in run.classes]], dtype=np.float64)


def _rows(run: Run, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    if run.values.empty or run.part != "test":
        return run.values.iloc[:0], run.values.iloc[:0]
    rng = np.random.default_rng(seed)
    held_out = run.values.index.intersection(pd.Index(run.held_out.clip_ids), sort=False)
    train = run.values.index.intersection(pd.Index(run.split.loc[run.split["part"] == "train", "id"]), sort=False)
    return _draw(run.values.loc[held_out], MAX_CLIPS, rng), _draw(run.values.loc[train], MAX_BACKGROUND, rng)


def _draw(frame: pd.DataFrame, limit: int, rng: np.random.Generator) -> pd.DataFrame:
    return frame if len(frame) <= limit else frame.iloc[np.sort(rng.choice(len(frame), limit, replace=False))]
