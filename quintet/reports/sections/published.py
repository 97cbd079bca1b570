"""What the paper reports beside what this run scored, each with its protocol; and how networks were trained."""

from __future__ import annotations

from typing import Any

import pandas as pd

from quintet.classifiers.registry import MEMBERS
from quintet.model_folder.run import Run
from quintet.reports.text import SCORE_NAMES, display_name, format_settings, split_note

SHOWN_OPTIONS = (
    "epochs",
    "patch_frames",
    "hop_frames",
    "skip_frames",
    "pooling",
    "class_weight",
    "augmentation",
    "weights",
)


def published_table(run: Run) -> pd.DataFrame:
    """One row per member and score that the paper reports: `member, score, published, value, low, high`; empty where nothing is known."""
    ours = run.scores.get(run.part, {})
    rows = [
        (
            member,
            key,
            figure,
            *(
                ours.get(member, {}).get("scores", {}).get(key, {}).get(end)
                for end in ("value", "low", "high")
            ),
        )
        for member, figures in run.scores.get("published", {}).get("scores", {}).items()
        for key, figure in figures.items()
    ]
    numbers = ("published", "value", "low", "high")
    return pd.DataFrame(rows, columns=["member", "score", *numbers]).astype(dict.fromkeys(numbers, float))


def published_view(run: Run) -> dict[str, Any] | None:
    """What the page shows of it, or None."""
    table = published_table(run)
    if table.empty:
        return None
    split, told = run.scores.get("split", {}), run.scores["published"]
    keys = list(dict.fromkeys(table["score"]))
    cells = {(row["member"], row["score"]): row for row in table.to_dict("records")}
    judged = (
        "a held-out test part"
        if run.part == "test"
        else f"out-of-fold predictions of {split.get('n_folds', 'several')} folds"
    )
    return {
        "source": told.get("source", ""),
        "theirs": told["protocol"],
        "ours": f"{told['data'] + '; ' if told.get('data') else ''}{split_note(run).short[0].lower()}{split_note(run).short[1:]}, scored on {judged}",
        "scores": [SCORE_NAMES.get(key, key.replace("_", " ")) for key in keys],
        "rows": [
            {"display": display_name(name, run), "cells": [cells.get((name, key)) for key in keys]}
            for name in dict.fromkeys(table["member"])
        ],
    }


def training_options(run: Run) -> list[tuple[str, str]]:
    """How each network was trained (epochs, segments, pooling, augmentation of spectrograms), and the augmentation of audio."""
    train = run.config.get("train") or {}
    networks = {row.name: row.settings for row in MEMBERS if row.input == "spectrogram"}
    rows = []
    for name in run.members:
        if name in networks:
            chosen = {**networks[name], **train.get("settings", {}).get(name, {})}
            chosen["augmentation"] = {
                key: value for key, value in (chosen.get("augmentation") or {}).items() if value
            } or "off"
            rows.append(
                (
                    name,
                    format_settings(
                        {option: chosen[option] for option in SHOWN_OPTIONS if chosen.get(option) is not None}
                    ),
                )
            )
    audio = {key: value for key, value in (train.get("augmentation") or {}).items() if value}
    if rows:
        rows.append(
            ("augmentation of audio", ", ".join(f"{key} {value}" for key, value in audio.items()) or "off")
        )
    return rows
