"""Sentences made from the numbers: what a careful person would say who had only the model folder to go by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run

SCORE_NAMES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "subset_accuracy": "Subset accuracy",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "macro_pr_auc": "Macro PR AUC",
    "log_loss": "Log loss",
}
"""The scores of the page's tables and what it calls them; the others are in the downloads."""
HEADLINES = (("accuracy", "accuracy"), ("macro_auc", "macro AUC"), ("macro_pr_auc", "macro PR AUC"))
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})


def score_phrase(score: str) -> str:
    """What a score of `SCORE_NAMES` is called within a sentence.

    Example:
        >>> score_phrase("macro_auc"), score_phrase("accuracy")
        ('macro AUC', 'accuracy')
    """
    name = SCORE_NAMES[score]
    return name[0].lower() + name[1:]


def format_settings(settings: Mapping[str, Any], place: str = "") -> str:
    """The settings of a member, floats with three digits; of tables within them the dotted names.

    Example:
        >>> format_settings({"C": 3.5, "augmentation": {"mixup": 0.28946, "mask_bands": 21}})
        'C 3.5, augmentation.mixup 0.289, augmentation.mask_bands 21'
    """
    parts = [
        format_settings(value, f"{place}{name}.")
        if isinstance(value, Mapping)
        else f"{place}{name} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    ]
    return ", ".join(parts)


@dataclass(frozen=True)
class Stamp:
    """What the split allows one to believe: shown wherever a score is shown. `kind` is `"good"` or `"warn"`."""

    kind: str
    short: str
    long: str


def number(value: Any, digits: int = 3) -> str:
    """A value for a table: fixed digits, a dash for what is not there.

    Example:
        >>> number(0.91234), number(None), number(float("nan"))
        ('0.912', '–', '–')
    """
    return (
        "–"
        if value is None or (isinstance(value, float) and not math.isfinite(value))
        else f"{value:.{digits}f}"
    )


def format_signed(value: Any, digits: int = 3) -> str:
    """A difference for a table: `+0.012`, `−0.100`, `0.000`; a dash for what is not there.

    Example:
        >>> format_signed(0.0124), format_signed(-0.1), format_signed(0.0), format_signed(None)
        ('+0.012', '−0.100', '0.000', '–')
    """
    text = number(value, digits)
    if text == "–":
        return text
    return (
        text.lstrip("-")
        if float(text) == 0
        else text.replace("-", "−")
        if text.startswith("-")
        else f"+{text}"
    )


def format_tiny(value: float) -> str:
    """A rounding error within a sentence, in a form that no line break divides.

    Example:
        >>> format_tiny(8.2e-11).replace("\N{NON-BREAKING HYPHEN}", "-"), format_tiny(0.0)
        ('8e-11', '0')
    """
    return "0" if value == 0 else f"{value:.0e}".replace("-", "\N{NON-BREAKING HYPHEN}")


def interval(score: Mapping[str, Any] | None, digits: int = 2) -> str:
    """`0.87 [0.81, 0.92]`, or the value alone where there is no interval."""
    if not score or score.get("value") is None:
        return "–"
    low, high = score.get("low"), score.get("high")
    return number(score["value"], digits) + (
        f" [{number(low, digits)}, {number(high, digits)}]" if low is not None and high is not None else ""
    )


def count(n: int, noun: str) -> str:
    """`1 clip`, `58 clips`, `1 class`, `7 classes`, `2 families`.

    Example:
        >>> count(1, "clip"), count(7, "class"), count(2, "family")
        ('1 clip', '7 classes', '2 families')
    """
    if n == 1:
        return f"1 {noun}"
    plural = (
        noun + "es" if noun.endswith(("s", "x")) else noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    )
    return f"{n:,} {plural}"


def format_list(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def shared_groups(split: pd.DataFrame) -> int:
    """How many groups stand in the training part and in the test part."""
    if not {"part", "group"} <= set(split.columns):
        return 0
    return len(
        set(split.loc[split["part"] == "train", "group"]) & set(split.loc[split["part"] == "test", "group"])
    )


def split_note(run: Run) -> Stamp:
    """What the split allows one to believe, from the split itself rather than from its name."""
    split = run.scores.get("split", {})
    noun = group_noun(run)
    if not groups_known(run):
        return Stamp(
            "warn",
            "Groups unknown",
            "Groups unknown: every clip counts as its own group. If several clips come from one recording or one artist, these scores are too high "
            "and their intervals too narrow.",
        )
    if shared := shared_groups(run.split):
        return Stamp(
            "warn",
            "Ungrouped split",
            f"Ungrouped split ({split.get('protocol', 'random')}): {count(shared, noun)} can be heard both in training and in test. "
            "Members may recognise the recording rather than the class: these scores are too high.",
        )
    if split.get("protocol") == "random":
        return Stamp(
            "warn",
            "Random split",
            "Random split: clips were drawn without regard to groups. Scores on music by unheard artists are likely to be lower.",
        )
    return Stamp(
        "good",
        f"Split by {noun}",
        f"Split by {noun}: no {noun} is heard both in training and in test; intervals resample whole {noun}s.",
    )


def groups_known(run: Run) -> bool:
    """Whether the data say which clips belong together."""
    split = run.scores.get("split", {})
    return bool(split.get("groups_known", split.get("grouped", True)))


def group_noun(run: Run) -> str:
    """What a group is called: `artist`, `album`, … where the run knows, `group` otherwise."""
    name = run.scores.get("split", {}).get("group_by")
    return str(name) if name and str(name).isalpha() else "group"


def evaluation_part(run: Run) -> str:
    """What the clips are that a report judges by and explains: `held-out`, or `out-of-fold` where no part was held out."""
    return "held-out" if run.part == "test" else "out-of-fold"


def kind(run: Run) -> str:
    """What the labels are: `class`, or `tag` of label sets."""
    return "tag" if run.multilabel else "class"


def kinds(run: Run) -> str:
    """What several labels are: `classes`, `tags`."""
    return "tags" if run.multilabel else "classes"


def truth(run: Run) -> str:
    """What the game is about: `true class`, or for label sets `true tags`."""
    return "true tags" if run.multilabel else "true class"


def unit(run: Run) -> str:
    """What intervals resample: the group where groups are known, the clip otherwise."""
    return group_noun(run) if groups_known(run) else "clip"


def display_name(name: str, run: Run) -> str:
    """What a member or rule is called on the page.

    Rules are written `ensemble, mean`; members keep their registry name without underscores.
    """
    if name == ENSEMBLE_PREDICTION:
        return "The verdict"
    if name in run.rules:
        return f"Ensemble ({name.replace('_', ' ')})"
    known = {
        "xgboost": "XGBoost",
        "svm": "SVM",
        "vgg_small": "VGG (small)",
        "vgg16_transfer": "VGG-16 (transfer)",
        "vgg16_fine_tune": "VGG-16 (fine-tuned)",
    }
    return known.get(name, name.replace("_", " ").capitalize())


def opening(
    run: Run, confusions: Sequence[tuple[str, str, int]], families: pd.Series | None = None
) -> list[str]:
    """The opening paragraph, sentence by sentence.

    Args:
        run: the model folder.
        confusions: `(true, verdict, count)`, most frequent first.
        families: player → share of what the ensemble knows beyond guessing, largest first; empty where that is nothing, None if not computed.
    """
    scores = run.headline
    values = scores.get("scores", {})
    noun = group_noun(run)
    clips = count(int(scores.get("n", len(run.report_predictions))), f"{evaluation_part(run)} clip")
    known = groups_known(run)
    by = f" from {count(int(scores.get('n_groups', 0)), noun)}" if known and scores.get("n_groups") else ""
    never = (
        ", none of them heard in training"
        if run.part == "test"
        else f", each judged by members that had not heard its {noun}"
    )
    unheard = never if by and split_note(run).kind == "good" else ""
    alone = run.members[0] if len(run.members) == 1 else run.best
    who = (
        f"The ensemble of {count(len(run.members), 'member')}"
        if _is_ensemble(run)
        else f"The model ({display_name(alone, run)})"
    )
    reached = [
        f"{interval(values[key])} {name}"
        for key, name in HEADLINES
        if key in values and (key != "macro_pr_auc" or run.multilabel)
    ]
    sentences = [f"{who} reaches {format_list(reached) or 'the scores below'} on {clips}{by}{unheard}."]
    sentences += [
        sentence for sentence in (_how_joined(run), _against_best_member(run), _undefined(run)) if sentence
    ]
    if confusions and confusions[0][2] == 1 and len(confusions) > 1:
        sentences.append("No two classes are confused more than once.")
    elif confusions:
        named = [
            f"{true} taken for {verdict} ({n})"
            for true, verdict, n in confusions
            if n >= max(2, confusions[0][2] // 2)
        ] or [f"{confusions[0][0]} taken for {confusions[0][1]} ({confusions[0][2]})"]
        sentences.append(f"Confusions concentrate on {format_list(named)}.")
    if families is not None and families.empty:
        sentences.append(
            f"It gives the {truth(run)} hardly more than guessing does: there is nothing to share out among the features."
        )
    elif families is not None and len(families) > 1:
        first, second = (carried(str(name), float(families[name])) for name in families.index[:2])
        rest = (
            f"; {carried(SPECTROGRAM, float(families[SPECTROGRAM]))}"
            if SPECTROGRAM in families.index[2:]
            else ""
        )
        sentences.append(f"Of what it knows beyond guessing, {first} and {second}{rest}.")
    return sentences


def _is_ensemble(run: Run) -> bool:
    return bool(run.rules) and len(run.members) > 1


def _how_joined(run: Run) -> str:
    """By which rule the members are joined, and what calibration then does."""
    rule = (
        f"Its members are joined by the rule “{run.best.replace('_', ' ')}”, chosen on the training part alone"
        if _is_ensemble(run)
        else ""
    )
    if run.calibration is None:
        return rule and f"{rule}."
    made = calibration_phrase(run)
    return f"{rule}; its probabilities are {made}." if rule else f"Its probabilities are {made}."


def calibration_phrase(run: Run) -> str:
    """`calibrated by temperature 0.76, learnt out of fold`, or that it was not called for."""
    calibration = run.calibration
    if calibration is None or calibration.method == "none":
        return "not calibrated: out of fold that would not have helped"
    how = (
        f"temperature {calibration.temperature:.2f}"
        if calibration.method == "temperature"
        else "isotonic regression"
    )
    return f"calibrated by {how}, learnt out of fold"


def _undefined(run: Run) -> str:
    """How many classes the averages leave out because the scored clips cannot judge them."""
    found = run.headline.get("undefined", [])
    left_out = [str(entry["class"]) for entry in found if "auc" in entry["metrics"]]
    if not left_out:
        return ""
    named = format_list(list(left_out[:3]) + ([f"{len(left_out) - 3} more"] if len(left_out) > 3 else []))
    who, are = count(len(left_out), kind(run)), "is" if len(left_out) == 1 else "are"
    return f"{who} cannot be judged on these clips and {are} left out of the averages: {named}."


def carried(player: str, share: float) -> str:
    """What a family of features, or the spectrogram, adds to what the ensemble knows, or takes from it.

    Example:
        >>> carried("tonal", 0.31), carried("spectrogram", -0.03)
        ('the tonal features carry 31%', 'the spectrogram takes 3% away')
        >>> carried("spectrogram", -0.001)
        'the spectrogram carries next to nothing'
    """
    alone = player == SPECTROGRAM
    who = "the spectrogram" if alone else f"the {player} features"
    carry, take = ("carries", "takes") if alone else ("carry", "take")
    amount = f"{abs(share):.0%}"
    if amount == "0%":
        return f"{who} {carry} next to nothing"
    return f"{who} {carry} {amount}" if share > 0 else f"{who} {take} {amount} away"


def _against_best_member(run: Run) -> str:
    """How the ensemble stands to its best member, and whether the difference means anything."""
    table = run.scores.get(run.part, {})
    accuracy = {
        name: table[name]["scores"]["accuracy"]
        for name in (run.prediction_name, *run.names)
        if "accuracy" in table.get(name, {}).get("scores", {})
    }
    members = [name for name in run.members if name in accuracy]
    if not run.rules or len(members) < 2 or run.prediction_name not in accuracy:
        return ""
    top = max(members, key=lambda name: float(accuracy[name]["value"]))
    own, alone = accuracy[run.prediction_name], accuracy[top]["value"]
    sentence = f"Its best single member, {inline_name(top, run)}, reaches {alone:.2f} alone"
    if own["low"] is not None and own["low"] <= alone <= own["high"]:
        return f"{sentence}, a difference that the interval does not rule out to be chance."
    return f"{sentence}."


def inline_name(name: str, run: Run) -> str:
    """`display_name` as it stands within a sentence: `logistic regression`, but `XGBoost`."""
    text = display_name(name, run)
    return text[0].lower() + text[1:] if text[1:2].islower() and not text.startswith("XG") else text


def identical_columns(values: pd.DataFrame) -> list[list[str]]:
    """Groups of columns that hold the same value for every clip and are not constant.

    Example:
        >>> identical_columns(pd.DataFrame({"a": [1, 2], "b": [1, 2], "c": [2, 1], "d": [5, 5], "e": [5, 5]}))
        [['a', 'b']]
    """
    groups: dict[bytes, list[str]] = {}
    for name in values.columns:
        column = values[name].to_numpy(dtype=float)
        if len(column) and (column != column[0]).any():
            groups.setdefault(column.tobytes(), []).append(str(name))
    return [names for names in groups.values() if len(names) > 1]


def limits(run: Run, calibration_gap: float | None) -> list[str]:
    """What one should not read into this report, as far as the numbers tell."""
    scores = run.headline
    found = []
    mark = split_note(run)
    if mark.kind == "warn":
        found.append(mark.long)
    groups = int(scores.get("n_groups", 0))
    if 0 < groups < 20 and groups_known(run):
        found.append(
            f"The clips scored come from only {count(groups, group_noun(run))}: another draw could differ as widely as the intervals, or more."
        )
    small = [
        name for name, row in scores.get("per_class", {}).items() if 0 <= int(row.get("support", 0)) < 10
    ]
    if small:
        found.append(
            f"Fewer than ten clips were scored of {format_list(small)}: what is said about {'it' if len(small) == 1 else 'them'} is anecdotal."
        )
    if run.random_weights:
        found.append(
            f"{format_list([display_name(name, run) for name in run.random_weights])} started from random weights, not from pretrained ones: "
            "do not compare with published figures of the pretrained network."
        )
    if twins := identical_columns(run.values):
        found.append(
            f"Some columns are identical: {format_list([' = '.join(names) for names in twins[:3]])}. Their importance is divided among them by chance."
        )
    if calibration_gap is not None and calibration_gap > 0.1:
        found.append(
            f"Probabilities are off by {calibration_gap:.2f} on average: rank by them, but do not take them at face value."
        )
    if len(run.failures):
        found.append(f"{count(len(run.failures), 'clip')} could not be used. Nothing here is true of them.")
    found.append(
        "SHAP values say what the members rely on, not what makes a piece of music belong to its class."
    )
    return found
