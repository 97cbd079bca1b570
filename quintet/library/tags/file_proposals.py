"""Proposals for files, for other programs that keep the tags of music: from a library, or from a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quintet.datasets.labels import label_set
from quintet.library.store import Library
from quintet.library.tags.plan import PlanOptions, Proposal, proposals_by_file


def library_proposals(
    folder: Path, fields: tuple[str, ...], least: float
) -> dict[Path, Mapping[str, Proposal]]:
    """Resolved file → field → proposal, for every song of a library that has one.

    Args:
        folder: a scanned library.
        fields: names of `entries.FIELDS`.
        least: smallest confidence, in [0, 1].

    Raises:
        ArtefactError: the folder is no library, or a table is damaged.
        ConfigError: a field is unknown.
    """
    found = proposals_by_file(Library.open(folder), PlanOptions(fields, "replace", least))
    return {file.resolve(): by_field for file, by_field in found.items()}


def model_proposals(
    model: Path, files: Sequence[Path], least: float, confidence: float
) -> dict[Path, Mapping[str, Proposal]]:
    """File → genre, where the prediction set has one member and the probability is large enough.

    Args:
        model: model folder.
        files: songs. Those that cannot be used are left out.
        least: smallest probability, in [0, 1].
        confidence: of the prediction sets, in (0, 1).

    Raises:
        ArtefactError: the folder is no model.
    """
    from quintet.inference.predict import predict_files

    result = predict_files(model, [str(file) for file in files], confidence=confidence)
    found: dict[Path, Mapping[str, Proposal]] = {}
    for row in result.frame.to_dict("records"):
        members = label_set(str(row["set"])) if row.get("set") is not None else (str(row["verdict"]),)
        if len(members) == 1 and float(row["confidence"]) >= least:
            found[Path(str(row["file"]))] = {"genre": Proposal(members, float(row["confidence"]), "model")}
    return found
