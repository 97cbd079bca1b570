"""Mutated tags, plans, journals and genre maps: each is read or refused in one sentence; no song is lost."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from quintet.datasets import found_tags
from quintet.datasets.found_tags import read_tags, song_columns
from quintet.datasets.genre_map import GenreMap
from quintet.errors import QuintetError
from quintet.library.scanning import scan as scanning
from quintet.library.tags import plan as planning
from quintet.library.tags import writing
from quintet.library.tags.entries import FIELDS
from quintet.library.tags.plan_file import PlanRow, write_plan
from quintet.library.tags.rewriting import sound_digest
from quintet.library.tags.tag_file import open_tags
from quintet.library.tags.writing import apply_plan, undo
from tests.fuzz.model_folders import put, refusal
from tests.fuzz.mutations import choose, hostile_value, mutate_bytes, mutate_csv, mutate_json, mutate_toml
from tests.fuzz.target import Runner
from tests.library.tags.songs import FORMATS, add_tags, make_song

Rng = np.random.Generator
GENRES = """
only = ["Rock", "metal", "Hip-Hop"]
never = ["other"]
several = "sets"
least = 2
[map]
metal = ["viking metal", "Black-Metal"]
rock = ["prog", "metalcore"]
"viking metal" = ["folk metal"]
"""
TAG_BYTES = 4096
"""Bytes at the start and at the end of a song in which mutations fall most often."""
ID3_IN_BYTES = b"TIT2 TPE1 TCON TXXX COMM APIC TDRC USLT WXXX PRIV GEOB RVA2 MCDI SYLT TIPL".split()


def map_here(
    function: Callable[..., object], calls: Iterable[tuple[object, ...]], **_: object
) -> Iterator[object]:
    """Calls in this process, with the outcome as the pool of worker processes gives it."""
    for arguments in calls:
        try:
            yield function(*arguments)
        except Exception as error:  # noqa: BLE001  as the pool does
            yield error


@contextmanager
def in_this_process() -> Iterator[None]:
    """No worker processes as long as the block lasts: an error of a reader is seen, and a try is short."""
    with ExitStack() as stack:
        for module in (planning, scanning, writing):
            stack.enter_context(mock.patch.object(module, "map_isolated", map_here))
        yield


def prepare(seeds: Path) -> Runner:
    """Songs of every format with tags."""
    songs = []
    for suffix in FORMATS:
        song = make_song(seeds / f"song.{suffix}", seconds=0.1)
        add_tags(song)
        tags = open_tags(song)
        for field, values in {"genre": ("Rock", "Live"), "mood": ("calm",)}.items():
            tags.put(field, tags.encode(field, values, None))
        tags.save()
        songs.append(song)

    def run(rng: Rng, folder: Path) -> Counter[str]:
        seed = choose(rng, songs)
        target = folder / f"song{seed.suffix}"
        put(target, mutate_tags(seed.read_bytes(), rng))
        found = read_tags(str(target))
        song_columns(found.tags)
        n_characters = sum(len(tag.value) for tag in found.tags)
        if len(found.tags) > found_tags.MOST_VALUES or n_characters > found_tags.MOST_CHARACTERS:
            raise AssertionError(f"{len(found.tags)} values of {n_characters} characters")
        for tag in found.tags:
            "".join(map(str, tag)).encode()  # a table of texts takes them
        try:
            states(target)
        except QuintetError as error:
            return Counter([refusal(error)])
        return Counter(["problem" if found.problem else "read"])

    return run


def states(song: Path) -> None:
    """Fields as a plan and a journal have them."""
    tags = open_tags(song)
    for field in FIELDS:
        tags.state(field).to_json()
    tags.others(FIELDS)


def mutate_tags(data: bytes, rng: Rng) -> bytes:
    """A song with changed bytes near its tags: sizes, names of frames, encodings, texts."""
    kind = int(rng.integers(6))
    if kind == 0:
        return mutate_bytes(data, rng)
    if kind == 1:
        name = choose(rng, [name for name in ID3_IN_BYTES if name in data] or [data[:4]])
        return data.replace(name, choose(rng, ID3_IN_BYTES), 1)
    head = bool(rng.integers(3))
    part = data[:TAG_BYTES] if head else data[-TAG_BYTES:]
    part = mutate_bytes(part, rng)
    return part + data[TAG_BYTES:] if head else data[:-TAG_BYTES] + part


def prepare_maps(seeds: Path) -> Runner:
    """Genre maps."""
    songs = [["Rock; Viking metal"], ["metal"], ["rock", "Prog"], [], ["Hip Hop / Other"]]

    def run(rng: Rng, folder: Path) -> Counter[str]:
        target = folder / "genres.toml"
        put(target, mutate_toml(GENRES.encode(), rng))
        try:
            genres = GenreMap.read(target)
        except QuintetError as error:
            return Counter([refusal(error)])
        labels, notes = genres.labels(songs)
        if len(labels) != len(songs) or not all("\n" not in note for note in notes):
            raise AssertionError(f"{labels} {notes}")
        return Counter(["map"])

    return run


def prepare_plans(seeds: Path) -> Runner:
    """Plans and journals, carried out on songs."""
    songs = [
        make_song(seeds / f"{k}.{suffix}", seconds=0.05, seed=k)
        for k, suffix in enumerate(("wav", "flac", "mp3"))
    ]
    for song in songs:
        add_tags(song)
    sounds = {song.name: sound_digest(song) for song in songs}
    others = {song.name: open_tags(song).others(FIELDS) for song in songs}

    def run(rng: Rng, folder: Path) -> Counter[str]:
        music = folder / "music"
        music.mkdir()
        copies = [Path(shutil.copy(song, music)) for song in songs]
        rows = [
            PlanRow(song, field, "", (value,))
            for song in copies
            for field, value in (("genre", "Rock"), ("mood", "calm"))
        ]
        plan = folder / "plan.csv"
        write_plan(rows, plan)
        try:
            with in_this_process():
                word = carry_out(plan, rng)
        except QuintetError as error:
            word = refusal(error)
        for song in copies:
            if sound_digest(song) != sounds[song.name] or open_tags(song).others(FIELDS) != others[song.name]:
                raise AssertionError(f"{song} has changed")
        if len(list(music.iterdir())) != len(copies):
            raise AssertionError(f"a copy is left: {list(music.iterdir())}")
        return Counter([word])

    return run


def carry_out(plan: Path, rng: Rng) -> str:
    """Apply a mutated plan, or undo a mutated journal."""
    if rng.integers(2):
        put(plan, mutate_csv(plan.read_bytes().removeprefix(b"\xef\xbb\xbf"), rng))
        apply_plan(plan)
        return "applied"
    journal = apply_plan(plan).journal
    assert journal is not None
    put(journal, mutate_lines(journal.read_bytes(), rng))
    undo(journal)
    return "undone"


def mutate_lines(data: bytes, rng: Rng) -> bytes:
    """Lines of JSON, one of them mutated, doubled or moved."""
    lines = data.splitlines()
    place, kind = int(rng.integers(len(lines))), int(rng.integers(8))
    if kind == 0:
        return mutate_bytes(data, rng)
    if kind == 1:
        lines.insert(int(rng.integers(len(lines))), choose(rng, lines))
    elif kind == 2:
        lines[place] = json.dumps(hostile_value(rng)).encode("utf-8", "surrogatepass")
    else:
        lines[place] = mutate_json(lines[place], rng)
    return b"\n".join(lines) + b"\n"
