"""Sentences about a training for the terminal: how good the ensemble is, what was chosen, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from quintet.evaluation.scores import Scores
from quintet.files.json_types import JsonObject
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.scores import RunScores
from quintet.reports.formats import format_list, rule_name
from quintet.reports.front.chance_range import chance_range
from quintet.reports.front.headline import HEAVY, luck, percent, success, terminal_line, unknown_groups


def model_score(model: Path) -> str:
    """How good a model is on clips that it was not trained on, in one sentence; empty if that is unknown.

    Args:
        model: the model folder.

    Raises:
        ArtefactError: the folder is no finished model.
    """
    opened = ModelFolder(model).open()
    results = RunScores.from_json(opened.read_json("scores.json"))
    bundle = ModelFolder(model).read_json("bundle.json")
    return next(iter(training_words(bundle, opened.read_json("fusion.json"), results)), "")


def training_words(bundle: JsonObject, fusion: JsonObject, results: RunScores) -> tuple[str, ...]:
    """The result of a training in sentences, the most important first.

    Args:
        bundle: content of bundle.json.
        fusion: content of fusion.json.
        results: content of scores.json.
    """
    part = "test" if "test" in results.parts else "oof"
    found = success(
        ensemble_scores(bundle, results, part),
        n_classes=len(bundle["classes"]),
        held_out=part == "test",
        multilabel=bool(bundle["multilabel"]),
    )
    sentences = [f"{terminal_line(found)}.", luck(found)] if found else []
    sentences.append(_chosen_words(bundle, fusion, results))
    sentences.append(_alone_words(bundle, results, part))
    sentences.append(_calibration_words(bundle, results))
    if not results.split.groups_known and results.split.groups_known is not None:
        sentences.append(unknown_groups(results.split.protocol))
        sentences.append(chance_range(results))
    return tuple(sentence for sentence in sentences if sentence)


def ensemble_scores(bundle: JsonObject, results: RunScores, part: str) -> Scores | None:
    """Scores of the ensemble prediction on a part; None if there are none.

    Args:
        bundle: content of bundle.json.
        results: content of scores.json.
        part: `test` or `oof`.
    """
    if results.ensemble is not None and part in results.ensemble.parts:
        return results.ensemble.parts[part]
    return results.parts.get(part, {}).get(str(bundle.get("rule")))


def _chosen_words(bundle: JsonObject, fusion: JsonObject, results: RunScores) -> str:
    """Which members predict, with which weights, and why by this rule."""
    members, rule = list(bundle["members"]), str(bundle.get("rule"))
    if len(members) == 1:
        return f"One member predicts: {members[0]}."
    content = fusion.get("rules", {}).get(rule) or {}
    weights: Mapping[str, float] = content.get("weights") or dict.fromkeys(members, 1 / len(members))
    total = sum(abs(weight) for weight in weights.values()) or 1.0
    shares = {name: abs(weights.get(name, 0.0)) / total for name in members}
    heavy = sorted((name for name in members if shares[name] >= HEAVY), key=lambda name: -shares[name])
    listed = format_list([f"{name} {shares[name]:.2f}" for name in heavy])
    text = f"Chosen: the rule “{rule_name(rule)}” of {listed}"
    light = [name for name in members if name not in heavy]
    if light:
        text += f"; no weight for {format_list(light)}"
    reason = fusion.get("comparison", {}).get("reason", "")
    where = "training" if results.split.validation is None else "validation"
    return f"{text}. Why, on the {where} part{_fold_words(results)}: {reason}." if reason else f"{text}."


def _fold_words(results: RunScores) -> str:
    """What folds keep on one side, in brackets; nothing where each clip is its own group."""
    split = results.split
    if split.has_blocks and split.validation is None:
        return " (clips that sound alike in one fold)"
    if not split.groups_known or split.protocol == "random":
        return ""
    return f" (each {split.group_by or 'group'} in one fold)"


def _alone_words(bundle: JsonObject, results: RunScores, part: str) -> str:
    """The best single member, and whether the ensemble differs from it."""
    key = "macro_auc" if bundle["multilabel"] else "accuracy"
    table = results.parts.get(part, {})
    values = {
        name: table[name].scores[key].value
        for name in bundle["members"]
        if name in table and key in table[name].scores and math.isfinite(table[name].scores[key].value)
    }
    whole = ensemble_scores(bundle, results, part)
    if len(values) < 2 or whole is None or key not in whole.scores:
        return ""
    best = max(values, key=lambda name: values[name])
    ensemble = whole.scores[key]
    text = f"The best single member, {best}, reaches {percent(values[best])}"
    if ensemble.low <= values[best] <= ensemble.high:
        return f"{text}: within the interval of the ensemble, so the difference may be chance."
    return f"{text}."


def _calibration_words(bundle: JsonObject, results: RunScores) -> str:
    """Calibration of the probabilities, with its effect on the test part."""
    ensemble = results.ensemble
    if ensemble is None or ensemble.calibration is None:
        return ""
    if ensemble.calibration.method == "none":
        return "Probabilities are not calibrated, because calibration did not lower the log loss."
    text = "Probabilities are calibrated by isotonic steps"
    if ensemble.calibration.method == "temperature":
        text = f"Probabilities are calibrated with temperature {ensemble.calibration.temperature:.2f}"
    before = results.parts.get("test", {}).get(str(bundle.get("rule")))
    if "test" not in ensemble.parts or before is None:
        return f"{text}."
    after = ensemble.parts["test"].scores
    changes = []
    for score, words in (("log_loss", "log loss"), ("ece", "calibration error")):
        if score in before.scores and score in after:
            changes.append(f"{words} {before.scores[score].value:.3f} → {after[score].value:.3f}")
    return f"{text}: {', '.join(changes)} on the test part." if changes else f"{text}."
