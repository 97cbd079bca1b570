"""Section "Members": how the fusion rule was chosen, weights, agreement, and the value of each member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from quintet.ensemble.fusion import RULES
from quintet.explanation.member_value import VALUE_SCORES, member_values
from quintet.model_folder.run import Run
from quintet.predictions.predictions import Predictions
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import column_bars
from quintet.reports.figures.heat import heat_figure
from quintet.reports.formats import MINUS, SCORE_NAMES, all_hold_zero, count, format_signed, number, rule_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Blocks,
    Cell,
    Column,
    Download,
    Part,
    Row,
    Section,
    Table,
    Text,
    grid,
    name_rows,
    sort_text,
)
from quintet.reports.sections.members.views import view_blocks
from quintet.reports.style import to_svg
from quintet.reports.text import chosen_on, display_name, inline_name, learnt_on, oof_noun, unit

ZERO_WEIGHT = 5e-3
"""Size below which a weight is shown as 0."""


def members_section(data: ReportData) -> Section:
    """Comparison of fusion rules, weights and agreement of the members, and the value of each member."""
    run = data.run
    return Section(
        id="members",
        title="Members in the ensemble",
        contents="Members",
        blocks=(
            *_comparison_blocks(run),
            *grid(weight_drawing(run), agreement_drawing(run)),
            *_value_blocks(run),
            *view_blocks(run),
        ),
    )


def comparison_table(run: Run) -> pd.DataFrame:
    """Fusion rules as they were compared on the training part; no rows if nothing was compared.

    Columns `rule, description, log_loss, difference, standard_error, chosen`. The difference is the log loss
    above that of the best rule, with its standard error by group.
    """
    comparison = run.fusion.get("comparison", {})
    losses: Mapping[str, float] = comparison.get("losses", {})
    differences: Mapping[str, tuple[float, float]] = comparison.get("differences", {})
    rows = []
    for rule, spec in RULES.items():
        if rule in losses:
            difference, error = differences[rule]
            rows.append((rule, spec.description, losses[rule], difference, error, rule == run.best))
    columns = ["rule", "description", "log_loss", "difference", "standard_error", "chosen"]
    return pd.DataFrame(rows, columns=columns)


def _comparison_blocks(run: Run) -> Blocks:
    table = comparison_table(run)
    reason = run.fusion.get("comparison", {}).get("reason", "")
    lacks = run.fusion.get("comparison", {}).get("lacks", {})
    if table.empty:
        return (Text(f"No fusion rules were compared: {reason}."),) if reason else ()
    explanation = (
        f"The rule was chosen on the {chosen_on(run)}: every rule was fitted on some folds of the "
        f"{oof_noun(run)} predictions and scored on the others."
    )
    facts = run.results.split.validation
    if facts is not None and facts.learnt_weights is not None:
        share = round(100 * facts.learnt_weights)
        clips = count(facts.n_taught, "clip")
        explanation += f" What its {clips} teach counts {share} %, equal weights {100 - share} %."
    if run.part == "test":
        explanation += " No held-out clip was used."
    rows = []
    for record in table.to_dict("records"):
        is_best = record["difference"] == 0
        cells = (
            Cell(record["description"], kind="words"),
            Cell(number(record["log_loss"]), sort=sort_text(record["log_loss"])),
            Cell(
                "best" if is_best else number(record["difference"], 4), sort=sort_text(record["difference"])
            ),
            Cell(
                "–" if is_best else number(record["standard_error"], 4),
                sort=sort_text(record["standard_error"]),
            ),
        )
        notes = ["chosen"] if record["chosen"] else []
        if record["rule"] in lacks:
            notes.append("too few clips")
        head = Cell(record["rule"], tuple(notes))
        rows.append(Row(head, cells, "ensemble chosen" if record["chosen"] else ""))
    columns = (
        Column("Rule"),
        Column("Method"),
        Column("Log loss", numeric=True),
        Column("Above the best", numeric=True),
        Column("Standard error", numeric=True),
    )
    caption = (
        "Log loss of each fusion rule on folds that it was not fitted on, and its difference from the best "
        f"rule (standard error by {unit(run)}). Chosen: {reason}."
    )
    downloads = (Download("rules", table),)
    block = Table(
        "How the fusion rule was chosen", columns, tuple(rows), caption, downloads=downloads, id="rules"
    )
    return Text(explanation), block


def weight_drawing(run: Run) -> Drawing | None:
    """Weight of each member in each fusion rule; None for a single member."""
    rules = [rule for rule in run.rules if rule in run.weights]
    if not rules or len(run.members) < 2:
        return None
    weights = pd.DataFrame({rule: run.weights[rule] for rule in rules}).T[list(run.members)]
    labelled = weights.rename(columns=lambda name: display_name(name, run), index=rule_name)
    largest = max(1.0, float(labelled.to_numpy().max()))
    first = labelled.index[0]
    chosen = labelled.iloc[0].sort_values(ascending=False, kind="stable")
    listed = ", ".join(f"{name} {weight:.2f}" for name, weight in chosen.items())
    alt = f"Weights of the rule {first}: {listed}."
    figure = heat_figure((labelled / largest).clip(0, 1), labelled.map(_weight_text), row_label="fusion rule")
    caption = (
        f"Weight of each member in each fusion rule, learnt {learnt_on(run)}. "
        f"The ensemble prediction uses the rule in the first row, “{first}”."
    )
    if "stacked" in weights.index:
        caption += " The weights of “stacked” are slopes, which need not sum to one."
    records = []
    for rule, row in run.weights.items():
        records += [{"rule": rule, "member": member, "weight": weight} for member, weight in row.items()]
    return Drawing(
        "weights", to_svg(figure, "weights", alt), caption, pd.DataFrame(records), "Weights of the members"
    )


def _weight_text(weight: float) -> str:
    return "0" if abs(weight) < ZERO_WEIGHT else f"{weight:.2f}".replace("-", MINUS)


def agreement(predictions: Mapping[str, Predictions]) -> pd.DataFrame:
    """Share of clips for which two members predict the same class, shape (members, members).

    Label sets are compared tag by tag, at a probability of 0.5.

    Args:
        predictions: member → its predictions; clips are matched by id.

    Example:
        >>> a = Predictions(["x", "y"], ("r", "j"), np.array([[0.9, 0.1], [0.4, 0.6]]))
        >>> b = Predictions(["y", "x"], ("r", "j"), np.array([[0.8, 0.2], [0.7, 0.3]]))
        >>> agreement({"a": a, "b": b}).loc["a", "b"].item()
        0.5
    """
    names = list(predictions)
    ids = predictions[names[0]].clip_ids
    predicted = []
    for table in predictions.values():
        probabilities = table.take(ids).probabilities
        predicted.append(probabilities >= 0.5 if table.multilabel else probabilities.argmax(axis=1))
    shares = [[float(np.mean(a == b)) for b in predicted] for a in predicted]
    return pd.DataFrame(shares, index=names, columns=names)


class Pair(NamedTuple):
    """Two members and the share of clips for which they predict the same class."""

    first: str
    second: str
    share: float


def agreement_drawing(run: Run) -> Drawing | None:
    """How often two members predict the same class; None for a single member."""
    if len(run.members) < 2:
        return None
    names = (*run.members, run.best) if run.rules else run.members
    shares = agreement({name: run.parts[run.part][name] for name in names})
    titles = ["Ensemble" if name in run.rules else display_name(name, run) for name in names]
    shares.index = shares.columns = pd.Index(titles)
    least = _least_agreement(shares)
    floor = least.share * 0.8
    stretched = (shares - floor) / max(1 - floor, 1e-9)
    texts = (shares * 100).round().astype(int).astype(str)
    alt = f"Agreement of members: least between {least.first} and {least.second} ({least.share:.0%})."
    svg = to_svg(heat_figure(stretched.clip(0, 1), texts), "agreement", alt)
    caption = (
        "Share of clips (%) for which two members predict the same class, right or wrong. Members that "
        "agree on every clip add nothing to each other."
    )
    numbers = name_rows(shares, "member")
    return Drawing("agreement", svg, caption, numbers, "Agreement of the members")


def _least_agreement(shares: pd.DataFrame) -> Pair:
    values = shares.to_numpy(dtype=float)
    names = [str(name) for name in shares.index]
    cells = [(i, j) for i, j in np.ndindex(values.shape) if i != j]
    pairs = [Pair(names[i], names[j], float(values[i, j])) for i, j in cells]
    return min(pairs, key=lambda pair: pair.share)


def _value_blocks(run: Run) -> Blocks:
    table = member_values(run)
    drawing = value_drawing(run, table)
    if drawing is None:
        return ()
    blocks = grid(drawing, _value_table(run, table))
    rows = table[table["score"] == ("log_loss" if "log_loss" in set(table["score"]) else "macro_auc")]
    if all_hold_zero(rows["low"], rows["high"]):
        text = (
            "No member is shown to be needed: without any one of them, the ensemble does not get worse for "
            "certain, because every interval holds zero."
        )
        blocks = (Text(text, downloads=(Download("worth", table),)), _value_table(run, table))
    return (Part("worth", "Value of each member", blocks),)


def value_drawing(run: Run, table: pd.DataFrame) -> Drawing | None:
    """Gain in log loss (or macro AUC) that each member brings to the ensemble; None without values.

    Args:
        run: the model folder.
        table: `member_values`.
    """
    if table.empty:
        return None
    is_loss = "log_loss" in set(table["score"])
    rows = table[table["score"] == ("log_loss" if is_loss else "macro_auc")]
    sign = -1.0 if is_loss else 1.0
    names = [display_name(name, run) for name in rows["member"]]
    ends = np.sort(sign * rows[["low", "high"]].to_numpy(), axis=1)
    gains = pd.DataFrame(
        {"gain": sign * rows["value"].to_numpy(), "low": ends[:, 0], "high": ends[:, 1]}, index=names
    )
    gains = gains.sort_values("gain", ascending=False)
    quantity = "decrease of log loss by the member" if is_loss else "increase of macro AUC by the member"
    listed = ", ".join(f"{name} {value:+.3f}" for name, value in gains["gain"].items())
    alt = f"Value of each member, {quantity}: {listed}."
    clips = "held-out clips" if run.part == "test" else "folds that neither was fitted on"
    caption = (
        "The ensemble prediction with all members against the prediction without one. The rule "
        f"“{rule_name(run.best)}” and its calibration are fitted again {learnt_on(run)} with the remaining "
        f"members, and scored on {clips}. {_certainty(run, gains)} "
        "A member with the same information as others has little value here, even if it is good alone."
    )
    figure = column_bars(gains["gain"], unit=quantity, low=gains["low"], high=gains["high"])
    return Drawing(
        "worth", to_svg(figure, "worth", alt), caption, table, "Ensemble with and without the member"
    )


def _certainty(run: Run, gains: pd.DataFrame) -> str:
    """For which members the interval excludes zero."""
    if not gains["low"].notna().any():
        return f"One {unit(run)} gives no intervals."
    certain = [str(name) for name in gains.index[gains["low"] > 0]]
    if certain:
        return f"Paired 95 % intervals by {unit(run)}. Above zero: {', '.join(certain)}."
    return (
        f"Paired 95 % intervals by {unit(run)}. Every interval contains zero: any one of the members could "
        "be left out."
    )


def _value_table(run: Run, table: pd.DataFrame) -> Table:
    keys = [key for key in VALUE_SCORES if key in set(table["score"])]
    records = {(row["member"], row["score"]): row for row in table.to_dict("records")}
    members = list(dict.fromkeys(table["member"]))
    rows = []
    for member in members:
        cells = []
        for key in keys:
            record = records[member, key]
            notes: tuple[str, ...] = ()
            if np.isfinite(record["low"]):
                interval = f"{format_signed(record['low'])} – {format_signed(record['high'])}"
                notes = (interval, f"p {number(record['p_holm'], 2)}")
            cells.append(Cell(format_signed(record["value"]), notes, sort_text(record["value"])))
        rows.append(Row(Cell(display_name(str(member), run)), tuple(cells)))
    name = inline_name(run.prediction_name, run)
    return Table(
        label="Scores with and without each member",
        columns=(Column("Member"), *(Column(SCORE_NAMES[key], numeric=True) for key in keys)),
        rows=tuple(rows),
        caption=(
            f"Score of {name} with the member minus its score without it, with the paired 95 % interval; p "
            f"corrected for {len(members)} members (Holm)."
        ),
        stamped=True,
    )
