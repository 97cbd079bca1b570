"""Colours that everybody can tell and read, and SVG that a page can hold many times."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest

from quintet.reports.style import (
    HEAT_STEPS,
    SERIES,
    THEMES,
    colour,
    contrast,
    css_variables,
    heat,
    new_figure,
    tidy,
    to_svg,
)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["page", "surface"])
def test_text_is_readable(theme: str, ground: str) -> None:
    colours = THEMES[theme]
    for name in ("ink", "muted", "accent", "good", "warn", "bad"):
        assert contrast(colours[name], colours[ground]) >= 4.5, name
    for name in SERIES:  # graphical objects: WCAG 1.4.11
        assert contrast(colours[name], colours[ground]) >= 3, name


@pytest.mark.parametrize("theme", THEMES)
def test_text_on_every_step_of_the_heat_ramp_is_readable(theme: str) -> None:
    for step in range(HEAT_STEPS):
        assert contrast(THEMES[theme][f"heat-{step}"], THEMES[theme][f"on-heat-{step}"]) >= 4.5
    ends = [THEMES[theme][f"heat-{step}"] for step in (0, HEAT_STEPS - 1)]
    assert contrast(*ends) > 5


def _seen_by(rgb: np.ndarray, lacking: str) -> np.ndarray:
    """Linear RGB as a dichromat sees it (Viénot, Brettel and Mollon 1999)."""
    matrices = {
        "red": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "green": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    }
    return np.asarray(matrices[lacking]) @ rgb


def _lab(colour_: str, lacking: str = "") -> np.ndarray:
    rgb = np.array([int(colour_[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = _seen_by(linear, lacking) if lacking else linear
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ np.clip(linear, 0, 1)
        / [0.9505, 1, 1.089]
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("lacking", ["", "red", "green"])
def test_the_first_two_series_differ_for_everybody(theme: str, lacking: str) -> None:
    a, b = (THEMES[theme][name] for name in SERIES[:2])
    assert np.linalg.norm(_lab(a, lacking) - _lab(b, lacking)) > 40


@pytest.mark.parametrize("theme", THEMES)
def test_no_two_series_are_the_same_colour(theme: str) -> None:
    assert (
        min(
            np.linalg.norm(_lab(THEMES[theme][a]) - _lab(THEMES[theme][b]))
            for a, b in combinations(SERIES, 2)
        )
        > 14
    )


def test_light_colours_are_unique_because_figures_are_recoloured_by_them() -> None:
    assert len(set(THEMES["light"].values())) == len(THEMES["light"])
    assert set(THEMES["light"]) == set(THEMES["dark"])
    assert "--ink: #e9ebee;" in css_variables("dark")


def _drawn(prefix: str) -> str:
    figure = new_figure(120)
    axes = figure.subplots()
    axes.plot([0, 1], [0.123456, 0.654321], "o-", color=colour("accent"), gid="dot")
    axes.fill([0, 1, 1], [0, 0, 1], color=heat(0.5)[0])
    axes.text(0.5, 0.5, "0.123456 & more")
    tidy(axes, grid="both")
    return to_svg(figure, prefix, 'says "this" & that', titles={"dot": "clip <1>"})


def test_svg_is_well_formed_themed_and_slim() -> None:
    svg = _drawn("a")
    root = ET.fromstring(svg)
    assert root.attrib["aria-label"] == 'says "this" & that'
    assert "width" not in root.attrib
    assert "var(--accent)" in svg
    assert "var(--heat-5)" in svg
    assert colour("accent") not in svg
    assert "0.123456 &amp; more" in svg  # a text is never rounded
    assert not re.search(r'"[^"<>]*\d\.\d{3,}[^"<>]*"', svg)  # a coordinate is
    assert "<title>clip &lt;1&gt;</title>" in svg
    assert not re.search(r"<metadata|<style|<\?xml|DOCTYPE|xlink|font-family", svg)


def test_two_figures_share_no_id_and_every_reference_is_kept() -> None:
    ids = [set(re.findall(r' id="([^"]+)"', _drawn(prefix))) for prefix in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]
    svg = _drawn("a")
    references = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    assert {name for pair in references for name in pair if name} == ids[0]
    assert _drawn("a") == _drawn("a")
