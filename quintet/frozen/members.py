"""Members as plain arrays: a classifier of feature tables, and a network on spectrograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.patches import BandStatistics
from quintet.classifiers.spectrogram.pooling import (
    POOLING,
    Neighbours,
    mean_over_patches,
    segment_predictions,
)
from quintet.classifiers.spectrogram.sequences import SpectrogramInput, read_clips
from quintet.classifiers.spectrogram.settings import PatchSettings, require_name
from quintet.classifiers.tabular.preparation import Preparation
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayHeader, ArrayRule, StoredArray, require_rule
from quintet.frozen.network import Network, Step
from quintet.frozen.scorers import SCORERS, Scorer, logistic, softmax

Floats = NDArray[np.float64]
Arrays = Mapping[str, StoredArray]

NETWORK = "network"
"""Kind of a member that is a network; the other kinds are those of `SCORERS`."""

OPTIONAL = frozenset({"cover"})
"""Arrays of a classifier that models of early versions do not have."""

_PATCH_NUMBERS = ("patch_frames", "hop_frames", "skip_frames", "max_patches")


@dataclass(frozen=True)
class Size:
    """Sizes that the model folder names.

    Args:
        n_features: columns of the feature table.
        n_classes: K.
        multilabel: whether clips carry label sets.
    """

    n_features: int
    n_classes: int
    multilabel: bool


class FrozenMember(Protocol):
    """A fitted member as plain arrays."""

    def probabilities(self, features: Floats, spectrograms: SpectrogramInput | None) -> Floats:
        """Probabilities `(n, K)` of rows of features `(n, d)` or of n spectrograms."""
        ...

    def head(self) -> JsonObject:
        """What the JSON file says about the member."""
        ...

    def arrays(self) -> dict[str, StoredArray]:
        """The fitted numbers, by name."""
        ...


@dataclass(frozen=True, eq=False)
class FrozenTable:
    """Member that reads feature tables.

    Args:
        kind: key of `SCORERS`.
        preparation: prepares the columns that the member sees; they are found by their positions among all
            columns of the model.
        scorers: one classifier, or one per tag; None for a tag with a constant probability.
        constants: constant probabilities of the tags, NaN for the others.
        multilabel: whether clips carry label sets.
    """

    kind: str
    preparation: Preparation
    scorers: tuple[Scorer | None, ...]
    constants: Floats
    multilabel: bool

    def probabilities(self, features: Floats, spectrograms: SpectrogramInput | None) -> Floats:
        """Probabilities `(n, K)`; rows sum to 1, except for label sets."""
        rows = self.preparation.transform(features)
        if not self.multilabel:
            (scorer,) = self.scorers
            assert scorer is not None
            probabilities = scorer.probabilities(rows)
            return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))
        columns = [
            np.full(len(rows), constant) if scorer is None else scorer.probabilities(rows)[:, 1]
            for scorer, constant in zip(self.scorers, self.constants, strict=True)
        ]
        return np.asarray(np.clip(np.column_stack(columns), 0.0, 1.0))

    def head(self) -> JsonObject:
        """`kind`, and `constants` with None for tags that have a classifier."""
        constants = [None if np.isnan(constant) else float(constant) for constant in self.constants]
        return {"kind": self.kind, "constants": constants}

    def arrays(self) -> dict[str, StoredArray]:
        """Arrays of the preparation, and those of each classifier with its number."""
        arrays = {f"preparation.{name}": values for name, values in self.preparation.arrays().items()}
        for k, scorer in enumerate(self.scorers):
            if scorer is not None:
                arrays |= {f"{k}.{name}": values for name, values in scorer.arrays().items()}
        return arrays

    @classmethod
    def rules(cls, head: JsonObject, size: Size) -> dict[str, ArrayRule]:
        """What the arrays may be; `restore` compares the numbers of columns.

        Raises:
            ValueError, TypeError, KeyError: the head is not possible.
        """
        constants = head["constants"]
        if len(constants) != (size.n_classes if size.multilabel else 1):
            raise ValueError("a member without one classifier per tag")
        numbers = ArrayRule("f", (None,))
        rules = {f"preparation.{name}": numbers for name in ("median", "mean", "std")}
        rules["preparation.kept"] = ArrayRule("iu", (None,))
        if SCALED[head["kind"]]:
            rules["preparation.spread"] = numbers
        own = SCORERS[head["kind"]].rules(None, _n_outcomes(size))
        for k, constant in enumerate(constants):
            if constant is None:
                rules |= {f"{k}.{name}": rule for name, rule in own.items()}
        return rules

    @classmethod
    def restore(cls, head: JsonObject, arrays: Arrays, size: Size) -> Self:
        """The member of a head and arrays that keep the rules.

        Raises:
            ValueError, TypeError, KeyError: they do not fit each other or the sizes.
        """
        kind = head["kind"]
        constants = np.array([np.nan if c is None else float(c) for c in head["constants"]])
        if not size.multilabel and not np.isnan(constants).all():
            raise ValueError("a constant that is no probability of a tag")
        if ((constants < 0) | (constants > 1)).any():
            raise ValueError("a constant that is no probability")
        own = {name: arrays[f"preparation.{name}"] for name in ("kept", "median", "mean", "std")}
        if "preparation.spread" in arrays:
            own["spread"] = arrays["preparation.spread"]
        preparation = Preparation(scale=SCALED[kind]).restore(own)
        kept = preparation.kept
        if len(kept) == 0 or kept.min() < 0 or kept.max() >= size.n_features:
            raise ValueError("a member that reads columns which are not there")
        if any(values.shape != kept.shape for values in own.values()) or not (preparation.std > 0).all():
            raise ValueError("a preparation without one number per column, or with a deviation of 0")
        if preparation.spread is not None and not (preparation.spread >= 0).all():
            raise ValueError("a preparation with a negative spread")
        scorers: list[Scorer | None] = []
        for k, constant in enumerate(constants):
            has_scorer = np.isnan(constant)
            stored = _inside(arrays, f"{k}.")
            scorers.append(_restore_scorer(kind, stored, len(kept), size) if has_scorer else None)
        return cls(kind, preparation, tuple(scorers), constants, size.multilabel)


def _restore_scorer(kind: str, arrays: Arrays, n_columns: int, size: Size) -> Scorer:
    """A classifier of stored arrays whose shapes are compared with the numbers of columns and classes."""
    n_classes = _n_outcomes(size)
    for name, rule in SCORERS[kind].rules(n_columns, n_classes).items():
        if name in OPTIONAL and name not in arrays:
            continue
        values = arrays[name]
        require_rule(ArrayHeader(values.dtype, values.shape, fortran=False, start=0), rule, name)
    return SCORERS[kind].restore(arrays, n_columns, n_classes)


SCALED = {"logistic_regression": True, "random_forest": False, "xgboost": False, "svm": True}
"""Whether a kind of table member standardises its columns."""


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """Network on spectrograms.

    Args:
        network: gives logits of patches.
        statistics: mean and deviation of each band.
        settings: how clips are cut into patches.
        pooling: key of `POOLING`.
        neighbours: segments for pooling by `knn`.
        multilabel: whether clips carry label sets.
    """

    network: Network
    statistics: BandStatistics
    settings: PatchSettings
    pooling: str
    neighbours: Neighbours | None
    multilabel: bool

    def probabilities(self, features: Floats, spectrograms: SpectrogramInput | None) -> Floats:
        """Probabilities `(n, K)`, pooled from the patches of each clip."""
        if spectrograms is None:
            raise ValueError("a network needs spectrograms")
        clips = read_clips(spectrograms, n_mels=len(self.statistics.mean))
        return mean_over_patches(clips, self.settings, self._segments)

    def _segments(self, patches: NDArray[np.float32]) -> Floats:
        logits = self.network.logits(self.statistics.standardise(patches))
        probabilities = logistic(logits) if self.multilabel else softmax(logits)
        return segment_predictions(probabilities, rule=self.pooling, neighbours=self.neighbours)

    def head(self) -> JsonObject:
        """`kind, n_mels, settings, pooling, steps`."""
        return {
            "kind": NETWORK,
            "n_mels": len(self.statistics.mean),
            "settings": vars(self.settings),
            "pooling": self.pooling,
            "steps": [step.to_json() for step in self.network.steps],
        }

    def arrays(self) -> dict[str, StoredArray]:
        """`mean`, `std` and those of the neighbours. The weights stay in the member's file of weights."""
        arrays: dict[str, StoredArray] = {"mean": self.statistics.mean, "std": self.statistics.std}
        if self.neighbours is not None:
            arrays["scores"], arrays["codes"] = self.neighbours.scores, self.neighbours.codes
            arrays["k"] = np.asarray(self.neighbours.k)
        return arrays

    @classmethod
    def rules(cls, head: JsonObject, size: Size) -> dict[str, ArrayRule]:
        """What the arrays may be.

        Raises:
            ValueError, TypeError, KeyError: the head is not possible.
        """
        n_mels = _count(head["n_mels"], limits.BANDS)
        bands = ArrayRule("f", (n_mels, 1))
        return {
            "mean": bands,
            "std": bands,
            "scores": ArrayRule("f", (None, size.n_classes)),
            "codes": ArrayRule("iu", (None,)),
            "k": ArrayRule("iu", ()),
        }

    @classmethod
    def restore(cls, head: JsonObject, arrays: Arrays, weights: Arrays, size: Size) -> Self:
        """The member of a head, arrays that keep the rules, and the content of its file of weights.

        Raises:
            ValueError, TypeError, KeyError, ConfigError: they do not fit each other or the sizes.
        """
        settings: JsonObject = head["settings"]
        most = {"patch_frames": limits.FRAMES, "max_patches": limits.CLIP_PATCHES}
        for name in _PATCH_NUMBERS:
            if settings[name] is not None or name != "hop_frames":
                _count(settings[name], most.get(name, limits.FRAMES), least=0)
        require_name("pooling rule", head["pooling"], POOLING)
        patches = PatchSettings(**settings)
        statistics = BandStatistics(arrays["mean"].astype(np.float32), arrays["std"].astype(np.float32))
        if not (statistics.std > 0).all() or not np.isfinite(statistics).all():
            raise ValueError("a mean or a standard deviation that is 0 or infinite in float32")
        steps = [Step.from_json(step) for step in head["steps"]]
        shape = (len(statistics.mean), patches.patch_frames)
        network = Network(steps, weights, shape, size.n_classes)
        neighbours = _restore_neighbours(arrays) if head["pooling"] == "knn" else None
        return cls(network, statistics, patches, head["pooling"], neighbours, size.multilabel)


def _restore_neighbours(arrays: Arrays) -> Neighbours:
    scores = arrays["scores"].astype(np.float64)
    codes, k = arrays["codes"].astype(np.int64), int(arrays["k"].astype(np.int64))
    if len(scores) != len(codes) or not 1 <= k <= len(codes):
        raise ValueError("neighbours without one class each")
    if codes.min() < 0 or codes.max() >= scores.shape[1]:
        raise ValueError("neighbours of other classes")
    return Neighbours(scores, codes, k)


def _inside(arrays: Arrays, prefix: str) -> dict[str, StoredArray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _n_outcomes(size: Size) -> int:
    """Classes of one classifier: two for a tag."""
    return 2 if size.multilabel else size.n_classes


def _count(value: object, most: int, *, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a number must lie between {least} and {most}, it is {str(value)[:30]}")
    return value
