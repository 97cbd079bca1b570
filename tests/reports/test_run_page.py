"""The page as a whole: texts, size, accessibility."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quintet.errors import ArtefactError
from quintet.model_folder.folder import relist
from quintet.model_folder.run import read_run
from quintet.reports import run_page, track_page
from quintet.reports.html import NUMBERS_LIST, PageKind, replace_page
from quintet.reports.run_page import SECTIONS
from quintet.reports.sections.maps import maps_section
from quintet.reports.sections.model_card import model_card_section
from quintet.reports.text import split_note

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


class Outline(HTMLParser):
    """Elements, ids, headings and balance of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: Counter[str] = Counter()
        self.headings: list[int] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.elements.append((tag, values))
        if values.get("id"):
            self.ids[str(values["id"])] += 1
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append(str(values.get("href")))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


@pytest.fixture(scope="session")
def outline(page: Path) -> Outline:
    parser = Outline()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def test_every_element_is_closed(outline: Outline) -> None:
    assert outline.open == []


def test_ids_are_unique_and_every_inner_link_leads_somewhere(outline: Outline) -> None:
    assert [name for name, times in outline.ids.items() if times > 1] == []
    inner = {link[1:] for link in outline.links if link.startswith("#")}
    inner |= {
        v[1:]
        for _, values in outline.elements
        for k, v in values.items()
        if k == "href" and v and v.startswith("#")
    }
    assert inner <= set(outline.ids)
    labelled = {
        str(values["aria-labelledby"]) for _, values in outline.elements if values.get("aria-labelledby")
    }
    assert labelled <= set(outline.ids)


def test_stable_anchors(outline: Outline) -> None:
    assert {
        "scores",
        "split",
        "classes",
        "trust",
        "why",
        "members",
        "maps",
        "mistakes",
        "data",
        "card",
        "again",
    } <= set(outline.ids)


def test_sections_without_content_are_left_out(outline: Outline) -> None:
    assert not {"search", "published", "out-of-class", "gate", "more"} & set(outline.ids)


def test_headings_start_at_one_and_never_skip_a_level(outline: Outline) -> None:
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))


def test_accessible_names(outline: Outline) -> None:
    assert ("html", {"lang": "en"}) in outline.elements
    plots = [values for tag, values in outline.elements if tag == "svg" and "aria-hidden" not in values]
    assert len(plots) > 15
    assert all(values.get("role") == "img" and len(str(values.get("aria-label"))) > 20 for values in plots)
    heads = [values for tag, values in outline.elements if tag == "th"]
    assert all(values.get("scope") in ("col", "row", "colgroup") for values in heads)
    assert len([1 for tag, _ in outline.elements if tag == "caption"]) == len(
        [1 for tag, _ in outline.elements if tag == "table"]
    )
    regions = [values for _, values in outline.elements if values.get("role") == "region"]
    assert all(values.get("aria-label") and values.get("tabindex") == "0" for values in regions)


def test_the_page_needs_no_network_and_weighs_little(page: Path, outline: Outline) -> None:
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000
    assert not re.search(
        r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import|<img|<iframe""", text
    )
    outside = [link for link in outline.links if not link.startswith(("#", "data:", "numbers/"))]
    assert outside == []


def test_the_title_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "Demo &lt;music&gt;" in text
    assert "Demo <music>" not in text


def test_no_number_is_lost_on_the_way_to_the_page(outline: Outline) -> None:
    assert not re.search(r"\bnan\b|\bNone\b|\bundefined\b", " ".join(outline.text))


def test_scores_on_the_page_are_those_of_the_file(model_folder: Path, outline: Outline) -> None:
    scores = json.loads((model_folder / "scores.json").read_text())
    text = " ".join(outline.text)
    for part in ("test", "oof"):
        for content in scores[part].values():
            for key in ("accuracy", "macro_f1", "macro_auc", "log_loss"):
                assert f"{content['scores'][key]['value']:.3f}" in text


def test_the_opening_is_made_from_the_numbers(model_folder: Path, outline: Outline) -> None:
    scores = json.loads((model_folder / "scores.json").read_text())["test"]["weighted"]["scores"]
    value, low, high = (scores["accuracy"][key] for key in ("value", "low", "high"))
    text = re.sub(r"\s+", " ", " ".join(outline.text))
    assert f"The ensemble of 5 members reaches {value:.3f} [{low:.3f}, {high:.3f}] accuracy" in text
    assert "on 54 held-out clips from 6 artists, none of them in the training part." in text


def test_every_download_holds_the_numbers_of_the_file_beside_it(page: Path, outline: Outline) -> None:
    files = {file.stem: pd.read_parquet(file) for file in (page.parent / "numbers").glob("*.parquet")}
    assert {
        "scores",
        "confusion",
        "calibration",
        "importance-columns",
        "map-tsne",
        "map-vgg-small-tsne",
        "mistakes",
        "weights",
    } <= set(files)
    names = [
        (str(v["download"]), str(v["href"]))
        for tag, v in outline.elements
        if tag == "a" and v.get("download")
    ]
    assert len(names) > 20
    for name, href in names:
        if href.startswith("data:"):
            table = pd.read_csv(io.BytesIO(base64.b64decode(href.split(",", 1)[1])))
            assert table.shape == files[Path(name).stem].shape
        else:
            assert (page.parent / href).is_file()


def test_random_weights_are_named(outline: Outline) -> None:
    text = re.sub(r"\s+", " ", " ".join(outline.text))
    assert "random weights, not from pretrained ones" in text


def _changed(model_folder: Path, target: Path, **split: Any) -> Path:
    shutil.copytree(model_folder, target)
    scores = json.loads((target / "scores.json").read_text())
    scores["split"] |= split
    (target / "scores.json").write_text(json.dumps(scores))
    return relist(target)


@pytest.mark.slow
def test_unknown_groups_are_stamped_wherever_a_score_is_shown(
    model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    folder = _changed(model_folder, tmp_path / "model", groups_known=False, grouped=False)
    shown = (section for section in SECTIONS if section is not maps_section)  # maps show no score
    text = write_sections(folder, tmp_path / "report", *shown).read_text(encoding="utf-8")
    assert text.count('class="stamp warn"') >= 3
    assert "Every clip counts as its own group" in text
    assert "none of them in the training part" not in text


def test_groups_on_both_sides_are_found_in_the_split_itself(model_folder: Path, tmp_path: Path) -> None:
    folder = _changed(model_folder, tmp_path / "model", protocol="group", grouped=True)
    split = pd.read_parquet(folder / "split.parquet")
    split.loc[split["part"] == "test", "group"] = "artist 00"
    split.to_parquet(folder / "split.parquet")
    mark = split_note(read_run(relist(folder)))
    assert mark.kind == "warn"
    assert "1 artist occurs both in training and in test" in mark.long


def contents(folder: Path) -> dict[str, bytes]:
    """Path and bytes of every file that is not hidden."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "names",
    [
        ["thesis.tex"],
        ["index.html"],
        ["index.html", "numbers/mine.txt"],
        ["numbers/mine.txt"],
        ["numbers/importance.parquet"],
    ],
)
def test_a_folder_with_other_things_is_refused_and_kept(
    model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path], names: list[str]
) -> None:
    """Attack B1: a page and the numbers of somebody else were overwritten and deleted."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("<title>mine</title>")
    before = contents(tmp_path)
    with pytest.raises(ArtefactError, match=f"folder of its own.*{re.escape(names[-1])}"):
        write_sections(model_folder, tmp_path, model_card_section)
    assert contents(tmp_path) == before


def write_page(folder: Path, *names: str, kind: PageKind = run_page.KIND) -> None:
    """A page of this kind with numbers of these names."""
    with replace_page(folder, kind) as numbers:
        for name in names:
            numbers.add(name, pd.DataFrame({"a": [1.0]}))
        offered = "".join(f'<a download="{name}.csv">' for name in names)
        numbers.page = f'<meta name="generator" content="{kind.mark}">{offered}'


def test_only_what_quintet_wrote_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_page(folder, "scores", "classes")
    (folder / ".hidden").write_text("mine")
    write_page(folder, "classes", "maps")
    before = contents(folder)
    assert set(before) == {
        *("index.html", ".hidden", f"numbers/{NUMBERS_LIST}"),
        *("numbers/classes.parquet", "numbers/maps.parquet"),
    }
    (folder / "numbers" / "mine.parquet").write_text("mine")
    with pytest.raises(ArtefactError, match=r"numbers/mine\.parquet"):
        write_page(folder, "maps")
    assert contents(folder) == {**before, "numbers/mine.parquet": b"mine"}
    (folder / "numbers" / "mine.parquet").unlink()
    with pytest.raises(ArtefactError, match="another page"):
        write_page(folder, kind=track_page.KIND)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    with pytest.raises(ArtefactError, match="a link"):
        write_page(tmp_path / "link", "maps")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "numbers").symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(ArtefactError, match="numbers, no folder of a page"):
        write_page(tmp_path / "other", "maps")
    assert contents(folder) == before
    assert contents(tmp_path / "mine") == {"diary.txt": b"mine"}


def test_a_list_of_numbers_that_is_none_allows_nothing(tmp_path: Path) -> None:
    for text in ('{"a": 1}', "[[1]]", '["../../diary.txt"]', "nonsense" * 9):
        folder = tmp_path / str(hash(text))
        write_page(folder, "scores")
        (folder / "numbers" / NUMBERS_LIST).write_text(text)
        (folder / "numbers" / "mine.parquet").write_text("mine")
        with pytest.raises(ArtefactError, match=r"mine\.parquet"):
            write_page(folder, "scores")


def test_a_page_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    old = replace(run_page.KIND, mark=run_page.KIND.older_marks[0])
    for extra in (False, True):
        folder = tmp_path / str(extra)
        write_page(folder, "scores", "maps", kind=old)
        (folder / "numbers" / NUMBERS_LIST).unlink()
        if extra:
            (folder / "numbers" / "mine.parquet").write_text("mine")
            with pytest.raises(ArtefactError, match=r"numbers/mine\.parquet"):
                write_page(folder, "maps")
        else:
            write_page(folder, "maps")
            assert "numbers/scores.parquet" not in contents(folder)


def test_a_file_that_is_put_there_meanwhile_is_kept(tmp_path: Path) -> None:
    def write() -> None:
        with replace_page(tmp_path, run_page.KIND) as numbers:
            numbers.page = "new"
            (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(ArtefactError, match="thesis"):
        write()
    assert contents(tmp_path) == {"thesis.tex": b"mine"}


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="finished model folder"):
        read_run(tmp_path)


def test_the_policy_allows_the_scripts_of_the_page_and_no_others(
    page: Path, policed: Callable[[str], Any]
) -> None:
    """Attack C1: nothing stood between a name that is not escaped and the browser."""
    read = policed(page.read_text(encoding="utf-8"))
    assert read.policy["img-src"] == read.policy["media-src"] == ["data:"]
    assert all(source.startswith("data:") for source in read.sources)


def test_turned_and_hidden_characters_are_seen_on_the_page(
    model_folder: Path,
    tmp_path: Path,
    write_sections: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_page, "default_title", lambda run: "a\u202eb\x9bc<")
    page = write_sections(model_folder, tmp_path / "report", model_card_section)
    text = page.read_text(encoding="utf-8")
    assert "<h1>a\\u202eb\\x9bc&lt;</h1>" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.slow
def test_in_a_browser_the_page_works_and_an_injected_script_does_not(
    page: Path, tmp_path: Path, open_in_browser: Callable[[Path], tuple[str, str]]
) -> None:
    document, console = open_in_browser(page)
    assert console == ""
    assert ">Dark theme</button>" in document  # made by the script of the page
    evil = tmp_path / "evil.html"
    attack = "<script>document.title = 'PWNED'</script><img src=x onerror=\"document.title = 'PWNED'\">"
    evil.write_text(page.read_text(encoding="utf-8").replace("<main", f"{attack}<main"), encoding="utf-8")
    document, console = open_in_browser(evil)
    assert "<title>PWNED" not in document
    assert "Content Security Policy" in console
    unprotected = tmp_path / "unprotected.html"
    unprotected.write_text(evil.read_text(encoding="utf-8").replace("Content-Security-Policy", "nothing"))
    assert "<title>PWNED" in open_in_browser(unprotected)[0]  # the test can fail


@pytest.mark.slow
def test_the_steps_of_a_report_are_named(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page, "SECTIONS", (model_card_section,))
    steps: list[run_page.ReportStep] = []
    run_page.write_report(model_folder, tmp_path / "report", progress=steps.append)
    names = ["reading the run", "model card", "writing the page", ""]
    assert [(step.done, step.total, step.name) for step in steps] == [
        (k, 3, name) for k, name in enumerate(names)
    ]
