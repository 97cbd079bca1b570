"""Out-of-fold predictions: what weights, calibration and reports may look at.

A member never sees the tracks it is judged on, nor any track of the same group (artist). Each fold's work can
be kept in a `FoldCache`, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quintet.classifiers.registry import make_member, member_entry
from quintet.datasets.groups import require_disjoint
from quintet.errors import AlignmentError, ConfigError

FINAL_FIT = -1  # the fold number of the fit on the whole training part
MAX_EMBEDDED = 1500
"""Clips of which the last layer of a network is kept: a map shows no more."""


@dataclass(frozen=True)
class Inputs:
    """What members look at: rows of a feature table, spectrograms, or both, in one order.

    Raises:
        AlignmentError: if both are given and their lengths differ.
    """

    table: pd.DataFrame | None = None
    spectrograms: Any = None

    def __post_init__(self) -> None:
        if (
            self.table is not None
            and self.spectrograms is not None
            and len(self.table) != len(self.spectrograms)
        ):
            raise AlignmentError(
                f"Every row needs its spectrogram. Received {len(self.table)} rows and {len(self.spectrograms)} spectrograms."
            )

    def __len__(self) -> int:
        return len(self.table) if self.table is not None else len(self.spectrograms)

    def take(self, positions: NDArray[np.intp]) -> Inputs:
        """The rows at `positions`, in that order."""
        table = None if self.table is None else self.table.iloc[positions]
        spectrograms = None
        if self.spectrograms is not None:
            is_list = isinstance(self.spectrograms, list)
            spectrograms = (
                [self.spectrograms[i] for i in positions] if is_list else self.spectrograms[positions]
            )
        return Inputs(table, spectrograms)

    def view(self, kind: str) -> Any:
        """What a member with input `kind` (`"table"` or `"spectrogram"`) is fitted on."""
        X = self.table if kind == "table" else self.spectrograms
        if X is None:
            raise ConfigError(
                f"This member works on a {kind}, but none was given. Leave it out, or pass the {kind}s."
            )
        return X


@dataclass(frozen=True)
class TrainingEvent:
    """What happens while members are fitted, for progress displays. `fold` is -1 for the fit on the whole training part.

    `curve`: one more fit of the learning curve is done (`details`: done, total)."""

    kind: Literal["start", "epoch", "done", "reused", "curve"]
    member: str
    fold: int
    n_folds: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldResult:
    """The predictions of one member for one fold, and the epochs it took; of a network in the first fold also `embedding`,
    its last layer on the clips that were held out (`embed_inputs`)."""

    probabilities: NDArray[np.float64]
    history: list[dict[str, Any]]
    seconds: float
    embedding: NDArray[np.float32] | None = None


class FoldCache(Protocol):
    """Where finished folds are kept. `model_folder.FoldFiles` keeps them on disk."""

    def load(self, member: str, fold: int) -> FoldResult | None: ...

    def save(self, member: str, fold: int, result: FoldResult) -> None: ...

    def checkpoint(self, member: str, fold: int) -> Any: ...


Listener = Callable[[TrainingEvent], None]


def member_seed(seed: int, member: str, fold: int) -> int:
    """A seed for one fit that depends on nothing but the run's seed, the member's name and the fold.

    Example:
        >>> member_seed(0, "svm", 1) == member_seed(0, "svm", 1), member_seed(0, "svm", 1) == member_seed(0, "svm", 2)
        (True, False)
    """
    words = np.random.SeedSequence([seed, zlib.crc32(member.encode()), fold + 1]).generate_state(1)
    return int(words[0] % (2**31 - 1))


def full_probabilities(estimator: Any, X: Any, classes: Sequence[Any]) -> NDArray[np.float64]:
    """`predict_proba` over `classes`: a class that the estimator never saw gets probability zero.

    Args:
        estimator: fitted, with `classes_`.
        X: what it predicts on.
        classes: k names; a superset of `estimator.classes_`.

    Returns:
        Shape `(n, k)`, float64.

    Raises:
        AlignmentError: if the estimator knows a class that is not in `classes`.
    """
    known = [str(c) for c in estimator.classes_]
    if strange := sorted(set(known) - {str(c) for c in classes}):
        raise AlignmentError(
            f"A member must know only the classes of the model. It also knows: {', '.join(strange)}."
        )
    probabilities = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if known == [str(c) for c in classes]:
        return probabilities
    full = np.zeros((len(probabilities), len(classes)))
    place = {str(c): k for k, c in enumerate(classes)}
    full[:, [place[c] for c in known]] = probabilities
    return full


@dataclass(frozen=True)
class Trainer:
    """How one member is made and fitted: name, settings, seed; with an optional cache and listener.

    `fit` and `out_of_fold` are the only places where members are fitted; both check that no group leaks.
    """

    member: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    cache: FoldCache | None = None
    listener: Listener | None = None
    n_folds: int = 0

    def notify(self, kind: Literal["start", "epoch", "done", "reused"], fold: int, **details: Any) -> None:
        """Pass an event on to the listener, if there is one."""
        if self.listener is not None:
            self.listener(TrainingEvent(kind, self.member, fold, self.n_folds, details))

    def fit(self, inputs: Inputs, y: NDArray[Any], groups: NDArray[Any], *, fold: int = FINAL_FIT) -> Any:
        """A fresh estimator fitted on these rows."""
        entry = member_entry(self.member)
        estimator = make_member(self.member, seed=member_seed(self.seed, self.member, fold), **self.settings)
        extra: dict[str, Any] = {}
        if entry.input == "spectrogram":
            extra["on_epoch"] = lambda epoch: self.notify("epoch", fold, **epoch)
            if self.cache is not None:
                extra["checkpoint"] = self.cache.checkpoint(self.member, fold)
        self.notify("start", fold, **_device(entry.input))
        started = time.perf_counter()
        with _one_thread(entry.input):
            estimator.fit(inputs.view(entry.input), y, groups=groups, **extra)
        self.notify("done", fold, seconds=time.perf_counter() - started)
        return estimator

    def predict_fold(
        self,
        inputs: Inputs,
        y: NDArray[Any],
        groups: NDArray[Any],
        fold: int,
        parts: tuple[Any, Any],
        classes: Sequence[str],
    ) -> FoldResult:
        """The probabilities for one fold's held-out rows, from the cache if they are there."""
        train, valid = parts
        require_disjoint(groups[train], groups[valid], where=f"fold {fold + 1} of {self.member}")
        if self.cache is not None and (kept := self.cache.load(self.member, fold)) is not None:
            self.notify("reused", fold)
            return kept
        started = time.perf_counter()
        estimator = self.fit(inputs.take(train), y[train], groups[train], fold=fold)
        held_out = inputs.take(valid)
        X = held_out.view(member_entry(self.member).input)
        probabilities = member_probabilities(estimator, X, classes, multilabel=y.ndim == 2)
        seconds = time.perf_counter() - started
        embedding = (
            embed_inputs(estimator, held_out) if fold == 0 and self.cache is not None else None
        )  # folds do not share a space: one of them is a map
        result = FoldResult(probabilities, list(getattr(estimator, "history_", [])), seconds, embedding)
        if self.cache is not None:
            self.cache.save(self.member, fold, result)
        return result

    def out_of_fold(
        self,
        inputs: Inputs,
        y: NDArray[Any],
        groups: NDArray[Any],
        folds: Sequence[tuple[Any, Any]],
        classes: Sequence[str],
    ) -> tuple[NDArray[np.float64], list[FoldResult]]:
        """Every row predicted by a model that saw neither it nor its group.

        Args:
            inputs: n rows.
            y: labels `(n,)`, or a 0/1 indicator `(n, k)` for label sets.
            groups: `(n,)`.
            folds: pairs of position arrays (train, held out); the held-out parts cover each row exactly once.
            classes: k names.

        Returns:
            `(n, k)` probabilities and the result of every fold.

        Raises:
            SplitLeakError: if a group stands on both sides of a fold.
        """
        probabilities = np.full((len(inputs), len(classes)), np.nan)
        results = []
        for fold, parts in enumerate(folds):
            result = self.predict_fold(inputs, y, groups, fold, parts, classes)
            probabilities[parts[1]] = result.probabilities
            results.append(result)
        return probabilities, results


def embed_inputs(estimator: Any, inputs: Inputs) -> NDArray[np.float32] | None:
    """The last layer of a fitted network on the inputs at `map_positions`: (clips, d); None for members without layers."""
    if not hasattr(estimator, "embed"):
        return None
    return np.asarray(
        estimator.embed(inputs.take(map_positions(len(inputs))).view("spectrogram")), dtype=np.float32
    )


def map_positions(n: int) -> NDArray[np.intp]:
    """Which of `n` clips have a place on a map: all, or `MAX_EMBEDDED` of them, evenly spread.

    Example:
        >>> map_positions(3).tolist(), len(map_positions(10_000))
        ([0, 1, 2], 1500)
    """
    return np.unique(np.linspace(0, n - 1, min(n, MAX_EMBEDDED)).astype(np.intp))


def _device(kind: str) -> dict[str, str]:
    """Where a network is trained, for the display."""
    if kind == "table":
        return {}
    from quintet.classifiers.spectrogram.classifier import device_summary  # it loads keras

    return {"device": device_summary()}


@contextmanager
def _one_thread(kind: str) -> Iterator[None]:
    """One BLAS thread for table members: their matrices are small, and threads that wait for each other on a busy machine cost 30 times the work."""
    with threadpool_limits(limits=1, user_api="blas") if kind == "table" else nullcontext():
        yield


def member_probabilities(
    estimator: Any, X: Any, classes: Sequence[str], *, multilabel: bool
) -> NDArray[np.float64]:
    """Probabilities `(n, k)` of one member; for label sets its columns are the indicator's columns."""
    if multilabel:
        return np.asarray(estimator.predict_proba(X), dtype=np.float64)
    return full_probabilities(estimator, X, classes)
