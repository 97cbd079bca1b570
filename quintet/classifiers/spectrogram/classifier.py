"""Spectrogram classifier: a network on log-mel spectrograms as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from quintet.classifiers.labels import Labels, most_probable_labels
from quintet.classifiers.networks.backend import data_parallel, device, load_keras
from quintet.classifiers.networks.keras_types import KerasModel
from quintet.classifiers.networks.music_weights import require_front_end, require_log_values
from quintet.classifiers.networks.registry import build_network, published_music, split_frozen_base
from quintet.classifiers.networks.reuse import Form, compiled, with_weights
from quintet.classifiers.spectrogram.augmentation import Augmentation
from quintet.classifiers.spectrogram.batches import TrainingClips, epoch_batches
from quintet.classifiers.spectrogram.checkpoint import Checkpoint, EpochRow, fit_fingerprint
from quintet.classifiers.spectrogram.fitting import compile_network, forward, predict_probabilities, train
from quintet.classifiers.spectrogram.patches import BandStatistics, all_even_patches, band_statistics
from quintet.classifiers.spectrogram.pooling import (
    POOLING,
    Neighbours,
    find_neighbours,
    mean_over_patches,
    require_pooling,
    segment_predictions,
)
from quintet.classifiers.spectrogram.sequences import SpectrogramInput, SpectrogramSequence, read_clips
from quintet.classifiers.spectrogram.settings import STANDARDS, FitSettings, PatchSettings, require_name
from quintet.classifiers.spectrogram.targets import Codes, Copies, Rows, append_copies, read_targets
from quintet.classifiers.spectrogram.validation import ClipValidation, hold_out
from quintet.datasets.groups import group_names
from quintet.features.parameters import LogMelParameters
from quintet.files.json_types import JsonObject

Floats = NDArray[np.float64]
Patches = NDArray[np.float32]


class SpectrogramClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network on log-mel spectrograms of any length.

    The prediction for a clip is pooled from the predictions for its patches.

    In each epoch every training clip gives `patches_per_clip` patches from random places. With `hop_frames`
    (multi-framing) it gives each of its segments once. A part of the clips that shares no group with the rest
    is held out for early stopping, and the weights of the epoch with the lowest loss on it are kept. That
    loss is per clip: it uses the mean of the probabilities of a clip's patches. Patches are standardised with
    statistics of the training part only.

    Args:
        network: key of `networks.registry.NETWORKS`.
        settings: arguments of the network's `build`.
        epochs: greatest number of epochs.
        batch_size: patches per step.
        learning_rate: rate of Adam in the first epoch.
        schedule: `"cosine"` or `"constant"`, see `FitSettings.rate`.
        patience: number of epochs without a lower validation loss after which the fit stops.
        base_rate: factor on the learning rate for the pretrained base of a network that has one. A
            frozen base has none.
        patch_frames: length of a patch.
        patches_per_clip: random patches of each clip per epoch.
        max_patches: greatest number of patches per clip in prediction.
        hop_frames: multi-framing: frames from one segment to the next, in training and prediction. None: off.
        skip_frames: frames that are left out at both ends of a clip.
        pooling: of a clip's patches: `"average"`, `"vote"` or `"knn"` (among the patches held out in `fit`).
        padding: how a clip shorter than a patch is continued: `"repeat"` or `"floor"`.
        standard: statistics for standardising: `"band"`, `"global"` or `"none"`. Published weights of music
            read values as they are, so for them it is always `"none"`.
        class_weight: `"balanced"` gives each class, or each tag's presence and absence, the same weight in
            training and early stopping; `"none"` does not.
        augmentation: of training patches, e.g. `{"mask_bands": 12, "mask_frames": 24, "mixup": 0.2}`, see
            `Augmentation`.
        validation_share: share of the groups that is held out in `fit`; 0 trains all epochs on all clips.
        precision: `"auto"` (mixed on a GPU), `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.
        seed: controls all randomness.

    Attributes:
        classes_: sorted labels, or the names of the tags.
        multilabel_: whether clips carry label sets.
        n_mels_: number of mel bands.
        mean_: means for standardising, `(n_mels, 1)`.
        std_: standard deviations for standardising, `(n_mels, 1)`.
        validation_: positions of the clips held out in `fit`.
        history_: one dict per epoch.
        best_epoch_: the epoch whose weights are kept, from 1.
        weights_: list of arrays.
        neighbours_: scores of the held-out segments, for pooling by `"knn"`; otherwise None.
    """

    classes_: Labels
    multilabel_: bool
    n_mels_: int
    mean_: Patches
    std_: Patches
    validation_: NDArray[np.int64]
    history_: list[EpochRow]
    best_epoch_: int
    weights_: list[NDArray[np.float32]]
    neighbours_: Neighbours | None
    _model: KerasModel | None

    def __init__(
        self,
        network: str = "vgg_small",
        *,
        settings: Mapping[str, object] | None = None,
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
        """Name in the registry."""
        return self.network

    @property
    def patch_settings(self) -> PatchSettings:
        """How clips are cut into patches.

        Raises:
            ConfigError: for parameters out of range.
        """
        return PatchSettings(
            patch_frames=self.patch_frames,
            hop_frames=self.hop_frames,
            skip_frames=self.skip_frames,
            max_patches=self.max_patches,
            padding=self.padding,
        )

    @property
    def fit_settings(self) -> FitSettings:
        """How the network is fitted.

        Raises:
            ConfigError: for parameters out of range.
        """
        return FitSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            patience=self.patience,
            base_rate=self.base_rate,
            patches_per_clip=self.patches_per_clip,
            class_weight=self.class_weight,
            augmentation=Augmentation.from_settings(self.augmentation),
            validation_share=self.validation_share,
            seed=self.seed,
        )

    def check_parameters(self) -> None:
        """Refuse parameters with unknown names or out of range.

        Raises:
            ConfigError: with the nearest valid name, or the range.
        """
        require_name("standard", self.standard, STANDARDS)
        require_name("pooling rule", self.pooling, POOLING)
        _ = self.patch_settings, self.fit_settings

    def require_spectrograms(
        self, parameters: LogMelParameters | None, *, lowest: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Refuse spectrograms that the published weights of the network cannot read.

        Networks without such weights read any.

        Args:
            parameters: settings of the spectrograms; None if they are unknown, as of arrays.
            lowest: the lowest value of a spectrogram, which tells where the settings do not.

        Raises:
            ConfigError: with the settings that the weights need.
        """
        if not self.reads_published_front_end:
            return
        if parameters is not None:
            require_front_end(self.network, parameters)
        else:
            require_log_values(self.network, lowest(), self.n_mels_)

    @property
    def reads_published_front_end(self) -> bool:
        """Whether the network starts from published weights of music, which read values as they are."""
        return published_music(self.network, self.settings or {}) is not None

    def fit(
        self,
        X: SpectrogramInput,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
        on_epoch: Callable[[EpochRow], None] | None = None,
        checkpoint: str | Path | None = None,
        copies: Copies | None = None,
    ) -> Self:
        """Fit the network on spectrograms.

        Args:
            X: `Spectrograms`, a list of `(n_mels, frames)` arrays of any lengths, or an array
                `(clips, n_mels, frames)`; dB.
            y: labels `(clips,)`, or an indicator matrix `(clips, tags)`.
            groups: `(clips,)` group of each clip. Default: every clip is its own group.
            classes: names of the tags.
            on_epoch: called with `{epoch, loss, accuracy, val_loss, val_accuracy, seconds}` after each epoch.
            checkpoint: folder for the state after each epoch. A fit resumes from the state that it finds
                there.
            copies: augmented copies: spectrograms, and positions in X of their originals. The network learns
                from them and is never validated on them. Default: `X.copies` if there is such an attribute
                (`features/storage/augmented_spectrograms.py`).

        Raises:
            DatasetError: if there are no clips or one class only, or the numbers of bands differ.
            SplitLeakError: if a group is on both sides of the early stopping.
            ConfigError: for a parameter that is not possible, or spectrograms that published weights cannot
                read.
            ArtefactError: for a checkpoint of another fit.
        """
        self.check_parameters()
        clips = read_clips(X)
        names = getattr(y, "columns", None) if classes is None else classes
        targets = read_targets(y, len(clips), names)
        self.classes_, self.multilabel_ = targets.classes, targets.multilabel
        clip_groups = group_names(range(len(clips)) if groups is None else groups)
        learners, self.validation_ = hold_out(
            targets, clip_groups, share=self.validation_share, seed=self.seed
        )
        require_pooling(self.pooling, multilabel=self.multilabel_, n_held_out=len(self.validation_))
        self.n_mels_ = int(clips.shapes[0][0])
        self.require_spectrograms(getattr(X, "parameters", None), lowest=lambda: float(clips[0].min()))
        codes = targets.codes
        copies = getattr(X, "copies", None) if copies is None else copies
        if copies is not None:
            clips, codes, learners = append_copies(clips, codes, learners, copies)
        training = self._training_clips(clips, codes, learners)
        state = None
        if checkpoint:
            fingerprint = fit_fingerprint(self.get_params(deep=False), clips, codes, clip_groups)
            state = Checkpoint(checkpoint, fingerprint)
        self._fit_network(training, codes, on_epoch=on_epoch, checkpoint=state)
        self.neighbours_ = None
        if self.pooling == "knn":
            self.neighbours_ = find_neighbours(
                clips, self.validation_, codes, self.patch_settings, self._fitted_probabilities
            )
        return self

    def predict_proba(self, X: SpectrogramInput) -> Floats:
        """Probabilities `(clips, classes)` float64, pooled from the patches of each clip.

        Rows sum to 1, except for label sets.
        """
        check_is_fitted(self, "weights_")
        neighbours = getattr(self, "neighbours_", None)
        form = None if getattr(self, "_model", None) is not None else self._form
        with with_weights(form, self.weights_) as lent:
            model = lent or self.fitted_network()
            return self._mean_over_patches(
                X,
                lambda patches: segment_predictions(
                    self._patch_probabilities(model, patches), rule=self.pooling, neighbours=neighbours
                ),
            )

    def predict(self, X: SpectrogramInput) -> Labels:
        """The most probable labels `(clips,)`, or an indicator matrix `(clips, tags)`.

        A tag is set if its probability is at least 0.5.
        """
        return most_probable_labels(self.predict_proba(X), self.classes_, multilabel=self.multilabel_)

    def embed(self, X: SpectrogramInput) -> Floats:
        """Output of the last hidden layer, the mean over the patches of each clip: `(clips, d)` float64."""
        check_is_fitted(self, "weights_")
        model = self.fitted_network()
        last = load_keras().Model(model.input, model.get_layer("embedding").output)
        return self._mean_over_patches(X, lambda patches: forward(last, patches, batch_size=self.batch_size))

    def standardise(self, patches: Patches) -> Patches:
        """Patches `(n, n_mels, frames)` in dB as the network reads them, see `BandStatistics.standardise`."""
        return BandStatistics(self.mean_, self.std_).standardise(patches)

    def new_network(self, *, pretrained: bool = True) -> KerasModel:
        """Build the network for the classes and bands of the fit, with initial weights.

        Args:
            pretrained: False starts a pretrained base from random weights.
        """
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

    @property
    def _form(self) -> Form:
        """What decides the graph of the network."""
        shape = (self.n_mels_, self.patch_frames, len(self.classes_), self.multilabel_)
        return (self.network, repr(self.settings), self.precision, *shape)

    def fitted_network(self) -> KerasModel:
        """The network with the fitted weights. It is built at the first call after loading or unpickling."""
        model = getattr(self, "_model", None)
        if model is None:
            model = self.new_network(pretrained=False)
            model.set_weights(self.weights_)
            self._model = model
        return model

    def keep_network(self, model: KerasModel, *, reuse: bool = True) -> None:
        """Keep the weights of a fitted network.

        Args:
            model: the network.
            reuse: predict with this object; otherwise `fitted_network` builds a new one.
        """
        self.weights_ = model.get_weights()
        self._model = model if reuse else None

    def _training_clips(
        self, clips: SpectrogramSequence, codes: Codes, learners: NDArray[np.int64]
    ) -> TrainingClips:
        """Compute statistics and weights of the learners, and keep the statistics."""
        standard = "none" if self.reads_published_front_end else self.standard
        statistics = band_statistics(clips, learners, standard=standard)
        self.mean_, self.std_ = statistics
        balanced = self.fit_settings.balanced
        rows = Rows.from_targets(codes, learners, n_classes=len(self.classes_), balanced=balanced)
        return TrainingClips(clips, learners, rows, statistics)

    def _fit_network(
        self,
        training: TrainingClips,
        codes: Codes,
        *,
        on_epoch: Callable[[EpochRow], None] | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        settings = self.fit_settings
        with data_parallel(device().count):
            model = self.new_network()
            base, head = split_frozen_base(model)
            if base is not None:
                settings = replace(settings, base_rate=1.0)  # a frozen base has no rate
            tags = training.rows.tags
            is_plain = base is None and settings.base_rate == 1.0 and tags is None
            begin = partial(compile_network, settings=settings, device=device(), tags=tags)
            with compiled(head, self._form if is_plain else None, begin) as (learner, is_lent):
                progress = train(
                    learner,
                    settings,
                    batches=epoch_batches(training, base, self.patch_settings, settings, self.network),
                    validate=self._validate(training, codes, base, learner),
                    on_epoch=on_epoch,
                    checkpoint=checkpoint,
                )
                # A network that was built for several devices does not predict on one.
                self.keep_network(learner if is_lent else model, reuse=not is_lent and device().count == 1)
        self.history_, self.best_epoch_ = progress.history, progress.best_epoch

    def _validate(
        self, training: TrainingClips, codes: Codes, base: KerasModel | None, head: KerasModel
    ) -> Callable[[], EpochRow] | None:
        """Function that scores the network on the held-out clips; None if no clip is held out."""
        if not len(self.validation_):
            return None
        patches, owners = all_even_patches(training.clips, self.validation_, self.patch_settings)
        inputs = training.statistics.standardise(patches)
        if base is not None:
            inputs = forward(base, inputs, batch_size=self.batch_size).astype(np.float32)
        balanced = self.fit_settings.balanced
        validation = ClipValidation(inputs, owners, codes[self.validation_], balanced, self.batch_size)
        return lambda: validation.score(head)

    def _fitted_probabilities(self, patches: Patches) -> Floats:
        return self._patch_probabilities(self.fitted_network(), self.standardise(patches))

    def _patch_probabilities(self, model: KerasModel, patches: Patches) -> Floats:
        return predict_probabilities(model, patches, batch_size=self.batch_size, multilabel=self.multilabel_)

    def _mean_over_patches(self, X: SpectrogramInput, function: Callable[[Patches], Floats]) -> Floats:
        """Mean of `function(standardised patches)` over the patches of each clip."""
        clips = read_clips(X, n_mels=self.n_mels_)
        return mean_over_patches(
            clips, self.patch_settings, lambda patches: function(self.standardise(patches))
        )

    def __getstate__(self) -> JsonObject:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_model"}
