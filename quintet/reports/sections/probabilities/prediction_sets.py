"""Section "Prediction sets": guarantee, coverage, and accuracy by share of clips answered."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.coverage import accuracy_against_coverage
from quintet.evaluation.percentile_intervals import percentile_intervals
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.curves import selective_accuracy_figure
from quintet.reports.formats import count, format_range
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Blocks,
    Card,
    Cell,
    Column,
    ColumnGroup,
    Download,
    Row,
    Section,
    Table,
    Text,
    grid,
    number_cell,
)
from quintet.reports.style import to_svg
from quintet.reports.text import clips_of_report, group_noun, groups_known, oof_noun

MEASURES = ("coverage", "size", "empty")
ALL_CLASSES = "all"


def prediction_sets_section(data: ReportData) -> Section | None:
    """Selective accuracy and prediction sets; None if the run has neither."""
    run = data.run
    table = set_table(run)
    drawing = selective_accuracy_drawing(run)
    if table.empty and drawing is None:
        return None
    blocks: Blocks = grid(drawing, None if table.empty else _guarantee_card(run))
    if len(table):
        blocks += (_set_block(run, table),)
    return Section(id="sets", title="Prediction sets", contents="Prediction sets", blocks=blocks)


def set_table(run: Run) -> pd.DataFrame:
    """Coverage of the prediction sets of the held-out clips.

    Columns `confidence, class, coverage, size, empty`, the class `all` first; no rows if the run has no sets.
    """
    ensemble = run.results.ensemble
    rows: list[tuple[object, ...]] = []
    for sets in ensemble.sets if ensemble else ():
        rows.append((sets.confidence, ALL_CLASSES, sets.coverage, sets.size, sets.empty))
        for name, row in sets.per_class.items():
            rows.append((sets.confidence, name, *(row[measure] for measure in MEASURES)))
    table = pd.DataFrame(rows, columns=["confidence", "class", *MEASURES])
    return table.astype(dict.fromkeys(MEASURES, float))


def calibration_groups(conformal: ConformalPredictor) -> int:
    """Number of groups on which the sets are calibrated.

    If each class has its own guarantee, it is the number of groups of the rarest class.

    Example:
        >>> from quintet.ensemble.conformal import fit_conformal
        >>> labels, groups = np.array(["a", "b"]), np.array(["x", "y"])
        >>> calibration_groups(fit_conformal(np.eye(2), labels, groups, classes=["a", "b"]))
        2
    """
    return round(1 / conformal.missing - 1)


def groups_needed(confidence: float) -> float:
    """Number of calibration groups from which on a set can exclude a class with this confidence."""
    return 1 / (1 - confidence) - 1


def coverage_guarantee(run: Run) -> list[str]:
    """Guarantee of the prediction sets, and confidences for which there are too few groups."""
    conformal = run.conformal
    if conformal is None:
        return []
    n = calibration_groups(conformal)
    known = groups_known(run)
    noun = group_noun(run) if known else "clip"
    condition = f" of a new {noun}" if known else ""
    basis = "These sets use the probabilities alone. Models that are trained today also use the features."
    if conformal.familiarity:
        basis = (
            "A class is in the set if it is likely and if the features of the clip are like those of known "
            "clips."
        )
    sentences = [
        "With a confidence of 0.9 the answer is a set of classes. It contains the true class for at least "
        f"90 % of clips{condition}, if these come from the same source as the training {noun}s. There is no "
        f"guarantee for sounds of other classes: the empty set, “none of these”, is meant for them. {basis}"
    ]
    clips = count(len(conformal.nonconformity), "clip")
    if known:
        sentences.append(
            f"The sets are calibrated on the {oof_noun(run)} predictions of {clips} from {count(n, noun)}. "
            f"Each {noun} has one vote."
        )
    else:
        sentences.append(
            f"The sets are calibrated on the {oof_noun(run)} predictions of {count(n, noun)}, taken as "
            "independent. The guarantee is weaker if several clips are of one recording or one artist."
        )
    confidences = sorted(set_table(run)["confidence"].unique())
    too_high = [confidence for confidence in confidences if n < groups_needed(confidence) - 1e-9]
    if too_high:
        listed = " or ".join(f"{confidence:g}" for confidence in too_high)
        sentences.append(
            f"This is too few to exclude a class with confidence {listed}, which takes "
            f"{round(groups_needed(too_high[0]))} {noun}s or more. Such sets contain all classes."
        )
    return sentences


def _guarantee_card(run: Run) -> Card:
    paragraphs = tuple(Text(sentence) for sentence in coverage_guarantee(run))
    return Card("Guarantee of the prediction sets", paragraphs)


def _set_block(run: Run, table: pd.DataFrame) -> Table:
    confidences = sorted(table["confidence"].unique().tolist())
    intervals = {confidence: coverage_interval(run, confidence) for confidence in confidences}
    records = {(row["class"], row["confidence"]): row for row in table.to_dict("records")}
    rows = []
    for name in dict.fromkeys(table["class"]):
        is_all = name == ALL_CLASSES
        cells = []
        for confidence in confidences:
            record = records[name, confidence]
            interval = intervals[confidence] if is_all else None
            notes = (format_range(*interval),) if interval else ()
            coverage = number_cell(record["coverage"], 2)
            cells.append(Cell(coverage.text, notes, coverage.sort))
            size = number_cell(record["size"], 1)
            empty = (f"{record['empty']:.0%} empty",) if record["empty"] > 0 else ()
            cells.append(Cell(size.text, empty, size.sort))
        title = "All classes" if is_all else str(name)
        rows.append(Row(Cell(title), tuple(cells), "ensemble chosen" if is_all else ""))
    scores = run.report_scores
    origin = ""
    if groups_known(run) and scores is not None:
        origin = f" from {count(scores.n_groups, group_noun(run))}, each counting once"
    heads = (Column("Coverage", numeric=True), Column("Classes", numeric=True))
    return Table(
        label="Prediction sets by class",
        columns=(Column(""), *(heads * len(confidences))),
        rows=tuple(rows),
        caption=(
            f"Prediction sets on {clips_of_report(run)}{origin}. Coverage: share of clips whose set contains "
            "the true class. Classes: mean number of classes in a set."
        ),
        groups=tuple(ColumnGroup(f"Confidence {confidence:g}", 2) for confidence in confidences),
        downloads=(Download("sets", table),),
        stamped=True,
    )


def coverage_interval(run: Run, confidence: float, *, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the coverage. The bootstrap resamples whole groups, and each group counts once.

    Args:
        run: the model folder.
        confidence: confidence of the sets.
        seed: seed of the bootstrap.

    Returns:
        Lower and upper end; None for fewer than two groups.
    """
    predictions = run.report_predictions
    rows = np.flatnonzero(predictions.scorable)
    conformal = run.conformal
    if conformal is None or not len(rows) or (conformal.familiarity and run.out_of_class.empty):
        return None
    distances = None
    if conformal.familiarity is not None:
        distances = run.out_of_class_of(predictions.clip_ids[rows])["distance"].to_numpy()
    sets = conformal.sets(predictions.probabilities[rows], confidence, distances=distances)
    covered = sets[np.arange(len(rows)), predictions.codes()[rows]]
    shares = pd.Series(covered.astype(float)).groupby(predictions.units[rows]).mean()
    if len(shares) < 2:
        return None
    low, high = percentile_intervals(shares.to_numpy()[:, None], shares.index.to_numpy(), seed=seed)
    return float(low[0]), float(high[0])


def selective_accuracy_drawing(run: Run) -> Drawing | None:
    """Accuracy by share of clips answered, the most confident first; None for label sets."""
    predictions = run.report_predictions
    scorable = predictions.scorable
    if run.multilabel or not scorable.any():
        return None
    labels = np.asarray(predictions.labels)[scorable]
    shares, accuracies = accuracy_against_coverage(
        labels, predictions.probabilities[scorable], classes=predictions.classes
    )
    table = pd.DataFrame({"share_answered": shares, "accuracy": accuracies})
    drawn = table[table["share_answered"] >= min(0.05, 20 / scorable.sum())]
    overall = float(accuracies[-1])
    half = float(np.interp(0.5, shares, accuracies))
    mistakes = table.loc[table["accuracy"] < 1, "share_answered"]
    first_mistake = "There is no mistake at all."
    if len(mistakes):
        first_mistake = f"The first mistake occurs at {float(mistakes.iloc[0]):.0%}."
    alt = f"Accuracy by share of clips answered: {half:.2f} at one half, {overall:.2f} if all are answered."
    caption = (
        "The most confident predictions come first. If only the more confident half of the clips is "
        f"answered, accuracy is {half:.2f}. If all are answered, it is {overall:.2f}. {first_mistake} A flat "
        "line would mean that the confidence does not separate right predictions from wrong ones."
    )
    svg = to_svg(selective_accuracy_figure(drawn, overall), "answered", alt)
    return Drawing("answered", svg, caption, table, "Accuracy by share of clips answered")
