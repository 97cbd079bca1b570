"""Tags written from a plan, and taken back with a journal. Every file is whole at every moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quintet.audio.isolation.calls import map_isolated
from quintet.errors import QuintetError
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.untrusted.reasons import reason
from quintet.library.tags.entries import shown
from quintet.library.tags.journal import (
    Journal,
    JournalContent,
    journals_beside,
    new_journal,
    read_journal,
    remove_left_copies,
)
from quintet.library.tags.plan_file import PlanFile, Refusal
from quintet.library.tags.rewriting import (
    FieldEdit,
    PreparedCopy,
    prepare_copy,
    replace_file,
)

CHANGED_SINCE = "Somebody has changed this field since: it was left as it is."

Progress = Callable[[int, int], object]
"""Receives the number of files that are finished, and of all."""


@dataclass(frozen=True, slots=True)
class WritingResult:
    """What a run has done.

    Args:
        journal: the journal; None if there was nothing to do.
        n_files: files that have new tags.
        n_fields: fields that were changed in them.
        n_equal: fields that held the new values already.
        refusals: the ledger: fields and files that were left as they are, with the reason.
        n_copies: copies of an earlier, killed run that were removed.
    """

    journal: Path | None
    n_files: int
    n_fields: int
    n_equal: int
    refusals: tuple[Refusal, ...]
    n_copies: int = 0

    def to_json(self) -> JsonObject:
        """The same as JSON."""
        return {
            "journal": None if self.journal is None else name_text(self.journal),
            "files": self.n_files,
            "fields": self.n_fields,
            "equal": self.n_equal,
            "left": [refusal.to_json() for refusal in self.refusals],
            "copies_removed": self.n_copies,
        }


@dataclass(frozen=True, slots=True)
class FileEdits:
    """What shall become of one file.

    Args:
        file: absolute.
        edits: one per field.
        drop_tag: whether to remove the tag if it is empty afterwards.
    """

    file: Path
    edits: tuple[FieldEdit, ...]
    drop_tag: bool = False


@dataclass(frozen=True, slots=True)
class WritingOptions:
    """How tags are written.

    Args:
        separator: text between several values in one field; None writes them as the format has them.
        keep_times: whether files keep their times.
        n_jobs: worker processes that copy and compare.
    """

    separator: str | None = None
    keep_times: bool = False
    n_jobs: int = 1


def apply_plan(
    plan: Path, options: WritingOptions = WritingOptions(), *, progress: Progress | None = None
) -> WritingResult:
    """Write the tags of a plan.

    A field that does not hold any more what the plan shows is left as it is. To run the command again after
    it was killed is safe: what is written counts as equal.

    Args:
        plan: the CSV file, as `plan_file.write_plan` wrote it or as a spreadsheet saved it.
        options: how.
        progress: receives the progress.

    Raises:
        ArtefactError: the plan cannot be read, or another command carries it out.
        OSError: the journal cannot be written; no further file was changed.
    """
    content = PlanFile.read(plan)
    with output_lock(plan):
        n_copies = sum(remove_left_copies(read_journal(path)) for path in journals_beside(plan))
        work = [
            FileEdits(file, tuple(FieldEdit(row.field, row.now, row.values) for row in rows))
            for file, rows in content.by_file().items()
        ]
        facts = {"what": "apply", "plan": name_text(plan.absolute())}
        return _carry_out(work, plan, "journal", facts, options, (content.refusals, n_copies), progress)


def undo(
    journal: Path, options: WritingOptions = WritingOptions(), *, progress: Progress | None = None
) -> WritingResult:
    """Take back what a journal says, field by field. A field that somebody has changed since is left.

    An undo has a journal of its own, and can be taken back in the same way.

    Args:
        journal: the journal of a run that was finished or killed.
        options: how; the separator is not used.
        progress: receives the progress.

    Raises:
        ArtefactError: the journal cannot be read, or another command takes it back.
        OSError: the new journal cannot be written; no further file was changed.
    """
    content = read_journal(journal)
    with output_lock(journal):
        earlier = [path for path in sorted(journal.parent.glob("*.jsonl")) if _is_undo_of(path, journal)]
        n_copies = sum(map(remove_left_copies, [content, *map(read_journal, earlier)]))
        facts = {"what": "undo", "of": name_text(journal.absolute())}
        work = _work_of_undo(content)
        return _carry_out(work, journal, "undo", facts, options, ((), n_copies), progress)


def _is_undo_of(path: Path, journal: Path) -> bool:
    return path.name.startswith(f"{journal.stem}.undo-") and path.name.count(".undo-") == (
        journal.stem.count(".undo-") + 1
    )


def _work_of_undo(content: JournalContent) -> list[FileEdits]:
    return [
        FileEdits(
            past.file,
            tuple(
                FieldEdit(change.field, shown(change.new), change.old, change.old_entries)
                for change in past.fields
            ),
            past.made_tag,
        )
        for past in content.changes
    ]


def _carry_out(
    work: Sequence[FileEdits],
    beside: Path,
    ending: str,
    facts: Mapping[str, object],
    options: WritingOptions,
    known: tuple[Sequence[Refusal], int],
    progress: Progress | None,
) -> WritingResult:
    """Change files one after another."""
    refusals, n_copies = list(known[0]), known[1]
    if not work:
        return WritingResult(None, 0, 0, 0, tuple(refusals), n_copies)
    n_files = n_fields = n_equal = 0
    with new_journal(beside, ending, facts) as journal:
        copies: dict[Path, Path] = {}
        try:
            calls = _calls(work, journal, copies, options.separator)
            results = map_isolated(prepare_copy, calls, n_workers=options.n_jobs)
            for number, (edits, outcome) in enumerate(zip(work, results, strict=True), 1):
                found, changed = _finish(edits, outcome, copies[edits.file], journal, options)
                del copies[edits.file]
                for refusal in found:
                    journal.left(edits.file, refusal.fields, refusal.reason)
                refusals += found
                n_files += bool(changed)
                n_fields += changed
                n_equal += len(outcome.equal) if isinstance(outcome, PreparedCopy) else 0
                if progress is not None:
                    progress(number, len(work))
        finally:
            for copy in copies.values():  # of a run that ends early
                _remove(copy)
    return WritingResult(journal.path, n_files, n_fields, n_equal, tuple(refusals), n_copies)


def _calls(
    work: Sequence[FileEdits], journal: Journal, copies: dict[Path, Path], separator: str | None
) -> Iterator[tuple[object, ...]]:
    """Arguments of `prepare_copy` for each file. The journal names the copy before it is made."""
    for edits in work:
        copies[edits.file] = journal.start(edits.file)
        yield str(edits.file), str(copies[edits.file]), edits.edits, separator, edits.drop_tag


def _finish(
    edits: FileEdits, outcome: PreparedCopy | Exception, copy: Path, journal: Journal, options: WritingOptions
) -> tuple[list[Refusal], int]:
    """Let the copy take the place of its file: what was left as it is, and the number of changed fields."""
    name = name_text(edits.file)
    all_fields = tuple(edit.field for edit in edits.edits)
    if isinstance(outcome, Exception):
        _remove(copy)  # of a worker process that died
        return [Refusal(name, all_fields, _sentence(outcome))], 0
    left = [Refusal(name, outcome.refused, CHANGED_SINCE)] if outcome.refused else []
    if not outcome.changes:
        return left, 0
    fields = tuple(change.field for change in outcome.changes)
    try:
        replace_file(
            edits.file,
            copy,
            outcome,
            keep_times=options.keep_times,
            announce=lambda: journal.ready(edits.file, outcome),
        )
    except (QuintetError, OSError) as error:
        _remove(copy)
        return [*left, Refusal(name, fields, _sentence(error))], 0
    journal.done(edits.file)
    return left, len(fields)


def _remove(copy: Path) -> None:
    with suppress(OSError):
        copy.unlink(missing_ok=True)


def _sentence(error: Exception) -> str:
    """The reason of a refusal."""
    if isinstance(error, QuintetError):
        return str(error)
    return f"A song must be readable and its folder writable. {reason(error)}."
