"""How the fusion was chosen, and what each member is worth to it: both from the stored predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.ensemble.calibration import fit_calibration
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.evaluation.comparisons import holm, paired_differences
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import column_bars
from quintet.reports.style import to_svg
from quintet.reports.text import SCORE_NAMES, display_name, unit

WORTH = ("accuracy", "macro_auc", "log_loss")
"""The scores by which a member's worth is told, where they are defined."""


def comparison_table(run: Run) -> pd.DataFrame:
    """The rules as they were compared on the training part: `rule, description, log_loss, difference, standard_error, chosen`.

    The difference is the log loss above that of the best rule, with its standard error by group. Empty where nothing was compared.
    """
    comparison = run.fusion.get("comparison", {})
    losses, differences = comparison.get("losses", {}), comparison.get("differences", {})
    chosen = run.best
    rows = [
        (rule, RULES[rule].description, losses[rule], *differences[rule], rule == chosen)
        for rule in RULES
        if rule in losses
    ]
    return pd.DataFrame(
        rows, columns=["rule", "description", "log_loss", "difference", "standard_error", "chosen"]
    )


def worth(run: Run, *, seed: int = 0, n_resamples: int = 1000) -> pd.DataFrame:
    """What each member is worth: the verdict with all members against the verdict without one, on the clips that the report is about.

    The chosen rule and its calibration are fitted anew on the out-of-fold predictions of those that remain, and judged on the test part. Without
    one they are judged out of fold: fitted on all folds but one, and judged on that.

    Returns:
        One row per member and score, `member, score, value, low, high, p_value, p_holm`: score with the member minus score without it, with its
        paired 95 % interval by group; `p_holm` is corrected for the number of members. Empty for fewer than two members, or where the
        rule or the folds are not known.
    """
    folds = _folds(run)
    if (
        len(run.members) < 2
        or run.best not in RULES
        or set(run.members) - set(run.oof)
        or (run.part == "oof" and len(folds) < 2)
    ):
        return pd.DataFrame()
    judged = run.parts[run.part][run.members[0]]
    kept = np.flatnonzero(judged.scorable)
    y, groups, ids = _target(run, run.part, kept), _groups(run, run.part, kept), judged.clip_ids[kept]
    everybody = _verdict(run, run.members, ids, folds)
    rows = []
    for name in run.members:
        without = _verdict(run, [member for member in run.members if member != name], ids, folds)
        options: dict[str, Any] = {"seed": seed, "n_resamples": n_resamples, "multilabel": run.multilabel}
        found = paired_differences(y, everybody, without, run.classes, groups, **options)
        rows += [(name, key, *vars(found[key]).values()) for key in WORTH if key in found]
    table = pd.DataFrame(rows, columns=["member", "score", "value", "low", "high", "p_value"])
    table["p_holm"] = table.groupby("score")["p_value"].transform(lambda p: holm(p.to_numpy()))
    return table


def worth_drawing(run: Run, table: pd.DataFrame) -> Drawing | None:
    """What the verdict's macro AUC and log loss owe to each member; None where `worth` is empty."""
    if table.empty:
        return None
    rows = (
        table[table["score"] == "log_loss"]
        if "log_loss" in set(table["score"])
        else table[table["score"] == "macro_auc"]
    )
    falls = str(rows["score"].iloc[0]) == "log_loss"
    sign = -1.0 if falls else 1.0
    gain = pd.Series(
        sign * rows["value"].to_numpy(), index=[display_name(name, run) for name in rows["member"]]
    ).sort_values(ascending=False)
    ends = np.sort(sign * rows[["low", "high"]].to_numpy(), axis=1)
    low, high = (
        pd.Series(ends[:, k], index=[display_name(name, run) for name in rows["member"]])[gain.index]
        for k in (0, 1)
    )
    quantity = "log loss saved by the member" if falls else "macro AUC gained by the member"
    told = ", ".join(f"{name} {value:+.3f}" for name, value in gain.items())
    sure = [str(name) for name in gain.index if low[name] > 0]
    said = (
        f"Beyond doubt for {', '.join(sure)}."
        if sure
        else "No interval excludes zero: any one of them could be left out."
    )
    said = (
        f"Paired 95 % intervals by {unit(run)}. {said}"
        if low.notna().any()
        else f"One {unit(run)} gives no intervals."
    )
    caption = (
        f"The verdict with all members against the verdict without one, the rule “{run.best.replace('_', ' ')}” and its calibration fitted anew "
        f"out of fold for those that remain, judged on {'held-out clips' if run.part == 'test' else 'folds that neither saw'}. "
        f"{said} A member that says what others say too is worth little here, however good it is alone."
    )
    svg = to_svg(
        column_bars(gain, unit=quantity, low=low, high=high),
        "worth",
        f"What each member is worth, {quantity}: {told}.",
    )
    return Drawing("worth", svg, caption, table, "With it and without it")


def worth_rows(run: Run, table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per member for the page: its display name and, by score, value, interval and corrected p-value."""
    cells = {(r["member"], r["score"]): r for r in table.to_dict("records")}
    keys = [key for key in WORTH if any(score == key for _, score in cells)]
    return [
        {"name": display_name(name, run), "scores": {key: cells[name, key] for key in keys}}
        for name in dict.fromkeys(m for m, _ in cells)
    ]


def worth_names(table: pd.DataFrame) -> dict[str, str]:
    """Score → what the page calls it, in the order of `worth_rows`."""
    return {key: SCORE_NAMES[key] for key in WORTH if not table.empty and key in set(table["score"])}


def _folds(run: Run) -> NDArray[Any]:
    """The folds of the training part."""
    found = (
        run.split.loc[run.split["part"] == "train", "fold"]
        if {"part", "fold"} <= set(run.split.columns)
        else pd.Series(dtype=int)
    )
    return np.asarray(found[found >= 0].unique())


def _verdict(run: Run, members: Sequence[str], ids: NDArray[Any], folds: NDArray[Any]) -> NDArray[np.float64]:
    """(n, K) what these members would say of the clips `ids` together."""
    learnt = np.flatnonzero(run.oof[members[0]].scorable)
    trained = run.oof[members[0]].clip_ids[learnt]
    y, groups = _target(run, "oof", learnt), _groups(run, "oof", learnt)
    opinions = _stack(run, "oof", members, trained)
    if run.part == "test":
        return _fused(run, members, opinions, y, groups, _stack(run, "test", members, ids))
    fold = run.split.set_index("id")["fold"].reindex(trained).to_numpy()
    result = np.array(opinions.mean(axis=0))
    for k in folds:
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        result[outside] = _fused(
            run, members, opinions[:, inside], y[inside], groups[inside], opinions[:, outside]
        )
    return result


def _fused(
    run: Run,
    members: Sequence[str],
    opinions: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any],
    asked: NDArray[Any],
) -> NDArray[np.float64]:
    """`asked` (M, n, K) fused and calibrated by what is learnt from `opinions`."""
    options: dict[str, Any] = {"classes": run.classes, "multilabel": run.multilabel}
    labelled = LabelledPredictions.from_labels(opinions, y, groups, members=members, **options)
    fusion = fit_fusion(run.best, labelled)
    calibration = fit_calibration(
        fusion.apply(opinions),
        y,
        groups,
        method=run.calibration.method if run.calibration else "none",
        **options,
    )
    return np.asarray(calibration.apply(fusion.apply(asked)), dtype=np.float64)


def _stack(run: Run, part: str, members: Sequence[str], ids: NDArray[Any]) -> NDArray[np.float64]:
    """(M, n, K) in the order of `members`, of `ids` and of the run's classes."""
    taken = [run.parts[part][name].take(list(ids)) for name in members]
    return np.stack([p.in_classes(run.classes).probabilities for p in taken]).astype(np.float64)


def _target(run: Run, part: str, rows: NDArray[np.intp]) -> NDArray[Any]:
    p = run.parts[part][run.members[0]]
    return np.asarray(p.indicator() if run.multilabel else p.labels)[rows]


def _groups(run: Run, part: str, rows: NDArray[np.intp]) -> NDArray[Any]:
    p = run.parts[part][run.members[0]]
    return np.asarray((p.clip_ids if p.groups is None else p.groups)[rows])
