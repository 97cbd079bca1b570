"""Fusion of prediction files (`quintet fuse`), with equal weights or with weights from a TOML file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.ensemble.fusion import RULES, Fusion
from quintet.errors import ArtefactError, ConfigError
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.paths import path_list
from quintet.files.untrusted.strict_toml import TOML_ERRORS, read_toml
from quintet.predictions.collection import PredictionFiles

if TYPE_CHECKING:
    import pandas as pd

FILE_RULES = tuple(name for name, rule in RULES.items() if not rule.learnt)


@dataclass(frozen=True)
class FuseSummary:
    """Result of `fuse`.

    Args:
        output: the file that was written.
        n: number of clips in it.
        left_out: number of clips that only some files have.
        rule: name of the fusion rule.
        weights: name of each file → its weight.
        notes: how the files were read, and spellings of labels and groups that were joined.
    """

    output: Path
    n: int
    left_out: int
    rule: str
    weights: dict[str, float]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from quintet.files.display.notebook import notebook_html

        facts = f"{self.n} clips fused by {self.rule}, {self.left_out} left out: {self.output}"
        return notebook_html(facts, self.frame, notes=self.notes)

    @property
    def frame(self) -> pd.DataFrame:
        """Weight of each file: `name, weight`."""
        import pandas as pd

        return pd.DataFrame({"name": list(self.weights), "weight": list(self.weights.values())})

    def to_json(self) -> JsonObject:
        """JSON object with the fields of the summary."""
        return {
            "output": str(self.output),
            "n": self.n,
            "left_out": self.left_out,
            "rule": self.rule,
            "weights": self.weights,
            "notes": list(self.notes),
        }


def fuse(
    paths: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    rule: str = "mean",
    intersection: bool = False,
) -> FuseSummary:
    """Fuse several files of predictions into one.

    Args:
        paths: parquet or CSV files; they are joined by clip id.
        output: a `.parquet` or `.csv` file.
        rule: `mean`, `geometric`, or a TOML file. The TOML file has a table `[weights]` with one number per
            file (the key is the file's name without the ending) and, optionally, `rule = "weighted"` (the
            default) or `"geometric"`. Weights are divided by their sum.
        intersection: leave out the clips that only some files have. Default: refuse them.

    Raises:
        AlignmentError: no file or one file twice is given, or clips, classes, labels or groups differ.
        ArtefactError: a file is missing or damaged.
        ConfigError: the rule needs labels, the weights do not fit the files, or the output is one of the
            files.

    Example (weights.toml):
        rule = "geometric"
        [weights]
        vgg = 2
        xgboost = 1
    """
    paths = path_list(paths, "`paths`")
    if Path(output).resolve() in {Path(path).resolve() for path in paths}:
        raise ConfigError(
            "The fused predictions must not replace what they are made of. "
            f"'{output}' is one of the files: choose another name."
        )
    with output_lock(output):
        return _fuse(paths, Path(output), rule, intersection=intersection)


def _fuse(paths: Sequence[str | Path], output: Path, rule: str, *, intersection: bool) -> FuseSummary:
    """Fuse the files into an output whose lock the caller holds."""
    files = PredictionFiles(paths, intersection=intersection)
    if rule in FILE_RULES:
        rule_name, weights = rule, [1 / len(files)] * len(files)
    else:
        rule_name, weights = _read_weights(Path(rule), files.names)
    fusion = Fusion(rule_name, tuple(files.names), files.classes, tuple(weights), multilabel=files.multilabel)
    fused = files.predictions(fusion.apply(files))
    fused.write(output)
    by_name = dict(zip(files.names, weights, strict=True))
    return FuseSummary(output, files.n, files.left_out, rule_name, by_name, (*files.notes, *fused.notes))


def _read_weights(path: Path, names: Sequence[str]) -> tuple[str, list[float]]:
    """Rule and weights of a TOML file; the weights stand in the order of `names` and sum to 1."""
    content = _read_toml(path)
    table, rule = content.get("weights"), content.get("rule", "weighted")
    if rule not in ("weighted", "geometric") or not isinstance(table, dict):
        raise ConfigError(
            f"'{path}' must have a table [weights], and `rule` weighted or geometric. "
            f"Received {sorted(content)}, {rule!r}."
        )
    extra, lacking = sorted(set(table) - set(names)), sorted(set(names) - set(table))
    if extra or lacking:
        raise ConfigError(
            f"'{path}' must give one weight to each of: {', '.join(names)}. "
            f"It lacks {lacking} and has also {extra}. Correct it."
        )
    weights = [table[name] for name in names]
    if not all(_is_weight(weight) for weight in weights) or sum(weights) <= 0:
        raise ConfigError(
            f"The weights in '{path}' must be numbers, none negative, not all zero. "
            f"Received {weights}. Correct them."
        )
    total = sum(weights)
    return rule, [float(weight / total) for weight in weights]


def _read_toml(path: Path) -> JsonObject:
    if path.suffix.lower() != ".toml":
        raise ConfigError(
            f"The rule must be one of {', '.join(FILE_RULES)}, or a file of weights (.toml). "
            f"Received '{path}'. Choose one of these."
        )
    try:
        return read_toml(path)
    except FileNotFoundError as error:
        raise ArtefactError(
            f"A file of weights must exist. There is none at '{path}'. Check the name."
        ) from error
    except TOML_ERRORS as error:
        raise ArtefactError(f"'{path}' must be TOML. It cannot be read: {error}. Correct it.") from error


def _is_weight(value: object) -> bool:
    """Whether a value of a TOML file is a finite number, not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value >= 0
