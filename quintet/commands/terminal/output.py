"""What the command line prints of a result. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_KINDS = 20  # of failures, that are printed


@contextmanager
def show_status(text: str, err: Any, *, quiet: bool) -> Iterator[None]:
    if quiet or not err.is_terminal:
        yield
        return
    with err.status(text + "…"):
        yield


def print_json(content: Any) -> None:
    import json

    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def print_ignored(ignored: tuple[str, ...], err: Any) -> None:
    """What the source holds and extraction does not use: columns in one line, then notes."""
    columns = [name for name in ignored if " " not in name]
    lines = [f"Columns not used: {', '.join(columns)}"] if columns else []
    for line in [*lines, *(note for note in ignored if " " in note)][:8]:
        err.print(line, style="dim", markup=False, soft_wrap=True)


HEADINGS = {
    "listing": "Listing the clips",
    "extracting": "Extracting",
    "training": "Training",
    "searching": "Searching",
    "reporting": "Reporting",
    "predicting": "Listening",
}


def stage_hooks(display: Any, *, quiet: bool) -> dict[str, Any]:
    """The hooks of `quintet.pipeline.runner`, that tell on standard error how far a recipe is."""
    from quintet.commands.terminal.progress import err, progress_counter

    def tell(text: str) -> None:
        if not quiet:
            err.print(f"  {text}", markup=False, soft_wrap=True)

    @contextmanager
    def stage(name: str) -> Iterator[Any]:
        if not quiet:
            err.print(f"[bold]{HEADINGS[name]}[/]")
        with progress_counter("  ", quiet=quiet) as progress:
            yield progress

    return {"stage": stage, "tell": tell, "listener": display}


def print_tuning(result: Any, following: str, *, quiet: bool) -> None:
    """What a search found, and the command that comes after it."""
    from quintet.commands.terminal.progress import err, out, tuning_table

    if result.reused and not quiet:
        err.print("Nothing was left to try: this is what was found before.")
    out.print(
        f"[bold]{result.metric.replace('_', ' ')} out of fold, training part[/]{ungrouped_notice({'protocol': result.protocol})}",
        soft_wrap=True,
    )
    out.print(tuning_table(result))
    for name, tuned in result.members.items():
        out.print(f"{name}: {tuned.gain_text}.", style="bold" if tuned.clear else None, soft_wrap=True)
    out.print(
        "The best of many tries on the same folds flatters itself; the test part was not looked at: it judges.",
        style="dim",
        soft_wrap=True,
    )
    out.print(
        f"Search → {result.folder}/   Next: {following} --settings {result.folder / 'best.toml'}",
        markup=False,
        soft_wrap=True,
    )


def print_ledger(summary: Any, err: Any) -> None:
    for note in summary.notes:
        err.print(str(note), style="dim", markup=False, soft_wrap=True)
    if summary.n_reused:
        err.print(f"{summary.n_reused} clips kept from before: neither they nor the parameters have changed.")
    if not summary.n_failed:
        return
    err.print(
        f"[yellow]{summary.n_failed} clips could not be used[/] (each has its row and its reason in the table):"
    )
    kinds = kinds_of_failure(summary.failures)
    for example, count in kinds[:MOST_KINDS]:
        err.print("  [red]✗[/]", end=" ")
        more = f" ({count - 1} more like it)" if count > 1 else ""
        err.print(f"{example.id}: {example.reason}{more}", markup=False, soft_wrap=True)
    if len(kinds) > MOST_KINDS:
        err.print(
            f"  … and {len(kinds) - MOST_KINDS} other kinds of failure: look at the rows with status 'failed' in {summary.output}",
            soft_wrap=True,
        )


def kinds_of_failure(failures: Any) -> list[tuple[Any, int]]:
    """The first row of each kind of failure, and how many there are; reasons that differ in names and numbers only are one kind.

    Example:
        >>> import pandas as pd
        >>> rows = [("a", "/a.wav", "'/a.wav' is silent."), ("b", "/b.wav", "'/b.wav' is silent."), ("c", "/c.wav", "'/c.wav' is empty.")]
        >>> [(row.id, count) for row, count in kinds_of_failure(pd.DataFrame(rows, columns=["id", "path", "reason"]))]
        [('a', 2), ('c', 1)]
    """
    import re

    kinds: dict[str, list[Any]] = {}
    for row in failures.itertuples():
        reason = str(row.reason).replace(str(row.path), "").replace(str(row.id), "")
        kinds.setdefault(re.sub(r"\d+(\.\d+)?", "0", reason), []).append(row)
    return [(rows[0], len(rows)) for rows in sorted(kinds.values(), key=len, reverse=True)]


def ungrouped_notice(split: Any) -> str:
    """What stands beside every score of a split that ignored groups on purpose."""
    return "  [bold red]RANDOM SPLIT: groups stand on both sides[/]" if split["protocol"] == "random" else ""


def print_scores(result: Any, out: Any, score_table: Any) -> None:
    split = result.scores["split"]
    verdict = result.scores["verdict"]
    for part, words in (("oof", "out of fold, training part"), ("test", "held-out test")):
        if part not in result.scores:
            continue
        first = next(iter(result.scores[part].values()))
        groups = (
            f"{first['n_groups']} groups"
            if split["groups_known"]
            else "groups unknown: every clip is its own"
        )
        title = f"{words}: {first['n']} clips, {groups}, 95 % bootstrap intervals{ungrouped_notice(split)}"
        out.print(f"[bold]{title}[/]", soft_wrap=True)
        out.print(score_table(result.scores[part], chosen=result.rule))
        out.print()
    how = {
        "none": "as it is",
        "temperature": f"at temperature {verdict['calibration']['temperature']:.2f}",
        "isotonic": "by isotonic steps",
    }
    text = f"» joins the members; ← answers in `quintet predict` (chosen on the training part), {how[verdict['calibration']['method']]}"
    if "test" in verdict and verdict["calibration"]["method"] != "none":
        before, after = result.scores["test"][result.rule]["scores"], verdict["test"]["scores"]
        pairs = (("log_loss", "log loss"), ("ece", "calibration error"))
        shown = [f"{words} {before[key]['value']:.3f} → {after[key]['value']:.3f}" for key, words in pairs]
        text += f": {', '.join(shown)} on the test"
    out.print(text + ".", style="dim", soft_wrap=True)
    out.print(
        "Out of fold, a learnt rule reads a little high (on random labels 0.54 AUC): the test part is its judge.",
        style="dim",
        soft_wrap=True,
    )


def print_published(scores: Any, out: Any) -> None:
    """The paper's figures beside ours, and under which protocol each was measured."""
    if "published" not in scores:
        return
    from quintet.commands.terminal.progress import published_table

    ours = "test" if "test" in scores else "oof"
    out.print(
        f"Published beside ours: {scores['published']['source']}", style="bold", markup=False, soft_wrap=True
    )
    out.print(published_table(scores))
    split = scores["split"]
    how = {"random": "random split (groups on both sides)", "given": "the data's own split"}.get(
        split["protocol"], "groups kept apart"
    )
    judged = "held-out test" if ours == "test" else f"out of fold, {split['n_folds']} folds"
    out.print(f"published: {scores['published']['protocol']}", style="dim", markup=False, soft_wrap=True)
    where = f"{scores['published']['data']}; " if scores["published"].get("data") else ""
    out.print(
        f"ours: {where}{how}, {judged}, {split['groups'].get('train', '?')} groups to learn from",
        style="dim",
        markup=False,
        soft_wrap=True,
    )
    out.print()


def print_leak_gate(gate: Any, out: Any) -> None:
    if not gate:
        return
    from quintet.commands.terminal.progress import gate_tables, score_heading

    out.print(
        f"[bold]Leak gate: {score_heading(gate['gaps'][0]['score'])} of the same members under several splits[/]"
    )
    for table in gate_tables(gate):
        out.print(table)
        out.print()


def print_learning_curve(scores: Any, out: Any) -> None:
    curve = scores.get("learning_curve")
    if not curve:
        return
    from quintet.commands.terminal.progress import curve_table
    from quintet.reports.sections.learning_curve import curve_sentence

    if curve["points"]:
        out.print(
            f"[bold]Learning curve: the mean of {', '.join(curve['members'])}, out of fold[/]{ungrouped_notice(scores['split'])}",
            soft_wrap=True,
        )
        out.print(curve_table(curve))
    out.print(curve_sentence(curve, scores["split"]), markup=False, soft_wrap=True)
    out.print()


def print_predictions(result: Any, format_: str, output: Path | None) -> None:
    frame = result.frame
    if format_ == "parquet":
        frame.to_parquet(output, index=False)
        return
    if format_ == "table":
        from rich.console import Console

        from quintet.commands.terminal.progress import out, probability_table

        rows = [
            {**r, "probabilities": {c: r[f"probability.{c}"] for c in result.classes}}
            for r in frame.to_dict("records")
        ]
        table = probability_table(rows, result.classes)
        if output is None:
            out.print(table)
        else:
            with output.open("w", encoding="utf-8") as file:
                Console(file=file, width=120).print(table)
        return
    text = (
        frame.to_csv(index=False)
        if format_ == "csv"
        else frame.to_json(orient="records", indent=2, force_ascii=False) + "\n"
    )
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
