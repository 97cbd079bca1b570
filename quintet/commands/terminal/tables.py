"""Tables of the terminal: scores, comparisons, the leak gate, the learning curve and searches."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from quintet.evaluation.scores import Difference, Estimate
    from quintet.files.json_types import JsonObject
    from quintet.model_folder.scores import CurveResult, LeakGate, PartScores, PublishedScores
    from quintet.tuning.study import Trial
    from quintet.tuning.tune import TuningResult

SHOWN_SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "log_loss": "log loss",
}
SCORES_OF_SETS = {"macro_pr_auc": "macro PR AUC"}  # label sets have no accuracy
WIDTH_FOR_MACRO_F1 = 105
SCORES_PER_LINE = 3
"""Scores with their intervals that fit on a line of 80 columns."""


def new_table(*headings: str) -> Table:
    """A table without lines, whose cells are never broken."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table on standard output; nothing, not even its headings, if it has no row."""
    from quintet.commands.terminal.console import out

    if table.rows:
        out.print(table)


def interval(score: Estimate | None) -> str:
    """A score with its interval: `0.871 [0.80, 0.93]`, or a dash if the score is undefined.

    Example:
        >>> from quintet.evaluation.scores import Estimate
        >>> interval(Estimate(0.012, -0.001, 0.031)), interval(Estimate(math.nan, math.nan, math.nan))
        ('0.012 [dim]\\\\[0.00, 0.03][/]', '–')
    """
    if score is None or math.isnan(score.value):
        return "–"
    value = f"{score.value:z.3f}"
    if math.isnan(score.low):
        return value
    return f"{value} [dim]\\[{score.low:z.2f}, {score.high:z.2f}][/]"


def difference(score: Difference) -> str:
    """A difference with its sign and interval: `+0.047 [+0.00, +0.10]`, or a dash if it is undefined."""
    if math.isnan(score.value):
        return "–"
    value = f"{score.value:+z.3f}"
    if math.isnan(score.low):
        return value
    return f"{value} [dim]\\[{score.low:+z.2f}, {score.high:+z.2f}][/]"


def score_heading(score: str) -> str:
    """Heading of a column for a score.

    Example:
        >>> score_heading("macro_pr_auc"), score_heading("log_loss")
        ('macro PR AUC', 'log loss')
    """
    words = [word.upper() if word in ("auc", "pr", "f1", "ece") else word for word in score.split("_")]
    return " ".join(words)


def score_table(scores: PartScores, *, chosen: str, width: int, stamped: Collection[str] = ()) -> Table:
    """Scores of the members, then of the ensembles, with intervals.

    Args:
        scores: name → scores on one part.
        chosen: name of the rule that predicts; its row is bold.
        width: columns of the terminal. A narrow terminal shows no macro F1.
        stamped: names whose scores depend on pretrained networks; they get a †.
    """
    from quintet.ensemble.fusion import RULES

    headings = _score_headings(scores, width)
    table = new_table("", *headings.values())
    members = [name for name in scores if name not in RULES]
    ensembles = [name for name in scores if name in RULES]
    for name in [*members, *ensembles]:
        mark = "» " if name in RULES else ""
        arrow, style = (" ←", "bold") if name == chosen else ("", "")
        estimates = scores[name].scores
        cells = [interval(estimates.get(score)) for score in headings]
        stamp = "†" if name in stamped else ""
        table.add_row(f"{mark}{name}{stamp}{arrow}", *cells, style=style)
    return table


def _score_headings(scores: PartScores, width: int) -> dict[str, str]:
    """Score → heading of its column, for the scores that fit on the terminal."""
    headings = dict(SHOWN_SCORES)
    if width < WIDTH_FOR_MACRO_F1:
        del headings["macro_f1"]
    has_accuracy = any("accuracy" in row.scores for row in scores.values())
    if not has_accuracy:
        del headings["accuracy"]
        headings = {**SCORES_OF_SETS, **headings}
    return headings


def published_table(published: PublishedScores, ours: PartScores) -> Table:
    """Published scores next to ours: one row per published member, one column per score.

    Args:
        published: the published scores.
        ours: name → our scores.
    """
    keys = list(dict.fromkeys(key for row in published.scores.values() for key in row))
    table = new_table("published | ours", *map(score_heading, keys))
    for name, row in published.scores.items():
        estimates = ours[name].scores if name in ours else {}
        cells = [_published_cell(row.get(key), estimates.get(key)) for key in keys]
        table.add_row(name, *cells)
    return table


def _published_cell(published: float | None, ours: Estimate | None) -> str:
    return "–" if published is None else f"{published:.3f} | {_bold_value(ours)}"


def _bold_value(score: Estimate | None) -> str:
    return "–" if score is None or math.isnan(score.value) else f"[bold]{score.value:.3f}[/]"


def evaluation_tables(evaluation: JsonObject) -> list[Table]:
    """All scores of `quintet evaluate`.

    Up to three files have one column each in one table. More files have one row each, in several tables.

    Args:
        evaluation: result of `quintet.predictions.evaluate.evaluate`.
    """
    columns = {evaluation["of"] if "files" in evaluation else "": evaluation, **evaluation.get("files", {})}
    scores = list(evaluation["scores"])
    if len(columns) <= SCORES_PER_LINE:
        table = new_table("", *map(escape, columns))
        for score in scores:
            cells = [_stored_interval(column, score) for column in columns.values()]
            table.add_row(score, *cells)
        return [table]
    tables = []
    for start in range(0, len(scores), SCORES_PER_LINE):
        part = scores[start : start + SCORES_PER_LINE]
        table = new_table("", *map(score_heading, part))
        for name, column in columns.items():
            cells = [_stored_interval(column, score) for score in part]
            table.add_row(escape(name), *cells)
        tables.append(table)
    return tables


def _stored_interval(evaluation: JsonObject, score: str) -> str:
    """A score of an evaluation with its interval."""
    from quintet.evaluation.scores import Estimate

    content = evaluation["scores"].get(score)
    return interval(None if content is None else Estimate.from_json(content))


def undefined_lines(undefined: Sequence[JsonObject]) -> list[str]:
    """Lines about classes for which scores are undefined; none if there are no such classes.

    Example:
        >>> undefined_lines([{"class": "harp", "support": 0, "metrics": ["recall", "auc"]}])
        ['1 class is undefined in some scores, and left out of their means:', '  harp (0 clips): recall, AUC']
    """
    if not undefined:
        return []
    classes = "1 class is" if len(undefined) == 1 else f"{len(undefined)} classes are"
    lines = [f"{classes} undefined in some scores, and left out of their means:"]
    for row in undefined:
        scores = ", ".join(map(score_heading, row["metrics"]))
        lines.append(f"  {row['class']} ({row['support']} clips): {scores}")
    return lines


def comparison_table(evaluation: JsonObject) -> Table:
    """Differences between the mean of several files and each file, with corrected p-values.

    Args:
        evaluation: result of `quintet.predictions.evaluate.evaluate` for several files.
    """
    table = new_table("mean minus", "in", "difference", "p")
    for name in evaluation["files"]:
        rows = _comparison_rows(evaluation, name)
        for k, row in enumerate(rows):
            table.add_row("" if k else escape(name), *row)
    return table


def _comparison_rows(evaluation: JsonObject, name: str) -> list[tuple[str, str, str]]:
    """Rows of one file: bootstrap differences, McNemar, and a summary of DeLong."""
    from quintet.evaluation.scores import Difference

    def rows_of(test: str) -> list[JsonObject]:
        return [row for row in evaluation[test] if row["second"] == name]

    rows = []
    for row in rows_of("comparisons"):
        gap = difference(Difference.from_json(row))
        rows.append((score_heading(row["metric"]), gap, _p_value(row)))
    for row in rows_of("mcnemar"):
        clips = f"{row['only_first']} : {row['only_second']} clips"
        rows.append(("McNemar", clips, _p_value(row)))
    areas = rows_of("delong")
    if areas:
        n_significant = sum(row["p_holm"] < 0.05 for row in areas)
        rows.append(("DeLong", f"{n_significant} of {len(areas)} classes", ""))
    return rows


def _p_value(row: JsonObject) -> str:
    return "–" if row["p_holm"] is None else f"{row['p_holm']:.2g}"


def gate_tables(gate: LeakGate) -> list[Table]:
    """First score of the leak gate under each protocol, and its gaps to the first protocol.

    Two protocols and their gap fit in one table. More protocols have a second table for the gaps.

    Args:
        gate: scores under several protocols.
    """
    first, *others = gate.protocols
    score = gate.gaps[0].score
    names = [_protocol_heading(protocol, gate.ungrouped) for protocol in gate.protocols]
    gaps = [f"{first} − {other}" for other in others]
    is_one_table = len(gate.protocols) == 2
    if is_one_table:
        tables = [_gate_table(*names, *gaps)]
    else:
        tables = [_gate_table(*names), _gate_table(*gaps)]
    for member in gate.protocols[first]:
        cells = [interval(part[member].scores[score]) for part in gate.protocols.values()]
        member_gaps = _member_gaps(gate, member, score)
        if is_one_table:
            tables[0].add_row(member, *cells, *member_gaps)
        else:
            tables[0].add_row(member, *cells)
            tables[1].add_row(member, *member_gaps)
    return tables


def _protocol_heading(protocol: str, ungrouped: Collection[str]) -> str:
    return protocol + (" [bold red](ungrouped)[/]" if protocol in ungrouped else "")


def _member_gaps(gate: LeakGate, member: str, score: str) -> list[str]:
    gaps = [gap for gap in gate.gaps if gap.member == member and gap.score == score]
    return [difference(gap.difference) for gap in gaps]


def _gate_table(*columns: str) -> Table:
    table = Table("", *columns, header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True
    return table


def curve_table(curve: CurveResult) -> Table:
    """Learning curve: one row per size of the training data, with its scores.

    Args:
        curve: a learning curve with points.
    """
    names = list(curve.points[0].scores)
    table = new_table("trained on", *map(score_heading, names))
    for point in curve.points:
        cells = [interval(point.scores[name]) for name in names]
        table.add_row(f"{point.clips:.0f} clips", *cells)
    return table


def trial_line(trial: Trial, n_trials: int) -> str:
    """One line about a finished trial.

    Args:
        trial: the trial.
        n_trials: trials per member.
    """
    settings = "the default"
    if trial.number > 0:
        values = [f"{name}={_short(value)}" for name, value in trial.settings.items()]
        settings = escape(", ".join(values))
    value = f"{trial.value:.4f}"
    if trial.state == "pruned":
        value = "[dim]stopped early[/]"
    count = f"{trial.number + 1}/{n_trials}"
    duration = f"[dim]{trial.seconds:.1f} s[/]"
    return f"  {trial.member} {count}  {value}  {settings}  {duration}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        entries = [f"{name}={_short(inner)}" for name, inner in value.items()]
        return "{" + ", ".join(entries) + "}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def tuning_table(result: TuningResult) -> Table:
    """Metric of the default and of the best trial of each member, and the gain with its interval."""
    metric = score_heading(result.metric)
    table = new_table("", f"{metric}: default", "best", "gain", "trials")
    for name, tuned in result.members.items():
        gain = tuned.gain
        interval_text = f"[dim]\\[{gain.low:+.3f}, {gain.high:+.3f}][/]"
        gain_text = f"{gain.value:+.3f} {interval_text}" if tuned.best else "–"
        values = (f"{tuned.default_value:.3f}", f"{tuned.best_value:.3f}")
        table.add_row(name, *values, gain_text, str(tuned.n_trials))
    return table
