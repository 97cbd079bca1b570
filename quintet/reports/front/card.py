"""Pictures for sharing: a card of a report as PNG, and a badge for a README as SVG."""

from __future__ import annotations

import io
import textwrap
import warnings
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from quintet.files.display.names import harmless, printable
from quintet.reports.formats import count, short_name
from quintet.reports.front.headline import Success, evidence, percent, percent_range
from quintet.reports.style import colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD_SIZE = (1200, 630)
"""Width and height of the card in pixels, as social networks show it."""
CARD_CLASSES = 8
CHARACTER_PX = 6.6
"""Width of a character of the badge in its units, on average."""


def badge_text(result: Success, stamp: str) -> str:
    """The text of the badge, which also fits one line of a README.

    Args:
        result: the success.
        stamp: what the split allows to conclude, in two or three words.

    Example:
        >>> badge_text(Success(17 / 23, 0.522, 0.913, 23, 10, 3, True, False), "Groups unknown")
        '74 % [52–91] right on 23 unseen clips · groups unknown'
    """
    interval = ""
    if result.has_interval:
        interval = f" [{percent_range(result.low, result.high).removesuffix(' %')}]"
    what = "AUC" if result.multilabel else "right"
    words = stamp[:1].lower() + stamp[1:]
    return f"{percent(result.value)}{interval} {what} on {count(result.n, 'unseen clip')} · {words}"


def badge_svg(result: Success, stamp: str, *, is_good: bool) -> str:
    """The badge: `Quintet` on the left, the result on the right.

    Args:
        result: the success.
        stamp: what the split allows to conclude.
        is_good: whether the split keeps groups apart; decides the colour.
    """
    text = badge_text(result, stamp)
    left, right = 56, round(len(text) * CHARACTER_PX) + 16
    paint = colour("good" if is_good else "warn")
    label = escape(harmless(f"Quintet: {text}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<rect width="{left + right}" height="20" rx="3" fill="{paint}"/>'
        f'<path d="M3 0h{left - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="8" y="14">Quintet</text><text x="{left + 8}" y="14" textLength="{right - 16}">'
        f"{escape(harmless(text))}</text></g></svg>"
    )


def card_png(title: str, sentence: str, result: Success, strip: pd.DataFrame, stamp: str) -> bytes:
    """The card: title, headline, counts, and a bar for each class, the worst first.

    Args:
        title: title of the report.
        sentence: the headline.
        result: the success.
        strip: result of `class_strip`.
        stamp: what the split allows to conclude.

    Returns:
        A PNG of `CARD_SIZE`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = CARD_SIZE
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=colour("surface"))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    lines = [
        (height - 70, "Quintet report", 17, "muted"),
        (height - 132, short_name(title, 44), 36, "ink"),
    ]
    place = height - 205
    for line in textwrap.wrap(f"{sentence}.", 56)[:2]:
        lines.append((place, line, 25, "accent"))
        place -= 44
    below = stamp + bars_words(result, int(strip["clips"].sum()))
    lines += [(place - 4, short_name(evidence(result), 96), 17, "ink"), (34, below, 16, "muted")]
    for y, text, size, paint in lines:
        shown = axes.text(60, y, printable(text), fontsize=size * 0.72, color=colour(paint), va="baseline")
        shown.set_parse_math(False)
    _draw_classes(axes, strip, top=place - 50)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # a font lacks some scripts: a box stands for such a letter
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def bars_words(result: Success, n_unseen: int) -> str:
    """What the bars of the card count, if these are other clips than those of the headline; else nothing.

    Example:
        >>> bars_words(Success(25 / 36, 0.47, 0.92, 36, 6, 6, True, False), 144)
        '. Bars: all 144 clips that were predicted unseen'
    """
    if result.multilabel or n_unseen == result.n:
        return ""
    return f". Bars: all {n_unseen:,} clips that were predicted unseen"


def _draw_classes(axes: Axes, strip: pd.DataFrame, *, top: float) -> None:
    """Bars of the worst classes in two columns, below `top`."""
    rows = strip.head(CARD_CLASSES).to_dict("records")
    per_column = (len(rows) + 1) // 2
    for place, row in enumerate(rows):
        x = 60 + 560 * (place // per_column)
        y = top - 42 - 50 * (place % per_column)
        name = axes.text(
            x, y + 4, printable(short_name(str(row["class"]), 20)), fontsize=13, color=colour("ink")
        )
        name.set_parse_math(False)
        axes.barh(y + 10, 170, left=x + 215, height=16, color=colour("rule"))
        axes.barh(y + 10, 170 * row["share"], left=x + 215, height=16, color=colour("accent"))
        axes.text(x + 400, y + 4, f"{row['right']} of {row['clips']}", fontsize=13, color=colour("muted"))
