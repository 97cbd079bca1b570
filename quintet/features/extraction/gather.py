"""The final table of an extraction, gathered from a finished table and from parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quintet.audio.decode import ClipSource
from quintet.datasets.labels import is_label_set
from quintet.datasets.manifest import Manifest
from quintet.features.extraction.checkpoints import (
    FACTS,
    Parts,
    latest_facts,
    table_block,
    table_facts,
    write_final_table,
)
from quintet.features.extraction.worker import ClipTask, failure
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.table import (
    FAILURE_COLUMNS,
    META_COLUMNS,
    TRUNCATION_COLUMNS,
    is_usable,
    library_versions,
    table_schema,
)
from quintet.files.json_types import JsonObject
from quintet.files.paths import text_name

FROM_MANIFEST = ("id", "path", "label", "group", "start", "end", "split")
"""Columns of the final table that come from the manifest."""
FROM_AUDIO = (
    "duration_s",
    "native_sample_rate",
    "native_channels",
    "audio_digest",
    "source_size",
    "source_mtime_ns",
    "missing_s",
)
"""Columns of the final table that come from the audio file."""


class Ledgers(NamedTuple):
    """Clips of an extraction that need attention.

    Args:
        failures: clips without features: the columns `FAILURE_COLUMNS`.
        truncated: recordings that are cut short, described as far as they go: the columns
            `TRUNCATION_COLUMNS`.
    """

    failures: pd.DataFrame
    truncated: pd.DataFrame


def clip_tasks(manifest: Manifest, positions: Iterable[int]) -> Iterator[ClipTask]:
    """The clips at these positions of a manifest, for `describe_clip`."""
    columns = [manifest.frame[name].to_numpy() for name in ("id", "path", "start", "end")]
    for k in positions:
        yield ClipTask(int(k), ClipSource.from_row(*(column[k] for column in columns)))


def reusable_metadata(finished: JsonObject | None, parts: Parts) -> JsonObject | None:
    """Metadata of the finished table if its rows can be reused; None if its parameters are others."""
    if finished is None or not finished["has_all_facts"]:
        return None
    return finished if finished["parameter_hash"] == parts.parameter_hash else None


def known_rows(output: Path, finished: JsonObject | None, parts: Parts) -> pd.DataFrame:
    """The newest fact row of every clip that was described with these parameters."""
    return latest_facts(_fact_frames(output, finished, parts))


def gather_table(
    manifest: Manifest,
    output: Path,
    finished: JsonObject | None,
    parts: Parts,
    parameters: FeatureParameters,
    *,
    named_groups: str = "",
) -> Ledgers:
    """Write the final table from the finished table and the parts, unless it exists already.

    Args:
        manifest: the clips.
        output: the final table.
        finished: metadata of the table that exists at `output`; None if there is none.
        parts: finished rows of this run and of interrupted ones.
        parameters: parameters of the features.
        named_groups: what the tags of the files say about groups.

    Returns:
        The failure ledger, and the truncated recordings.
    """
    blocks = parts.blocks()
    earlier = reusable_metadata(finished, parts)
    frames = [] if earlier is None else [table_facts(output)]
    frames += [block.facts for block in blocks]
    facts = latest_facts(frames).set_index("id").reindex(manifest.frame["id"])
    meta = table_meta(manifest, facts, parts.parameter_hash)
    metadata = table_metadata(manifest, parameters, earlier, changed=bool(blocks))
    if named_groups:
        metadata["named_groups"] = named_groups
    if earlier is not None and not blocks and earlier == {**earlier, **metadata} and _has_rows(output, meta):
        return _ledgers(meta)
    place_columns = [facts[name].fillna(-1).to_numpy(dtype=np.int64) for name in ("block", "row")]
    places = np.stack(place_columns, axis=1)
    places[~is_usable(meta).to_numpy()] = -1
    files = [block.values for block in blocks]
    if earlier is not None:
        files.insert(0, table_block(output, frames[0], parts.names, parts.folder).values)
    del frames, blocks, facts  # the facts of all clips stay in memory only once
    write_final_table(output, meta, files, places, schema=table_schema(parts.names, metadata))
    return _ledgers(meta)


def _fact_frames(output: Path, finished: JsonObject | None, parts: Parts) -> list[pd.DataFrame]:
    """Facts of the finished table, if it can be reused, and of every part."""
    frames = [] if reusable_metadata(finished, parts) is None else [table_facts(output)]
    return frames + [block.facts for block in parts.blocks()]


def table_meta(manifest: Manifest, facts: pd.DataFrame, parameter_hash: str) -> pd.DataFrame:
    """The columns META_COLUMNS of the final table.

    Args:
        manifest: the clips, as they are listed now.
        facts: the columns `checkpoints.FACTS`, indexed by id, in the order of the manifest.
        parameter_hash: hash of the parameters.
    """
    meta = facts.reset_index(drop=True)[[name for name in FACTS if name not in FROM_MANIFEST]]
    meta[list(FROM_MANIFEST)] = manifest.frame[list(FROM_MANIFEST)]
    has_problem = manifest.frame["problem"].notna().to_numpy()
    for name in FROM_AUDIO:
        meta[name] = meta[name].mask(has_problem)
    for name, value in failure("manifest", "DatasetError", "").items():
        meta[name] = meta[name].astype("str").mask(has_problem, value)
    meta["reason"] = meta["reason"].mask(has_problem, manifest.frame["problem"].to_numpy())
    meta["parameter_hash"] = parameter_hash
    return meta[list(META_COLUMNS)]


def table_metadata(
    manifest: Manifest,
    parameters: FeatureParameters,
    finished: JsonObject | None = None,
    *,
    changed: bool = True,
) -> JsonObject:
    """Metadata that hold for all rows of a table.

    Args:
        manifest: the clips.
        parameters: parameters of the features.
        finished: metadata of the table whose rows are reused; None if none are.
        changed: whether rows were added. Then the versions are those of the newest rows, and the versions of
            older rows are kept under `earlier_versions`.
    """
    versions = library_versions(with_networks=bool(parameters.embeddings))
    earlier: list[dict[str, str]] = [] if finished is None else list(finished.get("earlier_versions", []))
    if finished is not None and finished["versions"] != versions:
        if changed:
            earlier.append(finished["versions"])
        else:
            versions = finished["versions"]
    metadata: JsonObject = {
        "parameters": parameters.model_dump(mode="json"),
        "parameter_hash": parameters.hash,
        "versions": versions,
        "earlier_versions": earlier,
        "dataset": manifest.name,
        "multilabel": manifest.multilabel,
        "grouped": manifest.grouped,
    }
    if manifest.multilabel and not any(map(is_label_set, manifest.usable["label"])):
        metadata["label_sets_declared"] = True  # by a recipe: every set holds one label
    notes = [note for note in manifest.ignored if " " in note]  # the others are names of columns
    if notes:
        metadata["notes"] = notes
    return metadata


def _has_rows(output: Path, meta: pd.DataFrame) -> bool:
    """Whether the finished table has exactly these rows already."""
    schema = table_schema((), {})
    wanted = pa.Table.from_pandas(meta, schema=schema, preserve_index=False).replace_schema_metadata(None)
    with text_name(output) as file:
        present = pq.read_table(file, columns=list(META_COLUMNS)).replace_schema_metadata(None)
    return bool(present.equals(wanted))


def _ledgers(meta: pd.DataFrame) -> Ledgers:
    failures = meta.loc[~is_usable(meta), list(FAILURE_COLUMNS)]
    truncated = meta.loc[meta["status"] == "truncated", list(TRUNCATION_COLUMNS)]
    return Ledgers(failures.reset_index(drop=True), truncated.reset_index(drop=True))
