"""Content of a model folder, read once, for reports and explanations. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import pandas as pd
from pandas.api.types import is_numeric_dtype

from quintet.classifiers.member import Member
from quintet.classifiers.storage import load_member
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.label_sets.risk_control import TagSets
from quintet.errors import ArtefactError, QuintetError
from quintet.evaluation.scores import Scores
from quintet.features.storage.table import META_COLUMNS
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.listed_files import ListedFiles
from quintet.files.untrusted.reasons import reason
from quintet.frozen.table_member import ArrayMember
from quintet.model_folder.folder import BUNDLE, IMPORTANCE, ModelFolder, OpenFolder
from quintet.model_folder.frozen_files import read_table_members
from quintet.model_folder.replacement import read_unchanged
from quintet.model_folder.scores import ENSEMBLE_PREDICTION, PARTS, RunScores
from quintet.predictions.predictions import Predictions, read_predictions

__all__ = ["ENSEMBLE_PREDICTION", "Run", "content_used", "read_run"]


@dataclass(frozen=True)
class Run:
    """Content of the model folder of one training run (docs/architecture.md, "The model folder").

    Args:
        path: the folder.
        bundle: content of bundle.json.
        config: content of config.json.
        environment: content of environment.json.
        results: content of scores.json. Each part also has the scores of the ensemble prediction.
        fusion: content of fusion.json.
        split: columns `id, label, group, part, fold`.
        failures: the failure ledger; empty if no clip failed.
        features: rows that were used, indexed by id, with metadata columns; empty if the run had no table.
        history: network → its epochs.
        embeddings: network → its last layer on clips that it was not fitted on, columns `id`, `part` and
            `0` … `d - 1`.
        oof: member, rule or `ENSEMBLE_PREDICTION` → predictions of the training part, out of fold.
        test: the same for the held-out part; empty if no part was held out.
        trust: content of trust.json: calibration and prediction sets; empty in folders of early versions.
        tuning: content of tuning/tuning.json, the search that found the settings; empty if there was none.
        trials: content of tuning/trials.parquet; empty if there was no search.
        out_of_class: columns `id, part, out_of_class, distance` (NaN without a feature table); empty for
            label sets and in folders of early versions.
        importance: columns `member, column, fold 0, fold 1, …`, the importance of the columns for the member
            of each fold; empty if training did not keep it.
        files: the listed files; None for a run that was not read from a folder.
    """

    path: Path
    bundle: JsonObject
    config: JsonObject
    environment: JsonObject
    results: RunScores
    fusion: JsonObject
    split: pd.DataFrame
    failures: pd.DataFrame
    features: pd.DataFrame
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    embeddings: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    oof: Mapping[str, Predictions] = field(default_factory=dict)
    test: Mapping[str, Predictions] = field(default_factory=dict)
    trust: JsonObject = field(default_factory=dict)
    tuning: JsonObject = field(default_factory=dict)
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    out_of_class: pd.DataFrame = field(default_factory=pd.DataFrame)
    importance: pd.DataFrame = field(default_factory=pd.DataFrame)
    files: ListedFiles | None = None

    def has_member(self, name: str) -> bool:
        """Whether the folder holds the fitted member of this name."""
        return self.files is not None and f"members/{name}/member.json" in self.files

    def load_member(self, name: str) -> Member:
        """The fitted member of this name.

        Raises:
            ArtefactError: if the folder has none, or a file of it has changed or is not what `save_member`
                writes.
        """
        if self.files is None or not self.has_member(name):
            raise ArtefactError(
                f"A model folder must hold the files of a member that is explained. {self.path} has no "
                f"{name}. Restore the model folder, or train again."
            )
        return load_member(self.files.inside(f"members/{name}"))

    @cached_property
    def frozen_tables(self) -> Mapping[str, ArrayMember]:
        """Table members of the frozen ensemble that can be explained from their arrays, by name."""
        return {} if self.files is None else read_table_members(OpenFolder(self.bundle, self.files))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probability columns."""
        predictions = self.test or self.oof
        first = next(iter(predictions.values()))
        return first.classes

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members, in the order of the bundle."""
        scored = self._part_predictions
        return tuple(name for name in self.bundle["members"] if name in scored)

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the fusion rules that have scores, the chosen rule first."""
        chosen = self.bundle.get("rule")
        others = {*self.bundle["members"], ENSEMBLE_PREDICTION}
        names = [name for name in self._part_predictions if name not in others]
        names.sort(key=lambda name: (name != chosen, name))
        return tuple(names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fusion rules, then of the members."""
        return self.rules + self.members

    @property
    def best(self) -> str:
        """Name of the chosen fusion rule, or of the only member."""
        return self.rules[0] if self.rules else self.members[0]

    @property
    def prediction_name(self) -> str:
        """Name of the predictions that the report is about.

        These are the ensemble prediction, or in folders of early versions the predictions of `best`.
        """
        return ENSEMBLE_PREDICTION if ENSEMBLE_PREDICTION in self._part_predictions else self.best

    @property
    def parts(self) -> Mapping[str, Mapping[str, Predictions]]:
        """`"test"` and `"oof"` → name → predictions."""
        return {"test": self.test, "oof": self.oof}

    @property
    def part(self) -> str:
        """The part that the report is about: `"test"` if a part was held out, else `"oof"`."""
        return "test" if self.test else "oof"

    @property
    def report_predictions(self) -> Predictions:
        """The predictions that the report is about."""
        return self._part_predictions[self.prediction_name]

    @property
    def _part_predictions(self) -> Mapping[str, Predictions]:
        """Name → predictions, for the part that the report is about."""
        return self.parts[self.part]

    @property
    def report_scores(self) -> Scores | None:
        """Scores of `report_predictions`; None if there are none."""
        return self.results.parts.get(self.part, {}).get(self.prediction_name)

    @cached_property
    def calibration(self) -> Calibration | None:
        """Calibration of the fused probabilities; None in folders of early versions."""
        content = self.trust.get("calibration")
        return Calibration.from_json(content) if content else None

    @cached_property
    def conformal(self) -> ConformalPredictor | None:
        """Calibrated prediction sets; None for label sets and in folders of early versions."""
        content = self.trust.get("conformal")
        return ConformalPredictor.from_json(content) if content else None

    @cached_property
    def tag_sets(self) -> TagSets | None:
        """Calibrated sets of tags; None for classes and in folders of early versions."""
        content = self.trust.get("tag_sets")
        return TagSets.from_json(content) if content else None

    def out_of_class_of(self, ids: Iterable[str]) -> pd.DataFrame:
        """`out_of_class` and `distance` of these clips of the report's part, in their order."""
        is_in_part = self.out_of_class["part"] == self.part
        rows = self.out_of_class[is_in_part].set_index("id")
        return rows.loc[list(ids), ["out_of_class", "distance"]]

    @property
    def multilabel(self) -> bool:
        """Whether clips carry label sets."""
        return self.report_predictions.multilabel

    @cached_property
    def weights(self) -> Mapping[str, Mapping[str, float]]:
        """Fusion rule → member → weight, for the rules that have weights."""
        result = {}
        rules: JsonObject = self.fusion.get("rules", {})
        for rule, content in rules.items():
            if content.get("weights"):
                result[rule] = content["weights"]
        return result

    @cached_property
    def member_shares(self) -> Mapping[str, float]:
        """Member → its share of the weights of the chosen rule, largest first. The shares sum to 1.

        The slopes of `stacked` count by their size. A rule without weights gives every member the same share.
        """
        weights = self.weights.get(self.best, {})
        sizes = {name: abs(float(weights.get(name, 0.0))) for name in self.members}
        total = sum(sizes.values())
        if total <= 0:
            return dict.fromkeys(self.members, 1 / len(self.members))
        ordered = sorted(sizes, key=lambda name: -sizes[name])
        return {name: sizes[name] / total for name in ordered}

    @cached_property
    def values(self) -> pd.DataFrame:
        """Features without metadata, `(n, d)`, indexed by id."""
        table = self.features
        names = [name for name in table.columns if name not in META_COLUMNS]
        numeric = [name for name in names if is_numeric_dtype(table[name])]
        return table[numeric]

    def member_settings(self, name: str, fold: int | None = None) -> JsonObject:
        """The settings that the run was given for a member, with the penalty that it chose.

        Args:
            name: the member.
            fold: the fold whose member is meant. Default: the final member.
        """
        train: JsonObject = self.config.get("train") or {}
        settings = dict(train.get("settings", {}).get(name, {}))
        penalty = self.bundle.get("penalties", {}).get(name)
        if penalty is not None:
            value = penalty["chosen"] if fold is None else penalty["by_fold"][fold]
            settings[penalty["setting"]] = value
        return settings

    @property
    def calibrates_members(self) -> bool:
        """Whether members were calibrated before they were joined. Models of early versions were not."""
        rule: JsonObject = self.fusion.get("rules", {}).get(self.best) or {}
        return rule.get("temperatures") is not None

    @property
    def random_weights(self) -> tuple[str, ...]:
        """Networks that started from random weights although pretrained weights exist for them."""
        return tuple(name for name in self.members if self.member_settings(name).get("weights") == "random")


CONTENT_ERRORS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    pd.errors.InvalidIndexError,
)
"""Errors that contents cause which contradict each other."""


@contextmanager
def content_used(folder: str | Path) -> Iterator[None]:
    """Turn an error that the content of a model folder causes where it is shown into one sentence.

    The digests of a stranger's folder are right, and each file can be read, but their contents may contradict
    each other in ways that only their use reveals.

    Args:
        folder: the model folder, for the message.

    Raises:
        ArtefactError: for every error of this kind.
    """
    try:
        yield
    except QuintetError:
        raise
    except CONTENT_ERRORS as error:
        raise ArtefactError(
            f"The files of a model folder must fit each other. Those of '{folder}' do not ({reason(error)}). "
            "Restore it, or train again; report a fault of Quintet if it was written just now."
        ) from error


def read_run(folder: str | Path) -> Run:
    """The content of a model folder.

    Args:
        folder: the model folder of a finished run.

    Raises:
        ArtefactError: if the folder is not a finished model folder, or one of its files is damaged.
    """
    with content_used(folder):
        return read_unchanged(folder, lambda: _read(Path(folder)))


def _read(path: Path) -> Run:
    if not (path / BUNDLE).is_file():
        raise ArtefactError(
            "This needs a finished model folder (bundle.json, scores.json, predictions). "
            f"Received '{path}'. Run `quintet train` first."
        )
    opened = ModelFolder(path).open()
    predictions = {part: _read_predictions(opened, f"predictions/{part}") for part in PARTS}
    if not any(predictions.values()):
        raise ArtefactError(f"This needs predictions. '{path / 'predictions'}' has none. Train again.")
    results = RunScores.from_json(opened.read_json("scores.json"))
    results = _add_ensemble_prediction(opened, results, predictions)
    _require_scores(opened, results, predictions)
    features = opened.read_frame("features.parquet")
    return Run(
        path=path,
        bundle=opened.bundle,
        config=opened.read_json("config.json"),
        environment=opened.read_json("environment.json"),
        results=results,
        fusion=opened.read_json("fusion.json"),
        split=opened.read_frame("split.parquet"),
        failures=opened.read_frame("failures.parquet"),
        features=features.set_index("id") if "id" in features else features,
        history=opened.frames("history"),
        embeddings=opened.frames("embeddings"),
        oof=predictions["oof"],
        test=predictions["test"],
        trust=opened.read_json("trust.json"),
        tuning=opened.read_json("tuning/tuning.json"),
        trials=opened.read_frame("tuning/trials.parquet"),
        out_of_class=opened.read_frame(f"{ENSEMBLE_PREDICTION}/strangeness.parquet"),
        importance=opened.read_frame(IMPORTANCE),
        files=opened.files,
    )


def _add_ensemble_prediction(
    opened: OpenFolder, results: RunScores, predictions: Mapping[str, dict[str, Predictions]]
) -> RunScores:
    """Add the ensemble prediction to `predictions`, and its scores to each part, if the folder has them."""
    if results.ensemble is None:
        return results
    parts = dict(results.parts)
    for part, scores in results.ensemble.parts.items():
        name = f"{ENSEMBLE_PREDICTION}/{part}.parquet"
        if name in opened.files:
            predictions[part][ENSEMBLE_PREDICTION] = _read_prediction(opened, name)
            parts[part] = {**parts.get(part, {}), ENSEMBLE_PREDICTION: scores}
    return replace(results, parts=parts)


def _require_scores(
    opened: OpenFolder, results: RunScores, predictions: Mapping[str, Mapping[str, Predictions]]
) -> None:
    """Refuse predictions without scores, and predictions of one part for other classes than those of another.

    Raises:
        ArtefactError: if there are some.
    """
    for part, by_name in predictions.items():
        without = [name for name in by_name if name not in results.parts.get(part, {})]
        if without:
            raise ArtefactError(
                f"{opened.files.path('scores.json')} must hold the scores of every prediction. It has "
                f"none of {without[0]} ({part}). Restore the model folder, or train again."
            )
    classes = {p.classes for by_name in predictions.values() for p in by_name.values()}
    if len(classes) > 1:
        raise ArtefactError(
            f"All predictions of a model must be for the same classes. Those in {opened.files.root} are not. "
            "Restore the model folder, or train again."
        )


def _read_predictions(opened: OpenFolder, folder: str) -> dict[str, Predictions]:
    """Name → predictions, one parquet file each."""
    names = opened.files.names(folder, ".parquet")
    return {PurePosixPath(name).stem: _read_prediction(opened, name) for name in names}


def _read_prediction(opened: OpenFolder, name: str) -> Predictions:
    return read_predictions(opened.files.path(name), content=opened.files.read(name))
