"""Section "Model card": what the model is, its use, its data, its limits."""

from __future__ import annotations

from markupsafe import Markup

from quintet.model_folder.run import Run
from quintet.reports.formats import count, rule_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import Definitions, Section
from quintet.reports.sections.data import data_facts
from quintet.reports.sections.probabilities.prediction_sets import set_table
from quintet.reports.text import calibration_phrase, display_name, kind, limits, split_note


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
