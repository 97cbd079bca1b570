"""Report on a training run: one page that needs no network, with the numbers of every figure beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quintet.files.locks import output_lock
from quintet.files.paths import require_path
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.replacement import read_unchanged
from quintet.model_folder.run import Run, content_used, read_run
from quintet.reports.front.page import SHORT_STRIP, SHOWN_CLASSES, Front, front_page
from quintet.reports.front.sounds import sounds_json
from quintet.reports.front.subject import default_title
from quintet.reports.html import NumberFiles, PageKind, render, replace_page
from quintet.reports.report_data import ReportData
from quintet.reports.section import Section
from quintet.reports.sections.classes import classes_section
from quintet.reports.sections.data import data_section
from quintet.reports.sections.doubtful_labels import doubtful_labels_section
from quintet.reports.sections.leak_gate import leak_gate_section
from quintet.reports.sections.learning_curve import learning_curve_section
from quintet.reports.sections.maps import maps_section
from quintet.reports.sections.members.ensemble_importance import ensemble_importance_section
from quintet.reports.sections.members.fusion import members_section
from quintet.reports.sections.members.member_importance import member_importance_section
from quintet.reports.sections.members.training import training_section
from quintet.reports.sections.members.tuning import tuning_section
from quintet.reports.sections.mistakes import mistakes_section
from quintet.reports.sections.model_card import model_card_section
from quintet.reports.sections.probabilities.calibration import calibration_section
from quintet.reports.sections.probabilities.out_of_class import out_of_class_section
from quintet.reports.sections.probabilities.prediction_sets import prediction_sets_section
from quintet.reports.sections.probabilities.tag_sets import tag_sets_section
from quintet.reports.sections.published import published_section
from quintet.reports.sections.reproduction import reproduction_section
from quintet.reports.sections.scores import scores_section
from quintet.reports.text import kinds, split_note

SECTIONS: tuple[Callable[[ReportData], Section | None], ...] = (
    scores_section,
    published_section,
    classes_section,
    calibration_section,
    prediction_sets_section,
    tag_sets_section,
    out_of_class_section,
    ensemble_importance_section,
    member_importance_section,
    members_section,
    tuning_section,
    training_section,
    leak_gate_section,
    learning_curve_section,
    maps_section,
    mistakes_section,
    doubtful_labels_section,
    data_section,
    model_card_section,
    reproduction_section,
)
"""Sections of the page, in order. A section is left out if its function returns None."""

KIND = PageKind("A report", mark="Quintet, the report on a model", older_marks=("· Quintet report</title>",))


@dataclass(frozen=True, slots=True)
class ReportStep:
    """Progress of a report.

    Args:
        done: finished steps.
        total: all steps.
        name: the step that runs now; empty at the end.
        failed: 0, because no step can fail alone.
    """

    done: int
    total: int
    name: str
    failed: int = 0


StepCallback = Callable[[ReportStep], object]


def write_report(
    model_folder: str | Path,
    output_folder: str | Path,
    *,
    title: str | None = None,
    umap: bool = False,
    full: bool = False,
    progress: StepCallback | None = None,
) -> Path:
    """Write the report on a model folder: `index.html` and `numbers/`.

    Args:
        model_folder: folder that `quintet train` wrote.
        output_folder: folder of the report, made if it does not exist. An older report in it is replaced. A
            folder that holds other files is refused.
        title: title of the page. Default: from the name of the model folder.
        umap: whether to draw UMAP maps too (the extra `umap`).
        full: whether to write the long form: nothing is folded, and members that hardly decide are explained.
        progress: called before each step, and at the end.

    Returns:
        The path of `index.html`.

    Raises:
        ArtefactError: if `model_folder` is not a finished model folder, or if `output_folder` holds other
            files.
        MissingExtraError: if UMAP is wanted and not installed.
    """
    output = Path(require_path(output_folder, "`output`"))
    if not ModelFolder(model_folder).is_finished:
        read_run(model_folder)  # says what is missing, before the folder of the report is made
    with output_lock(output), replace_page(output, KIND) as numbers:
        steps = _Steps(progress)
        make = partial(ReportData, umap=umap, full=full)
        read_unchanged(model_folder, lambda: _make_page(model_folder, numbers, title, steps, make, output))
    return output / "index.html"


class _Steps:
    """Calls the callback of a report before each step: the reading, one per section, the writing.

    Args:
        progress: the callback.
    """

    def __init__(self, progress: StepCallback | None) -> None:
        self.progress = progress
        self.done = 0

    def begin(self, name: str) -> None:
        """Begin a step; an empty name is the end."""
        if self.progress is not None:
            self.progress(ReportStep(self.done, len(SECTIONS) + 2, name))
        self.done += 1


def step_name(make: Callable[[ReportData], Section | None]) -> str:
    """The name of the step that makes a section.

    Example:
        >>> step_name(member_importance_section)
        'member importance'
    """
    return make.__name__.removesuffix("_section").replace("_", " ")


def _make_page(
    model_folder: str | Path,
    numbers: NumberFiles,
    title: str | None,
    steps: _Steps,
    make_data: Callable[[Run], ReportData],
    output: Path,
) -> None:
    """Make the page and its numbers. It may be called again if the model was replaced meanwhile."""
    numbers.clear()
    steps.done = 0
    steps.begin("reading the run")
    run = read_run(model_folder)
    data = make_data(run)
    sections = []
    with content_used(model_folder):
        for make in SECTIONS:
            steps.begin(step_name(make))
            section = make(data)
            if section is not None:
                sections.append(section)
        steps.begin("writing the page")
        name = title or default_title(run)
        front = front_page(data, name, output)
    for section in sections:
        numbers.add_all(section.downloads)
    numbers.add_all(front.downloads)
    numbers.files |= front.pictures
    numbers.files["scores.json"] = json.dumps(run.results.to_json(), indent=1).encode()
    linked = bool(front.sounds.linked)
    context = page_context(data, front, sections, name) | {"links": numbers.links}
    numbers.page = render("report.html", context, parts=("report", "sounds", "front"), plays_file=linked)
    steps.begin("")


def page_context(
    data: ReportData, front: Front, sections: Sequence[Section], title: str
) -> dict[str, object]:
    """Values of the template, without the links to the numbers.

    Args:
        data: data of the report.
        front: the first screens.
        sections: the details.
        title: title of the page.
    """
    run = data.run
    entries = [("errors", "Where it errs"), ("reasons", "Why"), ("details", "All details")]
    return {
        "generator": KIND.mark,
        "title": title,
        "front": front,
        "shown_classes": SHOWN_CLASSES,
        "short_strip": SHORT_STRIP,
        "full": data.full,
        "multilabel": run.multilabel,
        "nouns": kinds(run),
        "contents": entries + [(section.id, section.contents) for section in sections],
        "sections": sections,
        "sounds": sounds_json(front.sounds),
        "stamp": split_note(run),
        "pretrained": run.results.pretrained is not None,
        "version": run.environment.get("versions", {}).get("quintet", ""),
    }
