"""MagnaTagATune on a miniature copy with its real layout."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quintet.datasets.builtin.magnatagatune import load
from quintet.datasets.source import load_source
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.errors import ConfigError, DatasetError

SHARDS = "0123456789abcdef"


@pytest.fixture
def small(tmp_path):
    """60 tags. In every folder two clips of one track, one of another track, one without frequent tags."""
    tags = [f"tag {k:02d}" for k in range(60)]
    rng = np.random.default_rng(0)
    annotations, info = [], []
    for s, shard in enumerate(SHARDS):
        for k, (track, start) in enumerate([("01", 0), ("01", 29), ("02", 0), ("03", 0)]):
            clip, path = (
                10 * s + k + 2,
                f"{shard}/artist_{s // 2}-album_{s}-{track}-title-{start}-{start + 29}.mp3",
            )
            given = np.where(rng.random(60) < 0.3, 1, 0) * (np.arange(60) < 50)
            if track == "03":
                given[:] = 0
                given[59] = s < 1
            else:
                given[0] = 1
            annotations.append([clip, *given, path])
            info.append(
                [
                    clip,
                    int(track),
                    "Title",
                    f"Artist {s // 2}",
                    f"Album {s}",
                    f"page/artists/albums/sku{s}/",
                    start,
                    start + 29,
                    "x.mp3",
                    path,
                ]
            )
            (tmp_path / "mp3" / shard).mkdir(parents=True, exist_ok=True)
            (tmp_path / "mp3" / path).write_bytes(b"")
    columns = [
        "clip_id",
        "track_number",
        "title",
        "artist",
        "album",
        "url",
        "segmentStart",
        "segmentEnd",
        "original_url",
        "mp3_path",
    ]
    pd.DataFrame(annotations, columns=["clip_id", *tags, "mp3_path"]).to_csv(
        tmp_path / "annotations_final.csv", sep="\t", index=False, quoting=1
    )
    pd.DataFrame(info, columns=columns).to_csv(
        tmp_path / "clip_info_final.csv", sep="\t", index=False, quoting=1
    )
    return tmp_path


def test_labels_are_sets_of_frequent_tags(small):
    manifest = load_source(f"magnatagatune:{small}")
    table = pd.read_csv(small / "annotations_final.csv", sep="\t", index_col="clip_id")
    rows = manifest.frame.set_index("id")
    assert (len(manifest), manifest.name, manifest.multilabel, manifest.grouped) == (
        64,
        "magnatagatune",
        True,
        True,
    )
    assert set(manifest.classes) == {f"tag {k:02d}" for k in range(50)}
    for clip, label in rows["label"].dropna().items():
        assert set(label.split(";")) == {tag for tag in table.columns[:-1] if table.loc[int(clip), tag] == 1}
    assert rows.loc["2", "path"] == str(small / "mp3/0/artist_0-album_0-01-title-0-29.mp3")
    problems = rows["problem"].dropna()
    assert problems.unique().tolist() == ["none of the 50 most frequent tags"]
    assert problems.index.tolist() == [str(10 * s + 5) for s in range(16)]


def test_only_the_most_frequent_tags_are_kept(small):
    table = pd.read_csv(small / "annotations_final.csv", sep="\t")
    wanted = table.drop(columns=["clip_id", "mp3_path"]).sum().sort_values(ascending=False).index[:3]
    assert wanted[0] == "tag 00"
    assert set(load(small, n_tags=3).classes) == set(wanted)


def test_the_standard_split_is_by_folder(small):
    frame = load_source(f"magnatagatune:{small}").frame
    by_folder = (
        frame.assign(folder=frame["path"].str.extract(r"/mp3/(.)/")[0])
        .groupby("folder")["split"]
        .unique()
        .map(list)
    )
    assert by_folder.to_dict() == {
        s: ["train"] if s <= "b" else ["valid"] if s == "c" else ["test"] for s in SHARDS
    }
    usable = frame[frame["problem"].isna()]
    split = make_split(
        usable["id"],
        usable["label"],
        usable["group"],
        SplitSettings("given"),
        given=usable["split"],
        grouped=True,
    )
    assert (len(split.train), len(split.valid), len(split.test)) == (39, 3, 9)


@pytest.mark.parametrize(
    ("variant", "groups", "together"),
    [("", 16, True), ("@album", 16, True), ("@track", 48, False), ("@artist", 8, True)],
)
def test_groups(small, variant, groups, together):
    rows = load_source(f"magnatagatune{variant}:{small}").frame.set_index("id")
    assert rows["group"].nunique() == groups
    assert rows.loc["2", "group"] == rows.loc["3", "group"]
    assert (rows.loc["2", "group"] == rows.loc["4", "group"]) == together
    assert (rows.loc["2", "group"] == rows.loc["12", "group"]) == (variant == "@artist")
    assert rows["split"].isna().all() == (variant == "@artist")


def test_errors_name_what_is_missing(small):
    with pytest.raises(DatasetError, match="magnatagatune:/path"):
        load_source("magnatagatune")
    with pytest.raises(ConfigError, match="album, track, artist"):
        load_source(f"magnatagatune@song:{small}")
    (small / "mp3/0/artist_0-album_0-01-title-0-29.mp3").unlink()
    assert load_source(f"magnatagatune:{small}").frame["problem"][0] == "file not found"
    (small / "clip_info_final.csv").write_text("clip_id,site\n1,2\n")
    with pytest.raises(DatasetError, match="lacks url"):
        load_source(f"magnatagatune:{small}")
    (small / "annotations_final.csv").unlink()
    with pytest.raises(DatasetError, match=r"annotations_final\.csv' does not exist.*MagnaTagATune page"):
        load_source(f"magnatagatune:{small}")
    (small / "mp3").rename(small / "elsewhere")
    with pytest.raises(DatasetError, match=r"folders named 0 to f.*mp3\.zip\.001"):
        load_source(f"magnatagatune:{small}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_that_an_editor_has_saved(small, encoding):
    expected = load_source(f"magnatagatune:{small}").frame
    for name in ("annotations_final.csv", "clip_info_final.csv"):
        (small / name).write_text((small / name).read_text().replace("\t", ","), encoding)
    pd.testing.assert_frame_equal(load_source(f"magnatagatune:{small}").frame, expected)


def test_a_damaged_table(small):
    (small / "clip_info_final.csv").write_text('clip_id\turl\ttrack_number\n2\t"x\n')
    with pytest.raises(DatasetError, match=r"clip_info_final\.csv"):
        load_source(f"magnatagatune:{small}")
