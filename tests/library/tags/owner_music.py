"""Music as an owner has it: six formats on two drives, tags of every kind, covers, copies, broken files.

The recordings are real ones where they are (`../shared/data`, and the folder of GTZAN excerpts that the
environment variable QUINTET_GTZAN names), else pieces of the demo corpus. Labels are the genres.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import mutagen
import numpy as np
from mutagen.apev2 import APEv2File
from mutagen.asf import ASF
from mutagen.id3 import COMM, RVA2, TALB, TCMP, TCON, TDRC, TIT2, TPE1, TPE2, TRCK, TXXX, USLT
from mutagen.mp4 import MP4

from quintet.audio.decode import load_clip
from quintet.datasets.demo.corpus import render_demo
from quintet.datasets.folder import audio_files
from quintet.library.tags.tag_file import open_tags

from .songs import add_tags, encode_song

SHARED = Path(__file__).parents[3] / "../shared/data"
FORMATS = ("mp3", "flac", "ogg", "m4a", "wma", "wv")
RATE = 44100
LONGEST_S = 12.0
ODD_NAMES = (
    "=1+1|x",
    "'n' roll",
    " blank ",
    "日本",
    "a;b, c",
    "new\nline",
    "-rf",
    "x" * 200,
    "Ünï—cødé",
    "%20#?",
)
VERSION_1 = b"TAG" + b"Old title".ljust(30, b" ") + bytes(90) + b"1994\x11"
HOSTILE = "<script>alert(1)</script>\x1b[2J"


class Recording(NamedTuple):
    """A recording: its file, its genre, and who made it."""

    file: Path
    genre: str
    artist: str


class Music(NamedTuple):
    """The music of an owner.

    Args:
        drives: the two folders.
        songs: files that can be played.
        genres: of each song, also where its tags do not say it.
        others: broken files, pictures and texts.
    """

    drives: tuple[Path, Path]
    songs: list[Path]
    genres: dict[Path, str]
    others: list[Path]

    @property
    def files(self) -> list[Path]:
        """All files."""
        return [*self.songs, *self.others]


def recordings(work: Path) -> tuple[str, list[Recording]]:
    """Where they are from, and recordings in turn of their genres."""
    folders = [SHARED / name for name in ("instruments", "esc10")]
    gtzan = os.environ.get("QUINTET_GTZAN")
    if not all(folder.is_dir() for folder in folders):
        render_demo(work / "demo")
        return "demo corpus", _in_turn(_of_folder(work / "demo"))
    excerpts = [] if gtzan is None else _in_turn(_of_folder(Path(gtzan)))[:260]
    others = _in_turn(list(chain.from_iterable(map(_of_folder, folders))))
    kept = set([one.genre for one in others][:12] if gtzan else [one.genre for one in others])
    return "real recordings", [*excerpts, *(one for one in others if one.genre in kept)]


def _of_folder(folder: Path) -> list[Recording]:
    """Recordings in a folder per genre; four of the same genre have an artist."""
    found = []
    for k, file in enumerate(audio_files(folder)):
        genre = file.parent.name.replace("_", " ")
        found.append(Recording(file, genre, f"{genre} artist {k // 4}"))
    return found


def _in_turn(found: list[Recording]) -> list[Recording]:
    by_genre = defaultdict(list)
    for one in found:
        by_genre[one.genre].append(one)
    return [one for row in zip_longest(*by_genre.values()) for one in row if one is not None]


def make_music(drives: tuple[Path, Path], found: list[Recording], n_files: int) -> Music:
    """Files of all formats and kinds of tags.

    One file in nine is a copy, the half of them in another format; one in twenty is no song. The other
    recordings are used in their order, the second time from another moment on.
    """
    n_others = n_files // 20
    n_copies = n_files // 9
    n_songs = n_files - n_others - n_copies
    music = Music(drives, [], {}, [])
    places: Iterator[int] = iter(range(n_files))
    for k in range(n_songs):
        one = found[k % len(found)]
        path = _place(drives, one, next(places), FORMATS[k % len(FORMATS)])
        encode_song(path, _samples(one.file, from_share=0.3 * (k // len(found))), RATE)
        _dress(path, one, k)
        _add(music, path, one.genre)
    for k in range(n_copies):
        original = music.songs[7 * k % n_songs]
        suffix = original.suffix if k % 2 else f".{FORMATS[(FORMATS.index(original.suffix[1:]) + 1) % 6]}"
        path = drives[(k + 1) % 2] / "copies" / f"{original.stem} copy{suffix}"
        path.parent.mkdir(exist_ok=True)
        if k % 2:
            shutil.copy2(original, path)
        else:
            encode_song(path, _samples(original), RATE)
            add_tags(path)
        _add(music, path, music.genres[original])
    music.others.extend(_no_songs(music, n_others))
    return music


def _add(music: Music, path: Path, genre: str) -> None:
    music.songs.append(path)
    music.genres[path] = genre


def _place(drives: tuple[Path, Path], one: Recording, number: int, suffix: str) -> Path:
    odd = ODD_NAMES[number // 3 % len(ODD_NAMES)] if number % 3 == 0 else "song"
    folder = drives[number % 2] / one.artist / f"Album {number % 3}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{odd} {number}.{suffix}"


def _samples(file: Path, *, from_share: float = 0.0) -> np.ndarray:
    """Stereo samples `(frames, 2)`, at most `LONGEST_S`."""
    samples = load_clip(file, sample_rate=RATE).clip.samples
    samples = samples[int(from_share * len(samples)) :][: int(LONGEST_S * RATE)]
    return np.ascontiguousarray(np.stack([samples, 0.9 * samples], axis=1).astype(np.float32))


def _dress(path: Path, one: Recording, k: int) -> None:
    """Tags of one of eight kinds: none, all but a genre, a genre, several, hostile, old versions, large."""
    kind = k // len(FORMATS) % 8
    if kind == 0:
        return
    add_tags(path, id3_version=3 if kind == 5 else 4)
    _write_names(path, one, k)
    tags = open_tags(path)
    if kind in (2, 3, 5, 6):
        genres = [one.genre, "live"] if kind == 3 and k % 5 == 0 else [one.genre]
        tags.put("genre", tags.encode("genre", genres, None))
    if kind == 3:
        tags.put("mood", tags.encode("mood", ["calm", "late"], None))
    if kind == 4:
        tags.put("mood", tags.encode("mood", ["=cmd|' /C calc'!A0", HOSTILE], None))
    tags.save()
    if path.suffix == ".mp3" and kind == 6:
        path.write_bytes(path.read_bytes() + VERSION_1)


def _write_names(path: Path, one: Recording, k: int) -> None:
    """Title, artist, album, year, track and what other programs leave: lyrics, gains, identifiers."""
    file = mutagen.File(path)
    title, album = f"Tune {k} of {one.artist}", f"Album {k % 3}"
    if path.suffix == ".mp3":
        version = file.tags.version[1]
        frames = [
            TIT2(1, title),
            TPE1(1, [one.artist]),
            TPE2(1, [one.artist]),
            TALB(0, album),
            TDRC(3, "1999"),
        ]
        frames += [TRCK(0, f"{k % 12}/12"), TXXX(3, "MusicBrainz Album Id", [f"{k:032x}"]), TCMP(0, "0")]
        frames += [
            USLT(1, "eng", "", "la\nla 🎵"),
            RVA2("track", 1, -6.4, 0.9),
            COMM(0, "deu", "Notiz", "ja"),
        ]
        for frame in frames:
            file.tags.add(frame)
        if k % 48 == 42:  # ID3v1 numbers in an ID3v2 frame
            file.tags.add(TCON(0, "(17)"))
        if version == 3:
            file.tags.update_to_v23()
        file.tags.save(path, v2_version=version, v23_sep=None)
        return
    if isinstance(file, MP4):
        file.update({"\xa9nam": [title], "\xa9ART": [one.artist], "aART": [one.artist], "\xa9alb": [album]})
        file.update({"\xa9day": ["1999"], "trkn": [(k % 12, 12)], "cpil": False, "\xa9lyr": ["la\nla"]})
        file["----:com.apple.iTunes:MusicBrainz Album Id"] = [f"{k:032x}".encode()]
    elif isinstance(file, ASF):
        file.update(
            {"Title": title, "Author": one.artist, "WM/AlbumArtist": one.artist, "WM/AlbumTitle": album}
        )
        file.update({"WM/Year": "1999", "WM/TrackNumber": str(k % 12), "MusicBrainz/Album Id": f"{k:032x}"})
    elif isinstance(file, APEv2File):
        file.update({"Title": title, "Artist": one.artist, "Album Artist": one.artist, "Album": album})
        file.update({"Year": "1999", "Track": f"{k % 12}/12", "REPLAYGAIN_TRACK_GAIN": "-6.40 dB"})
    else:
        file.update({"title": title, "artist": one.artist, "albumartist": one.artist, "album": album})
        file.update({"date": "1999", "tracknumber": str(k % 12), "replaygain_track_gain": "-6.40 dB"})
    file.save()


def _no_songs(music: Music, number: int) -> list[Path]:
    """Broken songs, empty ones, pictures and texts."""
    made = []
    for k in range(number):
        song = music.songs[k * 5 % len(music.songs)]
        path = music.drives[k % 2] / f"broken {k}{song.suffix}"
        content = song.read_bytes()
        if k % 4 == 0:
            path = path.with_name(f"cover {k}.jpg")
            path.write_bytes(b"\xff\xd8" + bytes(100))
        elif k % 4 == 1:
            path.write_bytes(content[: 40 + k])
        elif k % 4 == 2:
            path.write_bytes(b"")
        else:
            path.write_bytes(bytes(np.random.default_rng(k).integers(0, 256, 5000, np.uint8)))
        made.append(path)
    return made


def counted(music: Music) -> str:
    """What is in it, in one line."""
    kinds = Counter(path.suffix for path in music.songs)
    formats = ", ".join(f"{count} {suffix[1:]}" for suffix, count in kinds.most_common())
    return f"{len(music.songs)} songs ({formats}), {len(music.others)} other files"
