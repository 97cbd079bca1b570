"""Printed results: scores, predictions, failures and searches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from quintet.commands.terminal.console import (
    ENDLESS_WIDTH,
    err,
    out,
    print_message,
    print_plain,
    table_text,
    write_data,
)
from quintet.commands.terminal.prediction_rows import (
    write_rows,
    write_text,
)
from quintet.commands.terminal.predictions import probability_table
from quintet.commands.terminal.tables import (
    comparison_table,
    curve_table,
    evaluation_tables,
    gate_tables,
    print_table,
    published_table,
    score_heading,
    score_table,
    tuning_table,
    undefined_lines,
)
from quintet.files.json_text import json_text
from quintet.inference.answers import file_failures, prediction_columns

if TYPE_CHECKING:
    import pandas as pd

    from quintet.features.extraction.extract import ExtractionSummary
    from quintet.files.json_types import JsonObject
    from quintet.inference.predict import PredictionResult
    from quintet.model_folder.scores import RunScores
    from quintet.training.result import TrainingResult
    from quintet.tuning.tune import TuningResult

MOST_KINDS = 20  # kinds of failures that are printed
MOST_NOTES = 8  # lines about what a source holds and extraction does not use
MOST_CLASSES = 30  # classes that are printed with their counts
RANDOM_SPLIT = "  [bold red]RANDOM SPLIT: groups stand on both sides[/]"
UNGROUPED_SPLIT = "[bold red]UNGROUPED SPLIT: groups may stand in training and test[/]"


def print_json(content: object) -> None:
    """Print a value as indented JSON. NaN is null; values that JSON does not have become texts."""
    write_data(json_text(content))


def print_ignored(ignored: tuple[str, ...]) -> None:
    """Print what a source holds and extraction does not use: columns on one line, then notes."""
    columns = [name for name in ignored if " " not in name]
    lines = [note for note in ignored if " " in note]
    if columns:
        lines.insert(0, f"Columns not used: {', '.join(columns)}")
    for line in lines[:MOST_NOTES]:
        print_plain(err, line, style="dim")


def print_failures(summary: ExtractionSummary) -> None:
    """Print the notes of an extraction and its kinds of failures, with one example each."""
    for note in summary.notes:
        print_plain(err, str(note), style="dim")
    if summary.n_reused:
        err.print(f"{summary.n_reused} clips were reused: neither the files nor the parameters have changed.")
    if len(summary.truncated):
        err.print(f"[yellow]{len(summary.truncated)} recordings are cut short[/] (used as far as they go):")
        for row in summary.truncated.head(MOST_KINDS).to_dict("records"):
            print_truncation(str(row["id"]), str(row["reason"]), indent="  ")
        if len(summary.truncated) > MOST_KINDS:
            err.print(
                f"  … and {len(summary.truncated) - MOST_KINDS} more: see status 'truncated' in the table"
            )
    if not summary.n_failed:
        return
    err.print(
        f"[yellow]{_clips(summary.n_failed)} could not be used[/] (the table has a row with each reason):"
    )
    kinds = failure_kinds(summary.failures)
    for example, count in kinds[:MOST_KINDS]:
        more = f" ({count - 1} more of this kind)" if count > 1 else ""
        print_failure(example["id"], f"{example['reason']}{more}", indent="  ")
    if len(kinds) > MOST_KINDS:
        n_more = len(kinds) - MOST_KINDS
        place = f"see the rows with status 'failed' in {summary.output}"
        err.print(f"  … and {n_more} other kinds of failure: {place}", soft_wrap=True)


def print_classes(summary: ExtractionSummary) -> None:
    """Print the classes that an extraction found, with their numbers of usable clips."""
    counts = [f"{name} {n_clips}" for name, n_clips in summary.classes.items()]
    more = f", … and {len(counts) - MOST_CLASSES} more" if len(counts) > MOST_CLASSES else ""
    noun = "class" if len(counts) == 1 else "classes"
    shown = f": {', '.join(counts[:MOST_CLASSES])}{more}" if counts else ""
    print_plain(err, f"{len(counts)} {noun}{shown}")


def _clips(number: int) -> str:
    """A number of clips.

    Example:
        >>> _clips(1), _clips(2)
        ('1 clip', '2 clips')
    """
    return f"{number} clip" if number == 1 else f"{number} clips"


def print_truncation(name: str, reason: str, *, indent: str = "") -> None:
    """Print one recording that is cut short and was used as far as it goes."""
    err.print(f"{indent}[yellow]…[/]", end=" ")
    print_plain(err, f"{name}: {reason}")


def print_failure(name: str, reason: str, *, indent: str = "") -> None:
    """Print one clip or file that could not be used."""
    err.print(f"{indent}[red]✗[/]", end=" ")
    print_plain(err, f"{name}: {reason}")


def failure_kinds(failures: pd.DataFrame) -> list[tuple[dict[str, str], int]]:
    """First failure of each kind, and the number of failures of that kind. The most frequent kind is first.

    Reasons that differ only in names and numbers are one kind.

    Args:
        failures: columns id, path and reason.

    Example:
        >>> import pandas as pd
        >>> reasons = ["'/a.wav' is silent.", "'/b.wav' is silent.", "'/c.wav' is empty."]
        >>> paths = ["/a.wav", "/b.wav", "/c.wav"]
        >>> failures = pd.DataFrame({"id": ["a", "b", "c"], "path": paths, "reason": reasons})
        >>> [(example["id"], count) for example, count in failure_kinds(failures)]
        [('a', 2), ('c', 1)]
    """
    kinds: dict[str, list[dict[str, str]]] = {}
    for row in failures[["id", "path", "reason"]].to_dict("records"):
        failure = {str(name): str(value) for name, value in row.items()}
        text = failure["reason"].replace(failure["path"], "")
        text = text.replace(failure["id"], "")
        kind = re.sub(r"\d+(\.\d+)?", "0", text)
        kinds.setdefault(kind, []).append(failure)
    by_size = sorted(kinds.values(), key=len, reverse=True)
    return [(rows[0], len(rows)) for rows in by_size]


def print_notes(notes: Iterable[str], *, quiet: bool) -> None:
    """Print notes on standard error, one sentence a line, unless `quiet`."""
    for note in () if quiet else notes:
        print_plain(err, note, style="dim")


def print_training(result: TrainingResult) -> None:
    """Print a training: the result in words, all scores, leak gate and learning curve."""
    print_words(result)
    print_scores(result)
    print_leak_gate(result.results)
    print_learning_curve(result.results)


def print_words(result: TrainingResult) -> None:
    """Print in sentences how good the ensemble is, what was chosen, and why."""
    from quintet.model_folder.folder import ModelFolder
    from quintet.reports.front.training_words import training_words

    folder = ModelFolder(result.folder)
    bundle, fusion = folder.read_json("bundle.json"), folder.read_json("fusion.json")
    first, *others = training_words(bundle, fusion, result.results)
    print_plain(out, first, style="bold")
    for sentence in others:
        print_plain(out, sentence)
    out.print()


def print_scores(result: TrainingResult) -> None:
    """Print the scores of members and ensembles, out of fold and on the test part."""
    results = result.results
    oof = "out of fold, training part"
    if results.split.validation is not None:
        oof = "validation part, by members fitted on the train part"
    for part, words in (("oof", oof), ("test", "held-out test")):
        if part in results.parts:
            title = _score_title(results, part, words)
            out.print(f"[bold]{title}[/]", soft_wrap=True)
            stamped = results.pretrained.names if results.pretrained else ()
            table = score_table(results.parts[part], chosen=result.rule, width=out.width, stamped=stamped)
            out.print(table)
            out.print()
    if results.pretrained:
        out.print(f"† {results.pretrained.text}", style="yellow", soft_wrap=True)
    legend = "» joins the members. ← is the prediction of `quintet predict`."
    if "oof" in results.parts and "test" in results.parts:
        legend += " It was chosen by the first table; only the second is unbiased."
    out.print(legend, style="dim", soft_wrap=True)


def _score_title(results: RunScores, part: str, words: str) -> str:
    """Title of a score table: part, clips, groups and kind of intervals."""
    first = next(iter(results.parts[part].values()))
    groups = "no groups: each clip is its own group"
    if results.split.has_blocks:
        groups = f"groups unknown: {first.n_groups} blocks that sound alike"
    if results.split.groups_known:
        groups = f"{first.n_groups} groups"
    return f"{words}: {first.n} clips, {groups}, 95 % bootstrap intervals{_split_notice(results)}"


def _split_notice(results: RunScores) -> str:
    """A warning about a split that ignores groups, else nothing."""
    return RANDOM_SPLIT if results.split.protocol == "random" else ""


def print_published(results: RunScores) -> None:
    """Print the published scores next to ours, with the protocol of each."""
    published, split = results.published, results.split
    if published is None:
        return
    print_plain(out, f"Published beside ours: {published.source}", style="bold")
    part = "test" if "test" in results.parts else "oof"
    out.print(published_table(published, results.parts[part]))
    protocol = "groups kept apart"
    if split.protocol == "random":
        protocol = "random split (groups on both sides)"
    elif split.protocol == "given":
        protocol = "the data's own split"
    words = "held-out test" if part == "test" else f"out of fold, {split.n_folds} folds"
    n_groups = (split.groups or {}).get("train", "?")
    data = f"{published.data}; " if published.data else ""
    print_plain(out, f"published: {published.protocol}", style="dim")
    print_plain(out, f"ours: {data}{protocol}, {words}, {n_groups} groups in the training part", style="dim")
    out.print()


def print_leak_gate(results: RunScores) -> None:
    """Print the scores of the same members under several protocols, if there are any."""
    gate = results.leak_gate
    if gate is None or gate.probes:  # said in words
        return
    score = score_heading(gate.gaps[0].score)
    out.print(f"[bold]Leak gate: {score} of the same members under several splits[/]")
    for table in gate_tables(gate):
        out.print(table)
        out.print()


def print_learning_curve(results: RunScores) -> None:
    """Print the learning curve and its summary, if there is one."""
    curve = results.learning_curve
    if curve is None:
        return
    from quintet.reports.sections.learning_curve import curve_sentence

    if curve.points:
        members = ", ".join(curve.members)
        title = f"[bold]Learning curve: the mean of {members}, out of fold[/]{_split_notice(results)}"
        out.print(title, soft_wrap=True)
        out.print(curve_table(curve))
    print_plain(out, curve_sentence(curve, results.split))
    out.print()


def print_evaluation(evaluation: JsonObject) -> None:
    """Print the result of `quintet evaluate`.

    Args:
        evaluation: result of `quintet.predictions.evaluate.evaluate`.
    """
    groups = "no groups: each clip is its own group"
    if evaluation["grouped"]:
        groups = f"{evaluation['n_groups']} groups"
    n_classes = len(evaluation["classes"])
    title = f"{evaluation['of']}: {evaluation['n']} clips, {groups}, {n_classes} classes"
    print_plain(out, title, style="bold")
    if evaluation["ungrouped_split"]:
        out.print(UNGROUPED_SPLIT, soft_wrap=True)
    out.print(*evaluation_tables(evaluation), sep="\n")
    if evaluation.get("comparisons"):
        out.print(
            "The mean compared with each file, paired; p corrected for the number of tests (Holm). McNemar: "
            "clips that only the mean and only the other has right. DeLong: classes whose area differs.",
            style="dim",
            soft_wrap=True,
        )
        out.print(comparison_table(evaluation))
    for name, reason in (("left_out", "not in all files"), ("unlabelled", "without label")):
        if evaluation[name]:
            out.print(f"{_clips(evaluation[name])} left out: {reason}.")
    if evaluation["unknown"]:
        labels = ", ".join(f"{name}: {count}" for name, count in evaluation["unknown_labels"].items())
        line = f"{_clips(evaluation['unknown'])} left out of all scores: no class has their label ({labels})."
        if "accuracy_with_unknown" in evaluation:
            line += f" Counted as wrong, the accuracy is {evaluation['accuracy_with_unknown']:.3f}."
        print_plain(out, line)
    for note in evaluation["notes"]:
        print_plain(out, note, style="dim")
    for line in undefined_lines(evaluation["undefined"]):
        print_plain(out, line)


def print_tuning(result: TuningResult) -> None:
    """Print the result of a search."""
    notice = RANDOM_SPLIT if result.protocol == "random" else ""
    metric = result.metric.replace("_", " ")
    out.print(f"[bold]{metric} out of fold, training part[/]{notice}", soft_wrap=True)
    out.print(tuning_table(result))
    for name, tuned in result.members.items():
        out.print(f"{name}: {tuned.gain_text}.", style="bold" if tuned.clear else None, soft_wrap=True)
    out.print(
        "The best of many trials on the same folds looks too good. The test part was not used: it gives an "
        "unbiased score.",
        style="dim",
        soft_wrap=True,
    )


def print_search_end(result: TuningResult, command: str, *, quiet: bool) -> None:
    """Print the folder of a search and the command that uses its result.

    Args:
        result: the search.
        command: the next command, without `--settings`.
        quiet: whether to print nothing.
    """
    if result.reused:
        print_message("There was nothing left to try: this is the earlier result.", quiet=quiet)
    print_message(f"Search → {result.folder}/   Next: {command} --settings {result.best_file}", quiet=quiet)


def print_predictions(
    result: PredictionResult, format_: str, output: Path | None, *, for_spreadsheets: bool = False
) -> None:
    """Print predictions, or write them to a file.

    Args:
        result: the predictions.
        format_: `table`, `csv`, `json` or `parquet`.
        output: the file, or None for standard output. Parquet needs a file.
        for_spreadsheets: whether no cell of a CSV may be a formula.
    """
    if format_ != "table":
        write_rows(result, format_, output, for_spreadsheets=for_spreadsheets)
        return
    table = _table(result, width=out.width if output is None else ENDLESS_WIDTH)
    if output is None:
        print_table(table)
        return
    write_text(table_text(table), output)


def print_formulas(result: PredictionResult) -> None:
    """Print how many cells of a CSV of predictions a spreadsheet would run, if there are any."""
    from quintet.files.display.spreadsheets import count_formulas

    n_formulas = count_formulas(prediction_columns(result))
    if n_formulas:
        print_plain(
            err,
            f"Cells that a spreadsheet would run as formulas: {n_formulas}. Names stay as they are for "
            "programs; --for-spreadsheets puts an apostrophe in front.",
            style="dim",
        )


def print_prediction_messages(result: PredictionResult, *, quiet: bool) -> None:
    """Print the failed files and, unless `quiet`, notes and truncated files on standard error."""
    print_notes(result.notes, quiet=quiet)
    if not quiet:
        for row in result.columns("truncated").rows():
            print_truncation(str(row["file"]), str(row["reason"]))
    for row in file_failures(result):
        print_failure(str(row["file"]), str(row["reason"]))


def _table(result: PredictionResult, *, width: int) -> Table:
    rows: list[JsonObject] = []
    for row in result.columns("frame").rows():
        row["probabilities"] = {name: row[f"probability.{name}"] for name in result.classes}
        rows.append(row)
    return probability_table(rows, result.classes, width=width)
