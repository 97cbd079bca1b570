"""`quintet export`: the ensemble as ONNX files, a JSON file that says what they read, and a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet import __version__
from quintet.errors import ArtefactError, MissingExtraError, QuintetError
from quintet.export.graph import Graph
from quintet.export.joining import add_calibration, add_fusion
from quintet.export.networks import PATCHES, PROBABILITIES, network_model
from quintet.export.table_members import add_table_member
from quintet.files.atomic import atomic_folder
from quintet.files.json_text import json_text
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.frozen.ensemble import FrozenEnsemble
from quintet.frozen.members import FrozenNetwork, FrozenTable
from quintet.frozen.scorers import logistic, softmax
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.frozen_files import load_frozen

if TYPE_CHECKING:
    import onnx

Floats = NDArray[np.float64]

FEATURES, ENSEMBLE, DESCRIPTION = "features", "ensemble.onnx", "export.json"
TOLERANCE, NETWORK_TOLERANCE = 1e-6, 1e-5
"""Largest differences to the frozen ensemble, of members of tables and of the ensemble, and of networks."""
ROWS, N_PATCHES, GAPS = 200, 8, 0.1
"""Rows of the comparison, patches, and the share of the values that are unknown in every second row."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        folder: the folder.
        files: names of the files.
        not_exported: what the files do not have, one sentence each.
        differences: file → largest difference to the frozen ensemble.
    """

    folder: Path
    files: tuple[str, ...]
    not_exported: tuple[str, ...]
    differences: Mapping[str, float]


def export(model: str | Path, output: str | Path) -> Export:
    """Write a model as ONNX files, and compare what onnxruntime makes of them with the frozen ensemble.

    Args:
        model: a folder made by `quintet train`.
        output: folder for the files. It must not exist yet.

    Raises:
        ArtefactError: the model has no frozen ensemble, or `output` exists.
        MissingExtraError: onnx or onnxruntime is not installed.
        QuintetError: onnxruntime gives other numbers. Nothing is written then.
    """
    target = Path(output)
    with output_lock(target):
        if target.exists():
            raise ArtefactError(f"The folder of an export must not exist. '{target}' does: name another.")
        ensemble = load_frozen(Path(model))
        if not isinstance(ensemble, FrozenEnsemble):
            raise ArtefactError(
                f"An export must have a frozen ensemble. This model has none ({ensemble}): train again."
            )
        models = {ENSEMBLE: _ensemble_model(ensemble)}
        for name, member in ensemble.members_.items():
            if isinstance(member, FrozenNetwork):
                models[_file_name(name)] = network_model(member, len(ensemble.class_names_))
        contents = {name: content.SerializeToString() for name, content in models.items()}
        differences = _compare(ensemble, contents)
        not_exported = _omissions(ensemble)
        description = _description(ensemble, not_exported, differences)
        with atomic_folder(target) as folder:
            for name, content in contents.items():
                (folder / name).write_bytes(content)
            (folder / DESCRIPTION).write_text(json_text(description), encoding="utf-8")
        return Export(target, (*contents, DESCRIPTION), not_exported, differences)


def _file_name(member: str) -> str:
    return f"{member.replace('@', '-at-')}.onnx"


def _ensemble_model(ensemble: FrozenEnsemble) -> onnx.ModelProto:
    """Features, and probabilities of networks → probabilities of members and of the ensemble."""
    graph = Graph()
    n_classes = len(ensemble.class_names_)
    features = graph.input(FEATURES, np.float64, ["n", len(ensemble.bundle_["feature_names"])])
    members = {}
    for name, member in ensemble.members_.items():
        if isinstance(member, FrozenTable):
            members[name] = add_table_member(graph, member, features)
            graph.output(members[name], f"{PROBABILITIES}.{name}", np.float64, ["n", n_classes])
        else:
            members[name] = graph.input(f"{PROBABILITIES}.{name}", np.float64, ["n", n_classes])
    fused = add_fusion(graph, ensemble.fusion_, [members[name] for name in ensemble.fusion_.members])
    calibrated = add_calibration(graph, ensemble.calibration_, fused)
    graph.output(calibrated, PROBABILITIES, np.float64, ["n", n_classes])
    return graph.model({"quintet": "features and probabilities of networks → probabilities"})


def _compare(ensemble: FrozenEnsemble, contents: Mapping[str, bytes]) -> dict[str, float]:
    """Largest difference of each file.

    Raises:
        QuintetError: it is larger than allowed.
    """
    rng = np.random.default_rng(0)
    found = {ENSEMBLE: _compare_ensemble(ensemble, contents[ENSEMBLE], rng)}
    for name, member in ensemble.members_.items():
        if isinstance(member, FrozenNetwork):
            found[_file_name(name)] = _compare_network(member, contents[_file_name(name)], rng)
    for name, difference in found.items():
        if not difference <= (TOLERANCE if name == ENSEMBLE else NETWORK_TOLERANCE):
            raise QuintetError(
                f"An export must give the numbers of the model. {name} differs by {difference:.2g} in "
                "onnxruntime: nothing is written. Please report it."
            )
    return found


def _compare_network(member: FrozenNetwork, content: bytes, rng: np.random.Generator) -> float:
    """Largest difference of the probabilities of made patches."""
    mean, std = member.statistics
    shape = (N_PATCHES, len(mean), member.settings.patch_frames)
    patches = (mean + std * rng.normal(size=shape)).astype(np.float32)
    logits = member.network.logits(member.statistics.standardise(patches))
    expected = logistic(logits) if member.multilabel else softmax(logits)
    return float(np.abs(_run(content, {PATCHES: patches})[PROBABILITIES] - expected).max())


def _compare_ensemble(ensemble: FrozenEnsemble, content: bytes, rng: np.random.Generator) -> float:
    """Largest difference of the members of tables and of the ensemble; networks have made probabilities."""
    rows = _rows(ensemble, rng)
    given: dict[str, Floats] = {}
    members: dict[str, Floats] = {}
    for name, member in ensemble.members_.items():
        if isinstance(member, FrozenNetwork):
            members[name] = rng.dirichlet(np.ones(len(ensemble.class_names_)), len(rows))
            given[f"{PROBABILITIES}.{name}"] = members[name]
        else:
            members[name] = member.probabilities(rows, None)
    received = _run(content, {FEATURES: rows, **given})
    differences = [np.abs(received[PROBABILITIES] - ensemble.fuse_and_calibrate(members)).max()]
    for name, values in members.items():
        if f"{PROBABILITIES}.{name}" in received:
            differences.append(np.abs(received[f"{PROBABILITIES}.{name}"] - values).max())
    return float(max(differences))


def _rows(ensemble: FrozenEnsemble, rng: np.random.Generator) -> Floats:
    """Feature rows of the training run; every second one has gaps."""
    names = ensemble.bundle_["feature_names"]
    frame = OpenFolder(ensemble.bundle_, ensemble.files_).read_frame("features.parquet", list(names))
    values = frame.to_numpy(np.float32)[:ROWS].astype(np.float64)
    gaps = rng.random(values.shape) < GAPS
    gaps[::2] = False
    return np.where(gaps, np.nan, values)


def _run(content: bytes, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Floats]:
    """Outputs of a model in onnxruntime, by name."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("The comparison of an export", "export") from error
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {node.name for node in session.get_inputs()}
    values = session.run(names, {name: value for name, value in inputs.items() if name in wanted})
    return dict(zip(names, values, strict=True))


def _omissions(ensemble: FrozenEnsemble) -> tuple[str, ...]:
    """What the files do not have."""
    lacks = [
        "The features and the log-mel spectrograms: quintet, or another program, computes them from sound."
    ]
    for name, member in ensemble.members_.items():
        if isinstance(member, FrozenNetwork):
            how = "their mean" if member.pooling == "average" else f"their pooling by {member.pooling}"
            lacks.append(f"The cutting of clips into patches for {name}, and {how}: see networks.")
    if ensemble.conformal_ is not None:
        lacks.append("Prediction sets and out_of_class.")
    return tuple(lacks)


def _description(
    ensemble: FrozenEnsemble, not_exported: tuple[str, ...], differences: Mapping[str, float]
) -> JsonObject:
    """Content of the JSON file."""
    bundle = ensemble.bundle_
    networks = {}
    for name, member in ensemble.members_.items():
        if isinstance(member, FrozenNetwork):
            networks[name] = {
                "file": _file_name(name),
                "bands": len(member.statistics.mean),
                "settings": vars(member.settings),
                "pooling": member.pooling,
                "output_goes_to": f"{PROBABILITIES}.{name}",
            }
    return {
        "quintet": __version__,
        "classes": list(ensemble.class_names_),
        "multilabel": ensemble.multilabel_,
        "members": list(ensemble.members_),
        "file": ENSEMBLE,
        "columns": list(bundle["feature_names"]),
        "unknown_value": "NaN",
        "feature_parameters": bundle["feature_parameters"],
        "feature_hash": bundle["feature_hash"],
        "networks": networks,
        "not_exported": list(not_exported),
        "largest_differences": dict(differences),
    }
