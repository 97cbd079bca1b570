"""Shared fixtures: a small model folder with real members on made-up features, and files of predictions."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from quintet.classifiers.registry import make_member
from quintet.classifiers.storage import save_member
from quintet.ensemble.fusion import Fusion
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import score
from quintet.explanation.members import RunExplanation
from quintet.files.locks import HeldOutputError, output_lock
from quintet.model_folder.folder import ModelFolder
from quintet.predictions.predictions import Predictions
from quintet.reports import run_page
from quintet.reports.report_data import ReportData
from quintet.reports.run_page import write_report


def pytest_configure(config: pytest.Config) -> None:
    """Each process of xdist keeps librosa's compiled code in a folder of its own.

    Where two processes compile one function of librosa at once, numba may keep a file of each, and a later
    call ends in a segmentation fault.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.rootpath / ".pytest_cache" / "numba" / worker))


CLASSES = ("ambient", "classical", "hip hop", "jazz", "rock", "techno")
COLUMNS = (
    *(f"cepstral.mfcc_{i:02d}.{s}" for i in range(1, 14) for s in ("mean", "std")),
    *(f"chroma.cens_{i:02d}.mean" for i in range(1, 13)),
    *(f"contrast.band_{i}.mean" for i in range(1, 8)),
    *(
        f"spectral.{quantity}.{s}"
        for quantity in ("centroid", "bandwidth_p2", "rolloff_85", "flatness")
        for s in ("mean", "std", "median")
    ),
    *("rhythm.tempo.value", "rhythm.onset_strength.mean", "rhythm.onset_strength.std"),
    *("temporal.zcr.mean", "temporal.zcr.std", "temporal.rms.mean", "temporal.rms.std"),
    *(f"tonal.tonnetz_{i}.mean" for i in range(1, 7)),
)


def make_features(
    n: int = 216, n_groups: int = 24, seed: int = 3
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Features `(n, columns)`, labels and groups. Each class moves three columns; each group has a shift."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % n_groups
    label = np.array(CLASSES)[(group + rng.integers(0, 2, n) * 3) % len(CLASSES)]
    values = rng.normal(size=(n, len(COLUMNS))) + 0.45 * rng.normal(size=(n_groups, len(COLUMNS)))[group]
    for k, name in enumerate(CLASSES):
        cause = rng.choice(len(COLUMNS), 3, replace=False)
        strength = 0.55 if name in ("jazz", "classical") else 1.0
        values[np.ix_(label == name, cause)] += np.array([1.9, -1.5, 1.2]) * strength
        values[label == name, 40 + k % 2] += 0.6 * (k % 3)
    ids = [
        f"{name.replace(' ', '_')}/{g:02d}_{i:03d}.wav"
        for i, (name, g) in enumerate(zip(label, group, strict=True))
    ]
    index = pd.Index(ids, name="id")
    features = pd.DataFrame(values.astype(np.float32), columns=list(COLUMNS), index=index)
    return features, label, np.array([f"artist {g:02d}" for g in group])


MEMBER_SETTINGS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 0.03},
    "random_forest": {"n_estimators": 60},
    "svm": {"calibration_folds": 2},
    "xgboost": {"n_estimators": 40},
}


def make_members() -> dict[str, Any]:
    return {name: make_member(name, **settings) for name, settings in MEMBER_SETTINGS.items()}


def scores_json(y: np.ndarray, p: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    return score(y, p, CLASSES, groups, resampling=Resampling(n_resamples=100)).to_json()


def draw_network_predictions(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probabilities that favour the true class, for a network that is not trained."""
    logits = rng.normal(size=(len(y), len(CLASSES))) + 2.1 * (y[:, None] == np.array(CLASSES))
    return np.exp(1.5 * logits) / np.exp(1.5 * logits).sum(1, keepdims=True)


def predictions_frame(ids: np.ndarray, y: np.ndarray, groups: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {"clip_id": ids, "label": y, "group": groups}
        | {f"probability.{c}": p[:, k] for k, c in enumerate(CLASSES)}
    )


def history_frame(name: str, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for fold in (*range(4), -1):
        speed = rng.uniform(0.15, 0.25)
        for epoch in range(1, int(rng.integers(14, 22))):
            fit = 1 - np.exp(-speed * epoch)
            row = {"member": name, "fold": fold, "epoch": epoch}
            row["loss"] = 1.8 - 1.5 * fit + 0.03 * rng.normal()
            row["accuracy"] = 0.2 + 0.72 * fit + 0.01 * rng.normal()
            row["val_loss"] = 1.85 - 1.1 * fit + 0.06 * rng.normal()
            row["val_accuracy"] = 0.2 + 0.55 * fit + 0.02 * rng.normal()
            rows.append(row | {"seconds": 3.1})
    return pd.DataFrame(rows)


def embeddings_frame(ids: np.ndarray, y: np.ndarray, fold: np.ndarray) -> pd.DataFrame:
    """Last layer of a network, for the held-out clips, and for the first fold in another space.

    The classes are far apart.
    """
    rng = np.random.default_rng(8)
    centres = rng.normal(size=(len(CLASSES), 12))
    one_hot = np.eye(len(CLASSES))[np.searchsorted(CLASSES, y)]
    values = one_hot @ centres * 4 + rng.normal(size=(len(y), 12))
    parts = [
        pd.DataFrame(v[rows]).assign(id=ids[rows], part=part)
        for part, rows, v in (("test", fold < 0, values), ("oof", fold == 0, -values))
    ]
    return pd.concat(parts, ignore_index=True).rename(columns=str)


def write_model_folder(
    folder: Path, *, protocol: str = "group", grouped: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Write a model folder (docs/architecture.md), and return the fitted members by name."""
    rng = np.random.default_rng(seed)
    X, y, groups = make_features()
    ids = X.index.to_numpy()
    held_out = np.isin(groups, [f"artist {g:02d}" for g in (2, 7, 12, 17, 19, 22)])
    fold = np.full(len(y), -1)
    train = np.flatnonzero(~held_out)
    for k, (_, valid) in enumerate(
        StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(X.iloc[train], y[train], groups[train])
    ):
        fold[train[valid]] = k
    members = make_members()
    oof: dict[str, np.ndarray] = {name: np.zeros((len(y), len(CLASSES))) for name in members} | {
        "vgg_small": draw_network_predictions(y, rng)
    }
    test = {"vgg_small": oof["vgg_small"][held_out]}
    for name, member in members.items():
        for k in range(4):
            inside, outside = train[fold[train] != k], train[fold[train] == k]
            oof[name][outside] = member.fit(X.iloc[inside], y[inside], groups[inside]).predict_proba(
                X.iloc[outside]
            )
        test[name] = member.fit(X.iloc[train], y[train], groups[train]).predict_proba(X[held_out])
    oof = {name: p[train] for name, p in oof.items()}
    weights = {
        "logistic_regression": 0.12,
        "random_forest": 0.0,
        "svm": 0.14,
        "xgboost": 0.27,
        "vgg_small": 0.47,
    }
    for part in (oof, test):
        part["mean"] = np.mean([part[m] for m in weights], axis=0)
        part["weighted"] = np.sum([w * part[m] for m, w in weights.items()], axis=0)
    for part, rows, table in (("oof", train, oof), ("test", np.flatnonzero(held_out), test)):
        (folder / "predictions" / part).mkdir(parents=True)
        for name, p in table.items():
            predictions_frame(ids[rows], y[rows], groups[rows], p).to_parquet(
                folder / "predictions" / part / f"{name}.parquet"
            )
    scores = {
        "oof": {name: scores_json(y[train], p, groups[train]) for name, p in oof.items()},
        "test": {name: scores_json(y[held_out], p, groups[held_out]) for name, p in test.items()},
        "split": {
            "protocol": protocol,
            "grouped": grouped,
            "seed": seed,
            "n_splits": 4,
            "digest": "4f2a9c1be07d5538",
            "group_by": "artist",
        },
    }
    for name, member in members.items():
        save_member(member, folder / "members" / name)
    _write_rest(folder, X, y, groups, fold, scores, weights, rng)
    return members


def _write_rest(
    folder: Path,
    X: pd.DataFrame,
    y: Any,
    groups: Any,
    fold: Any,
    scores: Any,
    weights: Any,
    rng: np.random.Generator,
) -> None:
    (folder / "history").mkdir()
    history_frame("vgg_small", rng).to_parquet(folder / "history" / "vgg_small.parquet")
    (folder / "embeddings").mkdir()
    embeddings_frame(X.index.to_numpy(), y, fold).to_parquet(folder / "embeddings" / "vgg_small.parquet")
    pd.DataFrame(
        {
            "id": X.index,
            "label": y,
            "group": groups,
            "part": np.where(fold < 0, "test", "train"),
            "fold": fold,
        }
    ).to_parquet(folder / "split.parquet")
    meta = pd.DataFrame(
        {
            "id": X.index,
            "label": y,
            "group": groups,
            "status": "ok",
            "duration_s": rng.gamma(20, 0.4, len(y)),
            "native_sample_rate": 44100,
        }
    )
    pd.concat([meta, X.reset_index(drop=True)], axis=1).to_parquet(folder / "features.parquet")
    failures = [
        ("jazz/broken.mp3", "jazz", "decode", "DecodeError", "It ends within a frame."),
        ("rock/empty.wav", "rock", "decode", "DecodeError", "The file is empty (0 bytes)."),
        ("rock/silence.wav", "rock", "describe", "SilentError", "Every sample is zero."),
        ("techno/notes.wav", "techno", "decode", "DecodeError", "This is text, not audio."),
    ]
    ledger = pd.DataFrame(failures, columns=["id", "label", "stage", "error", "reason"])
    ledger.insert(1, "path", "…")
    ledger.to_parquet(folder / "failures.parquet")
    rules = {"mean": (0.2,) * 5, "weighted": tuple(weights.values())}
    files: dict[str, dict[str, Any]] = {
        "scores.json": scores,
        "fusion.json": {
            "rules": {rule: Fusion(rule, tuple(weights), CLASSES, w).to_json() for rule, w in rules.items()}
        },
        "bundle.json": {
            "classes": list(CLASSES),
            "members": list(weights),
            "rule": "weighted",
            "multilabel": False,
            "feature_names": list(COLUMNS),
            "feature_parameters": None,
            "feature_hash": "9b1d0f7c2e4a6638",
            "clip_seconds": None,
        },
        "environment.json": {
            "python": "3.11.9",
            "platform": "Linux",
            "device": "CPU",
            "versions": {"quintet": "0.1.0", "numpy": "2.4.6"},
        },
        "config.json": {
            "hash": "77aa01bd9c0e4f21",
            "train": {
                "seed": 0,
                "folds": 4,
                "settings": MEMBER_SETTINGS | {"vgg_small": {"weights": "random"}},
            },
        },
    }
    bundle = files.pop("bundle.json")
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    ModelFolder(folder).finalise(bundle)


@pytest.fixture(scope="session")
def page(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on `model_folder`, written once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "report"
    while True:
        try:
            with output_lock(folder.with_name("report of all workers")):
                page = folder / "index.html"
                return page if page.exists() else write_report(model_folder, folder, title="Demo <music>")
        except HeldOutputError:  # the other worker is writing it
            time.sleep(0.2)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo model"
    write_model_folder(folder)
    return folder


@pytest.fixture
def write_sections(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Function that writes a report with only the given sections of the page.

    A whole report takes ten times as long. A section that is not on the page is an error. The explanation of
    the members is empty, or the given one.
    """
    unexplained = RunExplanation({}, {}, pd.DataFrame(), pd.DataFrame())

    def write(
        folder: Path,
        target: Path,
        *sections: Callable[..., Any],
        explanation: RunExplanation = unexplained,
        umap: bool = False,
        full: bool = False,
    ) -> Path:
        on_page = tuple(section for section in run_page.SECTIONS if section in sections)
        assert len(on_page) == len(sections)
        monkeypatch.setattr(run_page, "SECTIONS", on_page)
        monkeypatch.setattr(ReportData, "explanation", explanation)
        return write_report(folder, target, umap=umap, full=full)

    return write


@pytest.fixture
def prediction_files(tmp_path: Path) -> tuple[list[Path], np.ndarray, list[Predictions]]:
    """Files of three members on 60 clips of 20 artists, their stack, and their predictions.

    The second file is CSV without labels, and its rows and classes are in another order.
    """
    rng = np.random.default_rng(0)
    codes, groups = np.repeat(rng.integers(0, 3, 20), 3), np.repeat(np.arange(20), 3)
    ids = np.array([f"clip{i}" for i in range(60)])
    raw = rng.dirichlet(np.ones(3), (3, 60)) + 0.5 * np.eye(3)[codes]
    stack = raw / raw.sum(axis=2, keepdims=True)
    labels, artists = np.array(["a", "b", "c"])[codes], np.array([f"artist{g}" for g in groups])
    predictions = [Predictions(ids, ("a", "b", "c"), p, labels, artists) for p in stack]
    order = rng.permutation(60)
    second = Predictions(ids[order], ("c", "a", "b"), stack[1][order][:, [2, 0, 1]])
    paths = [tmp_path / "svm.parquet", tmp_path / "vgg.csv", tmp_path / "forest.parquet"]
    for path, member in zip(paths, (predictions[0], second, predictions[2]), strict=True):
        member.write(path)
    return paths, stack, predictions
