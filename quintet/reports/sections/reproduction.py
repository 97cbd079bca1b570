"""Section "Reproduce": the commands of the run, and everything that must be equal for equal numbers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from quintet.ensemble.fusion import RULES
from quintet.model_folder.run import Run
from quintet.reports.report_data import ReportData
from quintet.reports.section import Code, KeyValues, Section, Text
from quintet.reports.sections.members.training import training_options

DEFAULT_OPTIONS: Mapping[str, object] = {
    "rule": "auto",
    "protocol": "auto",
    "test_size": 0.2,
    "folds": None,
    "resamples": 1000,
    "target": None,
}
"""Options of `quintet train` with one value → their defaults."""


def reproduction_section(data: ReportData) -> Section:
    """Commands, versions and hashes."""
    numbers = Markup(
        "The numbers of this page are beside it as parquet in <code>numbers/</code>. The links marked ↓ "
        "carry them inside the page."
    )
    versions = KeyValues(
        "Versions and hashes", "What must be equal for equal numbers.", tuple(provenance(data.run))
    )
    return Section(
        id="again",
        title="How to reproduce the numbers",
        contents="Reproduce",
        blocks=(Code(tuple(commands(data.run))), versions, Text(numbers)),
    )


def commands(run: Run) -> list[str]:
    """Command lines that make this report again.

    They are those that were recorded if `quintet` itself was called, otherwise they follow from the
    configuration.
    """
    words = _words(str(run.environment.get("command", "")))
    if len(words) > 1 and _is_quintet(words[0]):
        recorded = shlex.join(["quintet", *words[1:]])
        if words[1] == "run":
            return [recorded]
        return [recorded, f"quintet report {shlex.quote(_output_folder(words))} -o report"]
    train = shlex.join(["quintet", "train", "features.parquet", "-o", "model", *_options(run)])
    return [train, "quintet report model -o report"]


def _words(command: str) -> list[str]:
    """Words of a recorded command. Early versions did not quote them; then they are divided at blanks."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _is_quintet(program: str) -> bool:
    path = Path(program)
    return path.name == "quintet" or (path.name, path.parent.name) == ("__main__.py", "quintet")


def _output_folder(words: Sequence[str]) -> str:
    for k, word in enumerate(words[:-1]):
        if word in ("-o", "--output"):
            return words[k + 1]
    return "model"


def _options(run: Run) -> list[str]:
    """Options of `quintet train` that give the configuration of the run."""
    train = dict(run.config.get("train") or {})
    options = ["--members", ",".join(run.bundle["members"]), "--seed", str(train.get("seed", 0))]
    for name, default in DEFAULT_OPTIONS.items():
        value = train.get(name, default)
        if value != default:
            options += [f"--{name.replace('_', '-')}", str(value)]
    rules = tuple(train.get("rules", RULES))
    if rules != tuple(RULES):
        options += ["--rules", ",".join(rules)]
    if train.get("protocols"):
        options += ["--protocols", ",".join(train["protocols"])]
    if train.get("learning_curve"):
        options.append("--learning-curve")
    for value, part in train.get("split_values", {}).items():
        options += ["--split-value", f"{value}={part}"]
    for member, settings in train.get("settings", {}).items():
        for key, value in settings.items():
            options += ["--set", f"{member}.{key}={value}"]
    return options


def provenance(run: Run) -> list[tuple[str, str]]:
    """Seed, versions and hashes: `(name, value)`."""
    split = run.results.split
    environment = run.environment
    rows: list[tuple[str, object]] = [
        ("made", environment.get("created")),
        ("seed", (run.config.get("train") or {}).get("seed")),
        ("split", f"{split.protocol or '–'}, digest {split.digest or '–'}"),
        ("data", (run.config.get("data") or {}).get("digest")),
        ("configuration", run.config.get("hash")),
        ("feature parameters", run.bundle.get("feature_hash")),
        ("log-mel parameters", run.bundle.get("log_mel_hash")),
        ("Python", environment.get("python")),
        ("platform", environment.get("platform")),
        ("device", environment.get("device")),
    ]
    rows += training_options(run)
    rows += _pretrained_rows(run)
    rows += sorted((environment.get("versions") or {}).items())
    return [(name, _value_text(value)) for name, value in rows if value not in (None, {}, "")]


def _pretrained_rows(run: Run) -> list[tuple[str, object]]:
    """Pretrained networks and joined tables of the columns, with what is known of their origin."""
    rows: list[tuple[str, object]] = []
    for network in (run.bundle.get("feature_parameters") or {}).get("embeddings", []):
        words = ("version of the contract", "windows", "trained on", "licence", "source")
        keys = ("contract", "windows", "trained_on", "licence", "source")
        facts = {word: network[key] for word, key in zip(words, keys, strict=True) if network.get(key)}
        rows.append((f"network {network['network']}", facts))
    for record in run.bundle.get("joined", []):
        facts = {"file": record["file"], "SHA-256": record["sha256"][:16], "columns": record.get("columns")}
        origin = record["made_by"]
        if "parameter_hash" in origin:
            facts["feature parameters"] = origin["parameter_hash"]
        else:
            facts |= origin
        rows.append((f"joined table {record['name']}", facts))
    return rows


def _value_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
