"""The plugin of Picard, in a small stand-in for what it uses of Picard 2 and 3.

It was also run in the sources of Picard 2.13.3 and 3, where version 3 saved files of five formats with it.
"""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from quintet.library.tags.plan_file import PlanRow, write_plan

FOLDER = Path(__file__).parents[2] / "picardplug/quintet"
MENUS = ("file", "track", "album", "cluster")


class Metadata(dict[str, list[str]]):
    """Tags as Picard has them."""

    def getall(self, name: str) -> list[str]:
        return self.get(name, [])


class File:
    """A file in Picard."""

    def __init__(self, path: Path, **tags: str) -> None:
        self.filename = str(path)
        self.orig_metadata = Metadata({name: [text] for name, text in tags.items()})
        self.metadata = Metadata(self.orig_metadata)
        self.n_updates = 0

    def iterfiles(self) -> Iterator[File]:
        yield self

    def update(self) -> None:
        self.n_updates += 1


class BaseAction:
    """Base of actions, of both versions."""

    TITLE = NAME = "Unknown"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The plugin, with the modules of Picard that a version has."""

    def load_plugin(**modules: dict[str, object]) -> Any:
        for name, content in {"picard": {}, **modules}.items():
            module = ModuleType(name.replace("__", "."))
            module.__path__ = []
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            parent, _, child = module.__name__.rpartition(".")
            if parent:
                monkeypatch.setattr(sys.modules[parent], child, module, raising=False)
        for name in ("picardplug.quintet", "picardplug.quintet.proposals", "picardplug"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(FOLDER.parents[1])
        return importlib.import_module("picardplug.quintet")

    return load_plugin


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of three files with odd names."""
    names = ["=a; -b's.mp3", "caf\udce9.flac", "changed.ogg"]
    rows = [PlanRow(tmp_path / name, "genre", "", ("Hip-Hop", "-core"), 0.9, "model") for name in names]
    rows.append(PlanRow(tmp_path / names[0], "bpm", "97", ("121",), 0.9, "tempo"))
    write_plan(rows, tmp_path / "plan.csv")
    return tmp_path / "plan.csv"


def files_of(place: Path) -> list[File]:
    known = File(place / "=a; -b's.mp3", bpm="97")
    return [
        known,
        File(place / "caf\udce9.flac"),
        File(place / "changed.ogg", genre="Folk"),
        File(place / "x"),
    ]


def test_what_still_holds_gets_new_values_and_the_rest_stays(load: Any, plan: Path) -> None:
    files = files_of(plan.parent)
    matched = File(plan.parent / "caf\udce9.flac")
    matched.metadata["genre"] = ["of MusicBrainz"]
    text = load().take_proposals(plan, [*files, matched, files[0]])
    assert [file.metadata.getall("genre") for file in files] == [["Hip-Hop", "-core"]] * 2 + [["Folk"], []]
    assert files[0].metadata["bpm"] == ["121"]
    assert matched.metadata["genre"] == ["of MusicBrainz"]
    assert [file.n_updates for file in files] == [1, 1, 0, 0]
    assert re.findall(r"\d+", text) == ["3", "2", "2"]
    assert all("Hip-Hop" not in str(file.orig_metadata) for file in files)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_plan_that_a_spreadsheet_saved(load: Any, tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [
        ["Proposed", "mine", "file", "now", "field"],
        ["Rück", "", str(tmp_path / "ü.mp3"), "", " Genre"],
        ["", "", str(tmp_path / "ü.mp3"), "", "mood"],
        ["x", "", str(tmp_path / "ü.mp3"), "", "comment"],
        ["1", "", str(tmp_path / "ü.mp3"), "", "bpm"],
        ["2", "", str(tmp_path / "ü.mp3"), "", "bpm"],
        ["short"],
    ]
    path = tmp_path / "plan.csv"
    lines = (delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    path.write_bytes("\r\n".join(lines).encode(encoding))
    file = File(tmp_path / "ü.mp3")
    load().take_proposals(path, [file])
    assert dict(file.metadata) == {"genre": ["Rück"]}


def test_control_characters_are_left_out_and_other_files_refused(load: Any, tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text(f"file,field,now,proposed\n{tmp_path}/a.mp3,genre,,\x1b[2J\n")
    module, file = load(), File(tmp_path / "a.mp3")
    module.take_proposals(path, [file])
    assert not file.metadata
    for content in (b"", b"\0\xff" * 99, b"file,field\n"):
        path.write_bytes(content)
        with pytest.raises(module.PlanError):
            module.take_proposals(path, [file])


def chosen(module: Any, plan: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Messages of the plugin, whose dialog chooses a plan."""
    shown: list[tuple[str, str]] = []
    box = {
        kind: lambda _w, _t, text, kind=kind: shown.append((kind, text))
        for kind in ("warning", "information")
    }
    dialog = SimpleNamespace(getOpenFileName=lambda *_: (str(plan), ""))
    application = SimpleNamespace(activeWindow=lambda: None)
    widgets = SimpleNamespace(
        QApplication=application, QFileDialog=dialog, QMessageBox=SimpleNamespace(**box)
    )
    monkeypatch.setattr(module, "_qt_widgets", lambda: widgets)
    return shown


def test_the_action_of_picard_3(load: Any, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, dict[str, object]] = {
        "picard__ui": {},
        "picard__ui__itemviews": {},
        "picard__plugin3": {},
    }
    module = load(**modules, picard__plugin3__api={"BaseAction": BaseAction})
    actions: dict[str, type] = {}
    api = {
        f"register_{menu}_action": lambda action, menu=menu: actions.update({menu: action}) for menu in MENUS
    }
    module.enable(SimpleNamespace(**api))
    assert sorted(actions) == sorted(MENUS)
    assert actions["album"].TITLE == module.TITLE  # type: ignore[attr-defined]
    shown, files = chosen(module, plan, monkeypatch), files_of(plan.parent)
    actions["file"]().callback(files)
    assert files[0].metadata["genre"] == ["Hip-Hop", "-core"]
    plan.write_text("nothing")
    actions["file"]().callback(files)
    plan.unlink()
    actions["file"]().callback(files)
    assert [kind for kind, _ in shown] == ["information", "warning", "warning"]
    chosen(module, Path(), monkeypatch)
    module._qt_widgets().QFileDialog.getOpenFileName = lambda *_: ("", "")
    actions["file"]().callback(files)


def test_the_action_of_picard_2(load: Any, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actions: dict[str, Any] = {}
    views: dict[str, object] = {"BaseAction": BaseAction}
    for menu in MENUS:
        views[f"register_{menu}_action"] = lambda action, menu=menu: actions.update({menu: action})
    module = load(picard__ui={}, picard__ui__itemviews=views)
    assert {action.NAME for action in actions.values()} == {module.TITLE}
    chosen(module, plan, monkeypatch)
    files = files_of(plan.parent)
    actions["track"].callback(files)
    assert files[0].metadata["genre"] == ["Hip-Hop", "-core"]


def test_the_manifest_is_whole() -> None:
    manifest = tomllib.loads((FOLDER / "MANIFEST.toml").read_text())
    assert {"uuid", "name", "description", "api"} <= set(manifest)
    assert len(manifest["description"]) <= 200
    assert len(manifest["long_description"]) <= 2000
    assert not re.search(r"<[^>]+>", manifest["long_description"])
