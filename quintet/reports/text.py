"""Sentences about a run, made from the numbers of its model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from quintet.evaluation.scores import Estimate
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run
from quintet.reports.formats import count, format_list, number, rule_name

HEADLINES = (("accuracy", "accuracy"), ("macro_auc", "macro AUC"), ("macro_pr_auc", "macro PR AUC"))
"""Scores of the opening sentence and their names there."""

DISPLAY_NAMES = {
    "xgboost": "XGBoost",
    "svm": "SVM",
    "vgg_small": "VGG (small)",
    "vgg16_transfer": "VGG-16 (transfer)",
    "vgg16_fine_tune": "VGG-16 (fine-tuned)",
    "musicnn_vgg": "VGG of musicnn",
    "musicnn_vgg_transfer": "VGG of musicnn (transfer)",
}
"""Members whose display name does not follow from their registry name."""

FEW_GROUPS = 20
"""Number of groups below which the intervals are said to be uncertain."""

FEW_CLIPS = 10
"""Number of clips of a class below which its scores are said to be uncertain."""

LARGE_CALIBRATION_ERROR = 0.1
"""Calibration error above which the model card warns about the probabilities."""


@dataclass(frozen=True)
class Stamp:
    """What the split allows to conclude. It stands wherever a score is shown.

    Args:
        kind: `good` or `warn`.
        short: text of the stamp.
        text: explanation in whole sentences.
    """

    kind: str
    short: str
    text: str

    @property
    def long(self) -> str:
        """The stamp with its explanation."""
        return f"{self.short}. {self.text}"


def split_note(run: Run) -> Stamp:
    """What the split allows to conclude, found from the split itself and not from its name."""
    protocol = run.results.split.protocol
    noun = group_noun(run)
    if protocol == "sound":
        return Stamp(
            "warn",
            "Split by sound",
            "Groups are not known. Clips that sound alike were kept on one side, so the scores are "
            "about as by artist or recording, within what sound can tell. Intervals resample the blocks.",
        )
    if run.results.split.has_blocks:
        return Stamp(
            "warn",
            "Groups unknown",
            "The data bring their split, and nothing says which clips share an artist or a recording. If "
            "such clips are on both sides, the scores are too high. Within a part, clips that sound alike "
            "were kept together. Intervals resample these blocks.",
        )
    if not groups_known(run):
        return Stamp(
            "warn",
            "Groups unknown",
            "Every clip counts as its own group. If several clips come from one recording or one artist, "
            "these scores are too high and their intervals too narrow.",
        )
    shared = shared_groups(run.split)
    if shared:
        verb = "occurs" if shared == 1 else "occur"
        return Stamp(
            "warn",
            "Ungrouped split",
            f"{count(shared, noun)} {verb} both in training and in test (protocol: {protocol or 'random'}). "
            "Members may recognise the recording instead of the class: these scores are too high.",
        )
    if protocol == "random":
        return Stamp(
            "warn",
            "Random split",
            "Clips were drawn without regard to groups. Scores on music by new artists are probably lower.",
        )
    whole = f"{noun} (clips of one artist or recording)" if noun == "group" else noun
    text = f"No {whole} occurs both in training and in test."
    if run.part != "test":
        text = f"Each clip was predicted by members that were trained without its {whole}."
    return Stamp("good", f"Split by {noun}", f"{text} Intervals resample whole {noun}s.")


def shared_groups(split: pd.DataFrame) -> int:
    """Number of groups that occur both in the training part and in the test part."""
    if not {"part", "group"} <= set(split.columns):
        return 0
    train = set(split.loc[split["part"] == "train", "group"])
    test = set(split.loc[split["part"] == "test", "group"])
    return len(train & test)


def groups_known(run: Run) -> bool:
    """Whether the data say which clips belong to one group.

    Older folders record only whether the split kept them.
    """
    split = run.results.split
    if split.groups_known is not None:
        return split.groups_known
    return split.grouped is not False


def group_noun(run: Run) -> str:
    """Noun for a group: `artist`, `album`, … if the run records it, otherwise `group`."""
    name = run.results.split.group_by
    return str(name) if name and str(name).isalpha() else "group"


def evaluation_part(run: Run) -> str:
    """Adjective for the clips of the report: `held-out`, or `out-of-fold` if no part was held out."""
    return "held-out" if run.part == "test" else "out-of-fold"


def chosen_on(run: Run) -> str:
    """Clips on which rule and calibration were chosen: `training part`, or `validation part` of the data."""
    return "training part" if run.results.split.validation is None else "validation part"


def learnt_on(run: Run) -> str:
    """How weights and calibration were learnt: `out of fold`, or `on the validation part` of the data."""
    return "out of fold" if run.results.split.validation is None else "on the validation part"


def oof_noun(run: Run) -> str:
    """Adjective of predictions of the training part: `out-of-fold`, or `validation` if the data bring one."""
    return "out-of-fold" if run.results.split.validation is None else "validation"


def kind(run: Run) -> str:
    """Noun for a label: `class`, or `tag` for label sets."""
    return "tag" if run.multilabel else "class"


def kinds(run: Run) -> str:
    """Noun for several labels: `classes` or `tags`."""
    return "tags" if run.multilabel else "classes"


def truth(run: Run) -> str:
    """Noun for the labels of one clip: `true class`, or `true tags` for label sets."""
    return "true tags" if run.multilabel else "true class"


def unit(run: Run) -> str:
    """Noun for what intervals resample: the group if groups are known, otherwise the clip."""
    if run.results.split.has_blocks:
        return "block"
    return group_noun(run) if groups_known(run) else "clip"


def display_name(name: str, run: Run) -> str:
    """Name of a member, a fusion rule or the ensemble prediction on the page.

    A rule is written `Ensemble (mean)`. A member keeps its registry name, with blanks for underscores, and
    its view is named: `SVM on tags_msd`.
    """
    if name == ENSEMBLE_PREDICTION:
        return "Ensemble prediction"
    if name in run.rules:
        return f"Ensemble ({rule_name(name)})"
    kind, at, view = name.partition("@")
    shown = DISPLAY_NAMES.get(kind, rule_name(kind).capitalize())
    return f"{shown} on {view}" if at else shown


def inline_name(name: str, run: Run) -> str:
    """`display_name` within a sentence: `logistic regression`, but `XGBoost`.

    The ensemble prediction has an article.
    """
    text = display_name(name, run)
    if name == ENSEMBLE_PREDICTION:
        return "the ensemble prediction"
    if text.startswith("XG") or not text[1:2].islower():
        return text
    return text[0].lower() + text[1:]


def interval(score: Estimate | None, digits: int = 3) -> str:
    """Value with its interval: `0.871 [0.812, 0.921]`, or the value alone if there is no interval."""
    if score is None:
        return number(None)
    text = number(score.value, digits)
    if number(score.low) == number(None):
        return text
    return f"{text} [{number(score.low, digits)}, {number(score.high, digits)}]"


def clips_of_report(run: Run) -> str:
    """Number of clips of the report: `36 held-out clips`."""
    scores = run.report_scores
    n = scores.n if scores else len(run.report_predictions)
    return count(n, f"{evaluation_part(run)} clip")


def opening(
    run: Run, confusions: Sequence[tuple[str, str, int]], families: pd.Series | None = None
) -> list[str]:
    """The opening paragraph, one sentence per entry.

    Args:
        run: the model folder.
        confusions: `(true class, predicted class, count)`, most frequent first.
        families: feature family (or spectrogram) → share of the probability that the ensemble adds beyond
            guessing, largest first. Empty if the ensemble adds next to nothing; None if not computed.
    """
    sentences = [
        _reached_scores(run),
        _fusion_sentence(run),
        _best_member_sentence(run),
        _undefined_classes(run),
        _confusion_sentence(confusions),
        _family_sentence(run, families),
    ]
    return [sentence for sentence in sentences if sentence]


def _reached_scores(run: Run) -> str:
    scores = run.report_scores
    estimates = scores.scores if scores else {}
    noun = group_noun(run)
    if _is_ensemble(run):
        subject = f"The ensemble of {count(len(run.members), 'member')}"
    else:
        alone = run.members[0] if len(run.members) == 1 else run.best
        subject = f"The classifier ({display_name(alone, run)})"
    values = []
    for key, name in HEADLINES:
        if key in estimates and (key != "macro_pr_auc" or run.multilabel):
            values.append(f"{interval(estimates[key])} {name}")
    origin = ""
    if groups_known(run) and scores and scores.n_groups:
        origin = f" from {count(scores.n_groups, noun)}"
        if split_note(run).kind == "good" and run.part == "test":
            origin += ", none of them in the training part"
        elif split_note(run).kind == "good":
            origin += f", each predicted by members that were trained without its {noun}"
    return f"{subject} reaches {format_list(values) or 'the scores below'} on {clips_of_report(run)}{origin}."


def _is_ensemble(run: Run) -> bool:
    return bool(run.rules) and len(run.members) > 1


def _fusion_sentence(run: Run) -> str:
    """By which rule the members are fused, and how the result is calibrated."""
    parts = []
    if _is_ensemble(run):
        rule = rule_name(run.best)
        parts.append(f"The rule “{rule}”, chosen on the {chosen_on(run)} alone, fuses the member predictions")
    if run.calibration is not None:
        start = "the" if parts else "The"
        parts.append(f"{start} probabilities are {calibration_phrase(run)}")
    return f"{'; '.join(parts)}." if parts else ""


def calibration_phrase(run: Run) -> str:
    """Calibration of the ensemble prediction: `calibrated by temperature 0.76, learnt out of fold`."""
    calibration = run.calibration
    if calibration is None or calibration.method == "none":
        return f"not calibrated, because calibration did not help {learnt_on(run)}"
    method = "isotonic regression"
    if calibration.method == "temperature":
        method = f"temperature {calibration.temperature:.2f}"
    return f"calibrated by {method}, learnt {learnt_on(run)}"


def _best_member_sentence(run: Run) -> str:
    """Accuracy of the best member, and whether the ensemble differs from it."""
    table = run.results.parts.get(run.part, {})
    accuracy = {
        name: scores.scores["accuracy"] for name, scores in table.items() if "accuracy" in scores.scores
    }
    members = [name for name in run.members if name in accuracy]
    if not run.rules or len(members) < 2 or run.prediction_name not in accuracy:
        return ""
    best = max(members, key=lambda name: accuracy[name].value)
    value = accuracy[best].value
    ensemble = accuracy[run.prediction_name]
    sentence = f"The best single member, {inline_name(best, run)}, reaches {value:.3f} alone"
    if ensemble.low <= value <= ensemble.high:
        return f"{sentence}, which lies within the interval of the ensemble: the difference may be chance."
    return f"{sentence}."


def _undefined_classes(run: Run) -> str:
    """Classes that the averages leave out, because the scored clips are all positive or all negative."""
    scores = run.report_scores
    if scores is None:
        return ""
    names = [name for name, metrics in scores.undefined.items() if "auc" in metrics]
    if not names:
        return ""
    shown = names[:3]
    if len(names) > 3:
        shown.append(f"{len(names) - 3} more")
    verb = "is" if len(names) == 1 else "are"
    return (
        f"{count(len(names), kind(run))} cannot be scored on these clips and {verb} left out of the "
        f"averages: {format_list(shown)}."
    )


def _confusion_sentence(confusions: Sequence[tuple[str, str, int]]) -> str:
    if not confusions:
        return ""
    most = confusions[0][2]
    if most == 1 and len(confusions) > 1:
        return "No two classes are confused more than once."
    least = max(2, most // 2)
    frequent = [row for row in confusions if row[2] >= least] or [confusions[0]]
    phrases = [f"{true} predicted as {predicted} ({n})" for true, predicted, n in frequent]
    return f"The most frequent confusions are {format_list(phrases)}."


def _family_sentence(run: Run, families: pd.Series | None) -> str:
    if families is None or len(families) == 1:
        return ""
    if families.empty:
        return (
            f"The {truth(run)} gets hardly more probability than by guessing, so that there is nothing to "
            "attribute to the features."
        )
    first, second = (family_share(str(name), float(families[name])) for name in families.index[:2])
    sentence = f"Of the probability beyond guessing, {first} and {second}"
    if SPECTROGRAM in families.index[2:]:
        sentence += f"; {family_share(SPECTROGRAM, float(families[SPECTROGRAM]))}"
    return f"{sentence}."


def family_share(family: str, share: float) -> str:
    """What a feature family or the spectrogram contributes, or takes away.

    Args:
        family: name of the family, or `spectrogram`.
        share: its share of what all families add together; negative if it takes away.

    Example:
        >>> family_share("tonal", 0.31), family_share("spectrogram", -0.03)
        ('the tonal features contribute 31%', 'the spectrogram takes away 3%')
        >>> family_share("spectrogram", -0.001)
        'the spectrogram contributes next to nothing'
    """
    singular = family == SPECTROGRAM
    subject = "the spectrogram" if singular else f"the {family} features"
    amount = f"{abs(share):.0%}"
    verb = "contribute" if amount == "0%" or share > 0 else "take"
    if singular:
        verb += "s"
    if amount == "0%":
        return f"{subject} {verb} next to nothing"
    return f"{subject} {verb} {amount}" if share > 0 else f"{subject} {verb} away {amount}"
