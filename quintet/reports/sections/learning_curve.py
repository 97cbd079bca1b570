"""The learning curve on the page: how the scores grew with the training data, and what more of it would bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.style import colour, new_figure, tidy, to_svg
from quintet.reports.text import (
    LOWER_IS_BETTER,
    SCORE_NAMES,
    count,
    format_list,
    inline_name,
    score_phrase,
    unit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("accuracy", "macro_pr_auc", "macro_auc")
NEGLIGIBLE = 0.01
TIMES = {2.0: "Twice"}


def stored_curve(run: Run) -> Mapping[str, Any]:
    """What scores.json says of the learning curve; empty where none was drawn."""
    return dict(run.scores.get("learning_curve", {}))


def curve_table(run: Run) -> pd.DataFrame:
    """One row per size and score: `share, clips, groups, score, value, low, high`; empty where there is no curve."""
    rows = [
        (
            point["share"],
            point["clips"],
            point["groups"],
            name,
            *(found.get(end) for end in ("value", "low", "high")),
        )
        for point in stored_curve(run).get("points", [])
        for name, found in point["scores"].items()
    ]
    columns = ["share", "clips", "groups", "score", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})


def outlook_table(run: Run) -> pd.DataFrame:
    """One row per score: `score, factor, gain, low, high, ceiling, gap, exponent`."""
    return pd.DataFrame(
        [
            {
                "score": name,
                "factor": o["factor"],
                "gain": o["gain"]["value"],
                **{end: o["gain"][end] for end in ("low", "high")},
            }
            | {key: o[key] for key in ("ceiling", "gap", "exponent")}
            for name, o in stored_curve(run).get("outlook", {}).items()
        ]
    )


def curve_drawings(run: Run) -> list[Drawing]:
    """One figure per score: the measured sizes with their intervals, and the curve through them to twice the data."""
    curve, table = stored_curve(run), curve_table(run)
    drawings = []
    for name in [name for name in SHOWN if name in curve.get("outlook", {})]:
        rows, ahead = table[table["score"] == name], curve["outlook"][name]
        path = pd.DataFrame(ahead["path"], dtype=float)
        first, last = rows.iloc[0], rows.iloc[-1]
        alt = (
            f"{SCORE_NAMES[name]} after {first['clips']:.0f} training clips {first['value']:.3f}, after {last['clips']:.0f} {last['value']:.3f}; "
            f"the curve reaches {path['value'].iloc[-1]:.3f} at {path['size'].iloc[-1]:.0f}."
        )
        caption = (
            f"The plain mean of {format_list([inline_name(member, run) for member in curve['members']])}, out of fold on {count(curve['n'], 'clip')}; "
            f"bars: 95 % bootstrap intervals by {unit(run)}. Every size but the last was drawn {curve['repeats']} times. All sizes are judged on the "
            "same clips, so what differs between them is surer than the bars. Beyond the last dot the fitted curve a − b·n⁻ᶜ goes on, with the range "
            "of curves refitted to the resamples."
        )
        numbers = pd.concat(
            [
                rows.assign(kind="measured"),
                path.rename(columns={"size": "clips"}).assign(score=name, kind="curve"),
            ]
        )
        svg = to_svg(curve_figure(rows, path, label=score_phrase(name)), f"curve-{name}", alt)
        drawings.append(Drawing(f"curve-{name.replace('_', '-')}", svg, caption, numbers, SCORE_NAMES[name]))
    return drawings


def curve_figure(rows: pd.DataFrame, path: pd.DataFrame, *, label: str) -> Figure:
    """Dots with intervals at the sizes that were measured; a line through them, dashed where nothing was measured.

    Args:
        rows: `clips, value, low, high`. path: `size, value, low, high`, the fitted curve. label: of the vertical axis.
    """
    figure = new_figure(230)
    axes = figure.subplots()
    seen = path["size"] <= rows["clips"].max() * 1.0001
    if path["low"].notna().all():
        axes.fill_between(
            path["size"], path["low"], path["high"], color=colour("accent"), alpha=0.1, linewidth=0
        )
    axes.plot(path.loc[seen, "size"], path.loc[seen, "value"], color=colour("accent"), linewidth=1.6)
    from_last = path[(~seen) | (np.arange(len(path)) == int(seen.sum()) - 1)]
    axes.plot(
        from_last["size"], from_last["value"], color=colour("accent"), linewidth=1.6, linestyle=(0, (4, 3))
    )
    axes.vlines(rows["clips"], rows["low"], rows["high"], color=colour("ink"), linewidth=2.2, alpha=0.45)
    axes.plot(rows["clips"], rows["value"], "o", color=colour("ink"), markersize=6.5)
    axes.set(xlabel="clips to learn from", ylabel=label)
    axes.set_xlim(left=0)
    tidy(axes, grid="y")
    return figure


def curve_sentence(curve: Mapping[str, Any], split: Mapping[str, Any]) -> str:
    """What more data would bring, in words, and whether that is known; empty without a curve.

    Args:
        curve: `scores["learning_curve"]`. split: `scores["split"]`, which says whether the curve was drawn by group.
    """
    if not curve:
        return ""
    if not curve["outlook"]:
        return "No learning curve could be drawn: in the smaller parts of the training data a class is left with fewer than two groups."
    name = next(key for key in (*SHOWN, "log_loss") if key in curve["outlook"])
    ahead = curve["outlook"][name]
    gain, low, high = (ahead["gain"][end] for end in ("value", "low", "high"))
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    times = TIMES.get(ahead["factor"], f"{ahead['factor']:g} times")
    clips = f"{ahead['factor'] * ahead['largest']:.0f} clips to learn from"
    new, more = (
        ("from new groups", "groups") if split.get("grouped", True) else ("more of the same kind", "clips")
    )
    size = f"{times} the data ({clips}), {new}, would change {score_phrase(name)} by {gain:+.3f}"
    if low is None or high is None:
        return f"{size} if the curve goes on as it has; how sure that is cannot be told without intervals."
    bounds = f"{size} [{low:+.3f}, {high:+.3f}]"
    worse, better = sorted((sign * low, sign * high))
    if worse > 0:
        return f"{bounds}, if the curve goes on as it has: more data would help."
    if max(abs(low), abs(high)) < NEGLIGIBLE:
        return f"{bounds}: next to nothing."
    if better < 0:
        return f"{bounds}: on these clips the score falls as data grow. See whether the added {more} are of the same kind."
    return f"{bounds}: whether more data would help cannot be told from these clips."
