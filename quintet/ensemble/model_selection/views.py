"""Choice of views: a view that adds nothing to the others gets no weight.

The mean of a few members cannot give a useless one less than its share, and weights that are learnt from few
clips are noise. Views are few, so a choice among them needs few clips. It is a forward selection: the best
view comes first, and another one is added as long as the mean of the members of all chosen views has a lower
log loss with it. Members are calibrated before, so that a member without knowledge is as flat as it should
be, and its share in the mean is paid for at once.

Views are chosen only where a member sees a pretrained view: without one, all members see the hand-made
columns and the spectrogram, as they always did.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_view
from quintet.classifiers.views import is_pretrained_view
from quintet.ensemble.array_types import Floats


def choose_views(likelihood: Floats, members: Sequence[str]) -> NDArray[np.bool_]:
    """Members whose view is chosen.

    Args:
        likelihood: probability of the true outcome that each calibrated member gave, `(M, N)`.
        members: M names, such as `svm` and `svm@tags`.

    Returns:
        Shape `(M,)`, bool: all members if none has a pretrained view, or without outcomes.

    Example:
        >>> ear, noise = [0.8, 0.7, 0.9, 0.6], [0.3, 0.4, 0.2, 0.3]
        >>> choose_views(np.array([ear, noise]), ["svm@tags", "svm"]).tolist()
        [True, False]
    """
    views = np.array([str(member_view(name)) for name in members])
    names = list(dict.fromkeys(views.tolist()))
    everything = np.ones(len(members), dtype=np.bool_)
    if len(names) < 2 or not any(map(is_pretrained_view, names)) or not likelihood.shape[1]:
        return everything
    chosen: list[str] = []
    loss = np.inf
    while len(chosen) < len(names):
        losses = {
            name: _loss(likelihood[np.isin(views, [*chosen, name])]) for name in names if name not in chosen
        }
        best = min(losses, key=lambda name: losses[name])
        if losses[best] >= loss:
            break
        chosen, loss = [*chosen, best], losses[best]
    return np.isin(views, chosen)


def _loss(likelihood: Floats) -> float:
    """Log loss of the mean of some members."""
    return float(-np.log(likelihood.mean(axis=0)).mean())
