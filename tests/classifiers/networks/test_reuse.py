"""A network that is taken over from an earlier fit gives the numbers of a new one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks import reuse
from quintet.classifiers.networks.backend import backend_name, load_keras
from quintet.classifiers.registry import make_member

load_keras()
pytestmark = pytest.mark.skipif(backend_name() != "tensorflow", reason="other backends share no network")
SETTINGS: dict[str, Any] = {"epochs": 2, "patch_frames": 32, "blocks": 1, "filters": 4, "batch_size": 8}


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(20) % 2
    return rng.normal(size=(20, 16, 40)).astype(np.float32) + 2 * y[:, None, None], y


def fit(seed: int) -> Any:
    return make_member("vgg_small", seed=seed, **SETTINGS).fit(*data(seed))


@pytest.mark.slow
def test_a_later_fit_is_that_of_a_new_network_and_leaves_earlier_ones_as_they_are() -> None:
    unseen = data(7)[0]
    reuse._idle.clear()
    first = fit(0)
    before = first.predict_proba(unseen)
    ((network,),) = reuse._idle.values()
    second = fit(1)
    assert next(iter(reuse._idle.values())) == [network]
    received = second.predict_proba(unseen)
    assert np.array_equal(first.predict_proba(unseen), before)
    reuse._idle.clear()
    alone = fit(1)
    assert all(map(np.array_equal, second.weights_, alone.weights_))
    assert second.history_[-1]["val_loss"] == alone.history_[-1]["val_loss"]
    assert np.array_equal(alone.predict_proba(unseen), received)


@pytest.mark.slow
def test_a_network_in_use_is_not_lent_to_another_fit() -> None:
    reuse._idle.clear()
    member = fit(0)
    with reuse.with_weights(member._form, member.weights_) as lent:
        assert lent is not None
        assert not any(reuse._idle.values())
        other = fit(1)
        assert all(map(np.array_equal, lent.get_weights(), member.weights_))
    assert not np.array_equal(other.weights_[0], member.weights_[0])
