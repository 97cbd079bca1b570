"""Why a member says what it says: SHAP values of each column for each class, exact for each kind of member.

| member | explained output | method |
|---|---|---|
| xgboost | log-odds before the softmax | XGBoost's own TreeSHAP (`pred_contribs`) |
| random_forest | probability | TreeSHAP over the forest (`tree_shapley`), equal to `shap.TreeExplainer` |
| logistic_regression | log-odds before the softmax | closed form `coef[k, j] · (x[j] - mean(background[:, j]))` |
| svm | decision value of each class | exact Shapley values of the RBF kernel (`kernel_shapley`) |

Of label sets, the model of each tag is explained by itself: log-odds, probability or decision value that the tag is there.
Whatever the method, `values.sum(axis=1) + base_values` must be the output itself; `additivity_residual` measures by how much it is not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from quintet.errors import unknown_name
from quintet.explanation.shapley.forests import forest_from_sklearn
from quintet.explanation.shapley.svm_shap import kernel_shapley
from quintet.explanation.shapley.tree_shap import tree_shapley
from quintet.features.catalogue import feature_family

if TYPE_CHECKING:
    import shap

Array = NDArray[np.float64]
Explained = tuple[Array, Array]  # values (n, d, classes) and base (classes,)

SPACES: Mapping[str, str] = {
    "xgboost": "log-odds before the softmax",
    "random_forest": "probability",
    "logistic_regression": "log-odds before the softmax",
    "svm": "decision value",
}
"""Member → what its SHAP values add up to."""


TOTAL = "(all classes)"
"""The column of sums in `column_importance` and `family_importance`: a name that no class has, for "all" may be one."""


def value_space(member: str, *, multilabel: bool = False) -> str:
    """What the values of a member add up to, in words.

    Example:
        >>> value_space("xgboost"), value_space("xgboost", multilabel=True)
        ('log-odds before the softmax', 'log-odds')
    """
    return SPACES[member].removesuffix(" before the softmax") if multilabel else SPACES[member]


def explain(
    member: Any, X: pd.DataFrame, background: pd.DataFrame, *, tags: Sequence[str] | None = None
) -> shap.Explanation:
    """SHAP values of a fitted table member on the rows of `X`, for every class.

    Args:
        member: one of the four table members of `quintet.classifiers`, fitted.
        X: (n, columns) rows to explain: held-out clips, not what the member was fitted on.
        background: (m, columns) training rows. Logistic regression and SVM replace an absent column by theirs; the trees carry their own.
        tags: names of the tags of a member of label sets. Default: its `classes_`.

    Returns:
        `shap.Explanation` with `values` (n, d, classes), `base_values` (n, classes), `data` (n, d), `feature_names` (the d columns that the
        member uses) and `output_names` (the classes, in the order of `classes_`). A two-class member has two columns of opposite sign; a tag that
        every or no training row had has values of 0.

    Raises:
        ConfigError: if there is no exact method for this kind of member.
    """
    shap = _shap()
    name = str(getattr(member, "member", type(member).__name__))
    if name not in _METHODS:
        raise unknown_name("explained member", name, _METHODS)
    rows = member.prepare(X)
    others = member.prepare(background) if name in _REPLACING else rows[:0]
    if member.multilabel_:
        values, base = _explained_tags(name, member, rows, others)
    else:
        values, base = _two_sided(*_METHODS[name](member.models_[0], rows, others), centre=_CENTRES[name])
    return shap.Explanation(
        values=values,
        base_values=np.tile(base, (len(rows), 1)),
        data=rows,
        feature_names=list(member.prepared_names),
        output_names=[str(c) for c in (member.classes_ if tags is None else tags)],
    )


def outputs(member: Any, X: pd.DataFrame) -> Array:
    """What the SHAP values of `explain` add up to, computed by the member itself: shape (n, classes)."""
    name, rows = member.member, member.prepare(X)
    if not member.multilabel_:
        return _output(name, member.models_[0], rows)
    columns = [
        np.full(len(rows), constant) if model is None else _output(name, model, rows)[:, 1]
        for model, constant in zip(member.models_, _constants(name, member), strict=True)
    ]
    return np.column_stack(columns)


def _output(name: str, model: Any, rows: Array) -> Array:
    if name == "random_forest":
        return np.asarray(model.predict_proba(rows), dtype=np.float64)
    if name == "svm":
        raw = np.column_stack([machine.decision_function(rows) for machine in model.machines])
    elif name == "xgboost":
        raw = np.asarray(model.predict(rows, output_margin=True), dtype=np.float64)
    else:
        raw = model.decision_function(rows)
    raw = raw.reshape(len(rows), -1)
    return np.column_stack([-raw, raw]) if raw.shape[1] == 1 else raw


def _explained_tags(name: str, member: Any, rows: Array, background: Array) -> Explained:
    """One column per tag, each from the model of that tag against the rest."""
    values, base = np.zeros((*rows.shape, len(member.models_))), _constants(name, member)
    known = [k for k, model in enumerate(member.models_) if model is not None]
    if name == "svm" and known:  # machines share support vectors: all tags at once
        values[:, :, known], base[known] = kernel_shapley(
            [member.models_[k].machines[0] for k in known], rows, background
        )
        return values, base
    for k in known:
        found, centre = _two_sided(
            *_METHODS[name](member.models_[k], rows, background), centre=_CENTRES[name]
        )
        values[:, :, k], base[k] = found[:, :, 1], centre[1]
    return values, base


def _constants(name: str, member: Any) -> Array:
    """(tags,): the output for tags without a model, which every row gets; NaN for the others."""
    constants = np.asarray(member.constants_, dtype=np.float64)
    return constants.copy() if name == "random_forest" else np.asarray(logit(constants))


def concatenate_explanations(
    explanations: Sequence[shap.Explanation], columns: Sequence[str]
) -> shap.Explanation:
    """Explanations of different rows by members of one kind, one below the other.

    Args:
        explanations: with the same classes. columns: all columns there are; one that a member does not use has values of 0 there.
    """
    if len(explanations) == 1:
        return explanations[0]
    used = {name for explanation in explanations for name in explanation.feature_names}
    names = [name for name in columns if name in used]
    values, data = [], []
    for explanation in explanations:
        place = [names.index(name) for name in explanation.feature_names]
        shape = (len(explanation.values), len(names), len(explanation.output_names))
        values.append(np.zeros(shape))
        data.append(np.full(shape[:2], np.nan))
        values[-1][:, place], data[-1][:, place] = explanation.values, explanation.data
    return _shap().Explanation(
        values=np.concatenate(values),
        base_values=np.concatenate([explanation.base_values for explanation in explanations]),
        data=np.concatenate(data),
        feature_names=names,
        output_names=list(explanations[0].output_names),
    )


def additivity_residual(explanation: shap.Explanation, output: Array) -> float:
    """The largest `|sum of values + base - output|` over rows and classes; 0 is exact.

    Args:
        explanation: of n rows.
        output: (n, classes), from `outputs`.
    """
    return float(np.abs(explanation.values.sum(axis=1) + explanation.base_values - output).max())


def column_importance(explanation: shap.Explanation) -> pd.DataFrame:
    """Mean |SHAP value| over rows: one row per column, one column per class and `TOTAL` (the sum over classes), largest first."""
    table = pd.DataFrame(
        np.abs(explanation.values).mean(axis=0),
        index=explanation.feature_names,
        columns=explanation.output_names,
    )
    table.insert(0, TOTAL, table.sum(axis=1))
    return table.sort_values(TOTAL, ascending=False, kind="stable")


def family_importance(
    explanation: shap.Explanation, family_of_column: Callable[[str], str] | None = None
) -> pd.DataFrame:
    """Mean |sum of SHAP values within a family| over rows, shaped as `column_importance`: columns that cancel each other count for nothing."""
    families = [(family_of_column or family)(name) for name in explanation.feature_names]
    names = list(dict.fromkeys(families))
    sums = np.stack(
        [explanation.values[:, [f == name for f in families]].sum(axis=1) for name in names], axis=1
    )
    table = pd.DataFrame(np.abs(sums).mean(axis=0), index=names, columns=explanation.output_names)
    table.insert(0, TOTAL, table.sum(axis=1))
    return table.sort_values(TOTAL, ascending=False, kind="stable")


def ranking_stability(
    explanation: shap.Explanation, groups: NDArray[Any], *, n_splits: int = 25, seed: int = 0
) -> float:
    """Mean rank correlation of the columns' importance between two halves of the groups: 1 where another draw of clips would rank them alike.

    Args:
        explanation: of n rows, as `explain` gives it.
        groups: (n,) a group is never divided.

    Returns:
        In [-1, 1]; NaN where there are fewer than four groups, or nothing to rank.
    """
    names, codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    if len(names) < 4 or explanation.values.shape[1] < 2:
        return float("nan")
    sizes = np.abs(explanation.values).sum(axis=2)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_splits):
        first = np.isin(codes, rng.permutation(len(names))[: len(names) // 2])
        a, b = (
            np.asarray(pd.Series(sizes[rows].mean(axis=0)).rank(), dtype=np.float64)[:, None]
            for rows in (first, ~first)
        )
        found.append(float(_column_correlation(a, b)[0]))
    return float(np.mean(found))


def family(column: str) -> str:
    """The family of a column; where a table from elsewhere has no dots in its names, the part before the first underscore.

    Example:
        >>> family("cepstral.mfcc_01.mean"), family("mfccs_1_mean"), family("tempo")
        ('cepstral', 'mfccs', 'tempo')
    """
    return feature_family(column) if "." in column else column.partition("_")[0]


def direction(explanation: shap.Explanation) -> pd.DataFrame:
    """Rank correlation of a column's value with its SHAP value, per class: +1 where more of it speaks for the class, NaN where constant."""
    ranks = pd.DataFrame(explanation.data).rank().to_numpy()
    table = {}
    for k, name in enumerate(explanation.output_names):
        pushed = pd.DataFrame(explanation.values[:, :, k]).rank().to_numpy()
        table[name] = _column_correlation(ranks, pushed)
    return pd.DataFrame(table, index=explanation.feature_names)


def _column_correlation(a: Array, b: Array) -> Array:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.where(size > 0, (a * b).sum(axis=0) / np.where(size > 0, size, 1.0), np.nan)


def _shap() -> Any:
    """The module shap, imported when first needed: it warns about matplotlib's future while it is imported, which is no business of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    return shap


def _two_sided(values: Array, base: Array, *, centre: float) -> Explained:
    """A single output of two classes written as two: what speaks for one speaks against the other."""
    if values.shape[2] > 1:
        return values, base
    return np.concatenate([-values, values], axis=2), np.concatenate([centre - base, base])


def _xgboost(model: Any, rows: Array, background: Array) -> Explained:
    import xgboost

    matrix = xgboost.DMatrix(rows, nthread=1)  # a copy of some hundred rows is made before threads have met
    contributions = model.get_booster().predict(matrix, pred_contribs=True).astype(np.float64)
    contributions = contributions.reshape(len(rows), -1, contributions.shape[-1])
    return contributions[:, :, :-1].transpose(0, 2, 1), contributions[0, :, -1]


def _random_forest(model: Any, rows: Array, background: Array) -> Explained:
    return tree_shapley(forest_from_sklearn(model), rows)


def _logistic_regression(model: Any, rows: Array, background: Array) -> Explained:
    centre = background.mean(axis=0)
    values = (rows - centre)[:, :, None] * model.coef_.T[None]
    return values, model.coef_ @ centre + model.intercept_


def _svm(model: Any, rows: Array, background: Array) -> Explained:
    return kernel_shapley(model.machines, rows, background)


_METHODS: Mapping[str, Callable[[Any, Array, Array], Explained]] = {
    "xgboost": _xgboost,
    "random_forest": _random_forest,
    "logistic_regression": _logistic_regression,
    "svm": _svm,
}
_REPLACING = frozenset({"logistic_regression", "svm"})
"""Members whose absent columns are taken from a background."""
_CENTRES = {"xgboost": 0.0, "random_forest": 1.0, "logistic_regression": 0.0, "svm": 0.0}
"""What the outputs of two classes add up to."""
