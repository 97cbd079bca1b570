"""The report: everything a model folder knows, on one page that needs no network, with every figure's numbers beside it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from quintet.errors import ArtefactError
from quintet.explanation.importance import TOTAL
from quintet.explanation.members import RunExplanation, explain_run
from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run, read_run
from quintet.reports import drawing as drawings
from quintet.reports.drawing import Drawing
from quintet.reports.sections.calibration import calibrated_members, member_table, reliability_drawing
from quintet.reports.sections.confusion import main_confusions
from quintet.reports.sections.fusion import comparison_table, worth, worth_drawing, worth_names, worth_rows
from quintet.reports.sections.leak_gate import gap_table, gate_drawings, gate_table, gate_view
from quintet.reports.sections.learning_curve import (
    curve_drawings,
    curve_sentence,
    curve_table,
    outlook_table,
    stored_curve,
)
from quintet.reports.sections.maps import atlas
from quintet.reports.sections.out_of_class import out_of_class_drawing
from quintet.reports.sections.prediction_sets import selective_accuracy_drawing, set_table, set_view
from quintet.reports.sections.published import published_table, published_view
from quintet.reports.sections.reproduce import commands, provenance
from quintet.reports.sections.scores import (
    PER_CLASS_NAMES,
    class_table,
    failure_reasons,
    mistakes,
    rank_names,
    score_names,
    score_rows,
    score_table,
)
from quintet.reports.sections.tuning import search_drawings, search_table, search_view, trial_table
from quintet.reports.style import css_variables, marker
from quintet.reports.text import (
    LOWER_IS_BETTER,
    SCORE_NAMES,
    calibration_phrase,
    count,
    display_name,
    evaluation_part,
    format_signed,
    group_noun,
    groups_known,
    inline_name,
    interval,
    kind,
    kinds,
    limits,
    number,
    opening,
    split_note,
)

MAX_INLINE = 120_000
"""Bytes of CSV up to which a figure's numbers travel inside the page; larger ones are linked in `numbers/`."""


@dataclass
class Numbers:
    """The numbers behind the figures: parquet beside the page, CSV inside it where it is small.

    Args:
        folder: where the files go.
    """

    folder: Path
    links: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, frame: pd.DataFrame) -> None:
        """Write `frame` as `name.parquet` and keep a link to it."""
        table = frame.copy()
        table.columns = [str(column) for column in table.columns]
        table.to_parquet(self.folder / f"{name}.parquet", index=False)
        text = table.to_csv(index=False).encode()
        inline = len(text) <= MAX_INLINE
        href = (
            "data:text/csv;base64," + base64.b64encode(text).decode() if inline else f"numbers/{name}.parquet"
        )
        self.links[name] = {
            "href": href,
            "file": f"{name}.csv" if inline else f"{name}.parquet",
            "rows": len(table),
            "parquet": f"numbers/{name}.parquet",
        }


def write_report(
    model_folder: str | Path, output_folder: str | Path, *, title: str | None = None, umap: bool = False
) -> Path:
    """A report on a model folder: `index.html` and `numbers/`.

    Args:
        model_folder: made by `quintet train`.
        output_folder: made where it does not exist; an older report in it is replaced, a folder that holds anything else is refused.
        title: of the page. Default: from the folder's name.
        umap: whether to draw UMAP maps, too (the extra `umap`).

    Returns:
        The path of `index.html`.

    Raises:
        ArtefactError: if `model_folder` is no finished model folder, or `output_folder` holds other things.
        MissingExtraError: if UMAP is wanted and not installed.
    """
    run = read_run(model_folder)
    output = Path(output_folder)
    _clear(output)
    numbers = Numbers(output / "numbers")
    numbers.folder.mkdir(parents=True)
    page = render(_context(run, numbers, title or default_title(run), umap=umap))
    (numbers.folder / "scores.json").write_text(json.dumps(run.scores, indent=1), encoding="utf-8")
    target = output / "index.html"
    target.write_text(page, encoding="utf-8")
    return target


def default_title(run: Run) -> str:
    """The title of a report that was given none: what the classes are told by, and where from."""
    name = run.path.resolve().name
    return (
        f"{count(len(run.classes), kind(run))}, by ear"
        if name.lower() in ("model", "models", "out", "output")
        else f"{name[0].upper()}{name[1:]}, by ear"
    )


def _clear(output: Path) -> None:
    strangers = (
        [
            p.name
            for p in output.iterdir()
            if p.name not in ("index.html", "numbers") and not p.name.startswith(".")
        ]
        if output.is_dir()
        else []
    )
    if strangers or (output.exists() and not output.is_dir()):
        raise ArtefactError(
            f"A report needs a folder of its own. '{output}' holds {', '.join(strangers[:3]) or 'a file'}. Name another folder."
        )
    shutil.rmtree(output / "numbers", ignore_errors=True)


def render(context: Mapping[str, Any]) -> str:
    """The page of a context, with style and script inside."""
    import jinja2

    folder = files("quintet.reports") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "breakable": add_line_breaks,
        "number": number,
        "interval": interval,
        "signed": format_signed,
        "slug": drawings.slug,
    }
    environment.globals |= {"count": count, "marker": marker}
    template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
    css = (folder / "report.css").read_text(encoding="utf-8")
    css = css.replace("/* light */", css_variables("light")).replace("/* dark */", css_variables("dark"))
    return template.render(**context, css=css, js=(folder / "report.js").read_text(encoding="utf-8"))


def add_line_breaks(name: str) -> Any:
    """A column's or a clip's name that may break after a dot, an underscore or a slash, as safe HTML.

    Example:
        >>> str(add_line_breaks("a_b<c>"))
        'a_<wbr>b&lt;c&gt;'
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._/])", r"\1<wbr>", str(escape(name))))


def _context(run: Run, numbers: Numbers, title: str, *, umap: bool = False) -> dict[str, Any]:
    keys = score_names(run)
    columns = len(run.classes)
    confusion, counts = (None, None) if run.multilabel else drawings.confusion_drawing(run)
    calibration, gap = drawings.calibration_drawing(run)
    by_themselves = calibrated_members(run)
    why = explain_run(run)
    of_members, maps = worth(run), atlas(run, umap=umap)
    figures: dict[str, Any] = {
        "scores": drawings.score_drawings(run, keys),
        "roc": drawings.roc_drawings(run),
        "confusion": confusion,
        "calibration": calibration,
        "reliability": reliability_drawing(run, by_themselves),
        "training": drawings.training_drawings(run),
        "search": search_drawings(run),
        "agreement": drawings.agreement_drawing(run),
        "weights": drawings.weight_drawing(run),
        "importance": drawings.importance_drawings(why.main, run, len(why.rows)) if why.members else [],
        "game": drawings.game_drawings(why.game, run) if why.game else [],
        "lost": [
            drawings.permutation_drawing(table, name, heading, run)
            for table, name, heading in (
                (why.family_permutation, "lost-families", "What is lost without a family"),
                (why.column_permutation, "lost-columns", "What is lost without a column"),
            )
            if table is not None
        ],
        "sampled": drawings.column_drawing(why.column_game, run) if why.column_game else None,
        "maps": maps.drawings,
        "worth": worth_drawing(run, of_members),
        "gate": gate_drawings(run),
        "curve": curve_drawings(run),
        "answered": selective_accuracy_drawing(run),
        "strange": out_of_class_drawing(run),
        "data": drawings.data_drawings(run),
    }
    tables = _tables(run, counts)
    extra = {
        "rules": comparison_table(run),
        "calibrated-members": member_table(run, by_themselves),
        "sets": set_table(run),
        "gate": gate_table(run),
        "gate-gaps": gap_table(run),
        "learning-curve": curve_table(run),
        "learning-curve-outlook": outlook_table(run),
        "published": published_table(run),
        "search": search_table(run),
        "search-trials": trial_table(run),
    }
    for name, frame in extra.items():
        if len(frame):
            numbers.add(name, frame)
    for name, frame in tables.items():
        numbers.add(name, frame)
    for drawing in (
        d
        for value in figures.values()
        for d in (value if isinstance(value, list) else [value])
        if isinstance(d, Drawing)
    ):
        numbers.add(drawing.name, drawing.numbers)
    return {
        "title": title,
        "run": run,
        "stamp": split_note(run),
        "opening": opening(run, _main_confusions(counts), why.game.shares if why.game else None),
        "panel_columns": min((6, 5, 4), key=lambda c: (-columns % c, -c)) if columns > 3 else 4,
        "confusions": _confusion_list(counts),
        "trust": _trust(run),
        "calibrated": extra["calibrated-members"].to_dict("records"),
        "score_keys": keys,
        "score_names": SCORE_NAMES,
        "lower_is_better": LOWER_IS_BETTER,
        "per_class_names": PER_CLASS_NAMES,
        "headline": run.headline,
        "calibrated_by": calibration_phrase(run) if run.calibration else None,
        "comparison": extra["rules"].to_dict("records"),
        "comparison_reason": run.fusion.get("comparison", {}).get("reason", ""),
        "worth": {"rows": worth_rows(run, of_members), "names": worth_names(of_members)},
        "change": _change(run),
        "sampled": why.column_game.steps.to_dict("records") if why.column_game else [],
        "gate": gate_view(run),
        "curve": curve_sentence(stored_curve(run), run.scores.get("split", {})),
        "published": published_view(run),
        "search": search_view(run),
        "sets": set_view(run),
        "rows": score_rows(run, keys),
        "figures": figures,
        "atlas": maps,
        "tables": {name: frame.to_dict("records") for name, frame in tables.items()},
        "counts": counts,
        "why": _why_view(run, why, numbers),
        "limits": limits(run, gap),
        "facts": _facts(run),
        "commands": commands(run),
        "provenance": provenance(run),
        "unseen": evaluation_part(run),
        "group": group_noun(run),
        "kind": kind(run),
        "kinds": kinds(run),
        "known_groups": groups_known(run),
        "show": partial(display_name, run=run),
        "links": numbers.links,
    }


def _tables(run: Run, counts: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    return {
        "scores": score_table(run),
        "classes": class_table(run, counts),
        "mistakes": pd.DataFrame() if run.multilabel else mistakes(run),
        "failures": run.failures,
        "failure-reasons": failure_reasons(run.failures),
    }


def _main_confusions(counts: pd.DataFrame | None) -> list[tuple[str, str, int]]:
    return [] if counts is None else main_confusions(counts)


def _confusion_list(counts: pd.DataFrame | None) -> list[dict[str, Any]]:
    """The main confusions with their share of the true class."""
    if counts is None:
        return []
    sums = counts.sum(axis=1).to_dict()
    return [
        {"true": true, "verdict": verdict, "n": n, "of": int(sums[true])}
        for true, verdict, n in main_confusions(counts, limit=8)
    ]


def _trust(run: Run) -> list[dict[str, Any]]:
    """Calibration of every member and ensemble, as far as scored."""
    table = run.scores.get(run.part, {})
    rows = [
        {"name": name, "chosen": name == run.prediction_name, "ensemble": name not in run.members}
        | table.get(name, {}).get("scores", {})
        for name in rank_names(run, ["ece"])
    ]
    return [row for row in rows if "ece" in row]


def _change(run: Run) -> list[dict[str, Any]]:
    """Log loss and calibration error of the chosen rule before and after calibration; empty where it has none."""
    table = run.scores.get(run.part, {})
    if run.prediction_name == run.best or run.calibration is None or run.calibration.method == "none":
        return []
    if run.part == "oof" and set(run.scores[ENSEMBLE_PREDICTION].get("fold_rules", ())) - {run.best}:
        return []  # some folds were judged by another rule: the difference is not calibration's alone
    before, after = (table[name]["scores"] for name in (run.best, run.prediction_name))
    names = {"log_loss": "log loss", "ece": "calibration error"}
    return [
        {"name": text, "before": before[key]["value"], "after": after[key]["value"]}
        for key, text in names.items()
        if key in before and key in after
    ]


def _why_view(run: Run, why: RunExplanation, numbers: Numbers) -> dict[str, Any]:
    """What the page shows of importance beyond its figures."""
    if not why.members:
        return {"members": [], "reasons": dict(why.reasons), "columns": [], "per_class": [], "distance": None}
    shares = why.columns
    numbers.add("importance-members", shares.reset_index(names="column"))
    if len(why.folds):
        numbers.add("importance-folds", why.folds.reset_index(names="member"))
    per_class = why.main.columns.drop(columns=TOTAL)
    return {
        "members": [
            {"name": name, "space": m.space, "residual": m.residual, "stability": m.stability}
            | _across_folds(why, name)
            for name, m in why.members.items()
        ],
        "distance": why.distance,
        "reasons": dict(why.reasons),
        "columns": [
            {"column": str(name), "shares": row.to_dict(), "mean": float(row.mean())}
            for name, row in shares.head(20).iterrows()
        ],
        "max_share": float(shares.to_numpy().max()),
        "per_class": [
            {"class": c, "top": list(per_class[c].nlargest(6).items()), "max": float(per_class[c].max())}
            for c in per_class.columns
        ],
        "main": inline_name(why.main.name, run),
        "n": len(why.rows),
        "n_background": len(why.background),
    }


def _across_folds(why: RunExplanation, name: str) -> dict[str, Any]:
    """How alike a member ranks the columns in every two folds: `folds` (mean, low, high, n_folds), or None."""
    return {"folds": dict(why.folds.loc[name]) if name in why.folds.index else None}


def _facts(run: Run) -> list[tuple[str, str]]:
    """What was in the data, as short facts."""
    split = run.split
    used = split[split["part"] != "unused"] if "part" in split else split
    facts = [("clips used", f"{len(used):,}"), (kinds(run), str(len(run.classes)))]
    if groups_known(run) and "group" in used:
        facts.append((f"{group_noun(run)}s", f"{used['group'].nunique():,}"))
    if "duration_s" in run.features and run.features["duration_s"].notna().any():
        facts.append(("of sound", _duration(float(run.features["duration_s"].sum()))))
    facts.append(("columns", f"{run.values.shape[1]:,}"))
    facts.append(("could not be used", f"{len(run.failures):,}"))
    return facts


def _duration(seconds: float) -> str:
    """`3 h 20 min`, `27 min`, `40 s`.

    Example:
        >>> _duration(12000), _duration(1620)
        ('3 h 20 min', '27 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
