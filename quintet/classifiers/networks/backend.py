"""Keras, imported quietly and late; the device it runs on; and building a network without touching global randomness."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from quintet.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """Where networks run: `name` for people, `is_gpu`, `precision` ("float32" or "mixed_float16"/"mixed_bfloat16"), `jit` (XLA).

    Of several cards, `count` are trained on at once, and `idle` cannot be with this backend.
    """

    name: str
    is_gpu: bool
    precision: str
    jit: bool
    count: int = 1
    idle: int = 0

    def __str__(self) -> str:
        name = f"{self.count} × {self.name}" if self.count > 1 else self.name
        idle = [f"{self.idle} more idle: KERAS_BACKEND=jax trains on all"] if self.idle else []
        return ", ".join([name, self.precision] + ["XLA"] * self.jit + idle)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """File descriptor 2 silenced: the compiled libraries greet there before any logging setting is read."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@lru_cache(maxsize=1)
def load_keras() -> Any:
    """The keras module. The backend is TensorFlow unless the user set KERAS_BACKEND."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(
        logging.ERROR
    )  # a network per fold is traced anew on purpose; TensorFlow would warn of it
    with _quiet_stderr():
        keras = importlib.import_module("keras")
        keras.ops.convert_to_numpy(
            keras.ops.zeros(1)
        )  # the device is looked for at the first operation, with a greeting of its own
    return keras


@lru_cache(maxsize=1)
def device() -> Device:
    """The accelerator if there is one, the CPU otherwise.

    On a GPU networks compute in mixed precision (bfloat16 where the card has it), on a CPU in float32. XLA compiles on a GPU under TensorFlow
    (on a CPU that takes longer than it saves) and everywhere under JAX, which without it would go operation by operation. Several cards
    work together under JAX, the only backend for which Keras' distribution API deals batches out.
    """
    backend = str(load_keras().backend.backend())
    found = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}.get(backend, lambda: None)()
    if found is None:
        return Device("CPU", is_gpu=False, precision="float32", jit=backend == "jax")
    name, has_bfloat16, cards = found
    together = cards if backend == "jax" else 1
    precision = "mixed_bfloat16" if has_bfloat16 else "mixed_float16"
    return Device(
        name, is_gpu=True, precision=precision, jit=backend != "torch", count=together, idle=cards - together
    )


def _tensorflow_gpu() -> tuple[str, bool, int] | None:
    tensorflow = importlib.import_module("tensorflow")
    cards = tensorflow.config.list_physical_devices("GPU")
    if not cards:
        return None
    details = tensorflow.config.experimental.get_device_details(cards[0])
    return (
        str(details.get("device_name", "GPU")),
        tuple(details.get("compute_capability", (0, 0))) >= (8, 0),
        len(cards),
    )


def _jax_gpu() -> tuple[str, bool, int] | None:
    cards = [card for card in importlib.import_module("jax").devices() if card.platform == "gpu"]
    return (
        (str(cards[0].device_kind), float(getattr(cards[0], "compute_capability", 8.0)) >= 8.0, len(cards))
        if cards
        else None
    )


def _torch_gpu() -> tuple[str, bool, int] | None:
    cuda = importlib.import_module("torch").cuda
    return (
        (str(cuda.get_device_name(0)), bool(cuda.is_bf16_supported()), int(cuda.device_count()))
        if cuda.is_available()
        else None
    )


@contextlib.contextmanager
def data_parallel(count: int) -> Iterator[None]:
    """Networks that are made and trained in here have a copy of their weights on each of `count` devices, and every batch is dealt out to them.

    A batch that cannot be dealt evenly (the last of an epoch) is computed by each device as a whole. The steps are those of one device:
    losses, and the statistics of batch norm, are of the whole batch. With `count` 1 nothing changes.

    Raises:
        ConfigError: the backend deals nothing out, or has fewer devices.
    """
    if count == 1:
        yield
        return
    keras = load_keras()
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) < count:
        raise ConfigError(
            f"Training on {count} devices needs KERAS_BACKEND=jax and as many devices: Keras deals batches out under JAX only. "
            f"Received the backend {keras.backend.backend()} with {len(devices)} to deal to. Train on one, or install jax."
        )

    class Dealt(keras.distribution.DataParallel):  # type: ignore[misc, name-defined]
        def get_data_layout(self, data_shape: Any) -> Any:
            if data_shape and data_shape[0] is not None and data_shape[0] % count == 0:
                return super().get_data_layout(data_shape)
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    with Dealt(devices=devices[:count]).scope():
        yield


@contextlib.contextmanager
def building_context(*, seed: int, precision: str = "float32") -> Iterator[None]:
    """What a network needs while its layers are made: seeds for initialisers and dropout, and a precision.

    A Keras initialiser without a seed draws one from Python's global generator, and so does `layer_seed`. Here that generator is seeded for
    the time of the building and put back afterwards; the global precision likewise. The caller's randomness is left untouched.
    """
    keras = load_keras()
    state, policy = random.getstate(), keras.config.dtype_policy()
    random.seed(seed)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        random.setstate(state)
        keras.config.set_dtype_policy(policy)


def layer_seed() -> int:
    """A seed for a `Dropout`, drawn as Keras draws it: on PyTorch a layer that was not given one looks to the global generator."""
    return random.randint(1, 10**9)
