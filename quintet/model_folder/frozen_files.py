"""The frozen ensemble in a model folder: written and checked when the folder is sealed, read for predictions.

`frozen/members.json` and `frozen/members.npz` hold the members, `frozen/known.json` the digests of the clips
of the run. Weights of networks, fusion, calibration, prediction sets and distances are read from the files
that hold them already. If there is no frozen ensemble, `not_frozen` in `bundle.json` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.splits.split import PARTS, Split
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.fusion import Fusion
from quintet.ensemble.label_sets.risk_control import TagSets
from quintet.ensemble.novelty import Distance
from quintet.errors import ArtefactError, QuintetError
from quintet.files.json_types import JsonObject
from quintet.files.paths import require_path
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayRule, StoredArray, read_npz
from quintet.files.untrusted.hdf5 import read_weights
from quintet.files.untrusted.listed_files import ListedFiles
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.strict_json import parse_object
from quintet.frozen.ensemble import ExplainedMember, FrozenEnsemble, explained_member, quiet_arithmetic
from quintet.frozen.freezing import (
    NETWORK_TOLERANCE,
    TOLERANCE,
    UnfrozenError,
    freeze_member,
    largest_differences,
)
from quintet.frozen.members import NETWORK, FrozenMember, FrozenNetwork, FrozenTable, Size
from quintet.frozen.network_member import NetworkMember
from quintet.frozen.table_member import ArrayMember
from quintet.model_folder.folder import BUNDLE, DISTANCE, ModelFolder, OpenFolder
from quintet.model_folder.replacement import read_unchanged

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.features.storage.spectrograms import SpectrogramStore
    from quintet.features.storage.table import FeatureTable

SCHEMA = 1
HEAD, ARRAYS, KNOWN = "frozen/members.json", "frozen/members.npz", "frozen/known.json"
KNOWN_COLUMNS = ("digests", "ids", "parts", "durations_s")
WEIGHTS = "network.weights.h5"
CHECKED_ROWS, CHECKED_SPECTROGRAMS = 32, 4
"""Clips on which the frozen members are compared with the members; fewer if there is a network."""

CONTENT_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class KnownClips:
    """The clips of a training run, as new files are recognised.

    Args:
        clips: digest of the samples → (id, part) of the clips that have it, in their order.
        durations: durations of the clips, seconds.
    """

    clips: Mapping[str, list[tuple[str, str]]]
    durations: NDArray[np.float64]


def write_frozen(
    folder: ModelFolder,
    ensemble: EnsembleClassifier,
    table: FeatureTable,
    spectrograms: SpectrogramStore | None,
) -> JsonObject:
    """Freeze the members into a model folder whose other files are written, if they can be frozen.

    Args:
        folder: the model folder of the run.
        ensemble: the fitted ensemble.
        table: the feature table of the run.
        spectrograms: its spectrograms, if there are networks.

    Returns:
        What `bundle.json` says about it: nothing, or `not_frozen` with the reason.
    """
    names = list(table.feature_names)
    members: dict[str, FrozenMember] = {}
    for name, member in ensemble.members_.items():
        path = folder.path / "members" / name / WEIGHTS
        weights = read_weights(path.read_bytes()) if path.is_file() else {}
        try:
            members[name] = freeze_member(member, names, weights)
        except UnfrozenError as error:
            return {"not_frozen": f"'{name}' {error}"}
    for name, difference in _compare(ensemble, members, table, spectrograms).items():
        tolerance = NETWORK_TOLERANCE if isinstance(members[name], FrozenNetwork) else TOLERANCE
        if not difference <= tolerance:
            return {"not_frozen": f"'{name}' differs from its frozen copy by {difference:.1g}"}
    heads = {name: frozen.head() for name, frozen in members.items()}
    arrays: dict[str, StoredArray] = {}
    for k, frozen in enumerate(members.values()):
        arrays |= {f"{k}.{name}": values for name, values in frozen.arrays().items()}
    folder.write_json(HEAD, {"schema": SCHEMA, "members": heads})
    folder.write_arrays(ARRAYS, arrays)
    _write_known(folder, ensemble, table)
    return {}


def _compare(
    ensemble: EnsembleClassifier,
    members: Mapping[str, FrozenMember],
    table: FeatureTable,
    spectrograms: SpectrogramStore | None,
) -> dict[str, float]:
    """By member, the largest difference of a probability on clips of the run."""
    has_network = any(isinstance(member, FrozenNetwork) for member in members.values())
    n_rows = min(len(table.features), CHECKED_SPECTROGRAMS if has_network else CHECKED_ROWS)
    rows = np.unique(np.linspace(0, len(table.features) - 1, n_rows).astype(int))
    features = table.features.iloc[rows]
    pictures = None
    if has_network and spectrograms is not None:
        pictures = spectrograms.take(list(features.index))
    expected = ensemble.member_probabilities(features, spectrograms=pictures)
    return largest_differences(members, expected, (features.to_numpy(np.float64), pictures))


def _write_known(folder: ModelFolder, ensemble: EnsembleClassifier, table: FeatureTable) -> None:
    """Write digests, ids, parts and durations of the clips, if the model reads audio and there is room.

    Without the file, `features.parquet` and `split.parquet` say the same.
    """
    if table.parameters is None:
        return
    meta = table.meta
    split = Split.read(folder.path / "split.parquet").frame
    part_of = dict(zip(split["id"], split["part"], strict=True))
    rows = [
        (str(digest), str(id), str(part_of[id]), float(duration_s))
        for id, digest, duration_s in zip(meta.index, meta["audio_digest"], meta["duration_s"], strict=True)
        if isinstance(digest, str) and id in part_of and duration_s == duration_s
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    content = dict(zip(KNOWN_COLUMNS, columns, strict=True))
    longest = max((len(row[1]) for row in rows), default=0)
    if sum(len(row[1]) + 100 for row in rows) < limits.JSON_BYTES and longest <= limits.ID_CHARACTERS:
        folder.write_json(KNOWN, content)


def load_frozen(path: str | Path) -> FrozenEnsemble | str:
    """The frozen ensemble of a model folder, or the reason why it has none, in words.

    Args:
        path: a folder made by `quintet train`.

    Raises:
        ArtefactError: if the folder is unfinished, damaged, or of another version.
    """
    path = require_path(path, "`model`")
    return read_unchanged(path, lambda: _load(ModelFolder(path)))


def _load(model_folder: ModelFolder) -> FrozenEnsemble | str:
    folder = model_folder.open()
    folder.require_model()
    if HEAD not in folder.files:
        why = folder.bundle.get("not_frozen")
        return why if isinstance(why, str) else "an earlier version trained this model"
    head = folder.read_json(HEAD)
    if head.get("schema") != SCHEMA:
        return "another version froze this model"
    try:
        return _read_ensemble(folder, head)
    except ArtefactError:
        raise
    except (QuintetError, *CONTENT_ERRORS) as error:
        raise ArtefactError(
            f"The frozen ensemble must be what `quintet train` wrote. That of {model_folder.path} is not "
            f"({reason(error)}). Copy the folder, or train, again."
        ) from error


def _read_ensemble(folder: OpenFolder, head: JsonObject) -> FrozenEnsemble:
    bundle, trust = folder.bundle, folder.read_json("trust.json")
    classes, names = list(bundle["classes"]), list(bundle["members"])
    heads: JsonObject = head["members"]
    if list(heads) != names or len(set(names)) < len(names) or len(set(classes)) < len(classes):
        raise ValueError("its members or classes are not those of the bundle")
    fusion = Fusion.from_json(folder.read_json("fusion.json")["rules"][bundle["rule"]])
    if list(fusion.members) != names or list(fusion.classes) != classes or fusion.rule != bundle["rule"]:
        raise ValueError("the fusion rule has other members or classes than the bundle")
    calibration = Calibration.from_json(trust["calibration"])
    if calibration.method == "isotonic" and len(calibration.steps) != len(classes):
        raise ValueError("the calibration has other classes than the bundle")
    conformal, tag_sets = read_conformal(trust), read_tag_sets(trust)
    for sets in (conformal, tag_sets):
        if sets is not None and list(sets.classes) != classes:
            raise ValueError("the prediction sets have other classes than the bundle")
    return FrozenEnsemble(
        bundle,
        _read_members(folder, heads),
        fusion,
        calibration,
        conformal,
        read_distance(folder, conformal),
        folder.files,
        tag_sets,
    )


def read_network_members(folder: OpenFolder) -> dict[str, NetworkMember]:
    """Networks of the folder that can be explained without Keras, by name; none if nothing is frozen.

    Args:
        folder: an open folder with a model.

    Raises:
        ArtefactError, ValueError, TypeError, KeyError: the files are damaged, or not what training wrote.
    """
    heads = _read_heads(folder)
    if all(own["kind"] != NETWORK for own in heads.values()):
        return {}
    members = _read_explained(folder, heads)
    return {name: member for name, member in members.items() if isinstance(member, NetworkMember)}


def read_table_members(folder: OpenFolder) -> dict[str, ArrayMember]:
    """Table members of the folder that can be explained from their arrays, by name.

    Args:
        folder: an open folder with a model.

    Raises:
        ArtefactError, ValueError, TypeError, KeyError: the files are damaged, or not what training wrote.
    """
    members = _read_explained(folder, _read_heads(folder))
    return {name: member for name, member in members.items() if isinstance(member, ArrayMember)}


def _read_heads(folder: OpenFolder) -> JsonObject:
    """Name of a frozen member → what `members.json` says of it; empty if nothing is frozen."""
    head = folder.read_json(HEAD) if HEAD in folder.files else {}
    heads: JsonObject = head["members"] if head.get("schema") == SCHEMA else {}
    return heads


def _read_explained(folder: OpenFolder, heads: JsonObject) -> dict[str, ExplainedMember]:
    """Members that can be explained from their arrays, by name."""
    if not heads:
        return {}
    classes = np.asarray(folder.bundle["classes"], dtype=object)
    columns = tuple(folder.bundle["feature_names"])
    frozen = _read_members(folder, heads)
    members = {name: explained_member(name, member, classes, columns) for name, member in frozen.items()}
    return {name: member for name, member in members.items() if member is not None}


def _read_members(folder: OpenFolder, heads: JsonObject) -> dict[str, FrozenMember]:
    """The members, from their heads, arrays and weights."""
    bundle = folder.bundle
    size = Size(len(bundle["feature_names"]), len(bundle["classes"]), bundle["multilabel"])
    own: list[tuple[str, JsonObject, dict[str, ArrayRule]]] = []
    for name, head in heads.items():
        kind = FrozenNetwork if head["kind"] == NETWORK else FrozenTable
        own.append((name, head, kind.rules(head, size)))
    rules = {f"{k}.{name}": rule for k, (_, _, part) in enumerate(own) for name, rule in part.items()}
    arrays = read_npz(folder.files.read(ARRAYS), rules)
    members: dict[str, FrozenMember] = {}
    for k, (name, head, part) in enumerate(own):
        stored = {key: arrays[f"{k}.{key}"] for key in part if f"{k}.{key}" in arrays}
        is_network = head["kind"] == NETWORK
        weights = read_weights(folder.member(name).read(WEIGHTS)) if is_network else {}
        with quiet_arithmetic():  # numbers beyond float32 become infinite, and are refused
            if is_network:
                members[name] = FrozenNetwork.restore(head, stored, weights, size)
            else:
                members[name] = FrozenTable.restore(head, stored, size)
    return members


def read_known(files: ListedFiles) -> KnownClips | None:
    """The clips of the run from `frozen/known.json`; None if the folder has no such file.

    Raises:
        ArtefactError: the file is damaged, or is not what training wrote.
    """
    if KNOWN not in files:
        return None
    content = parse_object(files.read(KNOWN, limit=limits.JSON_BYTES), files.path(KNOWN))
    try:
        return _known_clips(*(content[name] for name in KNOWN_COLUMNS))
    except CONTENT_ERRORS as error:
        raise ArtefactError(
            f"The list of known clips must be what `quintet train` wrote. {files.path(KNOWN)} is not "
            f"({reason(error)}). Copy the folder, or train, again."
        ) from error


def _known_clips(digests: list[str], ids: list[str], parts: list[str], seconds: list[float]) -> KnownClips:
    """The clips of four columns that a stranger may have written.

    An id may hold whatever the name of a file may hold, control characters included: printing escapes them.

    Raises:
        ValueError, TypeError, OverflowError: they are no such columns.
    """
    for column in (digests, ids, parts):
        if not isinstance(column, list) or not all(isinstance(text, str) for text in column):
            raise ValueError("digests, ids and parts must be lists of texts")
        "".join(column).encode("utf-8")  # bytes that are no text have another form in ids: `name_text`
    if any(len(id) > limits.ID_CHARACTERS or "\0" in id for id in ids):
        raise ValueError(f"an id must have at most {limits.ID_CHARACTERS:,} characters, and no NUL")
    if not set(parts) <= set(PARTS):
        raise ValueError(f"a part must be one of {', '.join(PARTS)}")
    if not isinstance(seconds, list) or not all(type(number) in (int, float) for number in seconds):
        raise ValueError("durations must be a list of numbers")
    durations = np.asarray(seconds, dtype=np.float64)
    if not np.isfinite(durations).all() or (durations < 0).any():
        raise ValueError("durations must be finite and not negative")
    clips: dict[str, list[tuple[str, str]]] = {}
    for digest, id, part, _ in zip(digests, ids, parts, seconds, strict=True):
        clips.setdefault(digest, []).append((id, part))
    return KnownClips(clips, durations)


def read_conformal(trust: JsonObject) -> ConformalPredictor | None:
    """The prediction sets from the content of `trust.json`; None for label sets."""
    content = trust["conformal"]
    return None if content is None else ConformalPredictor.from_json(content)


def read_tag_sets(trust: JsonObject) -> TagSets | None:
    """The tag sets from the content of `trust.json`; None for classes, and in folders of early versions."""
    content = trust.get("tag_sets")
    return None if content is None else TagSets.from_json(content)


def read_distance(folder: OpenFolder, conformal: ConformalPredictor | None) -> Distance | None:
    """The distance measure, if the prediction sets use it.

    Raises:
        ArtefactError: they do, and the folder does not list it.
    """
    if conformal is None or not conformal.familiarity:
        return None
    if DISTANCE not in folder.files:
        raise ArtefactError(
            f"Prediction sets that use the features need {DISTANCE}. "
            f"{folder.files.path(BUNDLE)} does not list it: train again."
        )
    arrays = read_npz(folder.files.read(DISTANCE), Distance.array_rules())
    return Distance.restore(arrays, n_features=len(folder.bundle["feature_names"]))
