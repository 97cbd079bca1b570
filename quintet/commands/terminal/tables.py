"""Tables of the terminal: scores, comparisons, the leak gate, the learning curve and searches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from quintet.files.json_types import JsonObject
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


def interval(score: JsonObject | None) -> str:
    """A score with its interval: `0.871 [0.80, 0.93]`, or a dash if the score is undefined.

    Example:
        >>> interval({"value": 0.012, "low": -0.001, "high": 0.031}), interval({"value": None})
        ('0.012 [dim]\\\\[0.00, 0.03][/]', '–')
    """
    if not score or score.get("value") is None:
        return "–"
    value = f"{score['value']:z.3f}"
    if score.get("low") is None:
        return value
    return f"{value} [dim]\\[{score['low']:z.2f}, {score['high']:z.2f}][/]"


def difference(score: JsonObject) -> str:
    """A difference with its sign and interval: `+0.047 [+0.00, +0.10]`, or a dash if it is undefined."""
    if score["value"] is None:
        return "–"
    value = f"{score['value']:+z.3f}"
    if score["low"] is None:
        return value
    return f"{value} [dim]\\[{score['low']:+z.2f}, {score['high']:+z.2f}][/]"


def score_heading(score: str) -> str:
    """Heading of a column for a score.

    Example:
        >>> score_heading("macro_pr_auc"), score_heading("log_loss")
        ('macro PR AUC', 'log loss')
    """
    words = [word.upper() if word in ("auc", "pr", "f1", "ece") else word for word in score.split("_")]
    return " ".join(words)


def score_table(scores: JsonObject, *, chosen: str, width: int) -> Table:
    """Scores of the members, then of the ensembles, with intervals.

    Args:
        scores: name → scores, a part of scores.json.
        chosen: name of the rule that predicts; its row is bold.
        width: columns of the terminal. A narrow terminal shows no macro F1.
    """
    from quintet.ensemble.fusion import RULES

    headings = _score_headings(scores, width)
    table = new_table("", *headings.values())
    members = [name for name in scores if name not in RULES]
    ensembles = [name for name in scores if name in RULES]
    for name in [*members, *ensembles]:
        mark = "» " if name in RULES else ""
        arrow, style = (" ←", "bold") if name == chosen else ("", "")
        values = scores[name]["scores"]
        cells = [interval(values.get(score)) for score in headings]
        table.add_row(f"{mark}{name}{arrow}", *cells, style=style)
    return table


def _score_headings(scores: JsonObject, width: int) -> dict[str, str]:
    """Score → heading of its column, for the scores that fit on the terminal."""
    headings = dict(SHOWN_SCORES)
    if width < WIDTH_FOR_MACRO_F1:
        del headings["macro_f1"]
    has_accuracy = any("accuracy" in row["scores"] for row in scores.values())
    if not has_accuracy:
        del headings["accuracy"]
        headings = {**SCORES_OF_SETS, **headings}
    return headings


def published_table(scores: JsonObject) -> Table:
    """Published scores next to ours: one row per published member, one column per score.

    Args:
        scores: content of scores.json.
    """
    published = scores["published"]["scores"]
    ours = scores["test" if "test" in scores else "oof"]
    keys = list(dict.fromkeys(key for row in published.values() for key in row))
    table = new_table("published | ours", *map(score_heading, keys))
    for name, row in published.items():
        our_row = ours.get(name, {}).get("scores", {})
        table.add_row(name, *(_published_cell(row.get(key), our_row.get(key)) for key in keys))
    return table


def _published_cell(published: float | None, ours: JsonObject | None) -> str:
    return "–" if published is None else f"{published:.3f} | {_bold_value(ours)}"


def _bold_value(score: JsonObject | None) -> str:
    return "–" if not score or score.get("value") is None else f"[bold]{score['value']:.3f}[/]"


def evaluation_tables(evaluation: JsonObject) -> list[Table]:
    """All scores of `quintet evaluate`.

    Up to three files have one column each in one table. More files have one row each, in several tables.

    Args:
        evaluation: result of `quintet.predictions.evaluate.evaluate_files`.
    """
    columns = {evaluation["of"] if "files" in evaluation else "": evaluation, **evaluation.get("files", {})}
    scores = list(evaluation["scores"])
    if len(columns) <= SCORES_PER_LINE:
        table = new_table("", *map(escape, columns))
        for score in scores:
            cells = [interval(column["scores"].get(score)) for column in columns.values()]
            table.add_row(score, *cells)
        return [table]
    tables = []
    for start in range(0, len(scores), SCORES_PER_LINE):
        part = scores[start : start + SCORES_PER_LINE]
        table = new_table("", *map(score_heading, part))
        for name, column in columns.items():
            cells = [interval(column["scores"].get(score)) for score in part]
            table.add_row(escape(name), *cells)
        tables.append(table)
    return tables


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
        evaluation: result of `quintet.predictions.evaluate.evaluate_files` for several files.
    """
    table = new_table("mean minus", "in", "difference", "p")
    for name in evaluation["files"]:
        rows = _comparison_rows(evaluation, name)
        for k, row in enumerate(rows):
            table.add_row("" if k else escape(name), *row)
    return table


def _comparison_rows(evaluation: JsonObject, name: str) -> list[tuple[str, str, str]]:
    """Rows of one file: bootstrap differences, McNemar, and a summary of DeLong."""

    def rows_of(test: str) -> list[JsonObject]:
        return [row for row in evaluation[test] if row["second"] == name]

    rows = [(score_heading(row["metric"]), difference(row), _p_value(row)) for row in rows_of("comparisons")]
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


def gate_tables(gate: JsonObject) -> list[Table]:
    """First score of the leak gate under each protocol, and its gaps to the first protocol.

    Two protocols and their gap fit in one table. More protocols have a second table for the gaps.

    Args:
        gate: `leak_gate` in scores.json.
    """
    protocols: JsonObject = gate["protocols"]
    first, *others = protocols
    score = gate["gaps"][0]["score"]
    ungrouped = gate.get("ungrouped", ())
    names = [_protocol_heading(protocol, ungrouped) for protocol in protocols]
    gaps = [f"{first} − {other}" for other in others]
    is_one_table = len(protocols) == 2
    if is_one_table:
        tables = [_gate_table(*names, *gaps)]
    else:
        tables = [_gate_table(*names), _gate_table(*gaps)]
    for member in protocols[first]:
        cells = [interval(scores[member]["scores"][score]) for scores in protocols.values()]
        member_gaps = _member_gaps(gate, member, score)
        if is_one_table:
            tables[0].add_row(member, *cells, *member_gaps)
        else:
            tables[0].add_row(member, *cells)
            tables[1].add_row(member, *member_gaps)
    return tables


def _protocol_heading(protocol: str, ungrouped: Collection[str]) -> str:
    return protocol + (" [bold red](ungrouped)[/]" if protocol in ungrouped else "")


def _member_gaps(gate: JsonObject, member: str, score: str) -> list[str]:
    gaps = [gap for gap in gate["gaps"] if gap["member"] == member and gap["score"] == score]
    return [difference(gap) for gap in gaps]


def _gate_table(*columns: str) -> Table:
    table = Table("", *columns, header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True
    return table


def curve_table(curve: JsonObject) -> Table:
    """Learning curve: one row per size of the training data, with its scores.

    Args:
        curve: `learning_curve` in scores.json.
    """
    names = list(curve["points"][0]["scores"])
    table = new_table("trained on", *map(score_heading, names))
    for point in curve["points"]:
        cells = [interval(point["scores"][name]) for name in names]
        table.add_row(f"{point['clips']:.0f} clips", *cells)
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
