"""Facts about the validation part that the data bring: its size, its classes, and what it could teach."""

from __future__ import annotations

from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.fusion_weights import count_parameters
from quintet.ensemble.support import count_units, learnt_share, missing_classes
from quintet.evaluation.intervals import group_codes
from quintet.model_folder.scores import ValidationFacts
from quintet.training.data import Material


def validation_facts(material: Material, ensemble: EnsembleClassifier) -> ValidationFacts | None:
    """Facts about the validation part of a run; None in cross-validation.

    Args:
        material: data of the run.
        ensemble: the fitted ensemble.
    """
    plan, validation = ensemble.plan_, ensemble.plan_.validation
    if validation is None:
        return None
    train = material.split.train
    target, units = material.target(train), material.units[train]
    classes = ensemble.class_names_
    only_train, only_valid = missing_classes(target, material.split.training_folds(), classes)
    taught = plan.rows[plan.taught]
    codes, n_groups = group_codes(units[taught], len(taught))
    n_parameters = count_parameters(ensemble.rule_, len(ensemble.members_), len(classes))
    method = ensemble.calibration_.method
    n_map_parameters = len(classes) if method == "isotonic" else 1
    return ValidationFacts(
        n=len(plan.rows),
        n_taught=len(taught),
        n_units=count_units(codes) if len(taught) else 0.0,
        groups_known=bool(n_groups < len(taught)),
        class_share=validation.class_share,
        only_train=tuple(only_train),
        only_valid=tuple(only_valid),
        learnt_weights=learnt_share(n_parameters, codes, validation) if n_parameters else None,
        learnt_calibration=None if method == "none" else learnt_share(n_map_parameters, codes, validation),
    )


def validation_note(facts: ValidationFacts, rule: str, n_train: int, *, has_blocks: bool) -> str:
    """What the validation part was used for, and how much it could teach.

    Args:
        facts: facts about it.
        rule: name of the chosen fusion rule.
        n_train: number of clips of the train part.
        has_blocks: whether blocks that sound alike take the place of groups.
    """
    sentences = [
        f"The data bring a validation part. Members were fitted on the {n_train} clips of the train part and "
        f"judged on its {facts.n} clips, and rule, weights and calibration were learnt on these alone. "
        "The final members were fitted on both parts. The train part has no out-of-fold predictions.",
        *_reasons(facts, has_blocks=has_blocks),
    ]
    if facts.learnt_weights is not None:
        share = round(100 * facts.learnt_weights)
        sentences.append(f"So learnt weights count {share} % and equal weights {100 - share} %.")
    elif facts.class_share == 0:
        sentences.append("So nothing was learnt.")
    else:
        sentences.append(f"The chosen rule '{rule}' learns no weights.")
    if facts.learnt_calibration is not None:
        share = round(100 * facts.learnt_calibration)
        sentences.append(f"The calibration has {share} % of the strength that was learnt.")
    return " ".join(sentences)


def _reasons(facts: ValidationFacts, *, has_blocks: bool) -> list[str]:
    """Why little can be learnt from the validation part, one sentence per reason."""
    sentences = []
    noun = "independent groups"
    if has_blocks and facts.groups_known:
        noun = "blocks of clips that sound alike"
    elif not facts.groups_known:
        noun += " (each clip is a group of its own, so four count as one)"
    sentences.append(f"The validation part has {facts.n_units:.0f} {noun}.")
    if facts.only_train:
        sentences.append(f"It has no clip of: {_list(facts.only_train)}.")
    n_untaught = facts.n - facts.n_taught
    if facts.only_valid and n_untaught:
        sentences.append(
            f"The train part has no clip of: {_list(facts.only_valid)}. So no member could know the class of "
            f"{n_untaught} clips; they count as wrong in the scores of the validation part and teach nothing."
        )
    elif facts.only_valid:
        sentences.append(f"The train part has no clip of: {_list(facts.only_valid)}.")
    return sentences


def _list(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
