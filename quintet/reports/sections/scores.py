"""Section "Scores": every score of every member and ensemble, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
from markupsafe import Markup

from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run
from quintet.model_folder.scores import PARTS
from quintet.reports.drawing import Drawing
from quintet.reports.figures.intervals import MISSING, Dot, interval_figure
from quintet.reports.formats import LOWER_IS_BETTER, SCORE_NAMES, count, number, rule_name, slug
from quintet.reports.report_data import ReportData, main_confusions
from quintet.reports.section import (
    Cell,
    Column,
    ColumnGroup,
    Download,
    Grid,
    Note,
    Row,
    Section,
    Table,
    Text,
    number_cell,
)
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, group_noun, groups_known, opening, split_note

PART_NAMES = {"test": "Held out", "oof": "Out of fold"}
VALIDATION_PART = "Validation part"
PARTS_IN_ORDER = tuple(reversed(PARTS))
CHANCE: Mapping[str, float | None] = {"accuracy": None, "macro_auc": 0.5}
"""Score → what guessing reaches; None stands for one of the classes."""
MANY_SCORES = 5
"""Number of scores from which on each part has a table of its own."""

Scored: TypeAlias = dict[tuple[str, str, str], Dot]
"""Name, part and score → value with its interval."""


def scores_section(data: ReportData) -> Section:
    """Scores of members and ensembles, as figures and as a table."""
    run = data.run
    stamp = split_note(run)
    drawings = score_drawings(run, data.score_names)
    return Section(
        id="scores",
        title="Scores of members and ensembles",
        contents="Scores",
        blocks=(
            Text(" ".join(opening(run, main_confusions(data.confusions), _family_shares(data)))),
            Note(stamp.kind, f"{stamp.short}.", stamp.text, id="split"),
            *_pretrained_note(run),
            Text(_legend(run), kind="legend-line"),
            Grid(tuple(drawings)),
            *_score_tables(run, data.score_names),
        ),
    )


def _family_shares(data: ReportData) -> pd.Series | None:
    """Feature family → its share of what all families add; None if it was not computed."""
    return data.explanation.game.shares if data.explanation.game else None


def _pretrained_note(run: Run) -> list[Note]:
    """The stamp of scores that depend on pretrained networks."""
    pretrained = run.results.pretrained
    if pretrained is None:
        return []
    names = ", ".join(display_name(name, run) for name in pretrained.names)
    text = f"{pretrained.text} These are the scores of: {names}."
    return [Note("warn", "Pretrained views.", text, id="pretrained")]


def _legend(run: Run) -> Markup:
    solid = Markup('<span class="dot solid" aria-hidden="true"></span>')
    hollow = Markup('<span class="dot hollow" aria-hidden="true"></span>')
    if run.part == "test":
        text = Markup("{} held-out clips with their 95 % interval {} {}. Ensembles are bold.")
        others = "out-of-fold predictions on the training part"
        if run.results.split.validation is not None:
            others = "predictions of the validation part, by members that were fitted on the train part"
        return text.format(solid, hollow, others)
    text = Markup("{} out-of-fold predictions with their 95 % interval.")
    return text.format(solid) + " Ensembles are bold."


def _part_name(run: Run, part: str) -> str:
    """Title of a part: `Held out`, `Out of fold`, or `Validation part` if the data bring one."""
    is_validation = part == "oof" and run.results.split.validation is not None
    return VALIDATION_PART if is_validation else PART_NAMES[part]


def score_table(run: Run) -> pd.DataFrame:
    """Scores as a table: `name, kind, part, score, value, low, high, n, n_groups`."""
    rows = []
    for part in PARTS_IN_ORDER:
        for name, scores in run.results.parts.get(part, {}).items():
            kind = _row_kind(name, run)
            for key, estimate in scores.scores.items():
                interval = (estimate.value, estimate.low, estimate.high)
                rows.append((name, kind, part, key, *interval, scores.n, scores.n_groups))
    columns = ["name", "kind", "part", "score", "value", "low", "high", "n", "n_groups"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})


def _row_kind(name: str, run: Run) -> str:
    if name in run.bundle["members"]:
        return "member"
    return ENSEMBLE_PREDICTION if name == ENSEMBLE_PREDICTION else "ensemble"


def rank_names(run: Run, keys: Sequence[str]) -> list[str]:
    """The ensemble prediction, the fusion rules, then the members; each by the first score, best first."""
    table = run.results.parts.get(run.part, {})

    def value(name: str) -> float:
        if not keys or name not in table or keys[0] not in table[name].scores:
            return -np.inf
        score = table[name].scores[keys[0]].value
        if np.isnan(score):
            return -np.inf
        return -score if keys[0] in LOWER_IS_BETTER else score

    names = dict.fromkeys((run.prediction_name, *run.names))
    return sorted(names, key=lambda name: (name != run.prediction_name, name not in run.rules, -value(name)))


def distinct_names(run: Run, keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names in the order of `rank_names` → the fusion rules that have the same scores, and need no row.

    Args:
        run: the model folder.
        keys: the scores.
    """
    scored = _scored(score_table(run))
    rows: dict[str, list[Dot]] = {}
    result: dict[str, list[str]] = {}
    for name in rank_names(run, keys):
        own = [scored.get((name, part, key), MISSING) for part in PARTS_IN_ORDER for key in keys]
        twin = next((other for other in rows if name in run.rules and _same_values(rows[other], own)), None)
        if twin is None:
            rows[name], result[name] = own, []
        else:
            result[twin].append(name)
    return {name: tuple(alike) for name, alike in result.items()}


def _same_values(a: Sequence[Dot], b: Sequence[Dot]) -> bool:
    """Whether two rows show the same values in the digits of the table."""
    return all(number(one.value) == number(other.value) for one, other in zip(a, b, strict=True))


def score_drawings(run: Run, keys: Sequence[str]) -> list[Drawing]:
    """One figure of dots and intervals per score."""
    table = score_table(run)
    names = list(distinct_names(run, keys))
    scored = _scored(table)
    has_both = run.part == "test" and bool(run.oof)
    drawings = []
    for key in keys:
        main = [scored.get((name, run.part, key), MISSING) for name in names]
        out_of_fold = [scored.get((name, "oof", key), MISSING) for name in names] if has_both else []
        figure = interval_figure(
            [display_name(name, run) for name in names],
            main,
            out_of_fold=out_of_fold,
            bold=[name not in run.members for name in names],
        )
        first = f"{display_name(names[0], run)} {number(main[0].value)}"
        alt = (
            f"{SCORE_NAMES[key]} of members and ensembles with 95 % intervals: {first}. The table below has "
            "every value."
        )
        caption = "Lower is better." if key in LOWER_IS_BETTER else "Higher is better."
        if key in CHANCE:
            caption += f" Guessing: {number(CHANCE[key] or 1 / len(run.classes))}."
        id_ = f"score-{slug(key)}"
        numbers = table[table["score"] == key]
        drawings.append(Drawing(id_, to_svg(figure, id_, alt), caption, numbers, SCORE_NAMES[key]))
    return drawings


def _scored(table: pd.DataFrame) -> Scored:
    rows = table[["name", "part", "score", "value", "low", "high"]].itertuples(index=False, name=None)
    return {(name, part, key): Dot(value, low, high) for name, part, key, value, low, high in rows}


def _score_tables(run: Run, keys: Sequence[str]) -> list[Table]:
    """One table with both parts side by side, or one table per part if there are many scores."""
    parts = list(PARTS_IN_ORDER) if run.part == "test" and run.oof else [run.part]
    if len(keys) < MANY_SCORES:
        return [_score_table_block(run, keys, parts)]
    return [_score_table_block(run, keys, [part]) for part in parts]


def _score_table_block(run: Run, keys: Sequence[str], parts: Sequence[str]) -> Table:
    label = "Table of scores"
    if len(parts) == 1:
        label += f", {_part_name(run, parts[0]).lower()}"
    heads = tuple(Column(SCORE_NAMES[key], numeric=True) for _ in parts for key in keys)
    return Table(
        label=label,
        columns=(Column(""), *heads),
        rows=tuple(score_rows(run, keys, parts)),
        caption=_score_caption(run),
        groups=tuple(
            ColumnGroup(_part_name(run, part), len(keys), _sample_size(run, part)) for part in parts
        ),
        downloads=(Download("scores", score_table(run)),),
        stamped=True,
    )


def _score_caption(run: Run) -> Markup:
    text = (
        "Value and 95 % interval of every ensemble and member. A value is marked (★) if its interval is "
        "beyond all others of its column."
    )
    if run.prediction_name != ENSEMBLE_PREDICTION:
        return Markup.escape(text)
    start = Markup("The ensemble prediction is the result of <code>quintet predict</code>. ")
    return start + text


def _sample_size(run: Run, part: str) -> str:
    scores = run.results.parts[part][run.prediction_name]
    text = f"n = {scores.n}"
    if groups_known(run):
        text += f", {count(scores.n_groups, group_noun(run))}"
    return text


def score_rows(run: Run, keys: Sequence[str], parts: Sequence[str]) -> list[Row]:
    """Rows of the table of scores, in the order of `rank_names`, without rules that repeat another row.

    A value is marked as the best of its column only if its interval is beyond all others.

    Args:
        run: the model folder.
        keys: the scores.
        parts: the parts, side by side.
    """
    scored = _scored(score_table(run))
    alike = distinct_names(run, keys)
    rows = []
    for name, same in alike.items():
        cells = []
        for part in parts:
            for key in keys:
                column = {other: scored.get((other, part, key), MISSING) for other in alike}
                cells.append(_score_cell(column[name], is_best=clear_winner(column, key) == name))
        emphasis = "" if name in run.members else "ensemble"
        if name == run.prediction_name:
            emphasis += " chosen"
        rows.append(Row(_score_head(name, run, same), tuple(cells), emphasis.strip()))
    return rows


def clear_winner(dots: Mapping[str, Dot], key: str) -> str | None:
    """The name whose interval is beyond the interval of every other name; None if there is none.

    Args:
        dots: name → value with its interval.
        key: the score, which decides whether lower is better.
    """
    sign = -1.0 if key in LOWER_IS_BETTER else 1.0
    ends = {name: np.sort(sign * np.array([dot.low, dot.high])) for name, dot in dots.items()}
    known = {name: pair for name, pair in ends.items() if np.isfinite(pair).all()}
    if len(known) < 2 or len(known) < sum(np.isfinite(dot.value) for dot in dots.values()):
        return None
    first = max(known, key=lambda name: known[name][0])
    rivals = [known[name][1] for name in known if name != first]
    return first if known[first][0] > max(rivals) else None


def _score_cell(dot: Dot, *, is_best: bool) -> Cell:
    cell = number_cell(dot.value, low=dot.low, high=dot.high)
    return Cell(cell.text, cell.notes, cell.sort, kind="best") if is_best else cell


def _score_head(name: str, run: Run, alike: Sequence[str]) -> Cell:
    flag = "random weights" if name in run.random_weights else ""
    notes: tuple[str, ...] = ()
    if name == ENSEMBLE_PREDICTION:
        calibrated = run.calibration is not None and run.calibration.method != "none"
        words = [rule_name(run.best)] if run.rules else []
        words.append("calibrated" if calibrated else "not calibrated")
        notes = (", ".join(words),)
    elif name == run.best and run.rules:
        notes = ("chosen rule",)
    if alike:
        rules = [rule_name(other) for other in alike if other != run.best or not notes]
        notes += (f"same scores: {', '.join(rules)}",) if rules else ()
    return Cell(display_name(name, run), notes, flag=flag)
