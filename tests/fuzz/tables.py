"""Mutated tables: each is read and holds what a table of its kind promises, or is refused in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.manifest_file import read_table
from quintet.datasets.splits.split import PARTS, Split
from quintet.errors import QuintetError
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import foreign_table
from quintet.features.storage.join import join_tables
from quintet.features.storage.read import read_feature_table, read_model_rows
from quintet.features.storage.split_lists import add_splits
from quintet.features.storage.table import FeatureTable, write_feature_table
from quintet.predictions.evaluate import evaluate
from quintet.predictions.predictions import Predictions, read_predictions
from quintet.training.corrections.groups import regroup
from quintet.training.corrections.labels import relabel
from quintet.training.data import make_training_split
from quintet.training.settings import TrainSettings
from tests.fuzz.model_folders import check_probabilities, put, refusal, seed_table
from tests.fuzz.mutations import choose, mutate_bytes, mutate_csv, mutate_parquet
from tests.fuzz.target import Runner

Rng = np.random.Generator
Reader = Callable[[Path], str]
"""Reads a file, checks what came of it, and says it in a word."""


def prepare_features(seeds: Path) -> Runner:
    """Feature tables of ours and of other programs, and tables to join."""
    own, frame = seed_features(), seed_table()
    write_feature_table(own, seeds / "own.parquet")
    frame.to_csv(seeds / "other.csv", index=False)
    frame.assign(group=[f"g{i // 2}" for i in range(len(frame))]).to_parquet(seeds / "other.parquet")
    frame.drop(columns=["id", "label"]).to_csv(seeds / "nameless.csv")

    def read(path: Path) -> str:
        check_features(read_feature_table(path))
        return "table"

    def read_rows(path: Path) -> str:
        check_features(read_model_rows(path, Roles(features=("x", "y"))))
        return "rows"

    def join(path: Path) -> str:
        check_features(join_tables(own, [path]))
        return "joined"

    return runner(sorted(seeds.iterdir()), (read, read, read_rows, join))


def prepare_predictions(seeds: Path) -> Runner:
    """Predictions of classes and of label sets, as CSV and parquet."""
    rng, ids = np.random.default_rng(0), [f"c{i}" for i in range(12)]
    values = rng.dirichlet(np.ones(3), len(ids))
    labels = np.array(["a", "b", "c"] * 4, dtype=object)
    groups = np.array([f"g{i // 2}" for i in range(12)], dtype=object)
    classes = Predictions(np.array(ids), ("a", "b", "c"), values, labels, groups)
    sets = Predictions(np.array(ids), ("a", "b", "c"), values, labels + ";b", multilabel=True)
    for name, predictions in {"classes": classes, "sets": sets}.items():
        for suffix in (".csv", ".parquet"):
            predictions.write(seeds / f"{name}{suffix}")

    def read(path: Path) -> str:
        found = read_predictions(path)
        check_probabilities(found.probabilities)
        if found.probabilities.shape != (len(set(found.clip_ids)), len(set(found.classes))):
            raise AssertionError(f"clips or classes repeat: {found}")
        return "read"

    def score(path: Path) -> str:
        scores = evaluate([path, seeds / "classes.csv"], intersection=True, n_resamples=3)["scores"]
        values = [value["value"] for value in scores.values() if value["value"] is not None]
        if not np.isfinite(values).all():
            raise AssertionError(f"no scores: {scores}")
        return "scored"

    return runner(sorted(seeds.iterdir()), (read, score))


def prepare_splits(seeds: Path) -> Runner:
    """Splits of ours, lists of clips, files of groups, and files of corrected labels."""
    own, frame = seed_features(), seed_table()
    split = make_training_split(own.meta, TrainSettings(members=("svm",), folds=2), "group", grouped=False)
    split.write(seeds / "own.parquet")
    parts = np.array(["train", "valid", "test"])[np.arange(len(frame)) % 3]
    listed = frame[["id"]].assign(split=parts, group=[f"g{i // 2}" for i in range(len(frame))])
    listed.to_csv(seeds / "split.csv", index=False)
    listed.to_parquet(seeds / "split.parquet")
    labels = own.meta["label"].tolist()
    corrected = frame[["id"]].assign(
        label=labels, corrected=[labels[(i + 1) // 2] for i in range(len(frame))]
    )
    corrected.to_csv(seeds / "labels.csv", index=False)

    def read_own(path: Path) -> str:
        found = Split.read(path)
        if not set(found.frame["part"]) <= set(PARTS):
            raise AssertionError(f"no split: {found.frame}")
        return "split"

    def read_list(path: Path) -> str:
        found = add_splits(own, path)
        check_features(found)
        if found.frame["split"].isna().any():
            raise AssertionError(f"a clip is in no part: {found.frame}")
        return "list"

    def read_groups(path: Path) -> str:
        check_features(regroup(own, path))
        return "groups"

    def read_labels(path: Path) -> str:
        check_features(relabel(own, path))
        return "labels"

    return runner(sorted(seeds.iterdir()), (read_own, read_list, read_groups, read_labels))


def prepare_manifests(seeds: Path) -> Runner:
    """Lists of recordings."""
    frame = pd.DataFrame({"path": [f"music/{i}.wav" for i in range(12)], "label": ["a", "b", "c"] * 4})
    frame.to_csv(seeds / "plain.csv", index=False)
    frame = frame.assign(
        group=[f"g{i // 2}" for i in range(12)], start=0.5, end=[1.5, 2.0] * 6, split="train"
    )
    frame.to_csv(seeds / "full.csv", index=False)
    frame.to_parquet(seeds / "full.parquet")

    def read(path: Path) -> str:
        manifest = read_table(path, root=seeds)
        usable = manifest.usable
        if usable[["id", "path", "label", "group"]].isna().any(axis=None) or len(manifest) == 0:
            raise AssertionError(f"a usable row lacks a fact: {usable}")
        return "manifest"

    return runner(sorted(seeds.iterdir()), (read,))


def runner(files: Sequence[Path], readers: Sequence[Reader]) -> Runner:
    """A runner that mutates a file, under its name or another, and feeds it to one of the readers."""

    def run(rng: Rng, folder: Path) -> Counter[str]:
        seed = choose(rng, files)
        suffix = choose(rng, (seed.suffix, seed.suffix, seed.suffix, ".csv", ".tsv", ".parquet", ".csv.gz"))
        target = folder / f"table{suffix}"
        put(target, forge(seed, rng))
        try:
            return Counter([choose(rng, readers)(target)])
        except QuintetError as error:
            return Counter([refusal(error)])

    return run


def forge(seed: Path, rng: Rng) -> bytes:
    """The mutated content of a table."""
    data = seed.read_bytes()
    if seed.suffix == ".csv":
        return mutate_csv(data, rng)
    return mutate_bytes(data, rng) if rng.integers(4) == 0 else keep_metadata(data, mutate_parquet(data, rng))


def keep_metadata(before: bytes, after: bytes) -> bytes:
    """A mutated parquet file with what the first one says of itself; as it is if it is damaged."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_schema(pa.BufferReader(before)).metadata or {}
        table = pq.read_table(pa.BufferReader(after))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return after
    content = io.BytesIO()
    own = {key: value for key, value in stored.items() if key != b"pandas"}
    pq.write_table(table.replace_schema_metadata({**own, **(table.schema.metadata or {})}), content)
    return content.getvalue()


def seed_features() -> FeatureTable:
    """The seed table as a feature table."""
    return foreign_table(seed_table(), Roles(), name="seed")


def check_features(table: FeatureTable) -> None:
    """What `FeatureTable` promises of its usable rows."""
    usable = table.features
    values = usable.to_numpy(dtype=float)
    if not usable.index.is_unique or usable.index.hasnans or not np.isfinite(values).all():
        raise AssertionError(f"no feature table: {usable.index.tolist()} {values[~np.isfinite(values)]}")
