"""Train a model on the genres of a library with the owner's corrections, and judge the corrections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from quintet.classifiers.registry import member_entry
from quintet.datasets.genre_map import GenreMap
from quintet.ensemble.crossfit import Listener
from quintet.ensemble.tasks.pools import open_fit_pool
from quintet.files.json_types import JsonObject
from quintet.files.machine import job_count
from quintet.library.retraining.judgement import Judgement, JudgeSettings, judge
from quintet.library.retraining.lessons import Lessons, read_lessons
from quintet.library.retraining.words import judgement_words
from quintet.library.store import Library
from quintet.library.training_table import training_table
from quintet.training.pretrained import default_members
from quintet.training.result import TrainingResult
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class RetrainOptions:
    """What a retraining learns from, and how.

    Args:
        tag: field of the tags that holds the labels.
        genres: which values are used, and under which names.
        members: names of members that read tables; empty for those that `train` takes by default.
        seed: controls all randomness.
        overwrite: whether to replace a model folder.
        n_jobs: worker processes; they change no number of the result.
    """

    tag: str = "genre"
    genres: GenreMap = field(default_factory=GenreMap)
    members: tuple[str, ...] = ()
    seed: int = 0
    overwrite: bool = False
    n_jobs: int = 1


@dataclass(frozen=True)
class Retraining:
    """Result of a retraining.

    Args:
        training: the new model, with its scores on artists that it does not know.
        judgement: whether the corrections helped, or why that cannot be judged; None without corrections.
        lessons: what was learnt from.
    """

    training: TrainingResult
    judgement: Judgement | str | None
    lessons: Lessons

    @property
    def words(self) -> tuple[str, ...]:
        """The judgement in sentences."""
        return judgement_words(self.judgement, self.lessons.n_corrections)

    def to_json(self) -> JsonObject:
        """Counts, judgement, words and notes; the scores are in the model folder."""
        judged = self.judgement.to_json() if isinstance(self.judgement, Judgement) else None
        return {
            "model": str(self.training.folder),
            "songs": sum(map(bool, self.lessons.after.labels)),
            "genres": {name: n_songs for name, (n_songs, _) in self.lessons.after.counts().items()},
            "corrections": self.lessons.n_corrections,
            "changed": int(self.lessons.changed.sum()),
            "judgement": judged,
            "words": list(self.words),
            "notes": list(dict.fromkeys([*self.lessons.notes, *self.training.notes])),
        }


def retrain(
    library: Library,
    output: Path,
    options: RetrainOptions,
    *,
    listener: Listener | None = None,
    progress: Progress | None = None,
) -> Retraining:
    """Train a model with the corrections of a library, then judge them. The library is only read.

    Args:
        library: a scanned library.
        output: the model folder to make.
        options: labels, members, seed.
        listener: receives the events of the training.
        progress: receives the number of fits of the judgement, and of all.

    Raises:
        DatasetError: no song has a label, or too few to train.
        ConfigError: a member is unknown, or reads no table.
        ArtefactError: the output exists.
    """
    lessons = read_lessons(library, options.tag, options.genres)
    table = training_table(library, lessons.after)
    members = options.members or tuple(
        name for name in default_members(table) if member_entry(name).input == "table"
    )
    result = train(
        table,
        output,
        settings=TrainSettings(members=members, seed=options.seed),
        options=TrainOptions(overwrite=options.overwrite),
        listener=listener,
        n_jobs=options.n_jobs,
    )
    judgement: Judgement | str | None = None
    if lessons.n_corrections:
        names = library.facts.feature_names
        values = library.feature_parts.read(lessons.after.songs["audio_digest"].tolist(), names)
        with open_fit_pool(job_count(options.n_jobs)) as pool:
            features = pd.DataFrame(values, columns=names)
            judged_by = JudgeSettings(members, options.seed)
            judgement = judge(features, lessons, judged_by, pool=pool, progress=progress)
    return Retraining(result, judgement, lessons)
