"""Every output is written beside its name and renamed: the package writes through `files/atomic.py` only."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.auditing import audit
from quintet.auditing.report import AuditReport, write_groups
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable, write_feature_table
from quintet.files.atomic import append_bytes, atomic_folder, write_bytes, write_text
from quintet.model_folder.folder import ModelFolder
from quintet.predictions.predictions import Predictions
from quintet.reports.html import PageKind, replace_page

PACKAGE = Path(__file__).parents[2] / "quintet"
SAFE_BLOCKS = {"atomic_replace", "replace_output", "atomic_folder", "replace_page", "edit_locally"}
"""Blocks whose files take their names at the end."""

WRITERS = {"write_text", "write_bytes", "to_csv", "to_parquet", "to_json", "to_pickle", "savefig"}
WRITERS |= {"savez", "savez_compressed", "save_array", "ParquetWriter", "save_weights", "save_model", "dump"}
MODULES = {"save": "np", "write_table": "pq"}
"""Writers whose names others have too → the module that they belong to."""

OURS = {"write_text", "write_bytes"}
"""Functions of `files/atomic.py` with the names of methods of `Path`."""

KNOWN = {
    "classifiers/storage.py": "a member counts when the file `.complete`, or `bundle.json`, is there",
    "classifiers/tabular/storage.py": "as above",
    "classifiers/spectrogram/storage.py": "as above",
    "features/storage/spectrograms.py": "frames count when the index, written later, names them",
    "features/engine/kernel_cache.py": "an empty lock",
    "classifiers/networks/backend.py": "os.devnull",
    "datasets/demo/corpus.py": "a temporary folder that takes its name at the end",
    "embeddings/musicnn.py": "a temporary folder",
    "ensemble/tasks/task.py": "a temporary folder",
    "library/tags/rewriting.py": "a copy that takes its name when it was compared",
    "serving/uploads.py": "a temporary file that is removed after the answer",
    "reports/html.py": "a temporary folder that takes its name at the end",
    "reports/run_page.py": "a temporary folder that takes its name at the end",
    "commands/terminal/faults.py": "the standard streams",
    "audio/isolation/processes.py": "the standard streams",
    "audio/encode.py": "bytes in memory",
    "audio/reading/forward_file.py": "a temporary folder",
    "model_folder/folder.py": "bytes in memory",
}
"""Files that write by themselves, and why nothing half-written gets a name."""


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def opens_for_writing(node: ast.Call) -> bool:
    if called(node) not in ("open", "FileIO", "fdopen"):
        return False
    modes = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(set(text) <= set("rwxabt+") and set(text) & set("wxa") for text in texts)


def writes(node: ast.Call) -> bool:
    name = called(node)
    if name in OURS and isinstance(node.func, ast.Name):
        return False
    if name in ("to_csv", "to_json") and not node.args:
        return False  # a text, not a file
    if name in MODULES:
        function = node.func
        owner = function.value if isinstance(function, ast.Attribute) else None
        return isinstance(owner, ast.Name) and owner.id == MODULES[name]
    return name in WRITERS or opens_for_writing(node)


def direct_writes(tree: ast.AST, *, safe: bool = False) -> Iterator[int]:
    """Lines of calls that write a file outside of the blocks that rename it."""
    for node in ast.iter_child_nodes(tree):
        inside = safe
        if isinstance(node, (ast.With, ast.AsyncWith)):
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            inside = safe or any(called(call) in SAFE_BLOCKS for call in calls)
        if isinstance(node, ast.Call) and not inside and writes(node):
            yield node.lineno
        yield from direct_writes(node, safe=inside)


def test_no_module_writes_a_file_directly() -> None:
    faults = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in KNOWN or name.startswith("files/"):
            continue
        text = path.read_text(encoding="utf-8")
        if not any(word in text for word in (*WRITERS, *MODULES, "open(", "FileIO")):
            continue
        lines = list(direct_writes(ast.parse(text)))
        faults += [f"{name}:{line}" for line in lines]
    assert faults == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open(path, 'w')", [1]),
        ("path.open('ab')", [1]),
        ("frame.to_csv(path, index=False)", [1]),
        ("path.write_text('x')", [1]),
        ("with atomic_replace(path) as t:\n    t.write_text('x')", []),
        ("with atomic_replace(path) as t, t.open('wb') as f:\n    np.savez(f)", []),
        ("text = frame.to_csv(index=False)", []),
        ("open(path)", []),
        ("write_text(path, 'x')", []),
    ],
)
def test_the_checker_sees_direct_writes(code: str, expected: list[int]) -> None:
    assert list(direct_writes(ast.parse(code))) == expected


@cache
def table() -> FeatureTable:
    rows = np.random.default_rng(0).normal(size=(120, 3))
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    frame["id"] = [f"{'xy'[k % 2]}.{k}" for k in range(120)]
    return foreign_table(frame, Roles(label_from="^(.)"), name="small")


@cache
def report() -> AuditReport:
    return audit(table())


def write_predictions(path: Path) -> None:
    p = np.full((120, 2), 0.5)
    Predictions(clip_ids=[f"c{k}" for k in range(120)], classes=("x", "y"), probabilities=p).write(path)


def write_page(path: Path) -> None:
    with replace_page(path, PageKind("A report", mark="<html>")) as numbers:
        numbers.add("scores", pd.DataFrame({"a": np.arange(900.0)}))
        numbers.page = "<html>" + "x" * 5000


def write_folder(path: Path) -> None:
    with atomic_folder(path) as folder:
        (folder / "one").write_text("x" * 3000)


OUTPUTS: dict[str, Callable[[Path], object]] = {
    "text.txt": lambda path: write_text(path, "x" * 9000),
    "bytes": lambda path: write_bytes(path, b"x" * 9000),
    "features.parquet": lambda path: write_feature_table(table(), path),
    "groups.csv": lambda path: write_groups(report(), path),
    "predictions.csv": write_predictions,
    "predictions.parquet": write_predictions,
    "model": lambda path: ModelFolder(path).write_frame("x.parquet", pd.DataFrame({"a": np.arange(900.0)})),
    "page": write_page,
    "folder": write_folder,
}


def content(path: Path) -> object:
    if path.is_dir():
        return {
            file.relative_to(path).as_posix(): content(file) for file in path.rglob("*") if file.is_file()
        }
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_disk_that_fills_leaves_the_old_output_and_nothing_else(name: str, tmp_path: Path) -> None:
    """The limit of the size of files stands for a disk that is full after so many bytes."""
    resource = pytest.importorskip("resource")
    write, target = OUTPUTS[name], tmp_path / name
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for is_old in (False, True):
        before = content(target) if is_old else None
        for room in (0, 1, 700):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            try:
                with pytest.raises(OSError) as caught:
                    write(target)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert caught.value.errno in (errno.EFBIG, None) or "large" in str(caught.value)
            left = content(target)
            assert left == before or (not is_old and left == {})
            assert [entry for entry in os.listdir(tmp_path) if entry != name] == []
        write(target)
        assert content(target)


def test_a_row_that_does_not_fit_leaves_the_rows_before_it(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    ledger = tmp_path / "gone.csv"
    append_bytes(ledger, b"first row\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (14, limits[1]))
    try:
        with pytest.raises(OSError):
            append_bytes(ledger, b"second row\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ledger.read_bytes() == b"first row\n"
