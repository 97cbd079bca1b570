"""Fusion of prediction files from anywhere (`quintet fuse`), with equal weights or weights from a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.ensemble.fusion import RULES, Fusion
from quintet.errors import ArtefactError, ConfigError
from quintet.predictions.collection import PredictionFiles

FILE_RULES = tuple(name for name, rule in RULES.items() if not rule.learnt)


@dataclass(frozen=True)
class FuseSummary:
    """What `fuse_files` did: clips written, clips that only some files had, and the weight of each file."""

    output: Path
    n: int
    left_out: int
    rule: str
    weights: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "output": str(self.output),
            "n": self.n,
            "left_out": self.left_out,
            "rule": self.rule,
            "weights": self.weights,
        }


def fuse_files(
    paths: Sequence[str | Path], output: str | Path, *, rule: str = "mean", intersection: bool = False
) -> FuseSummary:
    """One file of predictions out of several.

    Args:
        paths: parquet or CSV, joined by clip id.
        output: `.parquet` or `.csv`.
        rule: `mean`, `geometric`, or a TOML file with a table `[weights]` of one number per file (by its name without the ending), and
            optionally `rule = "weighted"` (the default) or `"geometric"`. Weights are divided by their sum.

    Raises:
        ConfigError: a rule that needs labels, weights that do not fit the files, or an output that is one of them.

    Example (weights.toml):
        rule = "geometric"
        [weights]
        vgg = 2
        xgboost = 1
    """
    if Path(output).resolve() in {Path(path).resolve() for path in paths}:
        raise ConfigError(
            f"The fused predictions must not replace what they are made of. '{output}' is one of the files: choose another name."
        )
    files = PredictionFiles(paths, intersection=intersection)
    name, weights = (
        (rule, [1 / len(files)] * len(files)) if rule in FILE_RULES else _weights(Path(rule), files.names)
    )
    fusion = Fusion(name, tuple(files.names), files.classes, tuple(weights), None, files.multilabel)
    files.predictions(fusion.apply(files)).write(output)
    return FuseSummary(
        Path(output), files.n, files.left_out, name, dict(zip(files.names, weights, strict=True))
    )


def _weights(path: Path, names: Sequence[str]) -> tuple[str, list[float]]:
    if path.suffix.lower() != ".toml":
        raise ConfigError(
            f"The rule must be one of {', '.join(FILE_RULES)}, or a file of weights (.toml). Received '{path}'. Choose one of these."
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactError(
            f"A file of weights must exist. There is none at '{path}'. Check the name."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"'{path}' must be TOML. It cannot be read: {error}. Correct it.") from error
    table, rule = content.get("weights"), content.get("rule", "weighted")
    if rule not in ("weighted", "geometric") or not isinstance(table, dict):
        raise ConfigError(
            f"'{path}' must have a table [weights], and `rule` weighted or geometric. Received {sorted(content)}, {rule!r}."
        )
    extra, lacking = sorted(set(table) - set(names)), sorted(set(names) - set(table))
    if extra or lacking:
        raise ConfigError(
            f"'{path}' must give one weight to each of: {', '.join(names)}. It lacks {lacking} and has also {extra}. Correct it."
        )
    weights = [table[name] for name in names]
    if (
        not all(
            isinstance(w, (int, float)) and not isinstance(w, bool) and math.isfinite(w) and w >= 0
            for w in weights
        )
        or sum(weights) <= 0
    ):
        raise ConfigError(
            f"The weights in '{path}' must be numbers, none negative, not all zero. Received {weights}. Correct them."
        )
    return rule, [float(w / sum(weights)) for w in weights]
