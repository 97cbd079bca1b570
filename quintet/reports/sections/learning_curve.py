"""Section "Learning curve": scores by size of the training data, and the gain that more data would bring."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.evaluation.learning_curve import Outlook
from quintet.model_folder.run import Run
from quintet.model_folder.scores import CurveResult, SplitFacts
from quintet.reports.drawing import Drawing
from quintet.reports.figures.curves import learning_curve_figure
from quintet.reports.formats import LOWER_IS_BETTER, SCORE_NAMES, count, format_list, score_phrase
from quintet.reports.report_data import ReportData
from quintet.reports.section import Download, Section, Text, grid
from quintet.reports.style import to_svg
from quintet.reports.text import inline_name, unit

SHOWN_SCORES = ("accuracy", "macro_pr_auc", "macro_auc")
NEGLIGIBLE = 0.01
"""Change of a score that is called next to nothing."""
FACTOR_WORDS = {2.0: "Twice"}
CURVE_COLUMNS = ["share", "clips", "groups", "score", "value", "low", "high"]


def learning_curve_section(data: ReportData) -> Section | None:
    """The measured sizes, the fitted curve and its outlook; None if the run has no learning curve."""
    run, curve = data.run, data.run.results.learning_curve
    if curve is None:
        return None
    tables = (
        ("learning-curve", curve_table(run), "Sizes"),
        ("learning-curve-outlook", outlook_table(run), "Outlook"),
    )
    downloads = tuple(Download(name, table, text) for name, table, text in tables if len(table))
    sentence = curve_sentence(curve, run.results.split)
    return Section(
        id="more",
        title="Learning curve: what more data would bring",
        contents="Learning curve",
        blocks=(Text(sentence, stamped=True, downloads=downloads), *grid(*curve_drawings(run))),
    )


def curve_table(run: Run) -> pd.DataFrame:
    """One row per size and score, columns `CURVE_COLUMNS`; no rows if there is no curve."""
    curve = run.results.learning_curve
    rows = []
    for point in curve.points if curve else ():
        for name, estimate in point.scores.items():
            interval = (estimate.value, estimate.low, estimate.high)
            rows.append((point.share, point.clips, point.groups, name, *interval))
    table = pd.DataFrame(rows, columns=CURVE_COLUMNS)
    return table.astype({"value": float, "low": float, "high": float})


def outlook_table(run: Run) -> pd.DataFrame:
    """One row per score: `score, factor, gain, low, high, ceiling, gap, exponent`."""
    curve = run.results.learning_curve
    rows = []
    for name, outlook in (curve.outlook if curve else {}).items():
        fitted = outlook.curve
        row = {"score": name, "factor": outlook.factor, "gain": outlook.gain}
        row |= {"low": outlook.low, "high": outlook.high}
        row |= {"ceiling": fitted.ceiling, "gap": fitted.gap, "exponent": fitted.exponent}
        rows.append(row)
    return pd.DataFrame(rows)


def curve_drawings(run: Run) -> list[Drawing]:
    """One figure per score: measured sizes with intervals, and the fitted curve up to twice the data."""
    curve = run.results.learning_curve
    if curve is None:
        return []
    table = curve_table(run)
    names = [name for name in SHOWN_SCORES if name in curve.outlook]
    return [_curve_drawing(run, curve, name, table[table["score"] == name]) for name in names]


def _curve_drawing(run: Run, curve: CurveResult, name: str, rows: pd.DataFrame) -> Drawing:
    path = pd.DataFrame(curve.outlook[name].path, columns=["size", "value", "low", "high"], dtype=float)
    first, last, end = rows.iloc[0], rows.iloc[-1], path.iloc[-1]
    alt = (
        f"{SCORE_NAMES[name]} after {first['clips']:.0f} training clips {first['value']:.3f}, after "
        f"{last['clips']:.0f} {last['value']:.3f}; the curve reaches {end['value']:.3f} at {end['size']:.0f}."
    )
    members = format_list([inline_name(member, run) for member in curve.members])
    caption = (
        f"Plain mean of {members}, {_scoring_text(run, curve)}. Bars: 95 % bootstrap intervals "
        f"by {unit(run)}. Every size but the last was drawn {curve.repeats} times. All sizes are scored on "
        "the same clips, so that their differences are more certain than the bars. Beyond the last dot the "
        "fitted curve a − b·n⁻ᶜ is extrapolated, with the range of curves that are fitted to the resamples."
    )
    measured = rows.assign(kind="measured")
    fitted = path.rename(columns={"size": "clips"}).assign(score=name, kind="curve")
    svg = to_svg(learning_curve_figure(rows, path, label=score_phrase(name)), f"curve-{name}", alt)
    numbers = pd.concat([measured, fitted])
    return Drawing(f"curve-{name.replace('_', '-')}", svg, caption, numbers, SCORE_NAMES[name])


def _scoring_text(run: Run, curve: CurveResult) -> str:
    """Clips on which the curve is scored."""
    clips = count(curve.n, "clip")
    if run.results.split.validation is None:
        return f"out of fold on {clips}"
    return f"on the {clips} of the validation part"


def curve_sentence(curve: CurveResult, split: SplitFacts) -> str:
    """The gain that more data would bring in words, and whether it is certain.

    Args:
        curve: the learning curve of the run.
        split: the split, which records whether the curve was drawn by group.
    """
    if not curve.outlook:
        return (
            "No learning curve could be drawn: in the smaller parts of the training data a class has fewer "
            "than two groups."
        )
    name = next(key for key in (*SHOWN_SCORES, "log_loss") if key in curve.outlook)
    outlook = curve.outlook[name]
    by_group = split.grouped is not False
    source = "from new groups" if by_group else "more of the same kind"
    size = f"{_size_phrase(outlook)}, {source}, would change {score_phrase(name)} by {outlook.gain:+.3f}"
    if not np.isfinite([outlook.low, outlook.high]).all():
        return f"{size} if the curve continues in the same way; without intervals its certainty is unknown."
    interval = f"{size} [{outlook.low:+.3f}, {outlook.high:+.3f}]"
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    worse, better = sorted((sign * outlook.low, sign * outlook.high))
    if worse > 0:
        return f"{interval}, if the curve continues in the same way: more data would help."
    if max(abs(outlook.low), abs(outlook.high)) < NEGLIGIBLE:
        return f"{interval}: next to nothing."
    if better < 0:
        added = "groups" if by_group else "clips"
        return (
            f"{interval}: on these clips the score falls as data grow. Check whether the added {added} are "
            "of the same kind."
        )
    return f"{interval}: these clips do not show whether more data would help."


def _size_phrase(outlook: Outlook) -> str:
    times = FACTOR_WORDS.get(outlook.factor, f"{outlook.factor:g} times")
    return f"{times} the data ({outlook.factor * outlook.curve.largest:.0f} training clips)"
