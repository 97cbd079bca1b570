"""HTML of a page: rendering of the templates, line breaks in long names, and files of numbers.

The report on a run and the page on one track share this module.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_folder, atomic_replace, write_or_keep
from quintet.files.display.names import harmless
from quintet.files.display.spreadsheets import spreadsheet_csv
from quintet.reports.formats import count, format_signed, number, slug
from quintet.reports.section import Download
from quintet.reports.style import css_variables, marker, paint

if TYPE_CHECKING:
    from markupsafe import Markup

    from quintet.reports.front.bars import Span

MAX_INLINE = 120_000
"""Size in bytes up to which the CSV of a table is put into the page.

The page links larger tables in `numbers/`.
"""

MAX_INLINE_TOTAL = 1_000_000
"""Size in bytes of all CSV in a page. Tables beyond are linked, too: fifty classes have fifty curves."""

PAGE_FILES = ("index.html", "numbers")
"""Content of the folder of a page."""

NUMBERS_LIST = ".quintet.json"
"""File in `numbers/` with the names of the files that quintet wrote there, and may delete."""

HEAD_CHARACTERS = 20_000
"""Beginning of a page that holds its mark."""


@dataclass(frozen=True)
class PageKind:
    """Kind of page that a folder holds.

    Args:
        subject: the page in an error message, for example `A report`.
        mark: text of the `generator` in its head, by which a later run recognises it.
        older_marks: texts in the heads of pages of earlier versions.
    """

    subject: str
    mark: str
    older_marks: tuple[str, ...] = ()


MARKER_SHAPES = (
    '<circle cx="6" cy="6" r="4"/>',
    '<path d="M2 2h8v8H2z"/>',
    '<path d="M6 1.5l5 9H1z"/>',
    '<path d="M6 1l5 5-5 5-5-5z"/>',
    '<path d="M6 10.5l5-9H1z"/>',
    '<path d="M4.5 1h3v3.5H11v3H7.5V11h-3V7.5H1v-3h3.500z"/>',
    '<path d="M3 1l3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3-3-3z"/>',
    '<path d="M6 .8l1.500 3.600 3.900.3-3 2.500.9 3.800L6 9l-3.300 2 .9-3.800-3-2.500 3.900-.3z"/>',
)
"""Markers of the figures as SVG in a box of 12 × 12, in the order of `style.marker`."""


@dataclass(frozen=True)
class Link:
    """Link to the numbers behind a figure or a table.

    Args:
        href: CSV as a data URI, or the place of the parquet file.
        file: name under which the browser saves it.
        rows: number of rows.
    """

    href: str
    file: str
    rows: int


@dataclass
class NumberFiles:
    """The numbers behind figures and tables: parquet beside the page, small CSV inside of it.

    The parquet files have the names as they are. People open the CSV, so no cell of it is a formula.
    Everything is in memory until the page is complete.

    Args:
        files: name → content of the file in `numbers/`.
        links: name → link to the table.
        page: the page, as HTML.
        inline_bytes: size of all CSV that is inside of the page.
        beside: whether large tables are linked in `numbers/`; if not, all are inside of the page.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    page: str = ""
    inline_bytes: int = 0
    beside: bool = True

    def clear(self) -> None:
        """Begin again without numbers and without a page."""
        self.files, self.links, self.page, self.inline_bytes = {}, {}, "", 0

    def add(self, name: str, frame: pd.DataFrame) -> None:
        """Add a table as `name.parquet` and keep a link to it."""
        table = frame.copy()
        table.columns = [str(column) for column in table.columns]
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        self.files[f"{name}.parquet"] = content.getvalue()
        csv = spreadsheet_csv(table).encode()
        if not self.beside or len(csv) <= min(MAX_INLINE, MAX_INLINE_TOTAL - self.inline_bytes):
            self.inline_bytes += len(csv)
            encoded = base64.b64encode(csv).decode()
            self.links[name] = Link(f"data:text/csv;base64,{encoded}", f"{name}.csv", len(table))
        else:
            self.links[name] = Link(f"numbers/{name}.parquet", f"{name}.parquet", len(table))

    def add_all(self, downloads: Iterable[Download]) -> None:
        """Add several tables. A table that several blocks offer is added once."""
        for download in downloads:
            if download.name not in self.links:
                self.add(download.name, download.frame)

    def write(self, output: Path, kind: PageKind) -> None:
        """Write page and numbers beside the old ones, which they replace together at the end.

        Args:
            output: the folder, which is made if it does not exist. If writing fails, it stays as it was.
            kind: kind of the page.
        """
        is_new = not output.exists()
        try:
            with atomic_replace(output / "index.html") as page, atomic_folder(output / "numbers") as folder:
                for name, content in self.files.items():
                    (folder / name).write_bytes(content)
                # by this list a later run knows which files it may delete
                (folder / NUMBERS_LIST).write_text(json.dumps(sorted(self.files)), encoding="utf-8")
                page.write_text(self.page, encoding="utf-8")
                check_page_folder(output, kind)  # again: somebody may have put a file there meanwhile
        except BaseException:
            if is_new:
                with suppress(OSError):
                    output.rmdir()
            raise


@contextmanager
def replace_page(output: Path, kind: PageKind) -> Iterator[NumberFiles]:
    """Write a page and its numbers after the block, in the place of an earlier page.

    The block adds numbers and sets `NumberFiles.page`. If it fails, the folder stays as it was. If the disk
    is full when the page is complete, the page is kept in the folder for temporary files.

    Args:
        output: the folder, which is made if it does not exist.
        kind: kind of the page.

    Yields:
        The new numbers.

    Raises:
        ArtefactError: if the folder is a link, or holds anything but an earlier page of this kind; if the
            page could not be written there.
    """
    check_page_folder(output, kind)
    numbers = NumberFiles()
    yield numbers
    write_or_keep(output, lambda place: numbers.write(place, kind), f"{kind.subject}'s folder")


def check_page_folder(output: Path, kind: PageKind) -> None:
    """Refuse a folder that holds anything but an earlier page of this kind. Nothing else is ever deleted.

    Args:
        output: the folder.
        kind: kind of the page.

    Raises:
        ArtefactError: if the folder is a link, or holds other files.
    """
    obstacles = _other_files(output, kind)
    if obstacles:
        names = ", ".join(obstacles[:3])
        raise ArtefactError(
            f"{kind.subject} needs a folder of its own. '{output}' holds {names}. Name another folder."
        )


def _other_files(output: Path, kind: PageKind) -> list[str]:
    """What a folder holds beside an earlier page, in words. Hidden files count as nothing, and stay."""
    if output.is_symlink():
        return ["a link to another folder"]
    if not output.exists():
        return []
    if not output.is_dir():
        return ["a file"]
    names = [path.name for path in output.iterdir()]
    others = [name for name in names if name not in PAGE_FILES and not name.startswith(".")]
    page, numbers = output / "index.html", output / "numbers"
    is_page = page.is_file() and not page.is_symlink() and _has_mark(page, kind)
    if "index.html" in names and not is_page:
        others.append("index.html, another page")
    if "numbers" in names:
        others += _other_numbers(numbers, page.read_text(encoding="utf-8") if is_page else "")
    return others


def _has_mark(page: Path, kind: PageKind) -> bool:
    with page.open(encoding="utf-8", errors="replace") as file:
        head = file.read(HEAD_CHARACTERS)
    return any(mark in head for mark in (kind.mark, *kind.older_marks))


def _other_numbers(folder: Path, page: str) -> list[str]:
    """Files in `numbers/` that quintet did not write.

    Earlier versions wrote no list: then the files are those that the page offers for download.
    """
    if folder.is_symlink() or not folder.is_dir():
        return ["numbers, no folder of a page"]
    try:
        ours = json.loads((folder / NUMBERS_LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        offered = re.findall(r'download="([^"]+)\.(?:csv|parquet)"', page)
        ours = ["scores.json", *(f"{name}.parquet" for name in offered)] if page else []
    known = {NUMBERS_LIST, *map(str, ours)} if isinstance(ours, list) else {NUMBERS_LIST}
    names = sorted(path.name for path in folder.iterdir() if path.name not in known or not path.is_file())
    return [f"numbers/{name}" for name in names]


def render(
    template: str, context: Mapping[str, object], *, parts: tuple[str, ...], plays_file: bool = False
) -> str:
    """Render a template with style and script inside.

    The page runs these scripts and no others, and loads nothing from elsewhere (`content_policy`). Characters
    that turn the direction of writing, and other control characters of names, are shown as escapes.

    Args:
        template: name of the template.
        context: values for the template.
        parts: stems of the CSS and JavaScript files, in order.
        plays_file: whether the page plays a sound that is not inside it.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_template_text),
    )
    environment.filters |= {
        "breakable": add_line_breaks,
        "number": number,
        "signed": format_signed,
        "slug": slug,
        "kind": _kind,
        "spans": _spans_json,
        "code": _with_code,
    }
    environment.globals |= {"count": count, "class_marker": class_marker}
    css = "\n".join(_template_text(f"{part}.css") for part in parts)
    css = css.replace("/* light */", css_variables("light")).replace("/* dark */", css_variables("dark"))
    js = "\n".join(_template_text(f"{part}.js") for part in parts)
    theme = _template_text("theme.js")
    policy = content_policy(scripts=(theme, js), styles=(css,), plays_file=plays_file)
    page = environment.get_template(template).render(**context, css=css, js=js, theme=theme, policy=policy)
    return harmless(page)


def content_policy(*, scripts: Iterable[str], styles: Iterable[str], plays_file: bool) -> Markup:
    """Content-Security-Policy of a page: what a browser may run and load.

    Whatever stands in a name or a number of a stranger's model cannot run, even if it were not escaped. Style
    attributes are allowed, for they draw bars and figures.

    Args:
        scripts: texts of the scripts in the page.
        styles: texts of the style sheets in the page.
        plays_file: whether the page plays a sound that is not inside it.

    Example:
        >>> str(content_policy(scripts=("",), styles=(), plays_file=False)).split("; ")[1]
        "script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    from markupsafe import Markup

    rules = {
        "default-src": ["'none'"],
        "script-src": list(map(_source_hash, scripts)),
        "style-src": ["'unsafe-inline'"],  # for browsers without the next two
        "style-src-elem": list(map(_source_hash, styles)),
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": ["data:"],
        "media-src": ["data:", *(["'self'", "file:"] if plays_file else [])],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return Markup("; ").join(Markup(" ".join([rule, *sources])) for rule, sources in rules.items())


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _template_text(name: str) -> str:
    return (files("quintet.reports") / "templates" / name).read_text(encoding="utf-8")


def _kind(block: object) -> str:
    """Name of the class of a block, by which the template chooses its macro."""
    return type(block).__name__


def _with_code(text: str) -> Markup:
    """Safe HTML of a text in which backticks enclose code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _spans_json(by_class: Mapping[str, Span]) -> str:
    """Bars of each class as JSON: `{class: [left, width, zero, text]}`."""
    return json.dumps({name: [s.left, s.width, s.zero, s.text] for name, s in by_class.items()})


def class_marker(index: int) -> Markup:
    """Marker of the `index`-th class (0-based) as SVG, in the colour and the shape of the figures."""
    from markupsafe import Markup

    colour = f"var(--{paint(index)})"
    shape = MARKER_SHAPES[marker(index)]
    return Markup(f'<svg viewBox="0 0 12 12" aria-hidden="true"><g fill="{colour}">{shape}</g></svg>')


def add_line_breaks(name: str) -> Markup:
    """Safe HTML of a name that may break after a dot, an underscore or a slash.

    Example:
        >>> str(add_line_breaks("a_b<c>"))
        'a_<wbr>b&lt;c&gt;'
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._/])", r"\1<wbr>", str(escape(name))))


def code_name(name: object) -> Markup:
    """Safe HTML of the name of a column or a clip, in fixed-width letters."""
    from markupsafe import Markup

    return Markup(f"<code>{add_line_breaks(str(name))}</code>")
