"""Support of fusion and calibration: the clips they learn from, and how much these clips can decide.

In cross-validation every clip of the training part is predicted out of fold, and all of them teach weights
and calibration. If the data bring a validation part of their own, only its clips are predicted, by members
that were fitted on the train part. Such a part can be small, and it can lack classes. What is learnt from it
is therefore mixed with what needs no learning: equal weights, and probabilities as they are. The share of
what was learnt is

s = c · u / (u + 20 p)

Here p is the number of learnt parameters and u the number of independent units, which are groups. So equal
weights count as much as 20 units per parameter would. c is the share of the clips whose class occurs in the
validation part: nothing is known about weights for the other classes. With fewer than 20 units nothing is
chosen: the plain mean stays, without calibration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.registry import member_entry
from quintet.classifiers.tabular.preparation import fill_masked
from quintet.datasets.groups import group_names
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.array_types import Codes, Floats, Folds, Groups, Labels, Positions, Target
from quintet.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    import pandas as pd

UNITS_PER_PARAMETER = 20
"""Independent units that a learnt parameter needs.

Source: Ogundimu, Altman & Collins 2016, "Adequate sample size for developing prediction models is not simply
related to events per variable": with fewer than 20 events per parameter, estimates are biased.
"""

UNGROUPED_MARGIN = 2.0
"""Standard errors that a gain must exceed if groups are not known.

An error by clip treats one artist's clips as independent. By artist, errors are twice as large on GTZAN.
"""

CLIPS_PER_UNIT = UNGROUPED_MARGIN**2
"""Clips that count as one unit if groups are not known: errors are twice as large with a fourth of them."""

MAX_FOLDS = 5


@dataclass(frozen=True)
class ValidationPart:
    """What a validation part of the data can teach.

    Args:
        class_share: share of the clips (of train and valid) whose class occurs among the clips that teach,
            in [0, 1]. For label sets: share of the tags of all clips. 0 if nothing can be learnt.
        known: for label sets, whether the train part has a clip with the tag, `(K,)`. The members cannot know
            other tags, so that these teach nothing. None for single labels.
        counts: class → its number of clips in train and valid. None for label sets.
    """

    class_share: float
    known: NDArray[np.bool_] | None = None
    counts: Mapping[str, int] | None = None

    def clip_weights(self, target: Target, classes: Sequence[str]) -> Floats:
        """Weight of each clip, `(n,)`, mean 1: each class counts as much as in train and valid together.

        A validation part may have hardly any clips of a class that is frequent elsewhere; what is true of its
        own mixture of classes need not hold for new clips. All weights are 1 for label sets.

        Args:
            target: class codes `(n,)`, or an indicator matrix `(n, K)`.
            classes: K names.

        Source:
            Shimodaira 2000, Improving predictive inference under covariate shift by weighting the
            log-likelihood function; here the shift is in the classes.

        Example:
            >>> part = ValidationPart(1.0, counts={"a": 10, "b": 10})
            >>> part.clip_weights(np.array([0, 0, 0, 1]), ("a", "b")).round(2).tolist()
            [0.67, 0.67, 0.67, 2.0]
        """
        if self.counts is None or target.ndim == 2:
            return np.ones(len(target))
        everywhere = np.array([self.counts.get(name, 0) for name in classes], dtype=np.float64)
        codes = target.astype(np.int64, copy=False)
        weights = everywhere[codes] / np.bincount(codes, minlength=len(classes))[codes]
        return np.asarray(weights / weights.mean())


@dataclass(frozen=True)
class LearningPlan:
    """The rows from which fusion and calibration learn, and the folds of their cross-fitting.

    Args:
        rows: positions of the m rows that are predicted out of fold, ascending.
        taught: positions among these m from which is learnt. A row whose class the members could not know
            teaches nothing.
        folds: positions among these m, one pair per fold: rows to learn from and rows to predict. Empty if
            the rows cannot be divided by group.
        validation: the facts of a validation part; None in cross-validation.
    """

    rows: Positions
    taught: Positions
    folds: Folds
    validation: ValidationPart | None = None

    @property
    def taught_folds(self) -> Folds:
        """The folds as positions among the rows that teach."""
        if self.validation is None:
            return self.folds
        return folds_within(self.folds, self.taught)


def plan_learning(y: Labels, groups: Groups, folds: Folds, *, seed: int) -> LearningPlan:
    """The rows and folds for fusion and calibration.

    Args:
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        groups: group of each row, `(n,)`.
        folds: folds of the members. Several folds hold out each row once, and fusion and calibration use the
            same folds. A single fold is a validation part: its held-out rows are divided by group into new
            folds.
        seed: seed of the new folds.

    Example:
        >>> y, groups = np.array(["a", "b"] * 4), np.arange(8)
        >>> train, valid = np.arange(4), np.arange(4, 8)
        >>> plan = plan_learning(y, groups, [(train, valid)], seed=0)
        >>> plan.rows.tolist(), len(plan.folds), plan.validation.class_share
        ([4, 5, 6, 7], 4, 1.0)
    """
    if len(folds) > 1:
        every = np.arange(len(y))
        return LearningPlan(every, every, folds)
    train, valid = folds[0]
    rows = np.sort(valid)
    taught = np.arange(len(rows))
    known: NDArray[np.bool_] | None = None
    if y.ndim == 2:
        known = np.any(np.asarray(y[train] != 0), axis=0, keepdims=True)[0]
    else:
        taught = np.flatnonzero(np.isin(y[rows], np.unique(y[train])))
    n_folds = min(MAX_FOLDS, len(np.unique(groups[rows])))
    if n_folds < 2 or not len(taught):
        return LearningPlan(rows, taught, (), ValidationPart(0.0, known))
    divisions = grouped_folds(y[rows], groups[rows].tolist(), n_splits=n_folds, seed=seed, allow_rare=True)
    pairs = [(np.intersect1d(inside, taught), outside) for inside, outside in divisions]
    share = _class_share(y, rows[taught], known)
    return LearningPlan(rows, taught, pairs, ValidationPart(share, known, _class_counts(y)))


def _class_counts(y: Labels) -> dict[str, int] | None:
    """Class → number of its clips; None for label sets."""
    if y.ndim == 2:
        return None
    names, counts = np.unique(y, return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _class_share(y: Labels, taught: Positions, known: NDArray[np.bool_] | None) -> float:
    """Share of the clips whose class occurs among the rows that teach; for label sets, share of the tags."""
    if known is None:
        return float(np.isin(y, np.unique(y[taught])).mean())
    is_tag = np.asarray(y != 0)
    counts = is_tag.sum(axis=0)
    occurs = is_tag[taught].any(axis=0) & known
    return float(counts[occurs].sum() / max(counts.sum(), 1))


def folds_within(folds: Folds, rows: Positions) -> list[tuple[Positions, Positions]]:
    """Folds as positions among some rows.

    Args:
        folds: pairs of positions.
        rows: positions of the rows that are kept, ascending.
    """
    return [
        (np.flatnonzero(np.isin(rows, inside)), np.flatnonzero(np.isin(rows, outside)))
        for inside, outside in folds
    ]


def count_units(groups: Codes, rows: NDArray[np.bool_] | None = None) -> float:
    """Number of independent units: groups, or a fourth of the clips if each is its own group.

    Args:
        groups: group number of each clip, `(n,)`.
        rows: whether a clip counts, `(n,)`. Default: all clips.

    Example:
        >>> count_units(np.array([0, 0, 1, 1])), count_units(np.arange(8))
        (2.0, 2.0)
    """
    n_groups = len(np.unique(groups))
    counted = groups if rows is None else groups[rows]
    if n_groups < len(groups):
        return float(len(np.unique(counted)))
    return len(counted) / CLIPS_PER_UNIT


def margin_of_error(groups: Codes) -> float:
    """Standard errors that a gain must exceed: 1, or `UNGROUPED_MARGIN` if each clip is its own group.

    Args:
        groups: group number of each clip, `(n,)`.
    """
    return 1.0 if len(np.unique(groups)) < len(groups) else UNGROUPED_MARGIN


def standard_error(difference: Floats, groups: Codes, n_groups: int) -> float:
    """Standard error of the mean of `difference` `(n,)`, by group; 0 for fewer than two groups.

    Args:
        difference: one number per clip, `(n,)`.
        groups: group number of each clip, `(n,)`.
        n_groups: the number of groups.
    """
    if n_groups < 2:
        return 0.0
    centred = difference - difference.mean()
    group_sums = np.bincount(groups, centred, n_groups)
    correction = n_groups / (n_groups - 1)
    error_of_sum = np.sqrt(correction * np.sum(group_sums**2))
    return float(error_of_sum / len(difference))


def learnt_share(n_parameters: int, groups: Codes, validation: ValidationPart | None) -> float:
    """Share of what was learnt, in [0, 1]; 1 in cross-validation. The rest is what needs no learning.

    Args:
        n_parameters: number of learnt parameters.
        groups: group number of each clip that teaches, `(n,)`.
        validation: the facts of a validation part; None in cross-validation.

    Example:
        >>> groups = np.repeat(np.arange(60), 2)
        >>> learnt_share(3, groups, ValidationPart(class_share=0.9)), learnt_share(3, groups, None)
        (0.45, 1.0)
    """
    if validation is None or n_parameters == 0:
        return 1.0
    n_units = count_units(groups)
    return validation.class_share * n_units / (n_units + UNITS_PER_PARAMETER * n_parameters)


def missing_classes(y: Labels, folds: Folds, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Classes that only one side of a validation part has.

    Args:
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        folds: one pair: positions of the train part and of the validation part.
        classes: K names; the columns of an indicator matrix.

    Returns:
        Classes without a clip in the validation part, and classes without a clip in the train part.

    Example:
        >>> sides = [(np.array([0, 1]), np.array([2, 3]))]
        >>> missing_classes(np.array(["a", "b", "b", "c"]), sides, ("a", "b", "c"))
        (['a'], ['c'])
    """
    in_train, in_valid = (_present(y[side], classes) for side in folds[0])
    only_train = [name for name in classes if name in in_train - in_valid]
    only_valid = [name for name in classes if name in in_valid - in_train]
    return only_train, only_valid


def _present(y: Labels, classes: Sequence[str]) -> set[str]:
    """Names of the classes that some row has."""
    if y.ndim == 2:
        return {name for name, column in zip(classes, y.T, strict=True) if np.any(column != 0)}
    return {str(name) for name in np.unique(y)}


def check_settings(
    *, members: object, rules: object, rule: str, settings: object, seed: object, n_splits: object
) -> None:
    """Check the settings of an ensemble: types, names, and that they belong to members that take part.

    Raises:
        ConfigError: a setting is not valid.
    """
    names = _unique_names("members", members)
    for name in names:
        member_entry(name)
    known_rules = _unique_names("rules", rules)
    given = {} if settings is None else settings
    if not isinstance(given, Mapping) or not all(isinstance(value, Mapping) for value in given.values()):
        raise ConfigError(f"`settings` must be member → name → value. Received {settings!r}.")
    unused = sorted(set(map(str, given)) - set(names))
    if unused:
        raise ConfigError(
            f"Settings must be for members that take part ({', '.join(names)}). "
            f"Received settings for: {', '.join(unused)}."
        )
    if rule != "auto" and rule not in known_rules:
        raise ConfigError(f"The rule must be 'auto' or one of: {', '.join(known_rules)}. Received '{rule}'.")
    for name, value, least in (("seed", seed, 0), ("n_splits", n_splits, 2)):
        if not isinstance(value, Integral) or value < least:
            raise ConfigError(f"`{name}` must be a whole number from {least}. Received {value!r}.")


def _unique_names(kind: str, names: object) -> list[str]:
    """A list of different names; `kind` is what they name."""
    if isinstance(names, str):
        raise ConfigError(f"`{kind}` must be a list of names. Received a text: write ['{names}'].")
    listed = list(names) if isinstance(names, Iterable) else [names]
    found = [name for name in listed if isinstance(name, str)]
    if len(found) < len(listed):
        raise ConfigError(f"`{kind}` must be a list of names. Received {listed!r}.")
    if not found:
        raise ConfigError(f"An ensemble must have at least one {kind.removesuffix('s')}. Received none.")
    if len(set(found)) < len(found):
        raise ConfigError(f"{kind.capitalize()} must differ. Received: {', '.join(found)}.")
    return found


def check_groups(groups: ArrayLike, n_rows: int) -> NDArray[np.str_]:
    """Name of each row's group, `(n,)`.

    Args:
        groups: group of each row.
        n_rows: n.

    Raises:
        DatasetError: there is not one group per row.
    """
    import pandas as pd

    column = np.asarray(groups, dtype=object)
    is_missing = pd.isna(column) | (np.ma.getmaskarray(groups) if np.ma.isMaskedArray(groups) else False)
    names = group_names(column) if column.ndim == 1 else column
    n_missing = int(np.sum(is_missing | (names == "")))
    if column.shape != (n_rows,) or n_missing:
        raise DatasetError(
            f"Every one of {n_rows} rows must have one group; give a single row a group of its own. "
            f"Received {column.shape}, {n_missing} missing."
        )
    return names


def require_each_row_once(folds: Folds, n_rows: int) -> None:
    """Check that folds hold out every row once, or that a single fold is a division into two parts.

    Args:
        folds: pairs of positions.
        n_rows: number of rows.

    Raises:
        ConfigError: they do not.
    """
    rows = np.arange(n_rows)
    if len(folds) == 1:
        train, valid = folds[0]
        if len(train) and len(valid) and np.array_equal(np.sort(np.concatenate([train, valid])), rows):
            return
    times_held_out = np.sum([np.isin(rows, rows[held_out]) for _, held_out in folds], axis=0)
    is_once = times_held_out == 1
    if len(folds) == 1 or np.shape(is_once) != (n_rows,) or not is_once.all():
        raise ConfigError(
            f"Folds must hold out every row once. Received {len(folds)}, which do so with {np.sum(is_once)} "
            f"of {n_rows} rows. A single fold must be a train part and a validation part, together all rows."
        )


def as_table(X: pd.DataFrame | ArrayLike | None) -> pd.DataFrame | None:
    """The feature table as a DataFrame; columns of an array are called x0, x1, …

    Args:
        X: feature table `(n, d)`, or None.

    Raises:
        ConfigError: it has another shape.
    """
    import pandas as pd

    if X is None or isinstance(X, pd.DataFrame):
        return X
    values = np.asarray(fill_masked(X))
    if values.ndim != 2:
        raise ConfigError(f"A feature table must have shape (n, d). Received {values.shape}.")
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])])
