"""The game of views: what pretrained networks add to hand-made columns, and what a network adds to both.

The players are the views that the members of a run see: hand-made columns, tags, embeddings, the spectrogram.
The value of a coalition is a score of the ensemble of the members that see its views; fusion and calibration
are fitted again as in training. The empty coalition gives every clip the shares of the classes. Shapley
values divide the score of the whole ensemble, minus that of the empty coalition, among the views. They are
exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quintet.classifiers.registry import member_view
from quintet.classifiers.views import EMBEDDING, HANDMADE, SPECTROGRAM, TAGS, is_pretrained_view
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import score
from quintet.explanation.contracts import Floats
from quintet.explanation.member_value import VALUE_SCORES, ScoredClips, clips_of_report, ensemble_of
from quintet.explanation.shapley.family_shapley import MAX_PLAYERS, shapley_values
from quintet.model_folder.run import Run

EAR = (TAGS, EMBEDDING)
JOINT = "tags and embedding"
"""View of a member that sees tags and embeddings, or one of them beside hand-made columns."""
ORDER = (HANDMADE, TAGS, EMBEDDING, JOINT, SPECTROGRAM)


@dataclass(frozen=True)
class ViewGame:
    """Scores of the ensembles of every coalition of views, and what follows from them.

    Args:
        players: k views.
        coalitions: one row per coalition, 2^k in the order of their bits: a column per view (whether it takes
            part), and a column per score.
        additions: one row per step and score: `added`, `to` (views), `score`, `value` (with the views added
            minus without), `low`, `high`, `p_value`, with the paired 95 % interval by group.
        values: one row per view and score: `view`, `score`, `value`, the Shapley value.
    """

    players: tuple[str, ...]
    coalitions: pd.DataFrame
    additions: pd.DataFrame
    values: pd.DataFrame


def view_of(name: str) -> str:
    """The player of a member: `handmade`, `tags`, `embedding`, both, or `spectrogram`.

    Example:
        >>> view_of("svm@tags_msd"), view_of("svm@cepstral"), view_of("svm@tags+embedding")
        ('tags', 'handmade', 'tags and embedding')
        >>> view_of("vgg_small")
        'spectrogram'
    """
    view = member_view(name)
    if view == SPECTROGRAM:
        return SPECTROGRAM
    if not is_pretrained_view(view):
        return HANDMADE
    kinds = {part.partition("_")[0].partition(".")[0] for part in view.split("+")}
    return kinds.pop() if len(kinds) == 1 and kinds <= set(EAR) else JOINT


def view_game(run: Run, *, seed: int = 0, n_resamples: int = 1000) -> ViewGame | None:
    """The game of the views of a run on the clips of its report.

    Args:
        run: the model folder.
        seed: seed of the bootstrap.
        n_resamples: number of bootstrap resamples.

    Returns:
        None if no member sees a pretrained view, all see the same, or the rule or the folds are unknown.
    """
    seen = {name: view_of(name) for name in run.members}
    players = tuple(view for view in ORDER if view in seen.values())
    clips = clips_of_report(run)
    is_pretrained = any(is_pretrained_view(member_view(name)) for name in run.members)
    if clips is None or not is_pretrained or not 2 <= len(players) <= MAX_PLAYERS:
        return None
    predictions = [_class_shares(run, len(clips.ids))]
    for mask in range(1, 1 << len(players)):
        present = {view for i, view in enumerate(players) if mask >> i & 1}
        members = [name for name in run.members if seen[name] in present]
        predictions.append(ensemble_of(run, members, clips.ids))
    coalitions = _score_coalitions(run, players, clips, predictions)
    keys = [key for key in VALUE_SCORES if key in coalitions]
    values = shapley_values(coalitions[keys].to_numpy(dtype=np.float64))
    records = [(view, key, values[i, j]) for i, view in enumerate(players) for j, key in enumerate(keys)]
    return ViewGame(
        players,
        coalitions,
        _additions(run, players, clips, predictions, Resampling(seed, n_resamples)),
        pd.DataFrame(records, columns=["view", "score", "value"]),
    )


def steps(players: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The steps of the table: pretrained networks to hand-made columns, and every view to all others.

    Args:
        players: views.

    Returns:
        Pairs: the views that are added, and those that are there.

    Example:
        >>> steps(("handmade", "tags", "embedding", "spectrogram"))[:2]
        [(('tags', 'embedding'), ('handmade',)), (('handmade',), ('tags', 'embedding'))]
    """
    ear = tuple(view for view in players if view in (*EAR, JOINT))
    hand = tuple(view for view in players if view == HANDMADE)
    own = tuple(view for view in players if view == SPECTROGRAM)
    main = ((ear, hand), (hand, ear), (own, (*hand, *ear)), (ear, (*hand, *own)))
    pairs = [(added, there) for added, there in main if added and there]
    pairs += [((view,), _others(players, view)) for view in players]
    return list(dict.fromkeys(pairs))


def _others(players: Sequence[str], view: str) -> tuple[str, ...]:
    return tuple(other for other in players if other != view)


def _class_shares(run: Run, n_clips: int) -> Floats:
    """Shares of the classes among the out-of-fold clips, for every clip: what is known without any view."""
    oof = run.oof[run.members[0]].in_classes(run.classes)
    shares = (oof.indicator()[oof.scorable].sum(axis=0) + 1.0) / (oof.scorable.sum() + 2.0)
    if not run.multilabel:
        shares = shares / shares.sum()
    return np.tile(shares, (n_clips, 1))


def _score_coalitions(
    run: Run, players: Sequence[str], clips: ScoredClips, predictions: Sequence[Floats]
) -> pd.DataFrame:
    rows = []
    for mask, probabilities in enumerate(predictions):
        scores = score(
            clips.target,
            probabilities,
            tuple(run.classes),
            clips.groups,
            resampling=Resampling(0, 0),
            multilabel=run.multilabel,
        ).scores
        present = {view: bool(mask >> i & 1) for i, view in enumerate(players)}
        rows.append({**present, **{key: scores[key].value for key in VALUE_SCORES if key in scores}})
    return pd.DataFrame(rows)


def _additions(
    run: Run,
    players: Sequence[str],
    clips: ScoredClips,
    predictions: Sequence[Floats],
    resampling: Resampling,
) -> pd.DataFrame:
    bit = {view: 1 << i for i, view in enumerate(players)}
    rows = []
    for added, there in steps(players):
        names = " + ".join(added), " + ".join(there)
        before = sum(bit[view] for view in there)
        after = before + sum(bit[view] for view in added)
        differences = metric_differences(
            clips.target,
            predictions[after],
            predictions[before],
            run.classes,
            clips.groups,
            resampling=resampling,
            multilabel=run.multilabel,
        )
        for key in VALUE_SCORES:
            if key in differences:
                gain = differences[key]
                rows.append((*names, key, gain.value, gain.low, gain.high, gain.p_value))
    return pd.DataFrame(rows, columns=["added", "to", "score", "value", "low", "high", "p_value"])
