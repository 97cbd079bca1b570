"""Interfaces of the Keras objects that this package uses. Keras ships no types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = list[NDArray[np.float32]]


class Tensor(Protocol):
    """A tensor of any backend, or the symbolic tensor of a network that is being built."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all axes; the batch axis of a symbolic tensor is None."""
        ...

    @property
    def dtype(self) -> str:
        """Name of the data type."""
        ...

    def __getitem__(self, index: object, /) -> Tensor: ...

    def __mul__(self, factor: float, /) -> Tensor: ...


class KerasVariable(Protocol):
    """Weights of a layer, or the state of an optimiser."""

    path: str
    value: Tensor
    shape: tuple[int, ...]

    def assign(self, value: ArrayLike) -> object:
        """Replace the values."""
        ...


class KerasLayer(Protocol):
    """A layer, or a network that is used as a layer."""

    name: str
    output: Tensor
    trainable: bool

    @property
    def trainable_variables(self) -> Sequence[KerasVariable]:
        """Variables that `fit` changes."""
        ...

    def get_weights(self) -> Arrays:
        """Values of its weights."""
        ...

    def set_weights(self, weights: Arrays) -> None:
        """Replace the values of its weights."""
        ...


class KerasOptimizer(Protocol):
    """An optimiser of a compiled network."""

    learning_rate: float

    @property
    def variables(self) -> Sequence[KerasVariable]:
        """State, for example the moments of Adam."""
        ...

    def build(self, variables: Sequence[KerasVariable]) -> None:
        """Create the state for these variables."""
        ...


class DtypePolicy(Protocol):
    """Precision of a network."""

    name: str


class History(Protocol):
    """Result of `KerasModel.fit`: metric → one value per epoch."""

    history: Mapping[str, Sequence[float]]


class KerasModel(Protocol):
    """A `keras.Model`: the methods and attributes that the classifier uses."""

    name: str
    input: Tensor
    output: Tensor
    dtype_policy: DtypePolicy
    optimizer: KerasOptimizer

    @property
    def layers(self) -> Sequence[KerasLayer]:
        """Layers, from the input to the output."""
        ...

    @property
    def variables(self) -> Sequence[KerasVariable]:
        """All variables, including the seed states of dropout layers."""
        ...

    @property
    def trainable_variables(self) -> Sequence[KerasVariable]:
        """Variables that `fit` changes."""
        ...

    @property
    def non_trainable_variables(self) -> Sequence[KerasVariable]:
        """Variables that `fit` does not change by gradients."""
        ...

    @property
    def weights(self) -> Sequence[KerasVariable]:
        """Variables that are stored: all but seed states."""
        ...

    def __call__(self, inputs: Tensor, *, training: bool = False) -> Tensor: ...

    def get_layer(self, name: str) -> KerasLayer:
        """Layer by name."""
        ...

    def get_weights(self) -> Arrays:
        """Values of `weights`."""
        ...

    def set_weights(self, weights: Arrays) -> None:
        """Replace the values of `weights`."""
        ...

    def save_weights(self, path: object) -> None:
        """Write `weights` to a file."""
        ...

    def load_weights(self, path: object) -> None:
        """Read `weights` from a file."""
        ...

    def compile(self, optimizer: object, loss: object, *, metrics: list[object], jit_compile: bool) -> None:
        """Set optimiser, loss and metrics."""
        ...

    def fit(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        *,
        sample_weight: NDArray[np.float32],
        batch_size: int,
        epochs: int,
        shuffle: bool,
        verbose: int,
    ) -> History:
        """Fit on arrays."""
        ...

    def reset_metrics(self) -> None:
        """Start the means of the metrics anew."""
        ...

    def train_on_batch(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        *,
        sample_weight: NDArray[np.float32],
        return_dict: bool,
    ) -> Mapping[str, float]:
        """One step; returns loss and metrics."""
        ...

    def predict_on_batch(self, x: NDArray[np.float32]) -> ArrayLike:
        """Outputs for one batch."""
        ...

    def stateless_call(
        self,
        trainable_variables: Sequence[Tensor],
        non_trainable_variables: Sequence[Tensor],
        inputs: Tensor,
        *,
        training: bool,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Outputs for given values of the variables, and the changed variables (JAX)."""
        ...
