"""How strange clips of known classes are taken for, on the page: whom the answer "none of these" would hit although it should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.style import colour, legend, new_figure, tidy, to_svg
from quintet.reports.text import count, evaluation_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIDENCE = 0.9
MOST_ROWS = 24  # classes on the figure, those with the strangest clips first; the numbers have all


def out_of_class_table(run: Run) -> pd.DataFrame:
    """One row per held-out clip: `clip_id, class, right, out_of_class, distance`; empty for label sets and in folders older than the score."""
    p = run.report_predictions
    if run.out_of_class.empty or not p.scorable.any():
        return pd.DataFrame(columns=["clip_id", "class", "right", "out_of_class", "distance"])
    kept, codes = np.flatnonzero(p.scorable), p.codes()
    found = run.out_of_class_of(p.clip_ids[kept])
    right = p.probabilities[kept].argmax(axis=1) == codes[kept]
    return pd.DataFrame(
        {"clip_id": p.clip_ids[kept], "class": np.asarray(p.labels)[kept], "right": right}
    ).assign(out_of_class=found["out_of_class"].to_numpy(), distance=found["distance"].to_numpy())


def out_of_class_drawing(run: Run) -> Drawing | None:
    """The out-of-class score of every held-out clip, a row per class; None where there is none."""
    table = out_of_class_table(run)
    if table.empty:
        return None
    beyond = table["out_of_class"] >= CONFIDENCE
    counts = (
        table.assign(beyond=beyond)
        .groupby("class")
        .agg(beyond=("beyond", "mean"), mean=("out_of_class", "mean"))
    )
    names = counts.sort_values(["beyond", "mean"], ascending=False).index.tolist()
    alt = f"Out-of-class score by class: {count(int(beyond.sum()), 'clip')} of {len(table)} at {CONFIDENCE:g} or more."
    come = "comes" if beyond.sum() == 1 else "come"
    caption = (
        f"How strange each {evaluation_part(run)} clip is taken for: from 0 to 1, by what the members say and, where the model measures it, by the clip's "
        f"distance from all classes. All of them are of known classes, and {_share(beyond)} {come} out as “none of "
        f"these” at {CONFIDENCE:g} (right of the line), where the promise allows one in ten. {_how_right(table, beyond)}How clips of unknown classes "
        "come out cannot be seen here: hold a class back and train without it."
    )
    if len(names) > MOST_ROWS:
        caption += f" Shown: the {MOST_ROWS} strangest of {len(names)} classes."
    svg = to_svg(_strange_figure(table, names[:MOST_ROWS]), "strange", alt)
    return Drawing("strange", svg, caption, table, "Who is taken for a stranger")


def _share(beyond: pd.Series) -> str:
    return f"{int(beyond.sum())} of {len(beyond)} ({beyond.mean():.0%})"


def _how_right(table: pd.DataFrame, beyond: pd.Series) -> str:
    if not beyond.any() or beyond.all():
        return ""
    right = table["right"]
    n = int(right[beyond].sum())
    return f"Of those, {n} {'has' if n == 1 else 'have'} the right class on top, of the others {right[~beyond].mean():.0%}. "


def _strange_figure(table: pd.DataFrame, names: list[str]) -> Figure:
    figure = new_figure(58 + 22 * len(names))
    axes = figure.subplots()
    rows = {name: len(names) - 1 - i for i, name in enumerate(names)}
    shown = table[table["class"].isin(rows)]
    order = shown.groupby("class").cumcount()
    height = shown["class"].map(rows) + 0.28 * np.sin(2.4 * order)  # apart from one another, by no chance
    for right, shape, paint, text in (
        (True, "o", "accent", "right class on top"),
        (False, "X", "bad", "wrong class on top"),
    ):
        some = (shown["right"] == right).to_numpy()
        axes.scatter(
            shown["out_of_class"][some],
            height[some],
            marker=shape,
            s=18,
            color=colour(paint),
            alpha=0.65,
            linewidths=0,
            label=text,
        )
    axes.axvline(CONFIDENCE, color=colour("muted"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel="out-of-class score")
    axes.set_yticks(list(rows.values()), [name if len(name) <= 18 else f"{name[:17]}…" for name in rows])
    tidy(axes, grid="x")
    legend(
        axes, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, columnspacing=1.2, handletextpad=0.2
    )
    return figure
