"""SHAP values of a table member: the contribution of each column to each class, and column importance.

The values are exact for each kind of member:

| member | explained output | method |
|---|---|---|
| xgboost | log-odds before the softmax | XGBoost's own TreeSHAP (`pred_contribs`) |
| random_forest | probability | TreeSHAP over the forest (`tree_shapley`), equal to `shap.TreeExplainer` |
| logistic_regression | log-odds before the softmax | closed form `coef[k, j] · (x[j] - mean(background[:,
j]))` |
| svm | decision value of each class | exact Shapley values of the RBF kernel (`kernel_shapley`) |

For label sets, the model of each tag is explained on its own: log-odds, probability or decision value of the
tag. For every method, `values.sum(axis=1) + base_values` must be the output itself; `additivity_residual`
measures the difference.

In: a fitted member, rows to explain and background rows. Out: a `ColumnValues`, and tables of importance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from scipy.special import logit

from quintet.classifiers.views import split_name
from quintet.errors import unknown_name
from quintet.explanation.contracts import ColumnValues, Floats, Groups
from quintet.explanation.shapley.coalitions import linear_numbers
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.shapley.forests import forest_from_arrays, forest_from_sklearn
from quintet.explanation.shapley.svm_shap import kernel_shapley
from quintet.explanation.shapley.tree_shap import tree_shapley
from quintet.features.catalogue import column_family
from quintet.frozen import scorers

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    from quintet.classifiers.tabular.members import TableMember
    from quintet.classifiers.tabular.svm import MarginClassifier
    from quintet.frozen.table_member import ArrayMember

    AnyTableMember = TableMember | ArrayMember

ValuesAndBase = tuple[Floats, Floats]
"""SHAP values `(n, d, classes)` and their base `(classes,)`."""

SPACES: Mapping[str, str] = {
    "xgboost": "log-odds before the softmax",
    "random_forest": "probability",
    "logistic_regression": "log-odds before the softmax",
    "svm": "decision value",
}
"""Member → the quantity that its SHAP values add up to."""

TOTAL = "(all classes)"
"""Column of sums in `column_importance` and `family_importance`. A class of this name gets another one
there."""


def value_space(member: str, *, multilabel: bool = False) -> str:
    """The quantity that the SHAP values of a member add up to, in words.

    Args:
        member: key of `SPACES`; it may have a view.
        multilabel: whether clips carry label sets.

    Example:
        >>> value_space("xgboost"), value_space("xgboost", multilabel=True)
        ('log-odds before the softmax', 'log-odds')
    """
    space = SPACES[split_name(member)[0]]
    return space.removesuffix(" before the softmax") if multilabel else space


def explain(
    member: AnyTableMember, X: pd.DataFrame, background: pd.DataFrame, *, tags: Sequence[str] | None = None
) -> ColumnValues:
    """SHAP values of a fitted table member on the rows of `X`, for every class.

    Args:
        member: one of the four table members of `quintet.classifiers`, fitted.
        X: (n, columns) rows to explain: held-out clips, not those that the member was fitted on.
        background: (m, columns) training rows. Logistic regression and SVM take the values of absent columns
            from them; the trees carry their own background.
        tags: names of the tags, for a member of label sets. Default: its `classes_`.

    Returns:
        `ColumnValues` with `values` (n, d, classes), `base_values` (n, classes), `data` (n, d),
        `feature_names` (the d columns that the member uses) and `output_names` (the classes, in the order of
        `classes_`). A two-class member has two columns of opposite sign. A tag that every training row had,
        or none, has values of 0.

    Raises:
        ConfigError: if there is no exact method for this kind of member.
    """
    name = str(getattr(member, "member", type(member).__name__))
    if name not in _METHODS:
        raise unknown_name("explained member", name, _METHODS)
    rows = member.prepare(X)
    others = member.prepare(background) if name in _NEEDS_BACKGROUND else rows[:0]
    if member.multilabel_:
        values, base = _explain_tags(name, member, rows, others)
    else:
        values, base = _explain_model(name, member.models_[0], rows, others)
    classes = member.classes_ if tags is None else tags
    return ColumnValues(
        values=values,
        base_values=np.tile(base, (len(rows), 1)),
        data=rows,
        feature_names=list(member.prepared_names),
        output_names=[str(c) for c in classes],
    )


def outputs(member: AnyTableMember, X: pd.DataFrame) -> Floats:
    """The output that the SHAP values of `explain` add up to, computed by the member itself.

    Args:
        member: a fitted table member.
        X: (n, columns) rows.

    Returns:
        (n, classes).
    """
    name = member.member
    rows = member.prepare(X)
    if not member.multilabel_:
        return _model_output(name, member.models_[0], rows)
    constants = _constant_outputs(name, member)
    columns = []
    for model, constant in zip(member.models_, constants, strict=True):
        if model is None:
            columns.append(np.full(len(rows), constant))
        else:
            both_sides = _model_output(name, model, rows)
            columns.append(both_sides[:, 1])
    return np.column_stack(columns)


def _model_output(name: str, model: object, rows: Floats) -> Floats:
    """(n, classes) the explained output of one fitted model; two columns of opposite sign for a single
    score."""
    if isinstance(model, scorers.Forest):
        return model.probabilities(rows)
    if name == "random_forest":
        return _forest_output(cast("RandomForestClassifier", model), rows)
    if isinstance(model, scorers.Linear | scorers.Boosted | scorers.Machines):
        scores = model.scores(rows)
    else:
        scores = np.asarray(_SCORES[name](model, rows))
    scores = scores.reshape(len(rows), -1)
    if scores.shape[1] == 1:
        return np.column_stack([-scores, scores])
    return scores


def _forest_output(model: RandomForestClassifier, rows: Floats) -> Floats:
    from quintet.classifiers.tabular.members import ignore_large_sums

    with ignore_large_sums():
        return np.asarray(model.predict_proba(rows), dtype=np.float64)


def _svm_scores(model: MarginClassifier, rows: Floats) -> Floats:
    machines = cast("Sequence[SVC]", model.machines)
    return np.column_stack([machine.decision_function(rows) for machine in machines])


def _xgboost_scores(model: XGBClassifier, rows: Floats) -> Floats:
    return np.asarray(model.predict(rows, output_margin=True), dtype=np.float64)


def _regression_scores(model: LogisticRegression, rows: Floats) -> Floats:
    return np.asarray(model.decision_function(rows))


_SCORES: Mapping[str, Callable[..., Floats]] = {
    "svm": _svm_scores,
    "xgboost": _xgboost_scores,
    "logistic_regression": _regression_scores,
}
"""Member → `(model, rows) -> scores`, where `model` is a fitted model of that member."""


def _explain_tags(name: str, member: AnyTableMember, rows: Floats, background: Floats) -> ValuesAndBase:
    """SHAP values with one column per tag, each from the model of that tag against the rest."""
    models = member.models_
    values = np.zeros((*rows.shape, len(models)))
    base = _constant_outputs(name, member)
    with_model = [k for k, model in enumerate(models) if model is not None]
    if name == "svm" and with_model:  # machines share support vectors: all tags at once
        machines = [cast("MarginClassifier", models[k]).machines[0] for k in with_model]
        model_values, model_bases = kernel_shapley(machines, rows, background)
        values[:, :, with_model] = model_values
        base[with_model] = model_bases
        return values, base
    for k in with_model:
        both_sides, centre = _explain_model(name, models[k], rows, background)
        values[:, :, k] = both_sides[:, :, 1]
        base[k] = centre[1]
    return values, base


def _explain_model(name: str, model: object, rows: Floats, background: Floats) -> ValuesAndBase:
    """SHAP values of one fitted model, for at least two classes.

    A single output of two classes becomes two: a value for one class is the negative value for the other.
    """
    values, base = _METHODS[name](model, rows, background)
    if values.shape[2] > 1:
        return values, base
    other_base = _SUMS[name] - base
    return np.concatenate([-values, values], axis=2), np.concatenate([other_base, base])


def _constant_outputs(name: str, member: AnyTableMember) -> Floats:
    """(tags,) the output of tags without a model, the same for every row; NaN for the other tags."""
    constants = np.asarray(member.constants_, dtype=np.float64)
    return constants.copy() if name == "random_forest" else np.asarray(logit(constants))


def concatenate_explanations(explanations: Sequence[ColumnValues], columns: Sequence[str]) -> ColumnValues:
    """Explanations of different rows by members of one kind, one below the other.

    Args:
        explanations: at least one, all with the same classes.
        columns: all columns of the run. A column that a member does not use has values of 0 for its rows.

    Returns:
        One explanation with the columns that some member uses.
    """
    if len(explanations) == 1:
        return explanations[0]
    used = {name for explanation in explanations for name in explanation.feature_names}
    names = [name for name in columns if name in used]
    values, data = [], []
    for explanation in explanations:
        places = [names.index(name) for name in explanation.feature_names]
        n_rows, n_outputs = len(explanation.values), len(explanation.output_names)
        wide_values = np.zeros((n_rows, len(names), n_outputs))
        wide_data = np.full((n_rows, len(names)), np.nan)
        wide_values[:, places] = explanation.values
        wide_data[:, places] = explanation.data
        values.append(wide_values)
        data.append(wide_data)
    return ColumnValues(
        values=np.concatenate(values),
        base_values=np.concatenate([explanation.base_values for explanation in explanations]),
        data=np.concatenate(data),
        feature_names=names,
        output_names=list(explanations[0].output_names),
    )


def additivity_residual(explanation: ColumnValues, output: Floats) -> float:
    """The largest `|sum of values + base - output|` over rows and classes; 0 is exact.

    Args:
        explanation: of n rows.
        output: (n, classes), from `outputs`.
    """
    total = explanation.values.sum(axis=1) + explanation.base_values
    differences = np.abs(total - output)
    return float(differences.max())


def column_importance(explanation: ColumnValues) -> pd.DataFrame:
    """Mean |SHAP value| over rows.

    Args:
        explanation: as `explain` gives it.

    Returns:
        One row per column, largest first; one column per class, and `TOTAL`, the sum over classes.
    """
    sizes = np.abs(explanation.values).mean(axis=0)
    return _importance_table(sizes, explanation.feature_names, explanation.output_names)


def family_importance(
    explanation: ColumnValues, family_of_column: Callable[[str], str] | None = None
) -> pd.DataFrame:
    """Mean |sum of the SHAP values within a feature family| over rows.

    Columns of one family that cancel each other count as 0.

    Args:
        explanation: as `explain` gives it.
        family_of_column: column → its family. Default: `family`.

    Returns:
        A table as that of `column_importance`, with one row per family.
    """
    family_of_column = family_of_column or family
    families = [family_of_column(name) for name in explanation.feature_names]
    names = list(dict.fromkeys(families))
    sums = []
    for name in names:
        own = [other == name for other in families]
        sums.append(explanation.values[:, own].sum(axis=1))
    sizes = np.abs(np.stack(sums, axis=1)).mean(axis=0)
    return _importance_table(sizes, names, explanation.output_names)


def _importance_table(sizes: Floats, names: list[str], classes: list[str]) -> pd.DataFrame:
    """Sizes (names, classes) as a table with their sum `TOTAL`, largest first."""
    columns = [f"{name} (class)" if name == TOTAL else name for name in classes]
    table = pd.DataFrame(sizes, index=names, columns=columns)
    table.insert(0, TOTAL, table.sum(axis=1))
    return table.sort_values(TOTAL, ascending=False, kind="stable")


def ranking_stability(
    explanation: ColumnValues, groups: Groups, *, n_splits: int = 25, seed: int = 0
) -> float:
    """Mean rank correlation of the columns' importance between two halves of the groups.

    1 means that another draw of clips would rank the columns in the same order.

    Args:
        explanation: of n rows, as `explain` gives it.
        groups: (n,) the group of each row. A group is never divided.
        n_splits: number of random divisions into halves.
        seed: seed of the divisions.

    Returns:
        A number in [-1, 1]; NaN if there are fewer than four groups, or fewer than two columns.
    """
    names, codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    if len(names) < 4 or explanation.values.shape[1] < 2:
        return float("nan")
    sizes = np.abs(explanation.values).sum(axis=2)
    rng = np.random.default_rng(seed)
    correlations = []
    for _ in range(n_splits):
        order = rng.permutation(len(names))
        first_half = order[: len(names) // 2]
        in_first = np.isin(codes, first_half)
        a = _mean_ranks(sizes[in_first])
        b = _mean_ranks(sizes[~in_first])
        correlations.append(float(_column_correlation(a, b)[0]))
    return float(np.mean(correlations))


def _mean_ranks(sizes: Floats) -> Floats:
    """(d, 1) ranks of the columns' means."""
    ranks = pd.Series(sizes.mean(axis=0)).rank()
    return np.asarray(ranks, dtype=np.float64)[:, None]


def family(column: str) -> str:
    """The feature family of a column.

    If the name has no dots (a table of another program), the family is the part before the first underscore.
    No family is called `spectrogram`, the player that stands for the input of the networks.

    Args:
        column: name of a column.

    Example:
        >>> family("cepstral.mfcc_01.mean"), family("mfccs_1_mean"), family("tempo")
        ('cepstral', 'mfccs', 'tempo')
        >>> family("spectrogram.mean")
        'spectrogram columns'
    """
    name = column_family(column)
    return f"{name} columns" if name == SPECTROGRAM else name


def _column_correlation(a: Floats, b: Floats) -> Floats:
    """(columns,) correlation of each column of `a` with that of `b`; NaN if one is constant."""
    a = a - a.mean(axis=0)
    b = b - b.mean(axis=0)
    a_squares = (a**2).sum(axis=0)
    b_squares = (b**2).sum(axis=0)
    products = (a * b).sum(axis=0)
    size = np.sqrt(a_squares * b_squares)
    safe_size = np.where(size > 0, size, 1.0)
    return np.where(size > 0, products / safe_size, np.nan)


def _xgboost(model: XGBClassifier | scorers.Boosted, rows: Floats, background: Floats) -> ValuesAndBase:
    if isinstance(model, scorers.Boosted):
        return tree_shapley(forest_from_arrays(model), rows)
    import xgboost

    matrix = xgboost.DMatrix(rows, nthread=1)  # one thread copies some hundred rows faster than several
    booster = model.get_booster()
    contributions = np.asarray(booster.predict(matrix, pred_contribs=True)).astype(np.float64)
    n_columns = contributions.shape[-1]
    contributions = contributions.reshape(len(rows), -1, n_columns)
    values, base = contributions[:, :, :-1], contributions[0, :, -1]
    return values.transpose(0, 2, 1), base


def _random_forest(
    model: RandomForestClassifier | scorers.Forest, rows: Floats, background: Floats
) -> ValuesAndBase:
    if isinstance(model, scorers.Forest):
        return tree_shapley(forest_from_arrays(model), rows)
    return tree_shapley(forest_from_sklearn(model), rows)


def _logistic_regression(
    model: LogisticRegression | scorers.Linear, rows: Floats, background: Floats
) -> ValuesAndBase:
    centre = background.mean(axis=0)
    differences = rows - centre
    slopes, intercepts = linear_numbers(model)
    values = differences[:, :, None] * slopes.T[None]
    base = slopes @ centre + intercepts
    return values, base


def _svm(model: MarginClassifier | scorers.Machines, rows: Floats, background: Floats) -> ValuesAndBase:
    return kernel_shapley(model.machines, rows, background)


_METHODS: Mapping[str, Callable[..., ValuesAndBase]] = {
    "xgboost": _xgboost,
    "random_forest": _random_forest,
    "logistic_regression": _logistic_regression,
    "svm": _svm,
}
"""Member → `(model, rows, background) -> values and base`, where `model` is a fitted model of that member."""
_NEEDS_BACKGROUND = frozenset({"logistic_regression", "svm"})
"""Members whose absent columns are taken from background rows."""
_SUMS = {"xgboost": 0.0, "random_forest": 1.0, "logistic_regression": 0.0, "svm": 0.0}
"""Member → the sum of the outputs of two classes."""
