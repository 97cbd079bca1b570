"""The result of a training run as a table and in a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from quintet.files.display.notebook import MOST_ROWS, notebook_html
from quintet.model_folder.scores import RunScores
from quintet.training.result import TrainingResult


def result_of(folder: Path) -> TrainingResult:
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return TrainingResult(folder, RunScores.from_json(content), "mean")


def test_the_table_holds_every_score_of_the_file(model_folder: Path) -> None:
    content = json.loads((model_folder / "scores.json").read_text(encoding="utf-8"))
    frame = result_of(model_folder).frame.set_index(["part", "name", "metric"])
    assert frame.index.is_unique
    n_scores = 0
    for part in ("oof", "test"):
        for name, scores in content[part].items():
            for metric, estimate in scores["scores"].items():
                row = frame.loc[(part, name, metric)]
                assert (row["value"], row["low"]) == (estimate["value"], estimate["low"])
                assert (row["n"], row["n_groups"]) == (scores["n"], scores["n_groups"])
                n_scores += 1
    assert n_scores == (frame.reset_index()["name"] != "ensemble").sum() > 0


def test_a_notebook_shows_the_headlines(model_folder: Path) -> None:
    html = result_of(model_folder)._repr_html_()
    assert "macro_auc" in html
    assert "macro_f1" not in html


def test_a_notebook_escapes_names_and_counts_what_it_cuts() -> None:
    frame = pd.DataFrame({"<i>": ["<script>alert(1)</script>"] * (MOST_ROWS + 5)})
    html = notebook_html("<u>", frame, notes=["<s>"])
    assert not any(tag in html for tag in ("<script>", "<u>", "<s>", "<i>"))
    assert html.count("&lt;script&gt;") == MOST_ROWS
    assert f"{MOST_ROWS} of {MOST_ROWS + 5} rows" in html
