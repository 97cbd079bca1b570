"""Cross-fitting: fit members per fold and predict the held-out rows. The result is out-of-fold predictions.

Weights, calibration and reports learn only from these. A member never predicts a row of a group (artist) that
it was fitted on. A `FoldCache` can keep each fold's result, so that an interrupted run continues where it
stopped.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from quintet.classifiers.member import Member, MemberInput
from quintet.classifiers.registry import make_member, member_entry
from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.datasets.groups import require_disjoint
from quintet.ensemble.array_types import Floats, Folds, Groups, Labels, Positions
from quintet.errors import AlignmentError, ConfigError
from quintet.files.json_types import JsonObject

FINAL_FIT = -1
"""Fold number of the fit on the whole training part."""

MAX_EMBEDDED = 1500
"""Largest number of clips whose network embedding is kept. A map shows no more points."""

EventKind = Literal["start", "epoch", "done", "reused", "curve", "size", "score"]


class NetworkMember(Member, Protocol):
    """Spectrogram member: a `Member` whose fit reports epochs and can continue from a checkpoint."""

    history_: list[JsonObject]

    def fit(
        self,
        X: MemberInput,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
        on_epoch: Callable[[Mapping[str, float]], None] | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Fit the network. Call `on_epoch` after each epoch and keep the state in the folder `checkpoint`."""
        ...

    def embed(self, X: MemberInput) -> Floats:
        """Output of the last hidden layer, `(n, d)`."""
        ...


@dataclass(frozen=True)
class Inputs:
    """Inputs of the members: rows of a feature table, spectrograms, or both in the same order.

    Args:
        table: features `(n, d)`.
        spectrograms: n log-mel spectrograms.

    Raises:
        AlignmentError: both are given and their lengths differ.
    """

    table: pd.DataFrame | None = None
    spectrograms: SpectrogramInput | None = None

    def __post_init__(self) -> None:
        if self.table is None or self.spectrograms is None:
            return
        n_rows, n_spectrograms = len(self.table), len(self.spectrograms)
        if n_rows != n_spectrograms:
            raise AlignmentError(
                f"Every row needs its spectrogram. Received {n_rows} rows and {n_spectrograms} spectrograms."
            )

    def __len__(self) -> int:
        if self.table is not None:
            return len(self.table)
        return 0 if self.spectrograms is None else len(self.spectrograms)

    def take(self, positions: Positions) -> Inputs:
        """Rows at `positions`, in that order."""
        table = None if self.table is None else self.table.iloc[positions]
        if self.spectrograms is None:
            return Inputs(table)
        return Inputs(table, _take_spectrograms(self.spectrograms, positions))

    def view(self, kind: str) -> MemberInput:
        """Input of a member.

        Args:
            kind: `"table"` or `"spectrogram"`, from the registry.

        Raises:
            ConfigError: this input was not given.
        """
        X = self.table if kind == "table" else self.spectrograms
        if X is None:
            raise ConfigError(
                f"This member works on a {kind}, but none was given. Leave it out, or pass the {kind}s."
            )
        return X


@dataclass(frozen=True)
class TrainingEvent:
    """Event of a training run, for progress displays.

    Args:
        kind: `start` or `done` of a fit, one `epoch` of a network, `reused` if the cache has the result,
            `curve` if one more fit of the learning curve is done, `size` before the first fit of a network
            that takes much memory, or `score` before predictions are scored.
        member: name of the member.
        fold: number of the fold; -1 for the fit on the whole training part.
        n_folds: number of folds.
        details: `device` for `start` of a network, the losses for `epoch`, `seconds` for `done`, `done` and
            `total` for `curve`, `part` for `score`.
    """

    kind: EventKind
    member: str
    fold: int
    n_folds: int
    details: JsonObject = field(default_factory=dict)


class Listener(Protocol):
    """Callable that receives training events."""

    def __call__(self, event: TrainingEvent, /) -> None: ...


@dataclass(frozen=True)
class FoldResult:
    """Result of one member for one fold.

    Args:
        probabilities: of the held-out rows, `(n, K)`.
        history: one row per epoch of a network.
        seconds: time of fit and prediction.
        embedding: last layer of a network on the held-out clips (`embed_inputs`), of the first fold only.
        importance: of the columns for the member of the fold, `(d,)`; None if the cache does not ask for it.
    """

    probabilities: Floats
    history: list[JsonObject]
    seconds: float
    embedding: NDArray[np.float32] | None = None
    importance: Floats | None = None


class FoldCache(Protocol):
    """Store of finished work. `quintet.model_folder.folder.FoldFiles` keeps it on disk."""

    def load(self, member: str, fold: int) -> FoldResult | None:
        """Result of a finished fold, or None."""

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        """Keep the result of a fold."""

    def is_finished(self, member: str, fold: int) -> bool:
        """Whether the result of a fold is kept; for the fold -1, the member fitted on all rows."""

    def importance(self, member: str, fold: int, estimator: Member, table: pd.DataFrame) -> Floats | None:
        """Importance of the columns of a table for the member of a fold, or None if it is not to be kept."""

    def checkpoint(self, member: str, fold: int) -> Path | None:
        """Folder where a network keeps its state after each epoch, or None."""

    def load_member(self, member: str) -> Member | None:
        """Member that was fitted on the whole training part, or None."""

    def save_member(self, member: str, estimator: Member) -> None:
        """Keep the member that was fitted on the whole training part."""


def member_seed(seed: int, member: str, fold: int) -> int:
    """Seed of one fit. It depends only on the run's seed, the member's name and the fold.

    Example:
        >>> member_seed(0, "svm", 1) == member_seed(0, "svm", 1)
        True
        >>> member_seed(0, "svm", 1) == member_seed(0, "svm", 2)
        False
    """
    entropy = [seed, zlib.crc32(member.encode()), fold + 1]
    words = np.random.SeedSequence(entropy).generate_state(1)
    return int(words[0] % (2**31 - 1))


@dataclass(frozen=True)
class Trainer:
    """Makes and fits one member, per fold and on all rows.

    Members are fitted only here, in `fit`. `predict_fold` checks that no group is on both sides of a fold.

    Args:
        member: name in the registry.
        settings: arguments of `make_member`.
        seed: seed of the run.
        cache: keeps finished work.
        listener: receives training events.
        n_folds: number of folds, for the events.
        variant: name of a fit with another penalty, in the cache.
    """

    member: str
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    cache: FoldCache | None = None
    listener: Listener | None = None
    n_folds: int = 0
    variant: str = ""

    @property
    def input(self) -> str:
        """Input of the member: `"table"` or `"spectrogram"`."""
        return member_entry(self.member).input

    def notify(self, kind: EventKind, fold: int, **details: object) -> None:
        """Pass an event to the listener, if there is one."""
        if self.listener is not None:
            self.listener(TrainingEvent(kind, self.member, fold, self.n_folds, details))

    def fit(self, inputs: Inputs, y: Labels, groups: Groups, *, fold: int = FINAL_FIT) -> Member:
        """Fit a new member.

        Args:
            inputs: n rows.
            y: labels `(n,)`, or an indicator matrix `(n, K)`.
            groups: group of each row, `(n,)`.
            fold: number of the fold; it decides the seed.
        """
        seed = member_seed(self.seed, self.member, fold)
        estimator = make_member(self.member, seed=seed, **self.settings)
        is_network = self.input == "spectrogram"
        self.notify("start", fold, **({"device": _device()} if is_network else {}))
        started = time.perf_counter()
        if is_network:
            self._fit_network(cast(NetworkMember, estimator), inputs, y, groups, fold)
        else:
            # Table members have small matrices. On a busy machine, BLAS threads that wait for each other cost
            # 30 times the work.
            with threadpool_limits(limits=1, user_api="blas"):
                estimator.fit(inputs.view(self.input), y, groups=groups)
        self.notify("done", fold, seconds=time.perf_counter() - started)
        return estimator

    def _fit_network(
        self, estimator: NetworkMember, inputs: Inputs, y: Labels, groups: Groups, fold: int
    ) -> None:
        def on_epoch(epoch: Mapping[str, float]) -> None:
            self.notify("epoch", fold, **epoch)

        X = inputs.view(self.input)
        checkpoint = None if self.cache is None else self.cache.checkpoint(self.member, fold)
        estimator.fit(X, y, groups=groups, on_epoch=on_epoch, checkpoint=checkpoint)

    def fit_on_all(self, inputs: Inputs, y: Labels, groups: Groups) -> Member:
        """Fit the member on the whole training part, or take it from the cache.

        Args:
            inputs: n rows.
            y: labels `(n,)`, or an indicator matrix `(n, K)`.
            groups: group of each row, `(n,)`.
        """
        if self.cache is None:
            return self.fit(inputs, y, groups)
        stored = self.cache.load_member(self.member)
        if stored is not None:
            self.notify("reused", FINAL_FIT)
            return stored
        estimator = self.fit(inputs, y, groups)
        self.cache.save_member(self.member, estimator)
        return estimator

    def predict_fold(
        self,
        inputs: Inputs,
        y: Labels,
        groups: Groups,
        fold: int,
        parts: tuple[Positions, Positions],
        classes: Sequence[str],
    ) -> FoldResult:
        """Predict the held-out rows of one fold, or take the result from the cache.

        Args:
            inputs: n rows.
            y: labels `(n,)`, or an indicator matrix `(n, K)`.
            groups: group of each row, `(n,)`.
            fold: number of the fold.
            parts: positions of the training rows and of the held-out rows.
            classes: K names.

        Raises:
            SplitLeakError: a group is on both sides of the fold. This is checked before the cache is used.
        """
        train, valid = parts
        require_disjoint(groups[train], groups[valid], where=f"fold {fold + 1} of {self.member}")
        if self.cache is not None:
            stored = self.cache.load(self.member + self.variant, fold)
            if stored is not None:
                self.notify("reused", fold)
                return stored
        started = time.perf_counter()
        estimator = self.fit(inputs.take(train), y[train], groups[train], fold=fold)
        held_out = inputs.take(valid)
        X = held_out.view(self.input)
        probabilities = member_probabilities(estimator, X, classes, multilabel=y.ndim == 2)
        seconds = time.perf_counter() - started
        embedding, importance = None, None
        if fold == 0 and self.cache is not None:  # the folds have different spaces, and a map shows one space
            embedding = embed_inputs(estimator, held_out)
        if self.cache is not None and self.input == "table" and inputs.table is not None:
            importance = self.cache.importance(self.member, fold, estimator, inputs.table)
        result = FoldResult(probabilities, getattr(estimator, "history_", []), seconds, embedding, importance)
        if self.cache is not None:
            self.cache.save(self.member + self.variant, fold, result)
        return result

    def out_of_fold(
        self, inputs: Inputs, y: Labels, groups: Groups, folds: Folds, classes: Sequence[str]
    ) -> tuple[Floats, list[FoldResult]]:
        """Predict every row with a member that was fitted without this row and its group.

        Args:
            inputs: n rows.
            y: labels `(n,)`, or an indicator matrix `(n, K)` for label sets.
            groups: group of each row, `(n,)`.
            folds: the held-out parts contain each row exactly once.
            classes: K names.

        Returns:
            Probabilities `(n, K)`, and the result of every fold.

        Raises:
            SplitLeakError: a group is on both sides of a fold.
        """
        probabilities = np.full((len(inputs), len(classes)), np.nan)
        results = []
        for fold, parts in enumerate(folds):
            result = self.predict_fold(inputs, y, groups, fold, parts, classes)
            probabilities[parts[1]] = result.probabilities
            results.append(result)
        return probabilities, results


def member_probabilities(
    estimator: Member, X: MemberInput, classes: Sequence[str], *, multilabel: bool
) -> Floats:
    """Probabilities of one fitted member, `(n, K)`.

    Args:
        estimator: fitted.
        X: its input, n rows.
        classes: K names. A class that the member did not see in training gets probability zero.
        multilabel: whether clips carry label sets. If so, the member has all K tags in this order.

    Raises:
        AlignmentError: the member has a class that is not in `classes`.
    """
    if multilabel:
        return np.asarray(estimator.predict_proba(X), dtype=np.float64)
    return full_probabilities(estimator, X, classes)


def full_probabilities(estimator: Member, X: MemberInput, classes: Sequence[str]) -> Floats:
    """Probabilities `(n, K)` over `classes`; a class that the member did not see in training gets zero.

    Args:
        estimator: fitted.
        X: its input, n rows.
        classes: K names, a superset of `estimator.classes_`.

    Raises:
        AlignmentError: the member has a class that is not in `classes`.
    """
    names = [str(name) for name in classes]
    member_names = [str(name) for name in estimator.classes_]
    unexpected = sorted(set(member_names) - set(names))
    if unexpected:
        raise AlignmentError(
            f"A member must know only the classes of the model. It also knows: {', '.join(unexpected)}."
        )
    probabilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if member_names == names:
        return probabilities
    column = {name: k for k, name in enumerate(names)}
    full = np.zeros((len(probabilities), len(names)))
    full[:, [column[name] for name in member_names]] = probabilities
    return full


def embed_inputs(estimator: Member, inputs: Inputs) -> NDArray[np.float32] | None:
    """Last layer of a fitted network at `map_positions` of the inputs; None for table members.

    Args:
        estimator: fitted.
        inputs: n rows.

    Returns:
        Shape `(clips, d)`, float32.
    """
    if not hasattr(estimator, "embed"):
        return None
    clips = inputs.take(map_positions(len(inputs)))
    embedding = cast(NetworkMember, estimator).embed(clips.view("spectrogram"))
    return np.asarray(embedding, dtype=np.float32)


def map_positions(n: int) -> Positions:
    """Positions of the clips that a map shows: all `n`, or `MAX_EMBEDDED` of them, evenly spread.

    Example:
        >>> map_positions(3).tolist(), len(map_positions(10_000))
        ([0, 1, 2], 1500)
    """
    evenly_spread = np.linspace(0, n - 1, min(n, MAX_EMBEDDED))
    return np.unique(evenly_spread.astype(np.intp))


def _take_spectrograms(spectrograms: SpectrogramInput, positions: Positions) -> SpectrogramInput:
    """Spectrograms at `positions`: a list from a list, an array or a store from one of these."""
    if isinstance(spectrograms, list):
        return [spectrograms[i] for i in positions]
    return cast("_TakesPositions", spectrograms)[positions]


class _TakesPositions(Protocol):
    """Array or store of spectrograms that an array of positions can index."""

    def __getitem__(self, positions: Positions, /) -> SpectrogramInput: ...


def _device() -> str:
    """Device that networks are trained on, for the display."""
    from quintet.classifiers.networks.backend import device

    return str(device())
