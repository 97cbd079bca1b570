"""The search for settings on the page: what was tried, the best so far, what was gained, and whether it is what the members were trained with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing, slug
from quintet.reports.style import colour, legend, new_figure, tidy, to_svg
from quintet.reports.text import (
    LOWER_IS_BETTER,
    SCORE_NAMES,
    display_name,
    format_settings,
    group_noun,
    groups_known,
    number,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
FOUND = [
    "member",
    "default",
    "best",
    "gain",
    "low",
    "high",
    "n_trials",
    "n_pruned",
    "settings",
    "used",
    "verdict",
]


def search_table(run: Run) -> pd.DataFrame:
    """One row per member that was searched, columns `FOUND`; empty where none was. `used`: whether the member was trained with what was found."""
    found = run.tuning.get("members", {})
    rows = [
        (
            *(
                name,
                tuned["default_value"],
                tuned["best_value"],
                *(tuned["gain"][end] for end in ("value", "low", "high")),
            ),
            *(
                tuned["n_trials"],
                tuned["n_pruned"],
                json.dumps(tuned["settings"]),
                _contains(run.member_settings(name), tuned["settings"]),
            ),
            tuned["verdict"],
        )
        for name, tuned in found.items()
        if name in run.members
    ]
    return pd.DataFrame(rows, columns=FOUND)


def trial_table(run: Run) -> pd.DataFrame:
    """Every trial of these members: `member, number, state, value, best_so_far, settings, seconds`; the best is of complete trials."""
    trials = run.trials
    if trials.empty:
        return trials
    trials = trials[trials["member"].isin(search_table(run)["member"])].reset_index(drop=True)
    complete = trials["value"].where(trials["state"] == "complete")
    best = (
        complete.groupby(trials["member"]).cummin()
        if _smaller(run)
        else complete.groupby(trials["member"]).cummax()
    )
    trials["best_so_far"] = best.groupby(trials["member"]).ffill()
    return trials[["member", "number", "state", "value", "best_so_far", "settings", "seconds"]]


def search_drawings(run: Run) -> list[Drawing]:
    """One figure per member: its trials and the best so far."""
    trials = trial_table(run)
    score = SCORE_NAMES.get(run.tuning.get("metric", ""), "")
    drawings = []
    for row in search_table(run).to_dict("records"):
        rows, who = trials[trials["member"] == row["member"]], display_name(row["member"], run)
        alt = (
            f"{score} of {who} by trial: the default {number(row['default'])}, the best of {row['n_trials']} trials {number(row['best'])}, "
            f"found in trial {int(rows['best_so_far'].eq(row['best']).to_numpy().argmax()) + 1}."
        )
        name = f"search-{slug(row['member'])}"
        svg = to_svg(search_figure(rows, label=score[:1].lower() + score[1:]), name, alt)
        caption = f"{'Lower' if _smaller(run) else 'Higher'} is better. Trial 1 is the default."
        low, high = _reach(rows["best_so_far"].to_numpy(np.float64))
        if not rows["value"].between(low, high).all():
            caption += " An arrowhead stands for a trial far outside."
        drawings.append(Drawing(name, svg, caption, rows, who))
    return drawings


def search_figure(trials: pd.DataFrame, *, label: str) -> Figure:
    """Trials by number, and the best so far as steps. What lies far off stands at the border, as an arrowhead.

    Args:
        trials: of one member, `state, value, best_so_far`, the first of them the default. label: of the vertical axis.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(210)
    axes = figure.subplots()
    x, y = np.arange(1, len(trials) + 1), trials["value"].to_numpy(np.float64)
    complete = (trials["state"] == "complete").to_numpy()
    best = trials["best_so_far"].to_numpy(np.float64)
    low, high = _reach(best)
    shown = y[(y >= low) & (y <= high)]
    low, high = shown.min(), shown.max()
    pad = 0.06 * max(high - low, 1e-6)
    handles: list[Any] = list(
        axes.step(x, best, where="post", color=colour("accent"), linewidth=2, label="best so far")
    )
    handles.append(axes.axhline(y[0], color=colour("faint"), linewidth=1, dashes=(4, 2), label="default"))
    for rows, fill, text in ((complete, colour("series-2"), "trial"), (~complete, "none", "stopped early")):
        for far, marker in ((None, "o"), (y > high, "^"), (y < low, "v")):
            chosen = rows & ((y >= low) & (y <= high) if far is None else far)
            if chosen.any():
                dots = axes.scatter(
                    x[chosen],
                    np.clip(y[chosen], low, high),
                    s=16,
                    marker=marker,
                    facecolor=fill,
                    edgecolor=colour("series-2"),
                    zorder=3,
                )
                if far is None:
                    dots.set_label(text)
                    handles.append(dots)
    axes.set(xlabel="trial", ylabel=label, ylim=(low - pad, high + pad))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, grid="y")
    legend(axes, handles)
    return figure


def _reach(best: Floats) -> tuple[float, float]:
    """The values that the axis of a search takes in, from its best so far."""
    reach = 3 * max(abs(best[0] - best[-1]), 0.02 * abs(best[0]), 1e-6)
    return min(best[0], best[-1]) - reach, max(best[0], best[-1]) + reach


def search_view(run: Run) -> dict[str, Any] | None:
    """What the page says of the search; None where there was none."""
    table, told = search_table(run), run.tuning
    if table.empty:
        return None
    rows = [
        {
            **row,
            "display": display_name(row["member"], run),
            "settings": format_settings(json.loads(row["settings"])),
            "moved": row["settings"] != "{}",
        }
        for row in table.to_dict("records")
    ]
    clips = f"{told['n']:,} clips" if "n" in told else "the clips"
    if "n" in told and groups_known(run):
        clips += f" of {told['n_groups']:,} {group_noun(run)}s"
    return {
        "metric": SCORE_NAMES.get(told["metric"], told["metric"]),
        "on": f"{clips} of the training part, out of fold on {told.get('n_folds', 'several')} folds",
        "rows": rows,
        "other_split": told.get("split") != (run.config.get("split") or {}).get("digest"),
        "unused": [row["display"] for row in rows if not row["used"]],
    }


def _smaller(run: Run) -> bool:
    return run.tuning.get("metric") in LOWER_IS_BETTER


def _contains(settings: Any, found: Any) -> bool:
    """Whether every setting that was found is among those that were given, tables within settings likewise."""
    return all(
        name in settings
        and (
            _contains(settings[name], value)
            if isinstance(value, dict) and isinstance(settings[name], dict)
            else settings[name] == value
        )
        for name, value in found.items()
    )
