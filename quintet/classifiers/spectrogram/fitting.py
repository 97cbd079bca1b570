"""Fitting of networks: loss, learning rates, epochs, early stopping, and a checkpoint after each epoch.

All randomness of epoch `e` comes from `default_rng([seed, e])` and from the seed states of the network's own
layers, which are part of the checkpoint. So a run that is killed after an epoch and resumed ends with the
same weights as an uninterrupted run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from quintet.classifiers.networks.backend import Device, device, load_keras
from quintet.classifiers.networks.keras_types import KerasModel, KerasOptimizer, KerasVariable, Tensor
from quintet.classifiers.networks.registry import base_variables
from quintet.classifiers.spectrogram.augmentation import Batch
from quintet.classifiers.spectrogram.checkpoint import Checkpoint, EpochRow, Progress
from quintet.classifiers.spectrogram.settings import FitSettings
from quintet.errors import ConfigError

Floats = NDArray[np.float64]
Batches = Iterable[Batch]
T = TypeVar("T")

FEW_BATCHES = 32
"""A chunk with at most this number of batches is trained on batch by batch."""


def compile_network(
    model: KerasModel,
    settings: FitSettings,
    *,
    device: Device,
    tags: NDArray[np.float32] | None = None,
) -> None:
    """Compile with Adam, cross-entropy on logits and accuracy; with XLA if the device uses it.

    Args:
        model: the network, or the part of it that learns.
        settings: learning rates.
        device: the device on which the network runs.
        tags: for label sets, `(2, tags)`: weights of absence and presence. None: one label per clip.
    """
    keras = load_keras()
    if tags is None:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    else:
        from quintet.classifiers.networks.losses import TagCrossentropy

        loss = TagCrossentropy(tags)
        accuracy = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
    if settings.base_rate == 1.0:
        optimizer = keras.optimizers.Adam(settings.learning_rate)
    else:
        optimizer = _two_rates(model, settings)
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=device.jit)
    model.optimizer.build(model.trainable_variables)


def _two_rates(model: KerasModel, settings: FitSettings) -> KerasOptimizer:
    """Adam with the learning rate multiplied by `base_rate` for the variables of the pretrained base."""
    keras = load_keras()
    base_paths = {variable.path for variable in base_variables(model)}
    if not base_paths:
        raise ConfigError(
            "base_rate needs a network with a pretrained base. "
            f"Received base_rate={settings.base_rate} for '{model.name}'. Leave it at 1."
        )
    base_indices = {i for i, variable in enumerate(model.trainable_variables) if variable.path in base_paths}

    class TwoRates(keras.optimizers.Adam):  # type: ignore[misc, name-defined]
        def update_step(self, gradient: Tensor, variable: KerasVariable, learning_rate: Tensor) -> None:
            in_base = self._get_variable_index(variable) in base_indices
            factor = settings.base_rate if in_base else 1.0
            super().update_step(gradient, variable, learning_rate * factor)

    optimizer: KerasOptimizer = TwoRates(settings.learning_rate)
    return optimizer


def train(
    model: KerasModel,
    settings: FitSettings,
    *,
    batches: Callable[[int], Batches],
    validate: Callable[[], EpochRow] | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """Fit a compiled network. It ends with the weights of the best epoch.

    Without validation the last epoch is the best.

    Args:
        model: the compiled network.
        settings: epochs, batch size, learning rate, patience.
        batches: epoch (from 0) → chunks of (inputs, targets, weights of rows). Each chunk is cut into batches
            in its order.
        validate: returns `val_loss` and `val_accuracy` of the model with its current weights. They decide
            which epoch is the best and when the fit stops.
        on_epoch: called with each row of the history, after the checkpoint is written.
        checkpoint: state of an earlier run that is resumed, and place for the state after each epoch.
    """
    progress = checkpoint.read(model) if checkpoint else Progress()
    numbered = (
        (epoch, chunk) for epoch in range(progress.epoch, settings.epochs) for chunk in batches(epoch)
    )
    with closing(prefetch(numbered)) as prefetched:
        # `groupby` ends an epoch when it receives the first chunk of the next one, which is cut by then.
        epochs = groupby(prefetched, key=itemgetter(0))
        while not progress.is_finished(settings):
            started = time.perf_counter()
            model.optimizer.learning_rate = settings.rate(progress.epoch)
            _, chunks = next(epochs)
            row: EpochRow = {"epoch": progress.epoch + 1}
            row |= _one_epoch(model, (chunk for _, chunk in chunks), settings.batch_size)
            row |= validate() if validate else {"val_loss": math.nan, "val_accuracy": math.nan}
            row["seconds"] = time.perf_counter() - started
            progress.add_epoch(row, model, is_validated=validate is not None)
            if checkpoint:
                checkpoint.write(model, progress)
            if on_epoch:
                on_epoch(dict(row))
    model.set_weights(progress.best_weights)
    return progress


def prefetch(items: Iterator[T]) -> Generator[T]:
    """Yield the same items, each made in another thread while its predecessor is used.

    So the next patches are cut while a network learns from the current ones.

    Example:
        >>> list(prefetch(iter("abc")))
        ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        end = object()
        following = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def _one_epoch(model: KerasModel, batches: Batches, batch_size: int) -> EpochRow:
    """Train on all chunks of an epoch; returns the means of loss and accuracy over their rows."""
    sums, n_rows = {"loss": 0.0, "accuracy": 0.0}, 0
    for batch in batches:
        n = len(batch[0])
        is_small = n <= FEW_BATCHES * batch_size and not device().is_gpu
        step = _few_steps if is_small else _many_steps
        means = step(model, batch, batch_size)
        n_rows += n
        sums = {name: total + means[name] * n for name, total in sums.items()}
    return {name: total / n_rows for name, total in sums.items()}


def _few_steps(model: KerasModel, batch: Batch, batch_size: int) -> EpochRow:
    """Train on a chunk batch by batch.

    `fit` takes as long to begin as a dozen small steps. Each step waits for its loss, so do not use this on a
    GPU.
    """
    inputs, targets, weights = batch
    sums = {"loss": 0.0, "accuracy": 0.0}
    for i in range(0, len(inputs), batch_size):
        rows = slice(i, i + batch_size)
        model.reset_metrics()
        logs = model.train_on_batch(
            inputs[rows], targets[rows], sample_weight=weights[rows], return_dict=True
        )
        sums = {name: total + float(logs[name]) * len(inputs[rows]) for name, total in sums.items()}
    return {name: total / len(inputs) for name, total in sums.items()}


def _many_steps(model: KerasModel, batch: Batch, batch_size: int) -> EpochRow:
    """Train on a chunk with Keras' `fit`, which transfers the next batch while it computes one."""
    inputs, targets, weights = batch
    history = model.fit(
        inputs, targets, sample_weight=weights, batch_size=batch_size, epochs=1, shuffle=False, verbose=0
    ).history
    return {name: float(values[0]) for name, values in history.items()}


def forward(model: KerasModel, inputs: NDArray[np.float32], *, batch_size: int) -> Floats:
    """Outputs of a network for `inputs` `(rows, …)`, computed batch by batch: `(rows, …)` float64."""
    starts = range(0, len(inputs), batch_size)
    batches = [inputs[start : start + batch_size] for start in starts]
    outputs = [np.asarray(model.predict_on_batch(batch)) for batch in batches]
    return np.concatenate(outputs).astype(np.float64)


def predict_probabilities(
    model: KerasModel, inputs: NDArray[np.float32], *, batch_size: int, multilabel: bool
) -> Floats:
    """Probabilities of a network that ends in logits: softmax, or for label sets a sigmoid per tag."""
    logits = forward(model, inputs, batch_size=batch_size)
    return np.asarray(expit(logits) if multilabel else softmax(logits, axis=1))
