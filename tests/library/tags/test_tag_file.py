"""Tags of every format: read, written and restored, with everything else as it was."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest
from mutagen.id3 import ID3, TCON, TIT2, TMOO

from quintet.library.tags.entries import TagError, require_writable, shown, split_values
from quintet.library.tags.tag_file import open_tags

from .songs import FORMATS, add_tags, make_song

VALUES = ("Folk Metal", "Jazz Ωmega")


def write(path: Path, field: str, values: tuple[str, ...], separator: str | None = None) -> None:
    tags = open_tags(path)
    tags.put(field, tags.encode(field, values, separator))
    tags.save()


def native_genres(path: Path) -> list[str]:
    """Genres as mutagen itself gives them, for a program that reads the file."""
    file = mutagen.File(path)
    for key in ("TCON", "genre", "Genre", "\xa9gen", "WM/Genre"):
        if key in file.tags.keys():  # noqa: SIM118  a Vorbis tag refuses keys of other formats
            found = file.tags[key]
            return [str(text) for text in (found.text if key == "TCON" else found)]
    return []


@pytest.mark.parametrize("suffix", FORMATS)
def test_two_genres_are_two_values_and_the_rest_stays(suffix, tmp_path):
    path = make_song(tmp_path / f"a.{suffix}")
    add_tags(path)
    before = open_tags(path)
    others = before.others(["genre"])
    assert len(others) >= 2
    assert before.state("genre").values == ()
    old = before.state("genre").entries

    write(path, "genre", VALUES)
    after = open_tags(path)
    assert after.state("genre").values == VALUES
    assert native_genres(path) == list(VALUES)
    assert after.others(["genre"]) == others
    assert after.state("bpm").values == ("97",)

    after.put("genre", old)
    after.save()
    assert native_genres(path) == []
    assert open_tags(path).others([]) == others


@pytest.mark.parametrize("suffix", FORMATS)
def test_mood_and_a_separator(suffix, tmp_path):
    path = make_song(tmp_path / f"a.{suffix}")
    others = open_tags(path).others([])
    write(path, "genre", VALUES, separator=" / ")
    write(path, "mood", ("happy",))
    tags = open_tags(path)
    assert native_genres(path) == ["Folk Metal / Jazz Ωmega"]
    assert tags.state("mood").values == ("happy",)
    tags.put("mood", ())
    tags.put("genre", ())
    tags.save()
    assert open_tags(path).others([]) == others


def test_id3v23_keeps_its_version_and_joins(tmp_path):
    path = make_song(tmp_path / "a.mp3")
    add_tags(path, id3_version=3)
    write(path, "genre", VALUES)
    write(path, "mood", ("happy", "calm"))
    raw = ID3(path, translate=False)
    assert raw.version == (2, 3, 0)
    assert raw["TCON"].text == ["Folk Metal; Jazz Ωmega"]
    assert raw["TXXX:MOOD"].text == ["happy; calm"]
    assert "TMOO" not in raw
    assert raw["TYER"].text == ["1994"]  # a translation to version 2.4 would lose it
    assert raw["TPE1"].text == ["A", "B"]  # and mutagen's own separator would join them
    assert open_tags(path).state("genre").values == VALUES


def test_numbers_of_genres_have_names(tmp_path):
    path = make_song(tmp_path / "a.mp3")
    tag = ID3()
    tag.add(TCON(encoding=0, text=["(17)(9)"]))
    tag.save(path, v2_version=3)
    state = open_tags(path).state("genre")
    assert state.values == ("Rock", "Metal")
    tags = open_tags(path)
    tags.put("genre", state.entries)
    tags.save()
    assert ID3(path, translate=False)["TCON"].text == ["(17)(9)"]


def test_id3v1_stays_to_the_byte(tmp_path):
    path = make_song(tmp_path / "a.mp3")
    version_1 = b"TAG" + b"Old title".ljust(30, b" ") + b"Me".ljust(60, b"\0") + b"1994" + bytes(30) + b"\x11"
    path.write_bytes(path.read_bytes() + version_1)
    before = path.read_bytes()
    tags = open_tags(path)
    state = tags.state("genre")
    assert state.values == ("Rock",)
    assert tags.is_new

    write(path, "genre", VALUES)
    assert path.read_bytes().endswith(version_1)
    tags = open_tags(path)
    assert tags.state("genre").values == VALUES
    assert str(tags.tags["TIT2"]) == "Old title"  # players that read version 2 only still have the title
    tags.put("genre", state.entries)
    assert tags.is_empty()
    tags.drop()
    assert path.read_bytes() == before


def test_vorbis_comments_keep_their_order_and_spelling(tmp_path):
    path = make_song(tmp_path / "a.flac")
    file = mutagen.File(path)
    pairs = [("Title", "x"), ("Genre", "Rock"), ("ARTIST", "y"), ("genre", "Pop")]
    file.tags[:] = pairs
    file.save()
    tags = open_tags(path)
    old = tags.state("genre").entries
    write(path, "genre", VALUES)
    new = [("Title", "x"), ("Genre", VALUES[0]), ("Genre", VALUES[1]), ("ARTIST", "y")]
    assert list(mutagen.File(path).tags) == new
    tags = open_tags(path)
    tags.put("genre", old)
    tags.save()
    assert list(mutagen.File(path).tags) == pairs


def test_asf_attributes_keep_their_order(tmp_path):
    path = make_song(tmp_path / "a.wma")
    write(path, "genre", ("Rock", "Pop"))
    write(path, "mood", ("calm",))
    names = [name for name, _ in mutagen.File(path).tags]
    old = open_tags(path).state("genre").entries
    write(path, "genre", ("Folk",))
    tags = open_tags(path)
    tags.put("genre", old)
    tags.save()
    assert [name for name, _ in mutagen.File(path).tags] == names
    assert native_genres(path) == ["Rock", "Pop"]


def test_a_mood_frame_of_version_24_is_read(tmp_path):
    path = make_song(tmp_path / "a.mp3")
    tag = ID3()
    tag.add(TMOO(encoding=3, text=["calm"]))
    tag.save(path)
    assert open_tags(path).state("mood").values == ("calm",)


def test_what_has_no_tags_is_refused(tmp_path):
    (tmp_path / "a.mp3").write_text("no music")
    with pytest.raises(TagError, match=r"a\.mp3"):
        open_tags(tmp_path / "a.mp3")
    tag = ID3()
    tag.add(TIT2(encoding=3, text=["\N{REPLACEMENT CHARACTER}"]))
    path = make_song(tmp_path / "b.mp3")
    tag.save(path)
    with pytest.raises(TagError, match="bytes that are none"):
        open_tags(path).others(["genre"])


def test_texts_of_fields():
    assert split_values(["Rock; Live;", "Folk\0Jazz"]) == ("Rock", "Live", "Folk", "Jazz")
    long = shown(["a" * 10_000_000])
    assert len(long) < 500
    assert long != shown(["a" * 9_999_999 + "b"])
    assert "\x1b" not in shown(["\x1b[2J"])
    for bad in ("a\x00b", "a\nb", "a\x9bb", "x" * 401, "\udce9"):
        with pytest.raises(TagError):
            require_writable([bad])
