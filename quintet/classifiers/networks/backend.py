"""Backend of Keras: lazy import, device, and building of networks without effects on global randomness."""

from __future__ import annotations

import contextlib
import importlib
import logging
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from quintet.errors import ConfigError
from quintet.files.notices import silence_libraries


@dataclass(frozen=True)
class Device:
    """The device on which networks run.

    Args:
        name: name of the device as people write it.
        is_gpu: whether it is a GPU.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.
        jit: whether XLA compiles the networks.
        count: number of cards that train together.
        idle: number of further cards that this backend cannot use.
    """

    name: str
    is_gpu: bool
    precision: str
    jit: bool
    count: int = 1
    idle: int = 0

    def __str__(self) -> str:
        parts = [f"{self.count} × {self.name}" if self.count > 1 else self.name, self.precision]
        if self.jit:
            parts.append("XLA")
        if self.idle:
            parts.append(f"{self.idle} more idle: KERAS_BACKEND=jax trains on all")
        return ", ".join(parts)


class Cards(NamedTuple):
    """GPUs that a backend finds: name of the first, whether it computes in bfloat16, and their number."""

    name: str
    has_bfloat16: bool
    number: int


@lru_cache(maxsize=1)
def load_keras() -> ModuleType:
    """Import Keras and return the module. The backend is TensorFlow unless the user sets KERAS_BACKEND."""
    # Each fold has its own network, which is traced anew on purpose. TensorFlow would warn about it.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with silence_libraries():
        keras = importlib.import_module("keras")
        # The first operation looks for the device and prints a greeting of its own.
        keras.ops.convert_to_numpy(keras.ops.zeros(1))
    return keras


def backend_name() -> str:
    """Name of the backend that Keras runs on: `"tensorflow"`, `"jax"` or `"torch"`."""
    return str(load_keras().backend.backend())


@lru_cache(maxsize=1)
def device() -> Device:
    """The accelerator if there is one, otherwise the CPU.

    On a GPU, networks compute in mixed precision (bfloat16 if the card supports it); on a CPU, in float32.
    XLA compiles networks on a GPU with TensorFlow (on a CPU compiling takes longer than it saves) and always
    with JAX, which without XLA would run operation by operation. Several cards work together with JAX only:
    it is the only backend for which Keras' distribution API distributes batches.
    """
    backend = backend_name()
    finders = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}
    cards = finders[backend]() if backend in finders else None
    if cards is None:
        return Device("CPU", is_gpu=False, precision="float32", jit=backend == "jax")
    name, has_bfloat16, n_cards = cards
    n_used = n_cards if backend == "jax" else 1
    return Device(
        name,
        is_gpu=True,
        precision="mixed_bfloat16" if has_bfloat16 else "mixed_float16",
        jit=backend != "torch",
        count=n_used,
        idle=n_cards - n_used,
    )


def _tensorflow_gpu() -> Cards | None:
    tensorflow = importlib.import_module("tensorflow")
    cards = tensorflow.config.list_physical_devices("GPU")
    if not cards:
        return None
    details = tensorflow.config.experimental.get_device_details(cards[0])
    name = str(details.get("device_name", "GPU"))
    has_bfloat16 = tuple(details.get("compute_capability", (0, 0))) >= (8, 0)
    return Cards(name, has_bfloat16, len(cards))


def _jax_gpu() -> Cards | None:
    devices = importlib.import_module("jax").devices()
    cards = [card for card in devices if card.platform == "gpu"]
    if not cards:
        return None
    capability = float(getattr(cards[0], "compute_capability", 8.0))
    return Cards(str(cards[0].device_kind), capability >= 8.0, len(cards))


def _torch_gpu() -> Cards | None:
    cuda = importlib.import_module("torch").cuda
    if not cuda.is_available():
        return None
    return Cards(str(cuda.get_device_name(0)), bool(cuda.is_bf16_supported()), int(cuda.device_count()))


@contextlib.contextmanager
def data_parallel(count: int) -> Iterator[None]:
    """Train on `count` devices: each holds a copy of the weights and computes a part of every batch.

    Networks must be made and trained inside the context. If a batch does not divide evenly (the last of an
    epoch), each device computes all of it. The steps are those of one device: losses and the statistics of
    batch normalisation are those of the whole batch. With `count` 1 nothing changes.

    Raises:
        ConfigError: if the backend does not distribute batches, or has fewer devices.
    """
    if count == 1:
        yield
        return
    keras = load_keras()
    devices = keras.distribution.list_devices() if backend_name() == "jax" else []
    if len(devices) < count:
        raise ConfigError(
            f"Training on {count} devices needs KERAS_BACKEND=jax and as many devices: "
            "Keras distributes batches with JAX only. "
            f"Received the backend {backend_name()} with {len(devices)} devices. "
            "Train on one, or install jax."
        )

    class EvenDataParallel(keras.distribution.DataParallel):  # type: ignore[misc, name-defined]
        """Distributes the batches that divide evenly, and gives all of any other batch to each device."""

        def get_data_layout(self, data_shape: tuple[int | None, ...]) -> object:
            if data_shape and data_shape[0] is not None and data_shape[0] % count == 0:
                return super().get_data_layout(data_shape)
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    with EvenDataParallel(devices=devices[:count]).scope():
        yield


_building = threading.RLock()


@contextlib.contextmanager
def building_context(*, seed: int, precision: str = "float32") -> Iterator[None]:
    """Set the seeds of initialisers and dropout layers, and the precision, while a network is built.

    A Keras initialiser without a seed draws one from Python's global generator, and so does `layer_seed`. The
    context seeds that generator and restores its state and the global precision at the end, so the caller's
    random numbers do not change. One thread at a time is in it.
    """
    keras = load_keras()
    with _building:
        state = random.getstate()
        policy = keras.config.dtype_policy()
        random.seed(seed)
        keras.config.set_dtype_policy(precision)
        try:
            yield
        finally:
            random.setstate(state)
            keras.config.set_dtype_policy(policy)


def layer_seed() -> int:
    """Seed for a `Dropout` layer, drawn as Keras draws it.

    With PyTorch a dropout layer without a seed would use the global generator.
    """
    return random.randint(1, 10**9)
