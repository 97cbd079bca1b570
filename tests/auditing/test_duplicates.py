from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from quintet.audio.decode import ClipSource
from quintet.audio.resample import resample
from quintet.auditing import duplicates
from quintet.auditing.clip_facts import measure_clips
from quintet.auditing.duplicates import (
    _neighbours,
    find_equal_digests,
    find_equal_rows,
    find_same_recordings,
    join_groups,
)

VARIANTS = ("mp3", "ogg", "flac22", "up6", "down6", "begin", "end")


def write_variant(folder: Path, name: str, samples: NDArray[np.float64], variant: str) -> ClipSource:
    """One copy of a recording as a file."""
    cut = len(samples) // 10
    gain = {"up6": 2.0, "down6": 0.5}.get(variant, 1.0)
    part = {"begin": samples[cut:], "end": samples[:-cut]}.get(variant, np.clip(gain * samples, -1, 1))
    rate = 22050 if variant == "flac22" else 44100
    path = folder / f"{name}.{variant}.{variant if variant in ('mp3', 'ogg') else 'flac'}"
    soundfile.write(path, resample(part, orig_sr=44100, target_sr=rate), rate)
    return ClipSource(str(path), id=path.name)


def same_recordings(places: list[ClipSource]) -> pd.DataFrame:
    measurements = measure_clips(places, fingerprints=True)
    assert [one.problem for one in measurements] == [None] * len(places)
    return find_same_recordings(
        places, [one.fingerprint for one in measurements if one.fingerprint is not None]
    )


SLOW_VARIANTS = ("flac22", "down6", "begin", "ogg", "up6")


@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_VARIANTS else name for name in VARIANTS],
)
def test_every_copy_is_a_pair_with_its_original_only(
    variant: str, sounds: dict[str, NDArray[np.float64]], tmp_path: Path
) -> None:
    places = [
        write_variant(tmp_path, name, samples, kind)
        for name, samples in sounds.items()
        for kind in ("original", variant)
    ]
    pairs = same_recordings(places)
    recordings = [
        (a.split(".")[0], b.split(".")[0]) for a, b in zip(pairs["first"], pairs["second"], strict=True)
    ]
    assert sorted(recordings) == sorted((name, name) for name in sounds)
    expected = {"begin": 0.1}.get(variant, 0.0)
    for (name, _), shift in zip(recordings, pairs["shift_s"], strict=True):
        assert shift == pytest.approx(expected * len(sounds[name]) / 44100, abs=0.03)


def test_equal_digests_pair_with_the_first() -> None:
    pairs = find_equal_digests(pd.Series({"a": "x", "b": "y", "c": "x", "d": "x", "e": None}))
    assert pairs[["first", "second"]].to_numpy().tolist() == [["a", "c"], ["a", "d"]]


def test_equal_rows_equal_brute_force() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 12)) * 10.0 ** rng.integers(-3, 4, 12)
    values[:, 3] = 7.0  # does not vary
    values[40] = values[3]
    values[41] = values[3] + 1e-5 * values.std(axis=0)
    values[42] = values[5] + np.eye(12)[0] * 1e-2 * values.std(axis=0)  # one column is off
    table = pd.DataFrame(values, index=[f"t{k}" for k in range(60)])
    close = []
    for j in range(60):
        differences = np.abs(values[:j] - values[j])
        is_close = (differences <= 2e-5 * values.std(axis=0)).all(axis=1)
        close += [(int(i), j) for i in np.flatnonzero(is_close)]
    assert close == [(3, 40), (3, 41), (40, 41)]
    assert find_equal_rows(table)[["first", "second"]].to_numpy().tolist() == [["t3", "t40"], ["t3", "t41"]]


def copied(n: int = 60, d: int = 3, digits: int = 4) -> pd.DataFrame:
    """Numbers of which the last third are those of the first."""
    values = np.random.default_rng(0).normal(size=(n, d)).round(digits)
    values[2 * n // 3 :] = values[: n - 2 * n // 3]
    return pd.DataFrame(values, index=[f"t{k}" for k in range(n)])


def test_exact_copies_of_few_numbers_are_found() -> None:
    table = copied()
    assert find_equal_rows(table)[["first", "second"]].to_numpy().tolist() == [
        [f"t{k}", f"t{k + 40}"] for k in range(20)
    ]
    table.iloc[59, 0] += 1e-3
    assert len(find_equal_rows(table)) == 19


@pytest.mark.parametrize(
    "table",
    [
        copied(d=1),
        copied(digits=0),
        copied(d=1).assign(twice=lambda frame: 2 * frame[0], cube=lambda frame: frame[0] ** 3),
        pd.DataFrame(np.random.default_rng(0).integers(0, 9, size=(60, 3))).set_axis(list(range(60)), axis=0),
    ],
)
def test_rows_that_may_be_equal_by_chance_are_no_copies(table: pd.DataFrame) -> None:
    assert find_equal_rows(table).empty


def test_equal_rows_of_few_numbers_prove_nothing() -> None:
    table = pd.DataFrame(np.ones((4, 7)) * [[1], [1], [2], [3]], index=list("abcd"))
    assert find_equal_rows(table).empty
    assert find_equal_rows(pd.DataFrame(np.ones((4, 20)), index=list("abcd"))).empty


def test_neighbours_are_near_in_every_column() -> None:
    rows, tolerance = np.random.default_rng(0).normal(size=(80, 3)), np.array([0.5, 0.3, 0.2])
    near = (np.abs(rows[:, None] - rows[None]) <= tolerance).all(axis=2)
    first = {b: min(np.flatnonzero(near[:b, b])) for b in range(80) if near[:b, b].any()}
    assert len(first) > 3
    assert _neighbours(rows, tolerance) == sorted((a, b) for b, a in first.items())


def test_groups_are_connected_components() -> None:
    ids = [f"t{k}" for k in range(8)]
    pairs = pd.DataFrame({"first": ["t0", "t5", "t1"], "second": ["t5", "t1", "t7"]})
    groups = join_groups(ids, pairs)
    assert groups.to_dict() == {**{k: k for k in ids}, "t5": "t0", "t1": "t0", "t7": "t0"}


def test_duplicates_join_the_groups_of_the_source() -> None:
    known = {"a": "ann", "b": "ann", "c": "bob", "d": "bob", "e": "eve"}
    pairs = pd.DataFrame({"first": ["b"], "second": ["c"]})
    assert join_groups(list("abcde"), pairs, known=known).tolist() == ["ann", "ann", "ann", "ann", "eve"]
    assert join_groups(list("abcde"), pairs[:0], known=known).to_dict() == known


@pytest.mark.parametrize("swapped", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_of_a_long_pair_only_what_both_share_is_aligned(
    swapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An excerpt of 25 s from second 10 on, of which six seconds and the margins are read."""
    rng = np.random.default_rng(5)
    notes = np.sin(np.cumsum(np.repeat(rng.uniform(0.05, 0.6, 160), 4000)))  # 40 s at 16 kHz
    whole = 0.3 * notes * np.tile(np.linspace(1, 0.1, 4000), 160) + 0.01 * rng.normal(size=len(notes))
    soundfile.write(tmp_path / "whole.flac", whole, 16000)
    soundfile.write(tmp_path / "part.mp3", 0.5 * whole[160_000:560_000], 16000)
    names = ["part.mp3", "whole.flac"] if swapped else ["whole.flac", "part.mp3"]
    sources = [ClipSource(str(tmp_path / name), id=name) for name in names]
    found = measure_clips(sources, fingerprints=True)
    prints = [one.fingerprint for one in found if one.fingerprint is not None]
    durations_s = [one.facts["duration_s"] for one in found if one.facts is not None]
    at_once = find_same_recordings(sources, prints)
    read: list[ClipSource] = []
    monkeypatch.setattr(duplicates, "LONG_S", 30.0)
    monkeypatch.setattr(duplicates, "SHARED_S", 6.0)
    real = duplicates._load_isolated
    monkeypatch.setattr(duplicates, "_load_isolated", lambda source: read.append(source) or real(source))
    in_part = find_same_recordings(sources, prints, durations_s)
    assert len(in_part) == len(at_once) == 1
    assert in_part["shift_s"][0] == pytest.approx(-10 if swapped else 10, abs=0.06)
    assert in_part["shift_s"][0] == pytest.approx(at_once["shift_s"][0], abs=0.002)
    assert in_part["agreement"][0] > 0.9
    assert all(7.9 < source.end_s - source.start_s < 8.1 for source in read if source.end_s is not None)
    assert len(read) == 2
