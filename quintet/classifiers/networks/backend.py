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


@dataclass(frozen=True)
class Device:
    """Where networks run: `name` for people, `is_gpu`, `precision` ("float32" or "mixed_float16"/"mixed_bfloat16"), `jit` (XLA)."""

    name: str
    is_gpu: bool
    precision: str
    jit: bool


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
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a network per fold is traced anew on purpose; TensorFlow would warn of it
    with _quiet_stderr():
        keras = importlib.import_module("keras")
        keras.ops.convert_to_numpy(keras.ops.zeros(1))  # the device is looked for at the first operation, with a greeting of its own
    return keras


@lru_cache(maxsize=1)
def device() -> Device:
    """The accelerator if there is one, the CPU otherwise.

    On a GPU networks compute in mixed precision (bfloat16 where the card has it) under XLA; on a CPU in float32 without, because compiling
    takes longer there than it saves.
    """
    keras = load_keras()
    finder = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}.get(keras.backend.backend())
    found = finder() if finder else None
    if found is None:
        return Device("CPU", is_gpu=False, precision="float32", jit=False)
    name, has_bfloat16 = found
    return Device(name, is_gpu=True, precision="mixed_bfloat16" if has_bfloat16 else "mixed_float16", jit=True)


def _tensorflow_gpu() -> tuple[str, bool] | None:
    tensorflow = importlib.import_module("tensorflow")
    cards = tensorflow.config.list_physical_devices("GPU")
    if not cards:
        return None
    details = tensorflow.config.experimental.get_device_details(cards[0])
    return str(details.get("device_name", "GPU")), tuple(details.get("compute_capability", (0, 0))) >= (8, 0)


def _jax_gpu() -> tuple[str, bool] | None:
    cards = [card for card in importlib.import_module("jax").devices() if card.platform == "gpu"]
    return (str(cards[0].device_kind), True) if cards else None


def _torch_gpu() -> tuple[str, bool] | None:
    cuda = importlib.import_module("torch").cuda
    return (str(cuda.get_device_name(0)), bool(cuda.is_bf16_supported())) if cuda.is_available() else None


@contextlib.contextmanager
def building(*, seed: int, precision: str = "float32") -> Iterator[None]:
    """What a network needs while its layers are made: seeds for initialisers and dropout, and a precision.

    A Keras layer without a seed draws one from Python's global generator. Here that generator is seeded for the time of the
    building and put back afterwards; the global precision likewise. The caller's randomness is left untouched.
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
