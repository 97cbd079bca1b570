"""Style of all figures: one palette in two themes, and the conversion of a matplotlib figure to inline SVG.

Figures are drawn in the colours of the light theme, so that `figure.savefig("paper.pdf")` looks right.
`to_svg` then writes each colour as the CSS variable of the same name. The style sheet of the page gives
`var(--ink)` its value, by theme and by medium. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT_STEPS = 11
"""Number of steps of the colour ramp of heat maps: 0, 10, …, 100 %."""

WIDTH = 360
"""Width of a figure in its units. A phone shows a unit at about 0.9 px, a desktop screen at about 1.25 px.
Text of size 10 is readable on both."""

LIGHT: dict[str, str] = {
    "page": "#f7f6f2",
    "surface": "#fffffe",
    "ink": "#1b1f24",
    "muted": "#59616b",
    "rule": "#dcdee2",
    "faint": "#b4b9c0",
    "accent": "#0b5c9e",
    "good": "#1d6f42",
    "warn": "#8f4a00",
    "bad": "#a8321f",
    "series-1": "#0072b2",
    "series-2": "#c85200",
    "series-3": "#00845f",
    "series-4": "#b0528a",
    "series-5": "#946400",
    "series-6": "#6f7f00",
    "series-7": "#6b4fa0",
    "series-8": "#4d545c",
    "series-9": "#00788f",
    "series-10": "#a3133f",
    "series-11": "#6b3a1f",
    "series-12": "#3c6b1a",
}
DARK: dict[str, str] = {
    "page": "#101317",
    "surface": "#181c22",
    "ink": "#e9ebee",
    "muted": "#a6aeb9",
    "rule": "#323943",
    "faint": "#5f6874",
    "accent": "#74b9f7",
    "good": "#6fcf97",
    "warn": "#f0b35c",
    "bad": "#ff8f7a",
    "series-1": "#5fb2ee",
    "series-2": "#f28b4b",
    "series-3": "#3fc79b",
    "series-4": "#e39ac4",
    "series-5": "#e0b23e",
    "series-6": "#b5d96b",
    "series-7": "#b9a2ee",
    "series-8": "#b4bac2",
    "series-9": "#3fd0e0",
    "series-10": "#f0647f",
    "series-11": "#c79a7a",
    "series-12": "#86c46a",
}
SERIES = tuple(f"series-{i}" for i in range(1, 13))
FAMILIES = {
    "cepstral": "series-1",
    "spectral": "series-2",
    "tonal": "series-3",
    "rhythm": "series-4",
    "temporal": "series-5",
    "modulation": "series-6",
    "covariance": "series-7",
    "parts": "series-9",
    "spectrogram": "series-8",
}
"""Feature family → name of its colour on every page."""
USUAL_FAMILIES = {
    "mfcc": "series-1",
    "mfccs": "series-1",
    "chroma": "series-3",
    "tonnetz": "series-12",
    "tempo": "series-4",
    "rms": "series-5",
    "rmse": "series-5",
    "zcr": "series-9",
    "signal": "series-10",
}
"""Families that tables of other programs often have → colour of our family with the same content, if any."""
_RAMP_ENDS = {"light": ("#fdfdfb", "#0b4f8a"), "dark": ("#1d222a", "#8cc8ff")}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours, from 1 (equal) to 21 (black on white).

    `(L1 + 0.05) / (L2 + 0.05)` with relative luminances `L1 >= L2`.

    Source:
        WCAG 2.2, success criterion 1.4.3.

    Example:
        >>> round(contrast("#000000", "#ffffff"), 6)
        21.0
    """

    def luminance(colour: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (v / 255 for v in _rgb(colour))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _ramp(theme: str) -> dict[str, str]:
    """Colours of the heat ramp, and of the text on each step.

    Every colour of the light theme is unique, because `to_svg` finds the variable by the colour.
    """
    start, end = (_rgb(colour) for colour in _RAMP_ENDS[theme])
    colours: dict[str, str] = {}
    for step in range(HEAT_STEPS):
        share = step / (HEAT_STEPS - 1)
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
        fill = f"#{red:02x}{green:02x}{blue:02x}"
        dark = f"#0a0c{step + 1:02x}"
        light = f"#ffff{255 - step - 2:02x}"
        colours[f"heat-{step}"] = fill
        colours[f"on-heat-{step}"] = max((dark, light), key=lambda c: contrast(c, fill))
    return colours


THEMES: dict[str, dict[str, str]] = {"light": LIGHT | _ramp("light"), "dark": DARK | _ramp("dark")}
"""Theme → name → colour. Figures are drawn in the colours of the light theme."""


def colour(name: str) -> str:
    """Colour of the light theme by name, for use in matplotlib.

    Example:
        >>> colour("ink")
        '#1b1f24'
    """
    return THEMES["light"][name]


def series(index: int) -> tuple[str, str]:
    """Colour and marker of the `index`-th series (0-based).

    Colours repeat after twelve series, with other markers: 24 series differ.

    Example:
        >>> series(0), series(12)
        (('#0072b2', 'o'), ('#0072b2', 'P'))
    """
    return colour(SERIES[index % len(SERIES)]), _MARKERS[marker(index)]


def marker(index: int) -> int:
    """Number of the marker of the `index`-th series, in [0, 8)."""
    return (index + index // len(SERIES)) % len(_MARKERS)


def paint(index: int) -> str:
    """Name of the colour of the `index`-th class (0-based), the same on every page.

    Example:
        >>> paint(0), paint(12)
        ('series-1', 'series-1')
    """
    return SERIES[index % len(SERIES)]


def family_paint(family: str) -> str:
    """Name of the colour of a feature family, the same on every page.

    A family that Quintet does not know has a colour that follows from its name.

    Example:
        >>> family_paint("tonal"), family_paint("chroma"), family_paint("new") == family_paint("new")
        ('series-3', 'series-3', True)
    """
    others = SERIES[len(FAMILIES) :]
    return (
        FAMILIES.get(family)
        or USUAL_FAMILIES.get(family)
        or others[zlib.crc32(family.encode()) % len(others)]
    )


def heat(share: float) -> tuple[str, str]:
    """Fill colour and text colour of a cell of a heat map.

    Args:
        share: the shade in [0, 1]; other values are clipped.

    Example:
        >>> heat(0.0)[0], heat(1.0)[0]
        ('#fdfdfb', '#0b4f8a')
    """
    step = round(min(max(share, 0.0), 1.0) * (HEAT_STEPS - 1))
    return colour(f"heat-{step}"), colour(f"on-heat-{step}")


def heat_paint(share: float) -> str:
    """Number of the step of the heat ramp for a share in [0, 1]: `heat-N`, with the text `on-heat-N`.

    Example:
        >>> heat_paint(0.0), heat_paint(0.52)
        ('heat-0', 'heat-5')
    """
    return f"heat-{round(min(max(share, 0.0), 1.0) * (HEAT_STEPS - 1))}"


def css_variables(theme: str) -> str:
    """Theme as CSS custom properties, for the braces of a rule."""
    return " ".join(f"--{name}: {value};" for name, value in THEMES[theme].items())


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Empty figure with constrained layout. It does not use pyplot, which has global state.

    Args:
        height: height in the figure's units.
        width: width in the figure's units.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    figure.patch.set_alpha(0.0)
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    return figure


def tidy(axes: Axes, *, grid: str = "") -> None:
    """Give axes the style of the page: no box, faint ticks, muted labels.

    Args:
        axes: the axes.
        grid: direction of the grid lines: `""` for none, `"x"`, `"y"` or `"both"`.
    """
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(colour("faint"))
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=colour("muted"), labelsize=10, length=3, width=0.8)
    axes.xaxis.label.set(color=colour("muted"), fontsize=10)
    axes.yaxis.label.set(color=colour("muted"), fontsize=10)
    axes.patch.set_alpha(0.0)
    if grid:
        axes.grid(axis=grid, color=colour("rule"), linewidth=0.7)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def to_svg(
    figure: Figure,
    prefix: str,
    alt: str,
    *,
    titles: Mapping[str, str] | None = None,
    min_width: int | None = None,
) -> str:
    """Figure as inline SVG: colours as CSS variables, text as text, ids unique on the page.

    The SVG has no width and no height: CSS gives them.

    Args:
        figure: a matplotlib figure drawn in the light theme's colours.
        prefix: start of every id, so that two figures of one page share none.
        alt: alternative text for readers who do not see the figure.
        titles: gid of an artist → text that appears on hover.
        min_width: width in px below which the page scrolls the figure instead of shrinking it.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a class with the name `$5` is not a formula
    buffer = io.StringIO()
    with (
        rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "svg.id": prefix}),
        warnings.catch_warnings(),
    ):
        # text stays text, so that the fonts of the reader draw it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    width, height = figure.get_size_inches() * 72
    body = re.sub(r"^.*?<svg[^>]*>", "", buffer.getvalue(), flags=re.S).rsplit("</svg>", 1)[0]
    body = _slim(body, prefix, titles or {})
    style = f' style="min-width:{min_width}px"' if min_width else ""
    attributes = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(alt)}"{style}'
    return f'<svg class="plot" {attributes}>{body}</svg>'


def _slim(body: str, prefix: str, titles: Mapping[str, str]) -> str:
    """SVG of matplotlib without the parts that the page does not need; sizes with two decimals."""
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = body.replace("xlink:href", "href")
    for gid, text in titles.items():
        body = body.replace(f'<g id="{gid}">', f'<g class="hot"><title>{html.escape(text)}</title>', 1)
    names: set[str] = set()
    for pair in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', body):
        names.update(pair)
    names.discard("")
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in names else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
    by_colour = {value: name for name, value in THEMES["light"].items()}
    body = re.sub(
        r"#[0-9a-f]{6}\b", lambda m: f"var(--{by_colour[m[0]]})" if m[0] in by_colour else m[0], body
    )
    body = re.sub(r"font: (\w+) ([\d.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r"; font-family: [^;\"]*| transform=\"rotate\(-?0 [^\"]*\"", "", body)
    body = re.sub(r'<path d="[^"]*" style="fill: none; opacity: 0"/>', "", body)
    body = re.sub(
        r'"[^"<>]*"', lambda attribute: re.sub(r"-?\d+\.\d{3,}", _shorten_number, attribute[0]), body
    )
    body = re.sub(r" ?\n(?=[^<>]*\")", " ", re.sub(r">\s+<", "><", body))
    for _ in range(3):
        body = body.replace("<g></g>", "").replace("<defs></defs>", "")
    return body.strip()


def _shorten_number(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def legend(axes: Axes, handles: Sequence[Artist] | None = None) -> None:
    """Draw a legend without a frame, in the ink of the page, at the best place inside of the axes.

    Args:
        axes: the axes.
        handles: artists with a label. Default: all artists of the axes.
    """
    if handles is None:
        handles = axes.get_legend_handles_labels()[0]
    axes.legend(handles=handles, frameon=False, fontsize=10, labelcolor=colour("ink"), handlelength=1.6)


def legend_above(
    axes: Axes,
    handles: Sequence[Artist] | None = None,
    *,
    columns: int,
    anchor: tuple[float, float] = (0, 1),
    loc: Literal["lower left", "lower center"] = "lower left",
    border: float = 0.4,
) -> None:
    """Draw a legend above the axes, without a frame and in the ink of the page.

    Args:
        axes: the axes.
        handles: artists with a label. Default: all artists of the axes.
        columns: number of entries side by side.
        anchor: place in the axes' coordinates.
        loc: corner of the legend at that place.
        border: padding around the legend, in font sizes.
    """
    if handles is None:
        handles = axes.get_legend_handles_labels()[0]
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=10,
        labelcolor=colour("ink"),
        handlelength=1.6,
        loc=loc,
        bbox_to_anchor=anchor,
        ncols=columns,
        columnspacing=1.2,
        handletextpad=0.2,
        borderpad=border,
    )
