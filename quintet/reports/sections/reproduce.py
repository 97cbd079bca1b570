"""How to get the same numbers again: the commands, and what must be equal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quintet.ensemble.fusion import RULES
from quintet.model_folder.run import Run
from quintet.reports.sections.published import training_options

DEFAULT_OPTIONS: Mapping[str, Any] = {
    "rule": "auto",
    "protocol": "auto",
    "test_size": 0.2,
    "folds": None,
    "resamples": 1000,
}
"""Options of one value of `quintet train` and what they are unless one says otherwise."""


def commands(run: Run) -> list[str]:
    """The command lines that lead here again: the recorded one where it was ours, else one made from the configuration."""
    words = _words(str(run.environment.get("command", "")))
    if len(words) > 1 and _is_ours(words[0]):
        made = ["quintet", *words[1:]]
        if words[1] == "run":
            return [shlex.join(made)]
        model = next(
            (words[k + 1] for k, word in enumerate(words[:-1]) if word in ("-o", "--output")), "model"
        )
        return [shlex.join(made), f"quintet report {shlex.quote(model)} -o report"]
    return [
        shlex.join(["quintet", "train", "features.parquet", "-o", "model", *_options(run)]),
        "quintet report model -o report",
    ]


def _words(command: str) -> list[str]:
    """The words of a recorded command; those between blanks where an earlier version did not quote them."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _is_ours(program: str) -> bool:
    path = Path(program)
    return path.name == "quintet" or (path.name, path.parent.name) == ("__main__.py", "quintet")


def _options(run: Run) -> list[str]:
    """The options of `quintet train` that its configuration stands for."""
    train = dict(run.config.get("train") or {})
    found = ["--members", ",".join(run.bundle["members"]), "--seed", str(train.get("seed", 0))]
    for name, usual in DEFAULT_OPTIONS.items():
        if train.get(name, usual) != usual:
            found += [f"--{name.replace('_', '-')}", str(train[name])]
    if tuple(train.get("rules", RULES)) != tuple(RULES):
        found += ["--rules", ",".join(train["rules"])]
    if train.get("protocols"):
        found += ["--protocols", ",".join(train["protocols"])]
    if train.get("learning_curve"):
        found.append("--learning-curve")
    return found + [
        word
        for member, chosen in train.get("settings", {}).items()
        for key, value in chosen.items()
        for word in ("--set", f"{member}.{key}={value}")
    ]


def provenance(run: Run) -> list[tuple[str, str]]:
    """Versions, hashes, seed: what must be equal for the numbers to be equal."""
    split = run.scores.get("split", {})
    environment = run.environment
    rows: list[tuple[str, Any]] = [
        ("made", environment.get("created")),
        ("seed", (run.config.get("train") or {}).get("seed")),
        ("split", f"{split.get('protocol', '–')}, digest {split.get('digest', '–')}"),
        ("data", (run.config.get("data") or {}).get("digest")),
        ("configuration", run.config.get("hash")),
        ("feature parameters", run.bundle.get("feature_hash")),
        ("log-mel parameters", run.bundle.get("log_mel_hash")),
        ("Python", environment.get("python")),
        ("platform", environment.get("platform")),
        ("device", environment.get("device")),
    ]
    rows += training_options(run)
    rows += sorted((environment.get("versions") or {}).items())
    return [
        (
            str(key),
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value),
        )
        for key, value in rows
        if value not in (None, {}, "")
    ]
