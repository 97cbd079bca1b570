"""Mutated model folders: each loads and predicts finite probabilities, or is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
import tokenize
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.classifiers.registry import TABLE_MEMBERS, make_member
from quintet.classifiers.storage import load_member, save_member
from quintet.errors import QuintetError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.inference.predict import predict_table_file
from quintet.model_folder.run import read_run
from quintet.reports.run_page import write_report
from quintet.training.settings import TrainSettings
from quintet.training.train import train
from tests.fuzz.mutations import (
    choose,
    mutate_archive,
    mutate_bytes,
    mutate_json,
    mutate_parquet,
    mutate_ubjson,
)
from tests.fuzz.target import Runner

Rng = np.random.Generator
MUTATIONS: dict[str, Callable[[bytes, Rng], bytes]] = {
    ".json": mutate_json,
    ".npz": mutate_archive,
    ".skops": mutate_archive,
    ".ubj": mutate_ubjson,
    ".parquet": mutate_parquet,
    ".h5": mutate_bytes,
}
READ_BY_PREDICT = ("bundle.json", "config.json", "fusion.json", "trust.json", "distance.npz", "members/")
SETTINGS = {
    "random_forest": {"n_estimators": 3},
    "xgboost": {"n_estimators": 2, "max_depth": 2},
    "svm": {"calibration_folds": 2},
}
BROKEN_SEED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OSError,
    EOFError,
    RecursionError,
    tokenize.TokenError,  # of numpy's reader of headers
    zipfile.BadZipFile,
)


def prepare(seeds: Path) -> Runner:
    """A folder for each table member, one of two members and a learnt fusion, and one of label sets."""
    folders = [_train(seeds / name, (name,)) for name in TABLE_MEMBERS]
    folders.append(_train(seeds / "two", ("logistic_regression", "xgboost"), rules=("mean", "stacked")))
    sets = seed_table()
    sets["label"] = np.where(np.arange(len(sets)) % 4 == 0, "a;b", sets["label"])
    folders.append(_train(seeds / "tags", ("svm",), table=sets))
    rows = _write_rows(seeds)
    return lambda rng, folder: _try_folder(choose(rng, folders), rows, rng, folder)


def _train(
    folder: Path,
    members: tuple[str, ...],
    rules: tuple[str, ...] = ("mean",),
    table: pd.DataFrame | None = None,
) -> Path:
    settings = TrainSettings(
        members=members,
        settings={name: SETTINGS[name] for name in members if name in SETTINGS},
        rules=rules,
        rule=rules[0] if len(rules) == 1 else "auto",
        resamples=5,
        folds=2,
    )
    frame = seed_table() if table is None else table
    train(foreign_table(frame, Roles(), name="s"), folder, settings=settings)
    return folder


def _write_rows(seeds: Path) -> Path:
    """The rows that are predicted, as CSV without labels."""
    seed_table().drop(columns=["label"]).to_csv(seeds / "rows.csv", index=False)
    return seeds / "rows.csv"


def prepare_pages(seeds: Path) -> Runner:
    """Reports on mutated folders, which take seconds each."""
    prepare_few(seeds)

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "model"
        shutil.copytree(seeds / "single", target)
        _mutate_folder(
            target, rng, wanted=("scores.json", "predictions/", "environment", "features.", "split.")
        )
        try:
            write_report(target, folder / "report")
        except QuintetError as error:
            return Counter([refusal(error)])
        return Counter(["page"])

    return run


def prepare_few(seeds: Path) -> Runner:
    """One folder of two members, which is quick to make."""
    single, rows = _train(seeds / "single", ("logistic_regression", "xgboost")), _write_rows(seeds)
    return lambda rng, folder: _try_folder(single, rows, rng, folder)


def prepare_network(seeds: Path) -> Runner:
    """The folder of one small network."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(-40, 5, (8, 24)).astype(np.float32) for _ in range(8)]
    network = make_member(
        "vgg_small", patch_frames=16, epochs=1, batch_size=8, augmentation=None, filters=2, blocks=2
    )
    save_member(network.fit(clips, ["a", "b"] * 4), seeds / "network")

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "network"
        shutil.copytree(seeds / "network", target)
        name = choose(rng, sorted(path.name for path in target.iterdir()))
        put(target / name, forge(target / name, rng))
        try:
            probabilities = load_member(target).predict_proba(clips[:2])
        except QuintetError as error:
            return Counter([refusal(error)])
        check_probabilities(probabilities)
        return Counter(["loaded"])

    return run


def seed_table() -> pd.DataFrame:
    """24 rows of three classes and three features."""
    labels = np.array(["a", "b", "c"])[np.arange(24) % 3]
    values = np.random.default_rng(0).normal(size=(24, 3)) + np.arange(24)[:, None] % 3
    frame = pd.DataFrame(values, columns=["x", "y", "z"])
    return frame.assign(id=[f"c{i}" for i in range(24)], label=labels)


def _try_folder(seed: Path, rows: Path, rng: Rng, folder: Path) -> Counter[str]:
    target = folder / "model"
    shutil.copytree(seed, target)
    for _ in range(int(choose(rng, (1, 1, 1, 2, 3)))):
        _mutate_folder(target, rng)
    outcomes = []
    try:
        result = predict_table_file(target, rows)
        names = [f"probability.{name}" for name in result.classes]
        check_probabilities(result.frame[names].to_numpy())
        outcomes.append("predicted")
    except QuintetError as error:
        outcomes.append(refusal(error))
    if rng.random() < 0.3:
        try:
            run = read_run(target)
            outcomes.append(f"read {run.part}")
        except QuintetError as error:
            outcomes.append(refusal(error))
    return Counter([" + ".join(outcomes)])


def refusal(error: QuintetError) -> str:
    text = str(error)
    if "\n" in text or len(text) > 2000 or not text.endswith((".", ")", "?", "'", "…")):
        raise AssertionError(f"no sentence: {text[:300]!r}") from error
    return "refused"


def check_probabilities(values: np.ndarray) -> None:
    values = np.asarray(values, dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1 + 1e-6).all()):
        raise AssertionError(f"no probabilities: {values[:2]}")


def _mutate_folder(folder: Path, rng: Rng, wanted: tuple[str, ...] = READ_BY_PREDICT) -> None:
    """Change one file, most often a wanted one, and list the files as their sender could."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    first = [name for name in names if name.startswith(wanted)]
    name = choose(rng, first if rng.random() < 0.85 else names)
    path, kind = folder / name, int(rng.integers(30))
    if path.is_symlink():  # of a mutation before this one
        put(path, b"{}")
    if kind == 0:
        path.unlink()
    elif kind == 1:
        put(path, (folder / choose(rng, names)).read_bytes())
    elif kind == 2:
        path.unlink()
        path.symlink_to(choose(rng, ("/proc/self/environ", "/dev/zero", "bundle.json")))
    elif kind == 3:
        put(path.parent / choose(rng, ("more.json", "more.npz", "é.parquet")), path.read_bytes()[:200])
    elif path.suffix in MUTATIONS:
        put(path, forge(path, rng))
    if name != "bundle.json" and rng.random() < 0.97:
        _relist(folder)


def forge(path: Path, rng: Rng) -> bytes:
    """The content of a file, mutated as its suffix suggests, or byte by byte where that cannot be."""
    data = path.read_bytes()
    try:
        return MUTATIONS[path.suffix](data, rng)
    except BROKEN_SEED:  # a mutation before this one has damaged the file, or an archive has no such name
        return mutate_bytes(data, rng)


def put(path: Path, data: bytes) -> None:
    """Write a file in the place of what is there, through no link."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _relist(folder: Path) -> None:
    """New digests and sizes, of links too, for a bundle that can still be read."""
    if (folder / "bundle.json").is_symlink():
        return
    try:
        bundle = json.loads((folder / "bundle.json").read_bytes())
        bundle["files"], bundle["sizes"] = {}, {}
    except (ValueError, TypeError, RecursionError, OSError):
        return
    for path in sorted(folder.rglob("*")):
        if path.name != "bundle.json" and path.is_file():
            data = path.read_bytes()
            relative = path.relative_to(folder).as_posix()
            bundle["files"][relative] = hashlib.sha256(data).hexdigest()
            bundle["sizes"][relative] = len(data)
    (folder / "bundle.json").write_text(json.dumps(bundle))
