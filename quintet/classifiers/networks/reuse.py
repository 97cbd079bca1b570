"""One traced network for all fits of one form.

TensorFlow traces the training step and the prediction of every network that is compiled: two to three CPU
seconds on one core, in every fold again. A fit therefore takes over the compiled network of an earlier fit of
the same form in this process. All its variables, those of the optimiser and of the random layers too, get the
values of a new network first, so that the numbers are those of a new one to the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quintet.classifiers.networks.backend import backend_name, device, load_keras
from quintet.classifiers.networks.keras_types import Arrays, KerasModel

MOST_WEIGHTS = 1_000_000
"""Weights up to which a network is kept: a larger one takes memory, and its steps more time than tracing."""

Form = tuple[object, ...]
"""What decides the graph of a network: its name and settings, the shape of its input, its outputs."""

_idle: dict[Form, list[KerasModel]] = {}
"""Networks of one form that fits and predictions gave back. Whoever uses one takes it out."""
_lock = threading.Lock()


@contextmanager
def compiled(
    fresh: KerasModel, form: Form | None, compile_fresh: Callable[[KerasModel], None]
) -> Iterator[tuple[KerasModel, bool]]:
    """A compiled network with the variables of a new one, for the time of a fit; whether it is lent.

    A network that is lent belongs to later fits afterwards: take its weights before.

    Args:
        fresh: the new network.
        form: its form; None for a network that is not to be shared.
        compile_fresh: compiles a network.
    """
    if form is None or not _is_shareable(fresh):
        compile_fresh(fresh)
        yield fresh, False
        return
    model = _take(form)
    if model is None:
        model = fresh
        compile_fresh(model)
    else:
        _restart(model, fresh)
    yield model, True
    _give_back(form, model)


@contextmanager
def with_weights(form: Form | None, weights: Arrays) -> Iterator[KerasModel | None]:
    """The network of an earlier fit with other weights, for the time of a prediction; None if there is none.

    Args:
        form: form of the network.
        weights: its weights, in Keras' order.
    """
    model = None if form is None else _take(form)
    if model is None or form is None:
        yield None
        return
    model.set_weights(weights)
    yield model
    _give_back(form, model)


def _is_shareable(model: KerasModel) -> bool:
    """Whether tracing takes a good part of the time of a fit."""
    if backend_name() != "tensorflow" or device().is_gpu:
        return False
    return sum(weights.size for weights in model.get_weights()) <= MOST_WEIGHTS


def _give_back(form: Form, model: KerasModel) -> None:
    with _lock:
        if form not in _idle:
            _idle.clear()  # one form at most is kept
        _idle.setdefault(form, []).append(model)


def _take(form: Form) -> KerasModel | None:
    with _lock:
        models = _idle.get(form)
        return models.pop() if models else None


def _restart(model: KerasModel, fresh: KerasModel) -> None:
    """Give every variable the value that it has in a new network; those of the optimiser are zero there."""
    convert = load_keras().ops.convert_to_numpy
    for variable, first in zip(model.variables, fresh.variables, strict=True):
        variable.assign(convert(first))
    for variable in model.optimizer.variables:
        variable.assign(0 * convert(variable))
