"""Every figure of the page: the numbers behind it, the drawing, its caption, its alternative text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.labels import label_set
from quintet.evaluation.metrics import calibration_error, top_label
from quintet.evaluation.ranking import rank_scores
from quintet.explanation.importance import TOTAL, family
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions
from quintet.reports.figures.bars import column_bars, histogram, stacked_counts, waterfall
from quintet.reports.figures.calibration import calibration_figure, calibration_points
from quintet.reports.figures.curves import roc_figure, roc_points, training_figure
from quintet.reports.figures.intervals import Dot, interval_figure
from quintet.reports.sections.confusion import cell_titles, confusion_counts, confusion_figure, heat_figure
from quintet.reports.sections.scores import agreement, rank_names, score_table
from quintet.reports.style import to_svg
from quintet.reports.text import (
    LOWER_IS_BETTER,
    SCORE_NAMES,
    display_name,
    evaluation_part,
    format_signed,
    format_tiny,
    group_noun,
    groups_known,
    inline_name,
    kind,
    kinds,
    number,
    truth,
    unit,
)

if TYPE_CHECKING:
    from quintet.explanation.ensemble import ColumnExplanation, EnsembleExplanation
    from quintet.explanation.members import MemberExplanation

MAX_PANELS = 60
"""ROC curves on the page; with more classes the table has them all."""


@dataclass(frozen=True)
class Drawing:
    """One figure on the page. `numbers` is what it shows, for download under `name`; `wide` figures take the whole width."""

    name: str
    svg: str
    caption: str
    numbers: pd.DataFrame
    title: str = ""
    wide: bool = False


def slug(text: str) -> str:
    """A name that may stand in an id or a file name.

    Example:
        >>> slug("Hip hop / R&B")
        'hip-hop-r-b'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def score_drawings(run: Run, keys: Sequence[str]) -> list[Drawing]:
    """One dot-and-interval figure per score."""
    table = score_table(run)
    names = rank_names(run, list(keys))
    drawings = []
    for key in keys:
        rows = table[table["score"] == key].to_dict("records")
        cells = {
            (r["name"], r["part"]): Dot(float(r["value"]), float(r["low"]), float(r["high"])) for r in rows
        }
        nothing = Dot(np.nan, np.nan, np.nan)
        main = [cells.get((name, run.part), nothing) for name in names]
        other = (
            [cells.get((name, "oof"), nothing) for name in names] if run.part == "test" and run.oof else []
        )
        figure = interval_figure(
            [display_name(n, run) for n in names],
            main,
            out_of_fold=other,
            bold=[n not in run.members for n in names],
        )
        better = "lower is better" if key in LOWER_IS_BETTER else "higher is better"
        best = f"{display_name(names[0], run)} {number(main[0].value)}"
        alt = f"{SCORE_NAMES[key]} of members and ensembles with 95 % intervals: {best}. The table below has every value."
        svg = to_svg(figure, f"score-{slug(key)}", alt)
        drawings.append(
            Drawing(f"score-{slug(key)}", svg, better, table[table["score"] == key], SCORE_NAMES[key])
        )
    return drawings


def roc_drawings(run: Run) -> list[Drawing]:
    """One ROC panel per class that has positives and negatives."""
    predictions = {
        name: run.parts[run.part][name].take(run.report_predictions.clip_ids)
        for name in dict.fromkeys((run.prediction_name, *run.names))
    }
    truth = run.report_predictions.indicator()
    drawings = []
    for k, label in enumerate(run.classes[:MAX_PANELS]):
        if not 0 < truth[:, k].sum() < len(truth):
            continue
        curves = {
            name: roc_points(truth[:, k], p.probabilities[:, p.classes.index(label)])
            for name, p in predictions.items()
        }
        area = rank_scores(truth[:, k], run.report_predictions.probabilities[:, k]).auc
        alt = f"ROC curve of {label}: area {area:.3f} for {display_name(run.prediction_name, run).lower()}; the members in grey."
        svg = to_svg(roc_figure(curves, run.prediction_name, title=label, area=area), f"roc-{k}", alt)
        numbers = pd.concat([points.assign(name=name, **{"class": label}) for name, points in curves.items()])
        drawings.append(Drawing(f"roc-{k}", svg, "", numbers, label))
    return drawings


def confusion_drawing(run: Run) -> tuple[Drawing, pd.DataFrame]:
    """The confusion matrix of the chosen verdict, and its counts."""
    p = run.report_predictions
    known = p.codes() >= 0
    counts = confusion_counts(p.codes()[known], p.probabilities.argmax(axis=1)[known], run.classes)
    right = int(np.trace(counts.to_numpy()))
    alt = f"Confusion matrix: {right} of {int(known.sum())} clips on the diagonal. The same numbers stand in the table below the figure."
    svg = to_svg(
        confusion_figure(counts),
        "confusion",
        alt,
        titles=cell_titles(counts),
        min_width=40 * len(counts) if len(counts) > 9 else None,
    )
    caption = (
        "Rows are the true class, columns the verdict. A number is a count of clips; the shade is its share of the row, "
        "so the diagonal shows recall. Hover over a cell for the share."
    )
    return Drawing("confusion", svg, caption, counts.reset_index(), "What was taken for what"), counts


def calibration_drawing(run: Run) -> tuple[Drawing, float]:
    """The calibration curve of the chosen verdict, and its expected calibration error."""
    correct, confidence = correctness_and_confidence(run.report_predictions)
    points = calibration_points(confidence, correct)
    raw = run.prediction_name != run.best and run.calibration is not None and run.calibration.method != "none"
    before = (
        calibration_points(*correctness_and_confidence(run.parts[run.part][run.best])[::-1]) if raw else None
    )
    gap = float(calibration_error(correct, confidence))
    trend = float(np.average(points["correct"] - points["confidence"], weights=points["n"]))
    verdict = "too modest" if trend > 0.03 else "too sure" if trend < -0.03 else "about right"
    caption = (
        f"Each dot is {int(points['n'].median())} clips or so: how sure the verdict was (across) and how often it was right (up), with a 95 % "
        f"Wilson interval. Above the dashed line the verdict is too modest, below it too sure. Here it is {verdict} (mean gap {format_signed(trend, 2)}, "
        f"expected calibration error {gap:.3f})."
    )
    if before is not None:
        caption += f" Hollow: before calibration ({run.best.replace('_', ' ')} as it was)."
        points = pd.concat([points.assign(calibrated=True), before.assign(calibrated=False)])
    alt = f"Calibration curve: {verdict}, expected calibration error {gap:.3f}."
    svg = to_svg(
        calibration_figure(
            points[: len(points) - (0 if before is None else len(before))], confidence, before
        ),
        "calibration",
        alt,
    )
    return Drawing("calibration", svg, caption, points, "Said and true"), gap


def correctness_and_confidence(p: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Whether each verdict is right, and how sure it was; for label sets, of every clip and tag."""
    if p.multilabel:
        return p.indicator().ravel().astype(bool), p.probabilities.ravel()
    known = p.codes() >= 0
    correct, confidence = top_label(p.codes()[known], p.probabilities[known])
    return np.asarray(correct, dtype=bool), confidence


def training_drawings(run: Run) -> list[Drawing]:
    """Loss and accuracy by epoch, for every network."""
    drawings = []
    for name, history in run.history.items():
        final = history[history["fold"] == -1] if (history["fold"] == -1).any() else history
        for quantity, label in (("loss", "loss"), ("accuracy", "accuracy")):
            if quantity not in history or history[quantity].isna().all():
                continue
            last, epochs = float(final[quantity].iloc[-1]), int(final["epoch"].iloc[-1])
            alt = f"{label.capitalize()} of {display_name(name, run)} by epoch; the final fit ends at {number(last)} after {epochs} epochs."
            svg = to_svg(
                training_figure(history, quantity, label=label), f"training-{slug(name)}-{quantity}", alt
            )
            caption = "Solid: training part. Dashed: validation part, of other groups. Thin: folds. Bold: the final fit."
            drawings.append(
                Drawing(
                    f"training-{slug(name)}-{quantity}",
                    svg,
                    caption,
                    history,
                    f"{display_name(name, run)}: {label}",
                )
            )
    return drawings


def agreement_drawing(run: Run) -> Drawing | None:
    """How often two members give the same verdict; None for a single member."""
    if len(run.members) < 2:
        return None
    names = (*run.members, run.best) if run.rules else run.members
    shares = agreement({name: run.parts[run.part][name] for name in names})
    shares.index = shares.columns = pd.Index(
        ["Ensemble" if name in run.rules else display_name(name, run) for name in names]
    )
    off_diagonal = shares.to_numpy()[~np.eye(len(shares), dtype=bool)]
    stretched = (shares - off_diagonal.min() * 0.8) / max(1 - off_diagonal.min() * 0.8, 1e-9)
    texts = (shares * 100).round().astype(int).astype(str)
    low = int(np.argmin(off_diagonal))
    pairs = [(a, b) for i, a in enumerate(shares.index) for j, b in enumerate(shares.columns) if i != j]
    alt = (
        f"Agreement of members: least between {pairs[low][0]} and {pairs[low][1]} ({off_diagonal[low]:.0%})."
    )
    svg = to_svg(heat_figure(stretched.clip(0, 1), texts), "agreement", alt)
    caption = "Share of clips (%) on which two members give the same verdict, right or wrong. Members that agree on everything add nothing to each other."
    return Drawing("agreement", svg, caption, shares.reset_index(names="member"), "Who agrees with whom")


def weight_drawing(run: Run) -> Drawing | None:
    """How much each member counts in each rule; None for a single member."""
    rules = [rule for rule in run.rules if rule in run.weights]
    if not rules or len(run.members) < 2:
        return None
    table = pd.DataFrame({rule: run.weights[rule] for rule in rules}).T[list(run.members)]
    labelled = table.rename(
        columns=lambda name: display_name(name, run), index=lambda rule: rule.replace("_", " ")
    )
    shades = (labelled / max(1.0, float(labelled.to_numpy().max()))).clip(0, 1)
    texts = labelled.map(lambda weight: "0" if abs(weight) < 5e-3 else f"{weight:.2f}".replace("-", "−"))
    chosen = labelled.iloc[0].sort_values(ascending=False, kind="stable")
    alt = (
        f"Weights of the rule {labelled.index[0]}: "
        + ", ".join(f"{name} {weight:.2f}" for name, weight in chosen.items())
        + "."
    )
    svg = to_svg(heat_figure(shades, texts, row_label="fusion rule"), "weights", alt)
    caption = f"How much each member counts in each rule, learnt out of fold. The verdict is that of the first row, “{labelled.index[0]}”."
    if "stacked" in table.index:
        caption += " The weights of “stacked” are slopes and need not sum to one."
    numbers = pd.DataFrame(
        [
            {"rule": rule, "member": member, "weight": weight}
            for rule, row in run.weights.items()
            for member, weight in row.items()
        ]
    )
    return Drawing("weights", svg, caption, numbers, "Who counts how much")


def importance_drawings(why: MemberExplanation, run: Run, n_clips: int) -> list[Drawing]:
    """The top 20 columns and the families of one member."""
    who, one = display_name(why.name, run), kind(run)
    top = why.columns[TOTAL].head(20)
    families = {name: family(str(name)) for name in top.index}
    alt = f"Mean absolute SHAP value of the 20 most important columns of {who}; first {top.index[0]}."
    caption = f"Mean |SHAP value| of {who}, in {why.space}, summed over {kinds(run)}, on {n_clips} {evaluation_part(run)} clips. One colour per family."
    columns = Drawing(
        "importance-columns", to_svg(column_bars(top, unit=f"mean |SHAP|, {why.space}", families=families), "importance-columns", alt), caption,
        why.columns.reset_index(names="column"), "Top 20 columns",
    )  # fmt: skip
    shares = why.families[TOTAL] / max(float(why.families[TOTAL].sum()), 1e-300)
    alt = (
        f"Share of each family in the verdict of {who}: "
        + ", ".join(f"{name} {share:.0%}" for name, share in shares.head(4).items())
        + "."
    )
    figure = column_bars(
        shares * 100, unit="% of what moves the verdict", families=_same(shares.index, families)
    )
    caption = "Within a family the SHAP values of a clip are added up before their size is taken: columns that cancel each other count for nothing."
    by_family = Drawing(
        "importance-families",
        to_svg(figure, "importance-families", alt),
        caption,
        why.families.reset_index(names="family"),
        "By family",
    )
    by_class = why.families.drop(columns=TOTAL)
    spread = by_class / max(float(by_class.to_numpy().max()), 1e-300)
    svg = to_svg(
        heat_figure(spread.T, by_class.T.map(lambda value: f"{value:.2f}")),
        "importance-classes",
        f"Importance of each family for each {one}, {who}.",
    )
    caption = f"Mean |SHAP value| of each family for each {one} ({why.space}). The stronger the shade, the more that family tells of the {one}."
    heat = Drawing(
        "importance-classes", svg, caption, by_class.reset_index(names="family"), f"By family and {one}"
    )
    return [columns, by_family, heat]


def game_drawings(game: EnsembleExplanation, run: Run) -> list[Drawing]:
    """The ensemble as one game: from nothing heard to the verdict, and the same by class."""
    who, n = inline_name(run.prediction_name, run), len(game.clips)
    figure = waterfall(
        game.steps,
        base=game.base,
        total=game.prediction,
        base_name="nothing heard",
        total_name="everything heard",
        unit=f"probability of the {truth(run)}",
    )
    told = ", ".join(f"{row.player} {format_signed(row.value, 2)}" for row in game.steps.head(4).itertuples())
    lines = (
        f"Thin lines: 95 % intervals by {unit(run)}."
        if game.steps["low"].notna().any()
        else f"One {unit(run)} gives no intervals."
    )
    alt = f"From {game.base:.2f} to {game.prediction:.2f} probability of the {truth(run)}: {told}."
    caption = (
        f"Exact Shapley values of the players for the probability that {who} gives to the {truth(run)}, mean over {n} {evaluation_part(run)} clips. A player "
        f"that is not heard is replaced by that of {game.n_background} training clips. {lines} "
        f"The steps add up to the verdict within {format_tiny(game.shapley.residual)}; that so few stand in for the absent blurs a step by at most "
        f"{number(game.background_error)} (standard error)."
    )
    steps = Drawing(
        "game", to_svg(figure, "game", alt), caption, game.steps, "What each family adds to the truth"
    )
    table, one = game.by_class, kind(run)
    shades = (table / max(float(table.to_numpy().max()), 1e-9)).clip(0, 1)
    texts = table.map(
        lambda value: "·" if abs(value) < 5e-3 else f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
    )
    leaders = ", ".join(f"{label}: {player}" for label, player in table.idxmax(axis=1).items())
    svg = to_svg(
        heat_figure(shades, texts),
        "game-classes",
        f"What each player adds to the probability of each {one}; most by {one}: {leaders}.",
    )
    caption = f"The same {one} by {one}: how far each player moves the clips of a {one} (row) towards it. A minus means that it leads astray."
    return [
        steps,
        Drawing(
            "game-classes", svg, caption, table.reset_index(names="class"), f"{one.capitalize()} by {one}"
        ),
    ]


def column_drawing(found: ColumnExplanation, run: Run) -> Drawing:
    """Columns within the verdict, in probability space, with budget and error."""
    steps, sampled = found.steps.set_index("player"), found.shapley
    figure = column_bars(
        steps["value"], unit=f"probability of the {truth(run)}", low=steps["low"], high=steps["high"]
    )
    intervals = f" with 95 % intervals by {unit(run)}" if steps["low"].notna().any() else ""
    told = ", ".join(f"{name} {format_signed(value)}" for name, value in steps["value"].head(5).items())
    alt = f"Added to the probability of the {truth(run)}: {told}."
    caption = (
        f"Shapley values of columns for the probability that {inline_name(run.prediction_name, run)} gives to the {truth(run)}, mean over "
        f"{len(sampled.values)} {evaluation_part(run)} clips{intervals}; columns that say nearly the same play as one. "
        f"By sampling: {sampled.n_orders} orders a clip, every second the reverse of the one before, {found.n_background} training clips in place of "
        f"what is absent, {sampled.n_evaluations:,} hybrids in all. The sampling error of a bar is at most {sampled.mean_error:.1g} "
        f"(standard error); the bars add up to the verdict within {format_tiny(sampled.residual)}."
    )
    return Drawing(
        "sampled-columns",
        to_svg(figure, "sampled-columns", alt),
        caption,
        found.steps,
        "What each column adds to the truth",
    )


def permutation_drawing(table: pd.DataFrame, name: str, title: str, run: Run) -> Drawing:
    """What the ensemble's AUC loses when a player is shuffled."""
    table = table.head(20)
    indexed = table.set_index("player")
    corrected = name == "lost-columns"
    low, high = (indexed[f"{end}_corrected" if corrected else end] for end in ("low", "high"))
    figure = column_bars(indexed["fall"], unit="fall of macro AUC", low=low, high=high)
    sure = [str(player) for player in indexed.index[low > 0]]
    alt = f"Fall of macro AUC when shuffled: {', '.join(f'{p} {v:.3f}' for p, v in indexed['fall'].head(5).items())}."
    said = f"Above zero beyond doubt: {', '.join(sure)}." if sure else "No interval excludes zero."
    alike = (
        "; columns that say nearly the same (rank correlation 0.9 and above) are therefore shuffled together"
        if corrected
        else ""
    )
    level = f", widened for {len(table)} comparisons" if corrected else ""
    intervals = (
        f", with 95 % intervals by {unit(run)}"
        if low.notna().any()
        else f". One {unit(run)} gives no interval"
    )
    said, level = (said, level) if low.notna().any() else ("", "")
    caption = (
        f"How much macro AUC {inline_name(run.prediction_name, run)} loses on {evaluation_part(run)} clips when this is shuffled among them"
        f"{intervals}{level}. {said} What others also tell is not missed{alike}."
    )
    return Drawing(name, to_svg(figure, name, alt), caption, table, title)


def _same(index: pd.Index, families: dict[str, str]) -> dict[str, str]:
    """Families in the order of first appearance among the columns, so that both figures use the same colours."""
    order = list(dict.fromkeys([*families.values(), *index]))
    return {name: name for name in sorted(index, key=order.index)}


def data_drawings(run: Run) -> list[Drawing]:
    """Clips per class and part; durations."""
    drawings = []
    split = run.split[run.split["part"] != "unused"] if "part" in run.split else run.split
    if len(split):
        parts = {"train": "training", "test": "held out"}
        labels = split.assign(label=split["label"].astype(str).map(label_set)).explode("label")
        counts = pd.crosstab(labels["label"].str.strip(), labels["part"].map(parts).fillna(labels["part"]))
        counts = counts[
            [c for c in ("training", "held out") if c in counts]
            + [c for c in counts if c not in parts.values()]
        ]
        svg = to_svg(
            stacked_counts(counts),
            "data-classes",
            f"Clips per {kind(run)}, training part and held-out part: "
            + ", ".join(f"{c} {int(n)}" for c, n in counts.sum(axis=1).items()),
        )
        colours = (
            "Grey: training part. Blue: held out."
            if "held out" in counts
            else "All clips take turns: no part was held out."
        )
        caption = colours + (
            f" {split['group'].nunique()} {group_noun(run)}s in all." if groups_known(run) else ""
        )
        drawings.append(Drawing("data-classes", svg, caption, counts.reset_index(), f"Clips per {kind(run)}"))
    if "duration_s" in run.features and run.features["duration_s"].notna().any():
        durations = run.features["duration_s"].astype(float)
        low, middle, high = durations.quantile([0.05, 0.5, 0.95])
        svg = to_svg(
            histogram(durations.to_list(), unit="seconds"),
            "data-durations",
            f"Durations of the clips: median {middle:.1f} s.",
        )
        caption = f"Median {middle:.1f} s; nine of ten between {low:.1f} and {high:.1f} s."
        drawings.append(
            Drawing(
                "data-durations",
                svg,
                caption,
                durations.to_frame("duration_s").reset_index(names="id"),
                "Durations",
            )
        )
    return drawings
