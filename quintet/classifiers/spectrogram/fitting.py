"""How networks are fitted: loss, rates, early stopping, and a checkpoint after each epoch that resumes to the same weights.

Everything random in epoch `e` comes from `default_rng([seed, e])` and from the seed states that the network's own layers carry, which
are part of the checkpoint: a run that was killed after an epoch and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import Device, device, load_keras
from quintet.errors import ArtefactError, ConfigError

Arrays = list[NDArray[Any]]
Chunk = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
Batches = Iterable[Chunk]
T = TypeVar("T")
SCHEDULES = ("cosine", "constant")
FEW_BATCHES = 32  # in a chunk; below, batches are handed over one by one


@dataclass(frozen=True)
class Plan:
    """What decides a fit besides data and network: rates per step, epochs, and the patience (epochs without a better validation loss)."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    patience: int
    base_rate: float = 1.0

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch (from 0): constant, or half a cosine from the full rate down to nearly nothing.

        Example:
            >>> plan = Plan(epochs=10, batch_size=32, learning_rate=1.0, schedule="cosine", patience=3)
            >>> plan.rate(0), plan.rate(5)
            (1.0, 0.5)
        """
        if self.schedule == "constant":
            return self.learning_rate
        return round(self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs)), 15)


@dataclass
class Progress:
    """Where a fit stands: the epochs done, the best of them with its weights, and the history."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: Arrays = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)

    def stopped(self, plan: Plan) -> bool:
        """Whether nothing is left to do: all epochs done, or the patience at its end."""
        return self.epoch >= plan.epochs or (
            self.best_loss < math.inf and self.epoch - self.best_epoch >= plan.patience
        )


def compile_network(
    model: Any, plan: Plan, *, device: Device, tags: NDArray[np.float32] | None = None
) -> None:
    """Adam, cross-entropy on logits, accuracy; XLA where the device wants it. `tags` (2, tags): weights of absence and presence; None: one label."""
    keras = load_keras()
    if tags is None:
        loss, accuracy = (
            keras.losses.CategoricalCrossentropy(from_logits=True),
            keras.metrics.CategoricalAccuracy(name="accuracy"),
        )
    else:
        from quintet.classifiers.networks.losses import TagCrossentropy

        loss, accuracy = TagCrossentropy(tags), keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
    optimizer = (
        keras.optimizers.Adam(plan.learning_rate) if plan.base_rate == 1.0 else _two_rates(model, plan)
    )
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=device.jit)
    model.optimizer.build(model.trainable_variables)


def _two_rates(model: Any, plan: Plan) -> Any:
    """Adam whose rate is multiplied by `base_rate` for the variables of the sub-model called `base`."""
    keras = load_keras()
    if "base" not in {layer.name for layer in model.layers}:
        raise ConfigError(
            f"base_rate needs a network with a pretrained base. Received base_rate={plan.base_rate} for '{model.name}'. Leave it at 1."
        )
    slow_paths = {variable.path for variable in model.get_layer("base").trainable_variables}
    slow = {i for i, variable in enumerate(model.trainable_variables) if variable.path in slow_paths}

    class TwoRates(keras.optimizers.Adam):  # type: ignore[misc, name-defined]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            factor = plan.base_rate if self._get_variable_index(variable) in slow else 1.0
            super().update_step(gradient, variable, learning_rate * factor)

    return TwoRates(plan.learning_rate)


def train(
    model: Any,
    plan: Plan,
    *,
    batches: Callable[[int], Batches],
    validate: Callable[[], dict[str, float]] | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """The compiled `model` fitted; on return it holds the weights of the best epoch (the last one where nothing is validated).

    Parameters:
        batches: epoch (from 0) → chunks of (inputs, targets, weights of rows), each cut into batches in the order given.
        validate: → `val_loss` and `val_accuracy` of the model as it stands; decides which epoch is best, and when to stop.
        on_epoch: called with each row of the history, after the checkpoint is written.
    """
    progress = checkpoint.read(model) if checkpoint else Progress()
    numbered = ((epoch, chunk) for epoch in range(progress.epoch, plan.epochs) for chunk in batches(epoch))
    with closing(prefetch(numbered)) as coming:
        epochs = groupby(
            coming, key=itemgetter(0)
        )  # the end of one is known by the beginning of the next, which is cut by then
        while not progress.stopped(plan):
            started = time.perf_counter()
            model.optimizer.learning_rate = plan.rate(progress.epoch)
            row = {"epoch": progress.epoch + 1} | _one_epoch(
                model, (chunk for _, chunk in next(epochs)[1]), plan.batch_size
            )
            row |= validate() if validate else {"val_loss": math.nan, "val_accuracy": math.nan}
            row["seconds"] = time.perf_counter() - started
            progress.epoch += 1
            progress.history.append(row)
            if validate is None or row["val_loss"] < progress.best_loss or progress.epoch == 1:
                progress.best_epoch, progress.best_weights = progress.epoch, model.get_weights()
                progress.best_loss = row["val_loss"] if validate else math.inf
            if checkpoint:
                checkpoint.write(model, progress)
            if on_epoch:
                on_epoch(dict(row))
    model.set_weights(progress.best_weights)
    return progress


def prefetch(things: Iterator[T]) -> Generator[T]:
    """The same things, each one made in another thread while the one before it is used: the next patches are cut while a network learns.

    Example:
        >>> list(prefetch(iter("abc")))
        ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        last = object()
        following = thread.submit(next, things, last)
        while (thing := following.result()) is not last:
            following = thread.submit(next, things, last)
            yield thing  # type: ignore[misc]


def _one_epoch(model: Any, batches: Batches, batch_size: int) -> dict[str, float]:
    """Loss and accuracy, the mean over the rows of an epoch."""
    sums, rows = {"loss": 0.0, "accuracy": 0.0}, 0
    for inputs, targets, weights in batches:
        few = len(inputs) <= FEW_BATCHES * batch_size and not device().is_gpu
        step = _few_steps if few else _many_steps
        logs = step(model, inputs, targets, weights, batch_size)
        rows += len(inputs)
        sums = {name: total + logs[name] * len(inputs) for name, total in sums.items()}
    return {name: total / rows for name, total in sums.items()}


def _few_steps(
    model: Any, inputs: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any], batch_size: int
) -> dict[str, float]:
    """One pass over the rows, batch by batch: `fit` costs as much to begin as a dozen small steps. Each waits for its loss: not for a GPU."""
    sums = {"loss": 0.0, "accuracy": 0.0}
    for i in range(0, len(inputs), batch_size):
        rows = slice(i, i + batch_size)
        model.reset_metrics()
        logs = model.train_on_batch(
            inputs[rows], targets[rows], sample_weight=weights[rows], return_dict=True
        )
        sums = {name: total + float(logs[name]) * len(inputs[rows]) for name, total in sums.items()}
    return {name: total / len(inputs) for name, total in sums.items()}


def _many_steps(
    model: Any, inputs: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any], batch_size: int
) -> dict[str, float]:
    """The same pass with the next batch on its way while one is computed."""
    logs = model.fit(
        inputs, targets, sample_weight=weights, batch_size=batch_size, epochs=1, shuffle=False, verbose=0
    ).history
    return {name: float(values[0]) for name, values in logs.items()}


def forward(model: Any, inputs: NDArray[Any], *, batch_size: int) -> NDArray[np.float64]:
    """The network's output for `inputs` (rows, …), batch by batch: (rows, …) float64."""
    parts = [
        np.asarray(model.predict_on_batch(inputs[i : i + batch_size]))
        for i in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(parts).astype(np.float64)


class Checkpoint:
    """The state of a fit in one file of a folder, replaced after each epoch.

    Parameters:
        folder: made where it is missing. fingerprint: text that says which fit this is; a file of another fit is refused.

    Raises:
        ArtefactError: the file is damaged, or belongs to another fit.
    """

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.path = Path(folder) / "checkpoint.npz"
        self.fingerprint = fingerprint

    def write(self, model: Any, progress: Progress) -> None:
        """The variables of network and optimiser, the best weights, the counters; whole or not at all."""
        convert = load_keras().ops.convert_to_numpy
        head = {
            "fingerprint": self.fingerprint,
            "epoch": progress.epoch,
            "best_epoch": progress.best_epoch,
            "history": progress.history,
        }
        arrays = {f"variable_{i}": convert(v) for i, v in enumerate(model.variables)}
        arrays |= {f"optimizer_{i}": convert(v) for i, v in enumerate(model.optimizer.variables)}
        arrays |= {f"best_{i}": w for i, w in enumerate(progress.best_weights)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, head=np.array(json.dumps(head)), best_loss=np.array(progress.best_loss), **arrays)
        os.replace(partial, self.path)

    def read(self, model: Any) -> Progress:
        """The state put back into `model`, which must be compiled; a new `Progress` where there is no file."""
        if not self.path.is_file():
            return Progress()
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return self._restored(model, dict(arrays))
        except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            if isinstance(error, ArtefactError):
                raise
            raise ArtefactError(
                f"A checkpoint must be whole. {self.path}: {error}. Delete it to begin again."
            ) from error

    def _restored(self, model: Any, arrays: dict[str, NDArray[Any]]) -> Progress:
        head = json.loads(str(arrays["head"]))
        if head["fingerprint"] != self.fingerprint:
            raise ArtefactError(
                f"A checkpoint can only be resumed with the same data, settings, seed and backend. {self.path} belongs to another fit. "
                "Delete it, or choose another folder."
            )
        for i, variable in enumerate(model.variables):
            variable.assign(arrays[f"variable_{i}"])
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(arrays[f"optimizer_{i}"])
        best = [arrays[f"best_{i}"] for i in range(len(model.weights))]
        return Progress(
            int(head["epoch"]), int(head["best_epoch"]), float(arrays["best_loss"]), best, head["history"]
        )
