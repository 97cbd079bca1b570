"""Section "Model card": what the model is, its use, its data, its limits."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from quintet.evaluation.scores import Scores
from quintet.model_folder.run import Run
from quintet.reports.formats import count, format_list, rule_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import Definitions, Section
from quintet.reports.sections.data import data_facts
from quintet.reports.sections.probabilities.prediction_sets import set_table
from quintet.reports.text import (
    FEW_CLIPS,
    FEW_GROUPS,
    LARGE_CALIBRATION_ERROR,
    calibration_phrase,
    display_name,
    group_noun,
    groups_known,
    kind,
    split_note,
)


def model_card_section(data: ReportData) -> Section:
    """The model card."""
    run = data.run
    facts = ", ".join(f"{value} {name}" for name, value in data_facts(run))
    items = (
        ("Model", (_model(run),)),
        ("Use", (_use(run),)),
        ("Data", (f"{facts}.",)),
        ("Split", (split_note(run).long,)),
        ("Limits", (*limits(run, data.calibration_error), *_pretrained(run))),
    )
    return Section(id="card", title="Model card", contents="Model card", blocks=(Definitions(items),))


def _pretrained(run: Run) -> list[str]:
    pretrained = run.results.pretrained
    return [] if pretrained is None else [pretrained.text]


def _model(run: Run) -> str:
    """Members, fusion, calibration and classes in one sentence."""
    subject = display_name(run.best, run)
    if run.rules:
        names = [display_name(name, run) for name in run.members]
        members = count(len(names), "member")
        subject = f"The fusion “{rule_name(run.best)}” of {members} ({', '.join(names)})"
    if run.calibration:
        subject += f", {calibration_phrase(run)}"
    classes = count(len(run.classes), kind(run))
    return f"{subject}. It has {classes}: {', '.join(run.classes)}."


def _use(run: Run) -> str | Markup:
    start = "Music and sound like the clips of the training part. "
    if run.multilabel:
        text = "The answer has every tag with a probability of one half or more: several tags, one, or none"
    else:
        text = "The answer is always one of the classes, even for a clip that belongs to none of them"
    if set_table(run).empty:
        return f"{start}{text}."
    sets = Markup("; with <code>--confidence</code> it may have several classes, or none.")
    return Markup.escape(start + text) + sets


def _identical_columns(values: pd.DataFrame) -> list[list[str]]:
    """Groups of columns that hold the same value for every clip and are not constant.

    Example:
        >>> columns = {"a": [1, 2], "b": [1, 2], "c": [2, 1], "d": [5, 5], "e": [5, 5]}
        >>> _identical_columns(pd.DataFrame(columns))
        [['a', 'b']]
    """
    groups: dict[bytes, list[str]] = {}
    for name in values.columns:
        column = values[name].to_numpy(dtype=float)
        if len(column) and (column != column[0]).any():
            groups.setdefault(column.tobytes(), []).append(str(name))
    return [names for names in groups.values() if len(names) > 1]


def limits(run: Run, calibration_error: float | None) -> list[str]:
    """What a reader must not conclude from the report.

    Args:
        run: the model folder.
        calibration_error: expected calibration error of the ensemble prediction, if it was computed.
    """
    stamp = split_note(run)
    result = [stamp.long] if stamp.kind == "warn" else []
    result += _sample_limits(run, run.report_scores)
    if run.random_weights:
        names = format_list([display_name(name, run) for name in run.random_weights])
        result.append(
            f"{names} started from random weights, not from pretrained ones: do not compare with published "
            "scores of the pretrained network."
        )
    twins = _identical_columns(run.values)
    if twins:
        pairs = format_list([" = ".join(names) for names in twins[:3]])
        result.append(
            f"Some columns are identical: {pairs}. Their importance is divided among them by chance."
        )
    if calibration_error is not None and calibration_error > LARGE_CALIBRATION_ERROR:
        result.append(
            f"Probabilities are off by {calibration_error:.2f} on average: use them to rank clips, but not "
            "as frequencies."
        )
    if len(run.failures):
        result.append(
            f"{count(len(run.failures), 'clip')} could not be used. The report does not apply to such clips."
        )
    result += _truncation_limits(run.features)
    result.append("SHAP values show what the members rely on, not what makes a clip belong to its class.")
    return result


def _truncation_limits(features: pd.DataFrame) -> list[str]:
    """A sentence on recordings that are cut short, if there are any."""
    if "missing_s" not in features:
        return []
    truncated = features[features["status"] == "truncated"]
    if truncated.empty:
        return []
    used_s, missing_s = truncated["duration_s"].sum(), truncated["missing_s"].sum()
    return [
        f"{count(len(truncated), 'recording')} cut short: {used_s:,.1f} s of sound were used, "
        f"{missing_s:,.1f} s are missing."
    ]


def _sample_limits(run: Run, scores: Scores | None) -> list[str]:
    if scores is None:
        return []
    result = []
    if 0 < scores.n_groups < FEW_GROUPS and groups_known(run):
        result.append(
            f"The scored clips come from only {count(scores.n_groups, group_noun(run))}: another sample "
            "could differ as widely as the intervals, or more."
        )
    small = [name for name, n in scores.support.items() if n < FEW_CLIPS]
    if small:
        result.append(
            f"Fewer than ten clips were scored of {format_list(small)}: these scores are uncertain."
        )
    return result
