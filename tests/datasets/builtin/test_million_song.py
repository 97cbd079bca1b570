"""The Million Song Dataset with tagtraum's genres, on a miniature copy with the real layout."""

from __future__ import annotations

import pytest

from quintet.datasets.source import load_source
from quintet.errors import ConfigError, DatasetError

HEADER = "#############\n# Combined Dataset\n#\n# TrackId, majority genre, minority genre\n#############\n"
TRACKS = ("TRAAAAK128F9318786", "TRAAAAV128F421A322", "TRBIJMU12903CF892B", "TRZULQD128F1465697")


@pytest.fixture(params=["A/A/A/{0}.mp3", "{0}.mp3", "previews/{0}.m4a"])
def small(tmp_path, request):
    (tmp_path / "msd_tagtraum_cd2c.cls").write_text(
        f"{HEADER}{TRACKS[0]}\tRock\n{TRACKS[1]}\tRock\n{TRACKS[2]}\tNew Age\n"
    )
    (tmp_path / "msd_tagtraum_cd1.cls").write_text(
        f"{HEADER}{TRACKS[0]}\tRock\n{TRACKS[1]}\tPop_Rock\tPunk\n{TRACKS[3]}\tElectronic\n"
    )
    for track in (TRACKS[0], TRACKS[1], TRACKS[3]):
        path = tmp_path / request.param.format(track).replace("A/A/A", "/".join(track[2:5]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_genres_and_previews(small):
    manifest = load_source(f"million_song:{small}")
    rows = manifest.frame.set_index("id")
    assert (manifest.name, manifest.multilabel, manifest.grouped) == ("msd_tagtraum_cd2c", False, False)
    assert rows["label"].to_dict() == {TRACKS[0]: "Rock", TRACKS[1]: "Rock", TRACKS[2]: "New Age"}
    assert rows["problem"].isna().tolist() == [True, True, False]
    assert rows.loc[TRACKS[2], ["problem", "path"]].tolist() == [
        "no preview",
        str(small / f"B/I/J/{TRACKS[2]}.mp3"),
    ]
    assert manifest.ignored == ("1 audio files that are no annotated track",)


def test_two_genres_are_a_set(small):
    manifest = load_source(f"million_song@cd1:{small}")
    assert manifest.frame["label"].tolist() == ["Rock", "Pop_Rock;Punk", "Electronic"]
    assert (manifest.name, manifest.multilabel, len(manifest.usable)) == ("msd_tagtraum_cd1", True, 3)


def test_artists_are_groups(small):
    lines = [
        f"{TRACKS[0]}<SEP>SOMZWCG12A8C13C480<SEP>Björk<SEP>One",
        f"{TRACKS[1]}<SEP>SOCIWDW12A8C13D406<SEP>Björk<SEP>Two <SEP> Three",
    ]
    (small / "unique_tracks.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = load_source(f"million_song:{small}")
    assert manifest.grouped
    assert manifest.frame["group"].tolist() == ["artist Björk", "artist Björk", TRACKS[2]]


def test_errors_name_what_is_missing(small):
    with pytest.raises(DatasetError, match="million_song:/path"):
        load_source("million_song")
    with pytest.raises(DatasetError, match=r"has no msd_tagtraum_cd2\.cls: unpack.*tagtraum"):
        load_source(f"million_song@cd2:{small}")
    with pytest.raises(ConfigError, match="cd1, cd2, cd2c"):
        load_source(f"million_song@cd3:{small}")
    (small / "msd_tagtraum_cd2.cls").write_text(f"{TRACKS[0]},Rock\n")
    with pytest.raises(DatasetError, match=r"a track id, a tab and a genre.*TRAAAAK128F9318786,Rock"):
        load_source(f"million_song@cd2:{small}")
    (small / "msd_tagtraum_cd2.cls").write_text("TRAAAAA128F9318786\tRock\n")
    with pytest.raises(
        DatasetError, match=r"'A/A/A/TRAAAAA128F9318786\.mp3'.*has 3 audio files, none for the 1 tracks"
    ):
        load_source(f"million_song@cd2:{small}")
