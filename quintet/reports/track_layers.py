"""Layers over time of the page of one track: probabilities by window, and regions of the spectrogram."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.explanation.spectrogram.occlusion import cell_means
from quintet.explanation.track import NetworkExplanation, TrackPrediction
from quintet.files.display.names import printable
from quintet.model_folder.run import Run
from quintet.reports.figures.timeline import (
    Box,
    band_hz,
    loudness_picture,
    map_picture,
    on_time_axis,
    spans,
    stack_rectangles,
)
from quintet.reports.formats import format_signed, slug
from quintet.reports.section import Cell, Download, MiniTable
from quintet.reports.style import SERIES, paint
from quintet.reports.text import display_name

Floats = NDArray[np.float64]

MAX_SERIES = 5
"""Classes that have a colour of their own over time."""

MIN_PROBABILITY = 0.04
"""Mean probability from which on a class has a colour, a key and an explanation of its own."""

MIN_PEAK = 0.3
"""Probability in one window from which on a class has a colour in any case."""


@dataclass(frozen=True)
class Key:
    """Legend entry of a class.

    Args:
        name: the class.
        probability: its mean probability.
        paint: name of the CSS variable of its colour.
    """

    name: str
    probability: float
    paint: str


@dataclass(frozen=True)
class Plane:
    """A figure of probabilities over time.

    Args:
        name: the tag; empty for the figure of all classes.
        series: colour and rectangles of each class, from the bottom.
    """

    name: str
    series: tuple[tuple[str, list[Box]], ...]


@dataclass(frozen=True)
class TimeLayers:
    """Probabilities over time: one stacked plane, or one plane per tag for label sets.

    Args:
        planes: the figures.
        keys: the legend.
    """

    planes: tuple[Plane, ...]
    keys: tuple[Key, ...]


def shown_classes(track: TrackPrediction) -> list[int]:
    """Numbers of the classes with their own colour, the most probable first.

    These are all classes that lead a window, the two most probable ones, and others that matter.
    """
    leaders = leading_classes(track)
    chosen = []
    for place, k in enumerate(track.order):
        peak = track.curve[track.classes[k]].max()
        matters = track.probabilities[k] >= MIN_PROBABILITY or peak >= MIN_PEAK
        if place < 2 or k in leaders or (place < MAX_SERIES and matters):
            chosen.append(k)
    return chosen


def leading_classes(track: TrackPrediction) -> set[int]:
    """Numbers of the classes that have the highest probability in some window."""
    values = track.curve[list(track.classes)].to_numpy(dtype=float)
    return {int(k) for k in values.argmax(axis=1)} if len(values) else set()


def class_paints(numbers: Sequence[int]) -> dict[int, str]:
    """Class number → name of its colour, the one that it has on every page.

    Of two classes with the same colour, the second gets one that no other class of the figure has.

    Example:
        >>> class_paints([3, 0]), class_paints([0, 12])
        ({3: 'series-4', 0: 'series-1'}, {0: 'series-1', 12: 'series-2'})
    """
    result: dict[int, str] = {}
    for k in numbers:
        free = [paint(k), *SERIES]
        result[k] = next((name for name in free if name not in result.values()), paint(k))
    return result


def window_spans(track: TrackPrediction) -> list[tuple[float, float]]:
    """Start and end in seconds at which each window is shown."""
    starts, ends = (track.curve[column].astype(float).tolist() for column in ("start", "end"))
    return spans(starts, ends, track.duration_s)


def time_layers(track: TrackPrediction) -> TimeLayers:
    """Ensemble prediction over time as rectangles."""
    chosen = shown_classes(track)
    names = [track.classes[k] for k in chosen]
    shares = track.curve[names].to_numpy(dtype=float)
    windows = window_spans(track)
    paints_of = class_paints(chosen)
    keys = [Key(track.classes[k], float(track.probabilities[k]), paints_of[k]) for k in chosen]
    if track.multilabel:
        planes = []
        for place, key in enumerate(keys):
            (bars,) = stack_rectangles(windows, shares[:, [place]], track.duration_s)
            planes.append(Plane(key.name, ((key.paint, bars),)))
        return TimeLayers(tuple(planes), tuple(keys))
    rest = np.maximum(1 - shares.sum(axis=1, keepdims=True), 0)
    boxes = stack_rectangles(windows, np.hstack([shares, rest]), track.duration_s)
    paints = [*(key.paint for key in keys), "rule"]
    if len(chosen) < len(track.classes):
        remainder = max(0.0, 1.0 - float(track.probabilities[chosen].sum()))
        keys.append(Key("others", remainder, "rule"))
    return TimeLayers((Plane("", tuple(zip(paints, boxes, strict=True))),), tuple(keys))


def leaders_json(track: TrackPrediction) -> str:
    """Most probable class of each window as JSON, for the line below the audio.

    Windows that are too short to count say nothing: then it is the prediction for the whole track. The text
    is safe inside of a script element.
    """
    if track.has_short_windows:
        k = track.order[0]
        whole = {"from": 0.0, "to": round(track.duration_s, 2), "name": printable(track.classes[k])}
        return json.dumps([whole | {"p": round(float(track.probabilities[k]), 2)}]).replace("<", "\\u003c")
    values = track.curve[list(track.classes)].to_numpy()
    leaders = []
    for (start, end), row in zip(window_spans(track), values, strict=True):
        name = printable(track.classes[int(row.argmax())])
        leader = {"from": round(start, 2), "to": round(end, 2), "name": name, "p": round(float(row.max()), 2)}
        leaders.append(leader)
    return json.dumps(leaders).replace("<", "\\u003c")


def track_loudness(track: TrackPrediction) -> str:
    """Spectrogram of the whole track as a data URI."""
    every = range(len(track.pictures))
    return loudness_picture(_on_track(track, track.pictures, every))


def _on_track(
    track: TrackPrediction, parts: Sequence[NDArray[np.floating]], segments: Sequence[int]
) -> Floats:
    """Maps of some segments on the time axis of the track."""
    starts = [track.starts[i] for i in segments]
    ends = [track.ends[i] for i in segments]
    return on_time_axis(parts, starts, ends, track.duration_s)


@dataclass(frozen=True)
class Moment:
    """Bar of a stripe of time, in percent of its figure.

    Args:
        x: left edge.
        width: width.
        y: top edge.
        height: height.
        value: probability that the stripe adds.
    """

    x: float
    width: float
    y: float
    height: float
    value: float


@dataclass(frozen=True)
class NetworkLayers:
    """Regions of the spectrogram on which one network relied.

    Args:
        name: id of the network on the page.
        title: its display name.
        class_name: the explained class.
        probability: probability that the network gives to the class.
        covered: what covering a region takes away, as a data URI.
        largest: largest change by covering one region.
        cam: Grad-CAM as a data URI; None for a network without convolutions.
        bands: contribution of each stripe of frequencies, as a table.
        moments: contribution of each stripe of time, as bars.
        largest_moment: largest size of these contributions.
        weight: share of the network in the weights of the ensemble.
        disagrees: whether the network itself prefers another class.
        own_class: the class that the network prefers.
        n_segments: number of segments that were covered.
        is_complete: whether these are all segments of the track.
        downloads: the numbers.
    """

    name: str
    title: str
    class_name: str
    probability: float
    covered: str
    largest: float
    cam: str | None
    bands: MiniTable
    moments: tuple[Moment, ...]
    largest_moment: float
    weight: float
    disagrees: bool
    own_class: str
    n_segments: int
    is_complete: bool
    downloads: tuple[Download, ...]


def network_layers(track: TrackPrediction, network: NetworkExplanation, run: Run) -> NetworkLayers:
    """Layers of one network over the spectrogram, and its stripes of frequencies and of time."""
    edges = band_hz(track.log_mel, network.occlusions[0].band_edges)
    bands = pd.DataFrame(edges, columns=["low", "high"]).assign(value=network.bands.astype(float))
    times = moment_table(track, network)
    largest_moment = float(times["value"].abs().max()) if len(times) else 0.0
    name = slug(network.name)
    own = int(track.members[network.name].mean(axis=0).argmax())
    downloads = (
        Download(f"{name}-cells", cell_table(track, network, edges)),
        Download(f"{name}-times", times, "By moment"),
        Download(f"{name}-bands", bands),
    )
    return NetworkLayers(
        name=name,
        title=display_name(network.name, run),
        class_name=track.classes[network.column],
        probability=network.probability,
        covered=_covered_picture(track, network),
        largest=float(max(np.abs(occlusion.cells).max() for occlusion in network.occlusions)),
        cam=_cam_picture(track, network),
        bands=_band_block(bands),
        moments=tuple(_moments(track, times, largest_moment or 1.0)),
        largest_moment=largest_moment or 1.0,
        weight=run.member_shares.get(network.name, 0.0),
        disagrees=_disagrees(track, network, own),
        own_class=track.classes[own],
        n_segments=len(network.segments),
        is_complete=len(network.segments) == len(track.starts),
        downloads=downloads,
    )


def _disagrees(track: TrackPrediction, network: NetworkExplanation, own: int) -> bool:
    """Whether the network gives the explained class less than another class, or a tag less than one half."""
    if track.multilabel:
        return network.probability < 0.5 <= float(track.probabilities[network.column])
    return own != network.column


def _covered_picture(track: TrackPrediction, network: NetworkExplanation) -> str:
    maps = []
    for occlusion in network.occlusions:
        rows = np.repeat(occlusion.cells, np.diff(occlusion.band_edges), axis=0)
        maps.append(np.repeat(rows, np.diff(occlusion.frame_edges), axis=1))
    return map_picture(_on_track(track, maps, network.segments))


def _cam_picture(track: TrackPrediction, network: NetworkExplanation) -> str | None:
    """Grad-CAM of each segment, weighted by the probability of the class there."""
    if network.cams is None:
        return None
    pairs = zip(network.cams, network.occlusions, strict=True)
    maps = [cam * occlusion.probability for cam, occlusion in pairs]
    return map_picture(_on_track(track, maps, network.segments))


def _band_block(bands: pd.DataFrame) -> MiniTable:
    """Contribution of each stripe of frequencies, the highest first."""
    largest = float(bands["value"].abs().max()) or 1.0
    rows = []
    for low, high, value in bands[::-1].itertuples(index=False):
        rows.append((f"{low:.0f} – {high:.0f} Hz", signed_cell(value, largest)))
    return MiniTable("By frequency", tuple(rows), is_code=False)


def signed_cell(value: float, largest: float, digits: int = 2, *, factor: float = 1.0) -> Cell:
    """Cell of a contribution with a bar to the right (for) or to the left (against).

    Args:
        value: the contribution.
        largest: contribution with the longest bar.
        digits: digits of the text.
        factor: factor of the text, for example 100 for percent.
    """
    kind = "signed against" if value < 0 else "signed"
    share = 0.3 * abs(value) / largest
    return Cell(format_signed(factor * value, digits), sort=repr(float(value)), share=share, kind=kind)


def moment_table(track: TrackPrediction, network: NetworkExplanation) -> pd.DataFrame:
    """Contribution of each stripe of time: `start, end` in seconds of the track, `value`."""
    rows = []
    shown = spans(track.starts, track.ends, track.duration_s)
    for i, occlusion in zip(network.segments, network.occlusions, strict=True):
        edges = _stripe_edges(track, i, occlusion.frame_edges)
        edges = np.clip(edges, *shown[i])  # overlapping segments meet in the middle
        for (start, end), value in zip(pairwise(edges), occlusion.times, strict=True):
            if end > start:
                rows.append((float(start), float(end), float(value)))
    return pd.DataFrame(rows, columns=["start", "end", "value"])


def _stripe_edges(track: TrackPrediction, segment: int, frame_edges: NDArray[np.int64]) -> Floats:
    """Edges of the stripes of time of one segment, in seconds of the track."""
    length = track.ends[segment] - track.starts[segment]
    return np.asarray(track.starts[segment] + frame_edges / frame_edges[-1] * length)


def _moments(track: TrackPrediction, times: pd.DataFrame, largest: float) -> list[Moment]:
    """Bars of the stripes of time: upwards for positive values, downwards for negative values."""
    bars = []
    for start, end, value in times.itertuples(index=False):
        height = round(48 * abs(value) / largest, 2)
        x = round(100 * start / track.duration_s, 3)
        width = round(94 * (end - start) / track.duration_s, 3)
        top = round(50 - height, 2) if value >= 0 else 50
        bars.append(Moment(x, width, top, height, value))
    return bars


def cell_table(
    track: TrackPrediction, network: NetworkExplanation, edges: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """One row per region: `low_hz, high_hz, start, end, value`, and the mean `grad_cam` if there is one.

    Args:
        track: the track.
        network: the explained network.
        edges: lowest and highest frequency of each stripe, in Hz.
    """
    rows = []
    for place, (i, occlusion) in enumerate(zip(network.segments, network.occlusions, strict=True)):
        times = _stripe_edges(track, i, occlusion.frame_edges)
        cam = None if network.cams is None else cell_means(network.cams[place], occlusion)
        for b, t in np.ndindex(occlusion.cells.shape):
            low, high = edges[b]
            row = {"low_hz": low, "high_hz": high, "start": times[t], "end": times[t + 1]}
            row["value"] = occlusion.cells[b, t]
            if cam is not None:
                row["grad_cam"] = cam[b, t]
            rows.append(row)
    return pd.DataFrame(rows)
