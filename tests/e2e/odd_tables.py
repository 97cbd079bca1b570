"""Small odd tables, and what the commands make of them: pages, answers, one-sentence errors, nothing else.

`odd_tables` is a hypothesis strategy. Each table is described by an `OddTable`, whose text is an example that
can be run again. `walk` takes a table through `train`, `report`, `predict --table`, `evaluate` and `fuse`, in
this process, and returns what each command ended with.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from quintet import cli
from quintet.commands.terminal.faults import EXIT_DATA, EXIT_OK, EXIT_USAGE, TRACEBACK_VARIABLE
from quintet.ensemble import RULE_NAMES

MEMBERS = ("logistic_regression", "random_forest", "svm", "xgboost")
MAX_PAGE_BYTES = 5_000_000
QUICK_SETTINGS = ("random_forest.n_estimators=4", "xgboost.n_estimators=3", "svm.calibration_folds=2")
COLUMN_KINDS = (
    *("normal",) * 20,
    *(
        "constant",
        "zero",
        "tiny",
        "large",
        "largest",
        "overflow",
        "tells_class",
        "copy",
        "integers",
        "booleans",
    )
    * 2,
    *("counter", "one_differs", "all_missing", "some_missing", "infinite", "subnormal", "negative_zero") * 2,
    *("near_constant", "outlier") * 2,
    "text",
)
COLUMN_NAMES = (
    *(
        "f0",
        "mean",
        "a.b.mean",
        "a.c.std",
        "spectral.centroid.mean",
        "duration_s",
        "error",
        "start",
        "status",
    ),
    *("probability.x", "x y", "<b>", "[red]", "ü", "all", "(all classes)", "player", "value", "index", "0"),
    *("1.5", "spectrogram", "a + 1 alike", "clip_id", "verdict", "file", "f" * 90, "{{x}}", "fold", "part"),
)
LABEL_NAMES = (
    *(
        "rock",
        "jazz",
        "a",
        "b",
        "0",
        "1",
        "01",
        "1.0",
        "NA",
        "None",
        "null",
        "true",
        "<i>x</i>",
        "[bold]",
        "a,b",
    ),
    *(
        "two words",
        "ü",
        "日本",
        "x" * 120,
        "mean",
        "verdict",
        "(all classes)",
        "label",
        "{{x}}",
        "a/b",
        "50%",
        "'",
    ),
    *('"', "\\", "oof", "all", "all present", "-", "clip_id", "😀", "rock ", "a\tb", "a\nb", "=1+1"),
)
LABEL_STYLES = (
    *("even",) * 8,
    *("rare", "tags", "tags", "tag_on_every_clip", "some_empty", "one_tag_only", "one_semicolon", "missing"),
    *("one_class", "own_class", "test_only"),
)
GROUP_STYLES = (*("none",) * 6, *("pairs",) * 4, "few", "missing", "single", "by_class")
SPLIT_STYLES = (
    *("none",) * 14,
    *("train_test", "train_valid_test") * 3,
    *("one_test", "partly_missing") * 2,
    *("train_only", "test_only", "valid_test", "one_train", "unknown_word", "by_class"),
)
ID_STYLES = (
    *("plain", "numbers", "zeros", "unicode", "markup", "blanks", "controls", "paths") * 2,
    "repeated",
)


@dataclass(frozen=True)
class OddTable:
    """What a table is like, and the options of its training.

    Args:
        n: rows.
        labels: names of the classes, at least one.
        label_style: how the classes are dealt out.
        columns: pairs of name and kind.
        group_style: how the groups are dealt out.
        split_style: what the column `split` says.
        id_style: what the ids look like.
        repeats: how often each row occurs (under another id).
        suffix: `.csv` or `.parquet`.
        seed: of the numbers.
        options: further words of the command `train`.
    """

    n: int
    labels: tuple[str, ...] = ("rock", "jazz")
    label_style: str = "even"
    columns: tuple[tuple[str, str], ...] = (("f0", "normal"), ("f1", "normal"))
    group_style: str = "none"
    split_style: str = "none"
    id_style: str = "plain"
    repeats: int = 1
    suffix: str = ".csv"
    seed: int = 0
    options: tuple[str, ...] = ("--members", "logistic_regression,random_forest")

    def frame(self) -> pd.DataFrame:
        """The table."""
        rng = np.random.default_rng(self.seed)
        codes = _codes(self.label_style, self.n, len(self.labels))
        parts = _parts(self.split_style, self.n, codes)
        if self.label_style == "test_only" and parts is not None:
            codes = np.where(
                np.asarray(parts) == "test", len(self.labels) - 1, codes % max(len(self.labels) - 1, 1)
            )
        frame = pd.DataFrame({"id": _ids(self.id_style, self.n)})
        frame["label"] = [_label(self.label_style, self.labels, code, row) for row, code in enumerate(codes)]
        groups = _groups(self.group_style, self.n, codes)
        if groups is not None:
            frame["group"] = groups
        if parts is not None:
            frame["split"] = parts
        for k, (name, kind) in enumerate(self.columns):
            unique = name if name not in frame.columns else f"{name}~{k}"
            frame[unique] = _column(kind, self.n, codes, rng, frame)
        if self.repeats > 1:
            copies = [frame.assign(id=frame["id"].astype(str) + f" copy {k}") for k in range(1, self.repeats)]
            frame = pd.concat([frame, *copies], ignore_index=True)
        return frame

    def write(self, folder: Path) -> Path:
        """Write the table as a file."""
        path = folder / f"table{self.suffix}"
        frame = self.frame()
        if self.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
        return path


def _codes(style: str, n: int, k: int) -> np.ndarray:
    rows = np.arange(n)
    if style == "rare":
        return np.where(rows == n - 1, k - 1, rows % max(k - 1, 1))
    if style == "one_class":
        return np.zeros(n, dtype=int)
    if style == "own_class":
        return rows
    return rows % k


def _label(style: str, labels: tuple[str, ...], code: int, row: int) -> str | None:
    name = labels[code % len(labels)] if style != "own_class" else f"{labels[0]} {row}"
    if style == "tags":
        return name if row % 3 else ";".join(dict.fromkeys((name, labels[-1])))
    if style == "tag_on_every_clip":
        return ";".join(dict.fromkeys((labels[0], name)))
    if style == "one_tag_only":
        return f"{name};"
    if style == "some_empty" and row % 3 == 0:
        return ";" if row else f"{name};{labels[-1]} 2"
    if style == "one_semicolon" and row == 1:
        return f"{name};{labels[-1]} 2"
    if style == "missing" and row % 4 == 0:
        return None
    return name


def _parts(style: str, n: int, codes: np.ndarray) -> list[str | None] | None:
    rows = range(n)
    words: dict[str, list[str | None]] = {
        "train_test": ["test" if i % 3 == 2 else "train" for i in rows],
        "train_valid_test": [("train", "train", "valid", "test")[i % 4] for i in rows],
        "train_only": ["train"] * n,
        "test_only": ["test"] * n,
        "valid_test": ["valid" if i % 2 else "test" for i in rows],
        "one_test": ["train" if i else "test" for i in rows],
        "one_train": ["test" if i else "train" for i in rows],
        "partly_missing": [None if i % 4 == 0 else ("train" if i % 2 else "test") for i in rows],
        "unknown_word": ["fault_excluded" if i % 5 == 0 else ("train" if i % 2 else "test") for i in rows],
        "by_class": ["test" if code == codes.max() else "train" for code in codes],
    }
    return words.get(style)


def _groups(style: str, n: int, codes: np.ndarray) -> list[str | None] | None:
    rows = range(n)
    names: dict[str, list[str | None]] = {
        "single": ["one artist"] * n,
        "pairs": [f"artist {i // 2}" for i in rows],
        "by_class": [f"artist {code}" for code in codes],
        "few": [f"artist {(i * 7) % 3}" for i in rows],
        "missing": [None if i % 3 else f"artist {i // 6}" for i in rows],
    }
    return names.get(style)


def _ids(style: str, n: int) -> list[str]:
    names = {
        "numbers": [str(i) for i in range(n)],
        "zeros": [f"{i:03d}" for i in range(n)],
        "unicode": [f"日本-{i}-é\u0301😀" for i in range(n)],
        "markup": [f"[red]<b>&{i}</b>[/]" for i in range(n)],
        "blanks": [f" {i} clip " for i in range(n)],
        "controls": [f"a\x1b[31m\t{i}\x07\r\nb" for i in range(n)],
        "paths": [f"../x/{i}/../y#t=0,1" for i in range(n)],
        "repeated": [f"clip{i // 2}" for i in range(n)],
    }
    return names.get(style, [f"clip{i:04d}" for i in range(n)])


def _column(kind: str, n: int, codes: np.ndarray, rng: np.random.Generator, frame: pd.DataFrame) -> object:
    rows, noise = np.arange(n), rng.normal(size=n)
    learnable = noise + codes % 3
    columns = {
        "constant": np.full(n, 1.5),
        "zero": np.zeros(n),
        "tiny": learnable * 1e-30,
        "large": learnable * 1e30,
        "largest": np.where(rows % 2, 3.4e38, -3.4e38),
        "overflow": np.where(rows % 3, learnable, 1e300),
        "tells_class": codes.astype(float),
        "copy": frame.iloc[:, -1].to_numpy()
        if frame.columns[-1] not in ("id", "label", "group", "split")
        else noise,
        "integers": rng.integers(-5, 5, n),
        "booleans": rng.integers(0, 2, n).astype(bool),
        "counter": rows,
        "one_differs": (rows == 0).astype(float),
        "all_missing": np.full(n, np.nan),
        "some_missing": np.where(rows % 4 == 1, np.nan, learnable),
        "infinite": np.where(rows % 4 == 2, np.inf, learnable),
        "text": [f"word {i}" for i in rows],
        "subnormal": learnable * 1e-42,
        "negative_zero": np.where(rows % 2, 0.0, -0.0),
        "near_constant": 1e8 + learnable * 1e-3,
        "outlier": np.where(rows == 0, 1e20, learnable),
    }
    return columns.get(kind, learnable)


DIMENSIONS = ("labels", "label_style", "columns", "group", "split", "id", "repeats", "few", "options")


@st.composite
def odd_tables(draw: st.DrawFn, *, most_rows: int = 36) -> OddTable:
    """Tables that are odd in at most four ways, and their options of `train`."""
    odd = draw(st.sets(st.sampled_from(DIMENSIONS), max_size=4))

    def choose(dimension: str, values: Sequence[Any], usual: Any) -> Any:
        return draw(st.sampled_from(values)) if dimension in odd else usual

    n_classes = choose("labels", (1, 2, 2, 3, 3, 4, 6, 9), 2)
    names = draw(st.lists(st.sampled_from(LABEL_NAMES), min_size=n_classes, max_size=n_classes, unique=True))
    n_columns = choose("columns", (*(1, 1, 1, 2, 2, 3, 5, 8) * 3, 0), 2)
    columns = draw(
        st.lists(st.sampled_from(COLUMN_NAMES), min_size=n_columns, max_size=n_columns, unique=True)
    )
    return OddTable(
        n=draw(st.integers(1, 11)) if "few" in odd else draw(st.integers(20, most_rows)),
        labels=tuple(names) if "labels" in odd else ("rock", "jazz"),
        label_style=choose("label_style", LABEL_STYLES, "even"),
        columns=tuple((name, choose("columns", COLUMN_KINDS, "normal")) for name in columns),
        group_style=choose("group", GROUP_STYLES, "none"),
        split_style=choose("split", SPLIT_STYLES, "none"),
        id_style=choose("id", ID_STYLES, "plain"),
        repeats=choose("repeats", (2, 3), 1),
        suffix=draw(st.sampled_from((".csv", ".csv", ".parquet"))),
        seed=draw(st.integers(0, 3)),
        options=(*draw(_members()), *(draw(_options()) if "options" in odd else ("--resamples", "5"))),
    )


@st.composite
def _members(draw: st.DrawFn) -> tuple[str, str]:
    members = draw(st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=3, unique=True))
    return ("--members", ",".join(members))


@st.composite
def _options(draw: st.DrawFn) -> tuple[str, ...]:
    words = []
    if draw(st.booleans()):
        words += ["--test-size", draw(st.sampled_from(("0", "0.1", "0.5", "0.9")))]
    if draw(st.sampled_from((False, False, True))):
        words += ["--folds", draw(st.sampled_from(("2", "3", "7")))]
    if draw(st.sampled_from((False, False, False, True))):
        words += ["--rule", draw(st.sampled_from(RULE_NAMES))]
    if draw(st.sampled_from((False, False, False, True))):
        words += ["--protocol", draw(st.sampled_from(("group", "random", "given")))]
    if draw(st.sampled_from((False,) * 7 + (True,))):
        words += ["--protocols", "random,group"]
    if draw(st.sampled_from((False,) * 7 + (True,))):
        words += ["--learning-curve"]
    words += ["--resamples", draw(st.sampled_from(("0", "10", "10")))]
    words += ["--seed", draw(st.sampled_from(("0", "1")))]
    return tuple(words)


@dataclass
class Ending:
    """What a command ended with: its exit code and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Walk:
    """Endings of the commands, in order; `train` is always there."""

    folder: Path
    endings: dict[str, Ending] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether `train` took the table."""
        return self.endings["train"].code == EXIT_OK


def run_command(*words: str) -> Ending:
    """Run the command line in this process. An error that nothing explains is raised."""
    out, err = io.StringIO(), io.StringIO()
    with _arguments(words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code: object = EXIT_OK
        except SystemExit as end:
            code = end.code or EXIT_OK
    return Ending(int(str(code)), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _arguments(words: tuple[str, ...]) -> Iterator[None]:
    argv, earlier = sys.argv, os.environ.get(TRACEBACK_VARIABLE)
    sys.argv, os.environ[TRACEBACK_VARIABLE] = ["quintet", *words], "1"
    try:
        yield
    finally:
        sys.argv = argv
        if earlier is None:
            del os.environ[TRACEBACK_VARIABLE]
        else:
            os.environ[TRACEBACK_VARIABLE] = earlier


def walk(table: OddTable, folder: Path) -> Walk:
    """Train on a table, and take what comes out through the other commands.

    Args:
        table: the table.
        folder: an empty folder.
    """
    path, model = table.write(folder), folder / "model"
    result = Walk(folder)
    settings = [
        word
        for setting in QUICK_SETTINGS
        if setting.split(".")[0] in table.options[1]
        for word in ("--set", setting)
    ]
    result.endings["train"] = run_command("train", str(path), "-o", str(model), *table.options, *settings)
    if not result.trained:
        return result
    result.endings["report"] = run_command("report", str(model), "-o", str(folder / "report"))
    result.endings["predict"] = run_command(
        "predict", str(model), "--table", str(path), "-o", str(folder / "predictions.csv")
    )
    part = "test" if (model / "verdict" / "test.parquet").exists() else "oof"
    files = [str(model / "verdict" / f"{part}.parquet")]
    files += [str(file) for file in sorted((model / "predictions" / part).glob("*.parquet"))]
    result.endings["evaluate"] = run_command("evaluate", *files, "--resamples", "5", "--json")
    result.endings["fuse"] = run_command("fuse", *files, "-o", str(folder / "fused.csv"))
    return result


def require_good_end(result: Walk) -> None:
    """Hold that every command ended in its output, or in one sentence before any work.

    Args:
        result: of `walk`.
    """
    if not result.trained:
        _require_sentence(result.endings["train"])
        return
    failed = {name: ending for name, ending in result.endings.items() if ending.code != EXIT_OK}
    predict = failed.pop("predict", None)  # exit code 1 also stands for rows without a prediction
    assert predict is None or (predict.code == EXIT_DATA and "Error: " not in predict.err), predict
    assert not failed
    page = (result.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert len(page) < MAX_PAGE_BYTES
    assert page.rstrip().endswith("</html>")
    _require_probabilities(pd.read_csv(result.folder / "predictions.csv"))
    scores = json.loads(result.endings["evaluate"].out)["scores"]
    assert 0 <= scores.get("accuracy", scores.get("subset_accuracy"))["value"] <= 1


def _require_sentence(ending: Ending) -> None:
    assert ending.code in (EXIT_DATA, EXIT_USAGE), ending
    assert ending.out == ""
    if (
        ending.code == EXIT_USAGE and "Invalid value for --" in ending.err
    ):  # an option that this table has no use for
        assert "Traceback" not in ending.err
        return
    start = ending.err.index("Error: ")  # notes about the table may stand before it
    message = ending.err[start:].rstrip()
    assert message.count("Error: ") == 1, message
    assert message.endswith((".", ")")), message
    assert "Please report it" not in message


def _require_probabilities(predictions: pd.DataFrame) -> None:
    """Hold that every row has a prediction or a reason, and that its probabilities are probabilities."""
    assert len(predictions)
    is_failed = predictions["status"] == "failed"
    assert predictions.loc[is_failed, "reason"].notna().all()
    columns = [name for name in predictions if name.startswith("probability.")]
    values = predictions.loc[~is_failed, columns].to_numpy(float)
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
