"""Labels of clips: one class, or a set of tags written as one string (`"rock;live"`)."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from quintet.files.json_text import is_missing

LABEL_SEPARATOR = ";"
_DECIMAL_WHOLE = re.compile(r"\s*[+-]?\d+\.0\s*")
_ENTRY = re.compile(
    r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(?<![\w.])([+-]?\d+)(?:\.0?)?(?![\w.])""", re.DOTALL
)
"""An entry of a printed list: a quoted text, or a whole number."""
_PRINTED_LIST = re.compile(
    r"(?!\s*\([^,]+\)\s*$)"  # a tuple of one is printed as `(1,)`: `(1)` is a name
    rf"\s*(?:set\(\)|[\[({{](?:[\s,]|{_ENTRY.pattern}|np\.\w+\((?:{_ENTRY.pattern})\))*[\])}}])\s*",
    re.DOTALL,
)
"""A list, tuple, set or array. In lists, numpy 2 prints its entries as `np.str_('rock')`, `np.int64(3)`."""
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u(?!d[89a-f])([0-9a-f]{4})|(.))", re.IGNORECASE | re.DOTALL)
ACCIDENTAL_SHARE = 0.1  # fewer labels than this share that are sets may be an accident
SHOWN = 3  # spellings that a note lists


_SHOWS_NOTHING = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
"""Characters without a width: soft hyphens, byte order marks, marks of the direction and others."""
_INVISIBLE = re.compile(f"[{_SHOWS_NOTHING}]")
_EDGES = re.compile("^[{0}]+|[{0}]+$".format(f"\\s\u200c\u200d{_SHOWS_NOTHING}"))
"""Joiners, too, show nothing at the ends of a name. Inside, they shape words of Persian and emoji."""


def strip_blanks(text: str) -> str:
    """A text without blanks and invisible characters at its ends.

    Example:
        >>> strip_blanks(" rock\N{ZERO WIDTH SPACE} "), strip_blanks("\N{ZERO WIDTH NO-BREAK SPACE}jazz")
        ('rock', 'jazz')
    """
    return text.strip() if text.isascii() else _EDGES.sub("", text)


def one_spelling(text: str) -> str:
    """A name in the spelling in which names are compared: texts that look the same are equal.

    Blanks of any kind and number between words become one, blanks at the ends and characters that show
    nothing go, and the Unicode form is NFC.

    Example:
        >>> one_spelling(" hip\N{NO-BREAK SPACE} hop\N{LEFT-TO-RIGHT MARK}")
        'hip hop'
        >>> one_spelling("Cafe\N{COMBINING ACUTE ACCENT}") == "Café"
        True
    """
    if not text.isascii():
        text = strip_blanks(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)))
    return " ".join(text.split())


def label_set(label: str) -> tuple[str, ...]:
    """Single labels in a label string: in their order, each once, each in `one_spelling`.

    Example:
        >>> label_set("rock; live;rock")
        ('rock', 'live')
    """
    text = label if label.isascii() else unicodedata.normalize("NFC", label)
    parts = map(one_spelling, text.split(LABEL_SEPARATOR))
    return tuple(dict.fromkeys(part for part in parts if part))


def label_name(label: str) -> str:
    """A label string whose parts are in `one_spelling`.

    Two spellings of a class would be two classes.

    Example:
        >>> label_name("rock "), label_name("rock; live"), label_name("Cafe\N{COMBINING ACUTE ACCENT}")
        ('rock', 'rock;live', 'Café')
    """
    return join_labels(label_set(label))


def label_text(value: object) -> str | None:
    """Text of a cell as it is written; a list is a set, bytes are UTF-8; None if a cell is missing or blank.

    Example:
        >>> label_text(["rock", "live"]), label_text(2.0), label_text(float("nan")), label_text("007")
        ('rock;live', '2', None, '007')
    """
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        parts = sorted(value) if isinstance(value, set | frozenset) else value
        texts = [label_text(part) for part in parts]
        return join_labels(text for text in texts if text) or None
    if is_missing(value):
        return None
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        value = int(value) if float(value).is_integer() else value
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text if strip_blanks(text) else None


def repair_labels(labels: Sequence[str | None]) -> tuple[list[str | None], list[str]]:
    """Labels without what a program added when it wrote them as text: `repair_lists`, or `repair_numbers`."""
    repaired, notes = repair_lists(labels)
    return (repaired, notes) if notes else repair_numbers(labels)


def repair_lists(labels: Sequence[str | None]) -> tuple[list[str | None], list[str]]:
    """Label sets if all labels are printed lists, and a note if they are.

    Pandas writes a list in a cell of a CSV file as Python prints it, and an array without commas. Entries are
    texts, or whole numbers.

    Args:
        labels: label strings as written; None if missing.

    Example:
        >>> repair_lists(["['rock', 'live']", None, "[]"])[0], repair_lists(["['rock']", "jazz"])[0]
        (['rock;live', None, None], ["['rock']", 'jazz'])
    """
    written = dict.fromkeys(label for label in labels if label is not None)
    if not written or not all(map(_PRINTED_LIST.fullmatch, written)):
        return list(labels), []
    texts = {label: [c or _unescape(a or b) for a, b, c in _ENTRY.findall(label)] for label in written}
    sets = {label: join_labels(filter(None, parts)) or None for label, parts in texts.items()}
    example = max(sets, key=lambda label: len(texts[label]))
    shown = (sets[example] or "")[:99]
    note = f"All labels are written as lists, and are read as such: {example[:99]} is {shown!r}."
    return [None if label is None else sets[label] for label in labels], [note]


def _unescape(text: str) -> str:
    """A text without the escapes that Python and JSON put in quoted ones; ends of lines become blanks."""

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else " " if match[3] in "nrt" else match[3]

    return _ESCAPE.sub(character, text)


def repair_numbers(labels: Sequence[str | None]) -> tuple[list[str | None], list[str]]:
    """Labels without `.0` if all of them are whole numbers that end so, and a note if they are.

    Programs that keep a column with missing values as decimal numbers write 2 as 2.0.

    Args:
        labels: label strings as written; None if missing.

    Example:
        >>> repair_numbers(["0.0", None, "2.0"])[0], repair_numbers(["1.0", "1.5"])[0]
        (['0', None, '2'], ['1.0', '1.5'])
    """
    written = {label for label in labels if label is not None}
    if not written or not all(map(_DECIMAL_WHOLE.fullmatch, written)):
        return list(labels), []
    repaired = [None if label is None else label.strip()[:-2] for label in labels]
    example = min(written)
    return repaired, [
        f"All labels are whole numbers written as decimals, and are read without: {example!r} is "
        f"{example.strip()[:-2]!r}."
    ]


def label_notes(
    labels: Iterable[str], ids: Iterable[str], *, accidental_share: float = ACCIDENTAL_SHARE
) -> list[str]:
    """Notes about labels as they are written: spellings that are joined, and sets that may be an accident.

    Args:
        labels: label strings as written, length `n`.
        ids: names of their clips, length `n`.
        accidental_share: share of labels up to which sets may be an accident.

    Example:
        >>> label_notes(["rock", "rock ", "jazz"], ["a", "b", "c"])
        ["1 label is written in several ways, which are joined: 'rock' ('rock', 'rock ')."]
    """
    first_clip: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for label, id in zip(labels, ids, strict=True):
        first_clip.setdefault(label, id)
        counts[label] += 1
    sets = [label for label in counts if len(label_set(label)) > 1]
    n_labels, n_sets = counts.total(), sum(counts[label] for label in sets)
    notes = []
    spellings_of = _spellings(first_clip)
    notes += joined_notes(spellings_of, "label")
    notes += _case_notes(spellings_of)
    notes += _other_separator_notes(set(spellings_of))
    if 0 < n_sets <= accidental_share * n_labels:
        verb = "holds" if n_sets == 1 else "hold"
        example = f"{first_clip[sets[0]]}: '{sets[0]}'"
        notes.append(
            f"{n_sets} of {n_labels} labels {verb} a '{LABEL_SEPARATOR}' ({example}), "
            "so every label is read as a set of tags. If each clip has one class, write it without."
        )
    return notes


def joined_notes(spellings: Mapping[str, Sequence[str]], noun: str) -> list[str]:
    """A note about names that are written in several ways.

    Args:
        spellings: name → its spellings.
        noun: what has the name: "label" or "group".

    Example:
        >>> joined_notes({"rock": ["rock", "rock "], "jazz": ["jazz"]}, "label")
        ["1 label is written in several ways, which are joined: 'rock' ('rock', 'rock ')."]
    """
    joined = {name: texts for name, texts in spellings.items() if len(texts) > 1}
    if not joined:
        return []
    shown = [f"{name!r} ({', '.join(map(_visible, texts))})" for name, texts in joined.items()]
    more = ", …" if len(shown) > SHOWN else ""
    subject = f"1 {noun} is" if len(shown) == 1 else f"{len(shown)} {noun}s are"
    return [f"{subject} written in several ways, which are joined: {', '.join(shown[:SHOWN])}{more}."]


def _case_notes(names: Iterable[str]) -> list[str]:
    """A note about labels that differ in capital letters only: they stay different."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    pairs = [" and ".join(map(repr, sorted(same))) for same in alike.values() if len(same) > 1]
    if not pairs:
        return []
    more = "; …" if len(pairs) > SHOWN else ""
    return [
        f"Labels that differ in capital letters only are different classes: {'; '.join(pairs[:SHOWN])}{more}."
    ]


def _other_separator_notes(names: set[str]) -> list[str]:
    """Notes about labels that may be sets with another separator, since a part of them is a label, too."""
    notes = []
    for separator in (",", "|"):
        parts = {name: [*map(one_spelling, name.split(separator))] for name in names if separator in name}
        joined = [name for name in parts if not names.isdisjoint(parts[name])]
        if joined:
            notes.append(
                f"Labels with a {separator!r} are classes of their own, such as {joined[0]!r}. "
                f"If they are sets of tags, write {join_labels(parts[joined[0]])!r}."
            )
    return notes


def _spellings(labels: Iterable[str]) -> dict[str, list[str]]:
    """Single label → its spellings. Blanks beside the separator of a set are no spelling."""
    spellings: dict[str, list[str]] = {}
    for label in labels:
        parts = label.split(LABEL_SEPARATOR)
        texts = list(map(strip_blanks, parts)) if len(parts) > 1 else parts
        for text in texts:
            names = label_set(text)
            if names and text not in spellings.setdefault(names[0], []):
                spellings[names[0]].append(text)
    return spellings


def _visible(text: str) -> str:
    """A text in quotes; characters beyond ASCII are escapes if NFC changes it."""
    return repr(text) if unicodedata.is_normalized("NFC", text) else ascii(text)


def label_indicator(labels: Iterable[str]) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """Indicator matrix of label sets.

    Args:
        labels: label strings, length `n`.

    Returns:
        A matrix of zeros and ones, shape `(n, tags)`, and the names of its columns, sorted.

    Example:
        >>> matrix, classes = label_indicator(["rock;live", "jazz"])
        >>> classes
        ('jazz', 'live', 'rock')
        >>> matrix.tolist()
        [[0, 1, 1], [1, 0, 0]]
    """
    sets = [label_set(label) for label in labels]
    classes = tuple(sorted(set(chain.from_iterable(sets))))
    column_of = {tag: k for k, tag in enumerate(classes)}
    matrix = np.zeros((len(sets), len(classes)), np.int8)
    for row, tags in enumerate(sets):
        columns = [column_of[tag] for tag in tags]
        matrix[row, columns] = 1
    return matrix, classes


def is_label_set(label: str) -> bool:
    """Whether a label string is a set.

    Example:
        >>> is_label_set("rock;live"), is_label_set("rock")
        (True, False)
    """
    return LABEL_SEPARATOR in label


def join_labels(labels: Iterable[str]) -> str:
    """Label string of a set, in the given order.

    Example:
        >>> join_labels(["rock", "live"])
        'rock;live'
    """
    return LABEL_SEPARATOR.join(labels)
