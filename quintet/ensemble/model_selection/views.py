"""Choice of views: a view that makes the others worse gets no weight.

The mean of a few members cannot give a useless one less than its share, and weights that are learnt from few
clips are noise. Views are few, so a choice among them needs few clips. At first all views take part. A view
is left out if the mean of the other members is better by more than a standard error, by group (two if groups
are not known); the worst view goes first. Members are calibrated before, so a member without knowledge is
flat, and its share in the mean costs a clear part of the log loss.

Views are chosen only where a member sees a pretrained view: without one, all members see the hand-made
columns and the spectrogram, as they always did.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_view
from quintet.classifiers.views import is_pretrained_view
from quintet.ensemble.array_types import Codes, Floats
from quintet.ensemble.support import margin_of_error, standard_error


def choose_views(likelihood: Floats, members: Sequence[str], groups: Codes) -> NDArray[np.bool_]:
    """Members whose view is chosen.

    Args:
        likelihood: probability of the true outcome that each calibrated member gave, `(M, N)`; N is a
            multiple of n.
        members: M names, such as `svm` and `svm@tags`.
        groups: group number of each clip, `(n,)`.

    Returns:
        Shape `(M,)`, bool: all members if none has a pretrained view, or without clips.

    Example:
        >>> ear, noise = [0.8, 0.7, 0.9, 0.6], [0.3, 0.4, 0.2, 0.3]
        >>> choose_views(np.array([ear, noise]), ["svm@tags", "svm"], np.arange(4)).tolist()
        [True, False]
    """
    views = np.array([str(member_view(name)) for name in members])
    kept = list(dict.fromkeys(views.tolist()))
    if not any(map(is_pretrained_view, kept)) or not len(groups):
        return np.ones(len(members), dtype=np.bool_)
    n_groups, margin = int(groups.max()) + 1, margin_of_error(groups)
    while len(kept) > 1:
        losses = _losses(likelihood[np.isin(views, kept)], len(groups))
        gains = {}
        for name in kept:
            gain = losses - _losses(likelihood[np.isin(views, kept) & (views != name)], len(groups))
            if gain.mean() > margin * standard_error(gain, groups, n_groups):
                gains[name] = float(gain.mean())
        if not gains:
            break
        kept.remove(max(gains, key=lambda name: gains[name]))
    return np.isin(views, kept)


def _losses(likelihood: Floats, n_clips: int) -> Floats:
    """Log loss of the mean of some members for each clip, `(n,)`."""
    losses = -np.log(likelihood.mean(axis=0))
    return np.asarray(losses.reshape(n_clips, -1).mean(axis=1))
