"""A library that stays up to date: its folders are listed again and again, and settled changes are scanned.

Folders are listed, not observed, so that drives in a network and containers work too. A file counts once its
size and time have stayed the same for a while: a song that is being copied is not scanned in pieces.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.compute as pc

from quintet.errors import ArtefactError, QuintetError
from quintet.features.extraction.chunks import ProgressCallback
from quintet.files.display.file_names import text_path
from quintet.files.json_types import JsonObject
from quintet.library.scanning.drift import predict_library
from quintet.library.scanning.finish import finish_scan
from quintet.library.scanning.listing import Folder, find_folder
from quintet.library.scanning.predict_songs import SongModel, open_model
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.scanning.summary import ScanSummary
from quintet.library.schema import GONE
from quintet.library.store import Library
from quintet.library.tags.plan import PlanOptions
from quintet.library.tags.plan_growth import add_proposals, follow_songs

State = tuple[int, int]
"""Size and time of a file."""
steady_time_s = time.monotonic
DEFAULT_CONFIDENCE = 0.9
"""Of prediction sets, where the library does not say."""


@dataclass(frozen=True)
class WatchSettings:
    """How a library is watched.

    Args:
        settle_s: seconds for which a file must stay the same.
        n_jobs: worker processes.
        plan: plan to which the proposals that it lacks are added; None adds none.
        proposals: which ones.
        model: predicts all songs at the first look, and is then the model of the library; None: the
            library keeps its own.
    """

    settle_s: float = 10.0
    n_jobs: int = 1
    plan: Path | None = None
    proposals: PlanOptions = field(default_factory=PlanOptions)
    model: SongModel | None = None


@dataclass
class Round:
    """What one look at the folders has found and done.

    Args:
        summaries: root → what its scan did; roots without a change are left out.
        n_waiting: files that are still being written.
        n_predicted: songs that the model has predicted.
        n_proposals: rows that the plan has gained.
        n_followed: rows of the plan that name another file now, because their songs were moved.
        notes: what could not be done, in sentences.
        seconds: that it took.
    """

    summaries: dict[str, ScanSummary] = field(default_factory=dict)
    n_waiting: int = 0
    n_predicted: int = 0
    n_proposals: int = 0
    n_followed: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_news(self) -> bool:
        """Whether anything was done."""
        return bool(self.summaries or self.n_predicted or self.n_proposals or self.n_followed)

    def to_json(self) -> JsonObject:
        """The numbers as JSON."""
        folders = [{"folder": root, **summary.to_json()} for root, summary in self.summaries.items()]
        return {
            "folders": folders,
            "waiting": self.n_waiting,
            "predicted": self.n_predicted,
            "proposals": self.n_proposals,
            "followed": self.n_followed,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


class Watcher:
    """Looks at the folders of a library.

    Args:
        folder: the library.
        settings: how.

    Raises:
        ArtefactError: the folder is no library, or it has no scanned folder.
    """

    def __init__(self, folder: Path, settings: WatchSettings) -> None:
        self.folder, self.settings = folder, settings
        if not Library.open(folder).facts.roots:
            raise ArtefactError(
                f"A library must know its folders of music. '{folder}' knows none: run quintet library scan."
            )
        self._seen: dict[tuple[str, str], tuple[State, float]] = {}
        self._is_first = True

    def look(self, progress: ProgressCallback | None = None) -> Round:
        """List the folders once, and scan those in which something settled has changed.

        Args:
            progress: receives the progress of scans and predictions.

        Raises:
            HeldOutputError: another command writes the library or the plan. The next look does what is left.
            ArtefactError: a table of the library is damaged.
        """
        started = time.monotonic()
        library = Library.open(self.folder)
        result = Round()
        changed = self._changed_folders(library, result)
        if changed or self._is_first:  # a run before may have been interrupted
            self._bring_up_to_date(changed, result, progress)
            self._is_first = False
        if self.settings.plan is not None:
            result.n_followed = follow_songs(self.folder, self.settings.plan)
            result.n_proposals = add_proposals(self.folder, self.settings.plan, self.settings.proposals)
        result.seconds = time.monotonic() - started
        return result

    def _changed_folders(self, library: Library, result: Round) -> list[Folder]:
        known = _known_states(library)
        changed = []
        for root in library.facts.roots:
            if not os.path.isdir(text_path(root)):
                result.notes.append(f"The folder '{root}' is not there: its songs stay as they are.")
                continue
            found = find_folder(text_path(root), library.facts.roots, without=library.folder)
            found.waiting = self._unsettled(found, known)
            result.n_waiting += len(found.waiting)
            states = {
                file.path: (file.size, file.mtime_ns)
                for file in found.files
                if file.path not in found.waiting
            }
            before = {path: state for path, state in known.get(root, {}).items() if path not in found.waiting}
            if states != before:
                changed.append(found)
        return changed

    def _unsettled(self, found: Folder, known: dict[str, dict[str, State]]) -> frozenset[str]:
        """Files that the library does not know as they are, and that have not stayed the same for long."""
        now, clock = steady_time_s(), time.time()
        before = known.get(found.root, {})
        waiting = set()
        present = {file.path for file in found.files}
        for gone in [place for place in self._seen if place[0] == found.root and place[1] not in present]:
            del self._seen[gone]
        for file in found.files:
            state, place = (file.size, file.mtime_ns), (found.root, file.path)
            if before.get(file.path) == state:
                self._seen.pop(place, None)
                continue
            age_s = clock - file.mtime_ns / 1e9
            since = self._seen.get(place)
            if since is None or since[0] != state:
                self._seen[place] = since = (state, now)
            if age_s < self.settings.settle_s and now - since[1] < self.settings.settle_s:
                waiting.add(file.path)
        return frozenset(waiting)

    def _bring_up_to_date(
        self, changed: list[Folder], result: Round, progress: ProgressCallback | None
    ) -> None:
        """Scan folders and predict what is new."""
        settings = self.settings
        library = Library.open(self.folder)
        with library.writing():
            for folder in changed:
                options = ScanOptions(n_jobs=settings.n_jobs, progress=progress, waiting=folder.waiting)
                result.summaries[folder.root] = scan(library, text_path(folder.root), options)
            result.n_predicted = self._predict(library, result, progress)
            finish_scan(library, changed=bool(changed or result.n_predicted))

    def _predict(self, library: Library, result: Round, progress: ProgressCallback | None) -> int:
        """Predict the songs that have no prediction of the model; their number."""
        if self._is_first and self.settings.model is not None:
            n_jobs = self.settings.n_jobs
            return predict_library(library, self.settings.model, n_jobs=n_jobs, progress=progress)
        facts = library.facts.model
        if facts is None or not facts.get("path"):
            return 0
        try:
            model = open_model(str(facts["path"]), float(facts.get("confidence") or DEFAULT_CONFIDENCE))
        except (QuintetError, OSError) as error:
            result.notes.append(f"The new songs have no prediction: {error}")
            return 0
        model = replace(model, score=str(facts.get("score") or ""))
        return predict_library(library, model, n_jobs=self.settings.n_jobs, progress=progress)


def _known_states(library: Library) -> dict[str, dict[str, State]]:
    """Root → path → state of the files of songs and of the failure ledger, as the last scan saw them."""
    known: dict[str, dict[str, State]] = {}
    for name in ("songs", "failures"):
        table = library.table(name)
        if name == "songs":
            table = table.filter(pc.not_equal(table.column("status"), GONE))
        columns = [table.column(column).to_pylist() for column in ("root", "path", "size", "mtime_ns")]
        for root, path, size, mtime_ns in zip(*columns, strict=True):
            known.setdefault(root, {})[path] = (size, mtime_ns)
    return known
