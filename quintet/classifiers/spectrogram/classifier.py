"""A network on spectrograms with scikit-learn's contract: fit, predict_proba, classes_, clone; and what is stored of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from quintet.classifiers.networks.backend import building_context, data_parallel, device, load_keras
from quintet.classifiers.networks.registry import build_network
from quintet.classifiers.spectrogram.augmentation import Augmentation
from quintet.classifiers.spectrogram.fitting import (
    SCHEDULES,
    Checkpoint,
    Plan,
    compile_network,
    forward,
    train,
)
from quintet.classifiers.spectrogram.patches import (
    PADDINGS,
    STANDARDS,
    band_statistics,
    check_clips,
    cut_patches,
    even_patches,
    mean_by_clip,
    random_patches,
    segment_starts,
    shapes,
)
from quintet.classifiers.spectrogram.pooling import POOLING, Neighbours, segment_predictions
from quintet.classifiers.spectrogram.targets import (
    CLASS_WEIGHTS,
    Rows,
    agreement,
    append_copies,
    mean_log_loss,
)
from quintet.datasets.groups import group_names, require_disjoint
from quintet.datasets.splits.folds import grouped_folds
from quintet.errors import ConfigError, DatasetError, unknown_name

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
CHUNK_BYTES = 256 * 2**20  # patches that are held at a time
N_NEIGHBOURS = 15  # of a segment, in pooling by "knn"


class SpectrogramClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network that reads log-mel spectrograms of any length, patch by patch, and whose verdict on a clip is pooled from its patches'.

    In each epoch every training clip gives `patches_per_clip` patches from random places; or, multi-framing (`hop_frames`), each of its segments
    once. Early stopping looks at clips: at the mean of their patches' probabilities. A part of the clips that shares no group
    with the rest is held out for early stopping; the weights of the epoch with its lowest loss are kept. Patches are
    standardised with statistics of the training part only.

    Parameters:
        network: a name in `networks.catalogue.NETWORKS`. settings: of that network's `build`.
        epochs, batch_size, learning_rate, schedule ("cosine" or "constant"), patience: see `training.Plan`.
        base_rate: factor on the learning rate for the pretrained base of a network that has one.
        patch_frames: length of a patch. patches_per_clip: per epoch. max_patches: per clip in prediction.
        hop_frames: multi-framing: from one segment to the next, in training and prediction; None is off.
        skip_frames: left out at both ends of a clip. pooling: of a clip's patches, "average", "vote" or "knn" (among the patches held out in `fit`).
        padding: what continues a clip shorter than a patch: "repeat" or "floor". standard: "band", "global" or "none".
        class_weight: "balanced" (each class, or each tag's presence and absence, counts the same in training and early stopping) or "none".
        augmentation: of training patches, e.g. `{"mask_bands": 12, "mask_frames": 24, "mixup": 0.2}`: see `Augmentation`.
        validation_share: of the groups, held out in `fit`; 0 trains all epochs on everything.
        precision: "auto" (mixed on a GPU), "float32", "mixed_float16", "mixed_bfloat16". seed: decides everything random.

    Attributes:
        classes_, multilabel_, history_ (one dict per epoch), best_epoch_, weights_ (arrays), mean_ and std_ (n_mels, 1).
        validation_: positions of the clips held out in `fit`. neighbours_: their segments' scores, for pooling by "knn".
    """

    def __init__(
        self,
        network: str = "vgg_small",
        *,
        settings: Mapping[str, Any] | None = None,
        epochs: int = 40,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
        patience: int = 12,
        base_rate: float = 1.0,
        patch_frames: int = 128,
        patches_per_clip: int = 1,
        max_patches: int = 8,
        hop_frames: int | None = None,
        skip_frames: int = 0,
        pooling: str = "average",
        padding: str = "repeat",
        standard: str = "band",
        class_weight: str = "balanced",
        augmentation: Mapping[str, float] | None = None,
        validation_share: float = 0.15,
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        self.network = network
        self.settings = settings
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.patience = patience
        self.base_rate = base_rate
        self.patch_frames = patch_frames
        self.patches_per_clip = patches_per_clip
        self.max_patches = max_patches
        self.hop_frames = hop_frames
        self.skip_frames = skip_frames
        self.pooling = pooling
        self.padding = padding
        self.standard = standard
        self.class_weight = class_weight
        self.augmentation = augmentation
        self.validation_share = validation_share
        self.precision = precision
        self.seed = seed

    @property
    def member(self) -> str:
        """The name in the registry."""
        return self.network

    def fit(
        self,
        X: Sequence[Any],
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
        checkpoint: str | Path | None = None,
        copies: tuple[Sequence[Any], ArrayLike] | None = None,
    ) -> Self:
        """The classifier fitted on spectrograms.

        Parameters:
            X: `Spectrograms`, a list of (n_mels, frames) arrays of any lengths, or an array (clips, n_mels, frames); dB.
            y: (clips,) labels, or an indicator matrix (clips, tags). classes: names of the tags.
            groups: (clips,) who belongs together; every clip on its own where None.
            on_epoch: called with `{epoch, loss, accuracy, val_loss, val_accuracy, seconds}` after each epoch.
            checkpoint: a folder for the state after each epoch; a fit that finds one there goes on from it.
            copies: augmented copies (spectrograms, positions in X of what they are copies of): learnt from, never validated on. Default: `X.copies`
                where there is such a thing (`features/copies.py`).

        Raises:
            DatasetError: no clips, differing bands, one class only. SplitLeakError: a group on both sides of the early stopping.
            ConfigError: a parameter that cannot be. ArtefactError: a checkpoint of another fit.
        """
        self.check_parameters()
        clips = check_clips(X)
        targets = self._read_targets(
            y, len(clips), getattr(y, "columns", None) if classes is None else classes
        )
        owners = group_names(range(len(clips)) if groups is None else groups)
        learners, self.validation_ = self._held_out(targets, owners)
        self._check_pooling()
        self.n_mels_ = int(shapes(clips)[0][0])
        copies = getattr(X, "copies", None) if copies is None else copies
        if copies is not None:
            clips, targets, learners = append_copies(clips, targets, learners, copies)
        self.mean_, self.std_ = band_statistics(clips, learners, standard=self.standard)
        rows = Rows.from_targets(
            targets, learners, n_classes=len(self.classes_), balanced=self.class_weight == "balanced"
        )
        plan = Plan(
            self.epochs, self.batch_size, self.learning_rate, self.schedule, self.patience, self.base_rate
        )
        with data_parallel(device().count):
            model = self.new_network()
            front, head = _divided(model)
            compile_network(head, plan, device=device(), tags=rows.tags)
            progress = train(
                head,
                plan,
                batches=self._kept_batches(clips, learners, rows, front)
                if front
                else self._fresh_batches(clips, learners, rows),
                validate=self._validation(clips, targets, front, head) if len(self.validation_) else None,
                on_epoch=on_epoch,
                checkpoint=Checkpoint(checkpoint, self._fingerprint(clips, targets, owners))
                if checkpoint
                else None,
            )
        self.history_, self.best_epoch_ = progress.history, progress.best_epoch
        self.weights_, self._model = (
            model.get_weights(),
            model if device().count == 1 else None,
        )  # it answers on one device
        self.neighbours_ = self._neighbours(clips, targets) if self.pooling == "knn" else None
        return self

    def predict_proba(self, X: Sequence[Any]) -> Floats:
        """Probabilities (clips, classes) float64: the patches of each clip, pooled; rows sum to 1, save where there are tags."""
        check_is_fitted(self, "weights_")

        def said(model: Any, patches: NDArray[np.float32]) -> Floats:
            probabilities = self._probabilities(forward(model, patches, batch_size=self.batch_size))
            return np.asarray(
                segment_predictions(
                    probabilities, rule=self.pooling, neighbours=getattr(self, "neighbours_", None)
                ),
                dtype=np.float64,
            )

        return self._pooled(X, said, self.fitted_network())

    def predict(self, X: Sequence[Any]) -> NDArray[Any]:
        """The most probable label (clips,), or the indicator matrix (clips, tags) of what is at least as likely as not."""
        probabilities = self.predict_proba(X)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(np.int64)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def embed(self, X: Sequence[Any]) -> Floats:
        """The last hidden layer (clips, d) float64, the mean over the patches of each clip: a place on a map."""
        check_is_fitted(self, "weights_")
        model = self.fitted_network()
        last = load_keras().Model(model.input, model.get_layer("embedding").output)
        return self._pooled(
            X, lambda network, patches: forward(network, patches, batch_size=self.batch_size), last
        )

    def check_parameters(self) -> None:
        """Refuse parameters that cannot be.

        Raises:
            ConfigError: with the nearest valid name, or the range.
        """
        for name, value, valid in (
            ("padding", self.padding, PADDINGS),
            ("standard", self.standard, STANDARDS),
            ("schedule", self.schedule, SCHEDULES),
            ("pooling rule", self.pooling, POOLING),
            ("class weight", self.class_weight, CLASS_WEIGHTS),
        ):
            if value not in valid:
                raise unknown_name(name, value, valid)
        Augmentation.from_settings(self.augmentation)
        for name in ("epochs", "batch_size", "patch_frames", "patches_per_clip", "max_patches", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1. Received {getattr(self, name)}.")
        if self.skip_frames < 0 or (self.hop_frames is not None and self.hop_frames < 1):
            raise ConfigError(
                f"hop_frames must be at least 1 and skip_frames at least 0. Received {self.hop_frames} and {self.skip_frames}."
            )
        if not 0 <= self.validation_share <= 0.5:
            raise ConfigError(f"validation_share must lie in 0 … 0.5. Received {self.validation_share}.")

    def _read_targets(self, y: ArrayLike, n_clips: int, names: Sequence[str] | None) -> NDArray[Any]:
        labels = np.asarray(y)
        if len(labels) != n_clips:
            raise DatasetError(
                f"There must be one label per spectrogram. Received {len(labels)} labels for {n_clips} spectrograms."
            )
        self.multilabel_ = labels.ndim == 2 and labels.shape[1] > 1
        if self.multilabel_:
            if not np.isin(labels, (0, 1)).all():
                raise DatasetError(
                    "An indicator matrix must hold 0 and 1 only. Received other values. Give labels (clips,) otherwise."
                )
            if names is not None and len(names) != labels.shape[1]:
                raise DatasetError(
                    f"There must be one name per tag. Received {len(names)} names for {labels.shape[1]} columns."
                )
            self.classes_ = (
                np.arange(labels.shape[1]) if names is None else np.array([str(name) for name in names])
            )
            return labels.astype(np.float32)
        self.classes_, positions = np.unique(column_or_1d(labels), return_inverse=True)
        if len(self.classes_) < 2:
            raise DatasetError(
                f"A classifier needs at least two classes. Received one class only: {self.classes_[0]!r}. Add clips of another class."
            )
        return positions.astype(np.int64)

    def _held_out(self, targets: NDArray[Any], owners: NDArray[np.str_]) -> tuple[Positions, Positions]:
        """(learners, validation): positions, sharing no group. Nothing is held out where a class has one group only."""
        everything = np.arange(len(owners))
        having = [targets[:, k] > 0 if self.multilabel_ else targets == k for k in range(len(self.classes_))]
        spread = np.array([len(np.unique(owners[rows])) for rows in having])  # groups per class
        fewest = len(np.unique(owners)) if self.multilabel_ else int(spread.min())
        if self.validation_share == 0 or fewest < 2:
            return everything, everything[:0]
        n_splits = min(fewest, max(2, round(1 / self.validation_share)))
        divided = targets[:, spread >= 2] if self.multilabel_ else targets
        learners, validation = grouped_folds(divided, owners.tolist(), n_splits=n_splits, seed=self.seed)[0]
        require_disjoint(owners[learners], owners[validation], where="the early stopping of a network")
        return learners, validation

    def _check_pooling(self) -> None:
        if self.multilabel_ and self.pooling != "average":
            raise ConfigError(
                f"Tags are pooled by 'average': there is no one winner to vote for. Received '{self.pooling}'."
            )
        if self.pooling == "knn" and not len(self.validation_):
            raise ConfigError(
                "Pooling by 'knn' looks among segments that were held out in training. None were: raise validation_share."
            )

    def _neighbours(self, clips: Sequence[Any], targets: NDArray[Any]) -> Neighbours:
        """The scores of the segments that were held out: those of segments that were learnt from would all be sure."""
        parts = [even_patches(clips[int(i)], **self.patch_settings) for i in self.validation_]
        logits = forward(
            self.fitted_network(), self.standardise(np.concatenate(parts)), batch_size=self.batch_size
        )
        codes = np.repeat(targets[self.validation_], [len(part) for part in parts])
        return Neighbours(self._probabilities(logits), codes, k=min(N_NEIGHBOURS, len(codes)))

    @property
    def patch_settings(self) -> dict[str, Any]:
        """How a clip is cut for prediction: the settings of `even_patches`."""
        return {
            "frames": self.patch_frames,
            "padding": self.padding,
            "at_most": self.max_patches,
            "hop": self.hop_frames,
            "skip": self.skip_frames,
        }

    def new_network(self, *, pretrained: bool = True) -> Any:
        """The architecture with fresh weights, or those that it comes with where `pretrained`; for the classes and the width of what was fitted."""
        return build_network(
            self.network,
            (self.n_mels_, self.patch_frames),
            len(self.classes_),
            multilabel=self.multilabel_,
            seed=self.seed,
            precision=device().precision if self.precision == "auto" else self.precision,
            settings=dict(self.settings or {}),
            pretrained=pretrained,
        )

    def fitted_network(self) -> Any:
        """The network with the fitted weights, built when it is first needed."""
        if getattr(self, "_model", None) is None:
            self._model = self.new_network(pretrained=False)
            self._model.set_weights(self.weights_)
        return self._model

    def standardise(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patches (n, n_mels, frames) in dB as the network reads them: each band less its mean over the training part, by its deviation."""
        return (patches - self.mean_) / self.std_

    def _fresh_batches(
        self, clips: Sequence[Any], learners: Positions, rows: Rows
    ) -> Callable[[int], Iterator[Any]]:
        """Epoch → chunks of patches from random places, augmented, in an order of that epoch's own."""
        per_chunk = (
            max(1, CHUNK_BYTES // (4 * self.n_mels_ * self.patch_frames * self.batch_size)) * self.batch_size
        )
        augmentation = Augmentation.from_settings(self.augmentation)
        cut: dict[str, Any] = {"frames": self.patch_frames, "padding": self.padding, "skip": self.skip_frames}
        hop = self.hop_frames
        segments = (
            None
            if hop is None
            else segment_starts(clips, learners, frames=self.patch_frames, hop=hop, skip=self.skip_frames)
        )

        def batches(epoch: int) -> Iterator[Any]:
            rng = np.random.default_rng([self.seed, epoch])
            order = rng.permutation(
                np.repeat(learners, self.patches_per_clip) if segments is None else segments
            )
            for begin in range(0, len(order), per_chunk):
                part = order[begin : begin + per_chunk]
                patches = (
                    random_patches(clips, part, rng, **cut)
                    if segments is None
                    else cut_patches(clips, part, **cut)
                )
                owners = part if segments is None else part[:, 0]
                patches -= self.mean_
                patches /= self.std_
                yield augmentation(patches, rows.targets[owners], rows.weights[owners], rng)

        return batches

    def _kept_batches(
        self, clips: Sequence[Any], learners: Positions, rows: Rows, front: Any
    ) -> Callable[[int], Iterator[Any]]:
        """Epoch → what the frozen part made of evenly spaced patches, computed once, in an order of that epoch's own."""
        if Augmentation.from_settings(self.augmentation).active:
            raise ConfigError(
                f"Augmentation needs patches that are new in each epoch; '{self.network}' keeps what its base made of them. Switch it off."
            )
        made, origin = self._through(front, clips, learners, at_most=self.patches_per_clip)

        def batches(epoch: int) -> Iterator[Any]:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(made))
            yield made[order], rows.targets[origin[order]], rows.weights[origin[order]]

        return batches

    def _through(
        self, model: Any, clips: Sequence[Any], positions: Positions, *, at_most: int
    ) -> tuple[NDArray[np.float32], Positions]:
        """What `model` makes of evenly spaced patches of the clips at `positions`, and the position that each came from."""
        outputs, origin = [], []
        for i in positions:
            patches = even_patches(clips[int(i)], **self.patch_settings | {"at_most": at_most})
            outputs.append(
                forward(model, self.standardise(patches), batch_size=self.batch_size).astype(np.float32)
            )
            origin += [int(i)] * len(patches)
        return np.concatenate(outputs), np.array(origin)

    def _validation(
        self, clips: Sequence[Any], targets: NDArray[Any], front: Any, head: Any
    ) -> Callable[[], dict[str, float]]:
        """→ `targets.mean_log_loss` and the accuracy of the network on the part held out, by clip, as it stands."""
        parts = [even_patches(clips[int(i)], **self.patch_settings) for i in self.validation_]
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        patches = self.standardise(np.concatenate(parts))
        inputs = forward(front, patches, batch_size=self.batch_size).astype(np.float32) if front else patches
        truth, balanced = targets[self.validation_], self.class_weight == "balanced"

        def validate() -> dict[str, float]:
            said = mean_by_clip(
                self._probabilities(forward(head, inputs, batch_size=self.batch_size)), owners, len(parts)
            )
            return {
                "val_loss": mean_log_loss(said, truth, balanced=balanced),
                "val_accuracy": agreement(said, truth),
            }

        return validate

    def _probabilities(self, logits: Floats) -> Floats:
        return np.asarray(expit(logits) if self.multilabel_ else softmax(logits, axis=1))

    def _pooled(
        self, X: Sequence[Any], function: Callable[[Any, NDArray[np.float32]], Floats], model: Any
    ) -> Floats:
        clips = check_clips(X, n_mels=self.n_mels_)
        most = max(
            self.max_patches,
            len(segment_starts(clips, np.zeros(1, int), frames=self.patch_frames, hop=self.hop_frames))
            if self.hop_frames
            else 1,
        )
        per_chunk = max(1, CHUNK_BYTES // (4 * self.n_mels_ * self.patch_frames * most))
        results = []
        for begin in range(0, len(clips), per_chunk):
            part = range(begin, min(begin + per_chunk, len(clips)))
            patches = [even_patches(clips[i], **self.patch_settings) for i in part]
            owners = np.repeat(np.arange(len(patches)), [len(p) for p in patches])
            results.append(
                mean_by_clip(function(model, self.standardise(np.concatenate(patches))), owners, len(patches))
            )
        return np.concatenate(results)

    def _fingerprint(self, clips: Sequence[Any], targets: NDArray[Any], owners: NDArray[np.str_]) -> str:
        settings = self.get_params(deep=False) | {
            "backend": load_keras().backend.backend()
        }  # the state of its optimiser is another's
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for array in (
            targets,
            owners,
            np.array(shapes(clips)),
            np.asarray(clips[0]),
            np.asarray(clips[len(clips) - 1]),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}


def _divided(model: Any) -> tuple[Any, Any]:
    """(what never learns, the rest) of a network with a layer called `kept`; (None, the whole) of any other."""
    if "kept" not in {layer.name for layer in model.layers}:
        return None, model
    keras, middle = load_keras(), model.get_layer("kept").output
    with building_context(
        seed=0, precision=model.dtype_policy.name
    ):  # the loss is scaled, or not, by the policy of the model that is compiled
        return keras.Model(model.input, middle), keras.Model(middle, model.output)


def device_summary() -> str:
    """One line for people: what networks run on.

    Example: "CPU, float32" or "2 × NVIDIA H200, mixed_bfloat16, XLA".
    """
    return str(device())
