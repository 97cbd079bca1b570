"""Section "Training": loss and accuracy of the networks by epoch."""

from __future__ import annotations

import pandas as pd

from quintet.classifiers.registry import MEMBERS
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.curves import training_figure
from quintet.reports.formats import format_list, format_settings, number, slug
from quintet.reports.report_data import ReportData
from quintet.reports.section import Blocks, Note, Section, grid
from quintet.reports.style import to_svg
from quintet.reports.text import display_name

QUANTITIES = ("loss", "accuracy")
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
"""Options of a network that the report lists."""


def training_section(data: ReportData) -> Section | None:
    """Training curves of the networks; None if the run has none."""
    run = data.run
    drawings = training_drawings(run)
    if not drawings:
        return None
    note: Blocks = ()
    if run.random_weights:
        names = format_list([display_name(name, run) for name in run.random_weights])
        text = f"{names} started from random weights, not from pretrained ones."
        note = (Note("warn", "Random weights.", text),)
    return Section(
        id="training",
        title="Training of the networks",
        contents="Training",
        blocks=(*note, *grid(*drawings)),
    )


def training_drawings(run: Run) -> list[Drawing]:
    """Loss and accuracy by epoch of every network."""
    drawings = []
    for name, history in run.history.items():
        recorded = [key for key in QUANTITIES if key in history and history[key].notna().any()]
        drawings += [_training_drawing(run, name, history, quantity) for quantity in recorded]
    return drawings


def _training_drawing(run: Run, name: str, history: pd.DataFrame, quantity: str) -> Drawing:
    is_final = history["fold"] == -1
    final = history[is_final] if is_final.any() else history
    last = float(final[quantity].iloc[-1])
    epochs = int(final["epoch"].iloc[-1])
    title = display_name(name, run)
    end = f"{number(last)} after {epochs} epochs"
    alt = f"{quantity.capitalize()} of {title} by epoch. The final fit ends at {end}."
    id_ = f"training-{slug(name)}-{quantity}"
    svg = to_svg(training_figure(history, quantity, label=quantity), id_, alt)
    validation = f"val_{quantity}"
    is_validated = validation in history and history[validation].notna().any()
    held_out = " Dashed: validation part, of other groups." if is_validated else ""
    caption = f"Solid: training part.{held_out} Thin: folds. Bold: the final fit."
    return Drawing(id_, svg, caption, history, f"{title}: {quantity}")


def training_options(run: Run) -> list[tuple[str, str]]:
    """Options of each network, and the augmentation of audio: `(name, options)`.

    The options are epochs, segments, pooling and the augmentation of spectrograms.
    """
    train = run.config.get("train") or {}
    given = train.get("settings", {})
    networks = {row.name: row.settings for row in MEMBERS if row.input == "spectrogram"}
    rows = []
    for name in run.members:
        if name in networks:
            settings = {**networks[name], **given.get(name, {})}
            rows.append((name, _option_text(settings)))
    if rows:
        audio = {key: value for key, value in (train.get("augmentation") or {}).items() if value}
        text = ", ".join(f"{key} {value}" for key, value in audio.items())
        rows.append(("augmentation of audio", text or "off"))
    return rows


def _option_text(settings: dict[str, object]) -> str:
    augmentation = settings.get("augmentation")
    active: object = "off"
    if isinstance(augmentation, dict):
        active = {key: value for key, value in augmentation.items() if value} or "off"
    chosen = settings | {"augmentation": active}
    shown = {option: chosen[option] for option in SHOWN_OPTIONS if chosen.get(option) is not None}
    return format_settings(shown)
