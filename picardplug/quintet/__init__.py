"""Plugin of MusicBrainz Picard (2.x and 3): takes the proposals of a plan of tags of Quintet.

In the menu of files, tracks, albums and clusters it asks for a plan (`quintet library tags --plan plan.csv`).
Each proposal becomes a new value that Picard shows beside the old one, where the file still holds what the
plan says. Picard writes it when somebody saves.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .proposals import PlanError, read_plan, take

PLUGIN_NAME = "Quintet"
PLUGIN_AUTHOR = "The Quintet authors"
PLUGIN_DESCRIPTION = "Take the genres, tempi, keys and moods that a plan of tags of Quintet proposes."
PLUGIN_VERSION = "1.0"
PLUGIN_API_VERSIONS = ["2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12", "2.13"]
PLUGIN_LICENSE = "MIT"
PLUGIN_LICENSE_URL = "https://opensource.org/license/MIT"

TITLE = "Take the proposals of Quintet…"
MENUS = ("file", "track", "album", "cluster")


def take_proposals(path: Path, files: Iterable[Any]) -> str:
    """Give files the new values that a plan proposes.

    Args:
        path: the plan.
        files: files of Picard.

    Returns:
        What was done, in a sentence.

    Raises:
        PlanError: the file is no plan.
        OSError: it cannot be read.
    """
    plan = read_plan(path)
    n_files = n_taken = n_left = 0
    for file in dict.fromkeys(files):
        taken, left = take(plan, file.filename, file.orig_metadata, file.metadata)
        n_files, n_taken, n_left = n_files + bool(taken), n_taken + taken, n_left + left
        if taken:
            file.update()
    text = f"{n_taken} new values in {n_files} files. {'Look at them, and save.' * bool(n_taken)}".strip()
    if n_left:
        text += f" {n_left} proposals were left: the field holds something else than the plan says."
    return text


class _Choice:
    """What the action of both versions of Picard does."""

    def callback(self, objs: Iterable[Any]) -> None:
        """Ask for a plan, take its proposals for what is selected, and say so."""
        widgets = _qt_widgets()
        window = widgets.QApplication.activeWindow()
        name, _ = widgets.QFileDialog.getOpenFileName(
            window, "Plan of tags", "", "Plans (*.csv *.tsv *.txt);;All files (*)"
        )
        if not name:
            return
        try:
            text = take_proposals(Path(name), [file for obj in objs for file in obj.iterfiles()])
        except (PlanError, OSError) as error:
            widgets.QMessageBox.warning(window, PLUGIN_NAME, str(error))
            return
        widgets.QMessageBox.information(window, PLUGIN_NAME, text)


def enable(api: Any) -> None:
    """Add the action to the menus of Picard 3."""
    from picard.plugin3.api import BaseAction

    class TakeProposals(_Choice, BaseAction):  # type: ignore[misc]
        TITLE = TITLE

    for menu in MENUS:
        getattr(api, f"register_{menu}_action")(TakeProposals)


def _enable_in_version_2() -> None:
    """Add the action to the menus of Picard 2, which imports a plugin and calls nothing.

    Raises:
        ImportError: this is another version.
    """
    from picard.ui import itemviews

    if not hasattr(itemviews, "register_file_action"):
        raise ImportError("Picard 3 calls `enable`")

    class TakeProposals(_Choice, itemviews.BaseAction):  # type: ignore[misc]
        NAME = TITLE

    for menu in MENUS:
        getattr(itemviews, f"register_{menu}_action")(TakeProposals())


def _qt_widgets() -> Any:
    """The widgets of the Qt that Picard has."""
    try:
        from PyQt6 import QtWidgets
    except ImportError:
        from PyQt5 import QtWidgets
    return QtWidgets


with suppress(ImportError):
    _enable_in_version_2()
