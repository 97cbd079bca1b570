"""Published datasets, on miniature copies with their real layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.datasets import load_source
from quintet.datasets.gtzan import GENRES, REPETITIONS
from quintet.datasets.splits import make_split
from quintet.errors import DatasetError


@pytest.fixture(params=["genres/{g}/{g}.{k:05d}.au", "Data/genres_original/{g}/{g}.{k:05d}.wav"])
def gtzan(tmp_path, request):
    """Three tracks of each genre, and those that stand twice."""
    for g in GENRES:
        for k in {0, 1, 54, *(int(name.split(".")[1]) for pair in REPETITIONS.items() for name in pair if name.startswith(g))}:
            path = tmp_path / request.param.format(g=g, k=k)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    return tmp_path


class TestGtzan:
    def test_tracks_genres_and_repetitions(self, gtzan):
        manifest = load_source(f"gtzan:{gtzan}")
        rows = manifest.frame.set_index("id")
        assert manifest.classes == GENRES
        assert manifest.name == "gtzan"
        assert not manifest.grouped
        assert rows.loc["blues.00000", "group"] == "blues.00000"
        assert rows.loc["rock.00016", "group"] == rows.loc["metal.00058", "group"] == "metal.00058"
        assert len(REPETITIONS) == 14
        assert manifest.frame["group"].nunique() == len(manifest) - 14
        assert manifest.frame["split"].isna().all()

    def test_lists_beside_the_audio(self, gtzan):
        (gtzan / "splits").mkdir()
        for part, k in (("train", 0), ("valid", 1), ("test", 54)):
            lines = [f"{g}.{k:05d},{g}" for g in GENRES]
            (gtzan / "splits" / f"filtered_{part}.csv").write_text("\n".join(["track,label", *lines]))
        lines = [f"{g}.{k:05d},{g},{g}{k}" for g in GENRES for k in (0, 1, 54)]
        (gtzan / "splits/artist_fold1_test.csv").write_text("\n".join(["track,label,group", *lines]))
        manifest = load_source(f"gtzan:{gtzan}")
        rows = manifest.frame.set_index("id")
        assert manifest.grouped
        assert rows.loc["jazz.00054", ["group", "split"]].tolist() == ["artist jazz54", "test"]
        f = manifest.frame
        split = make_split(f["id"], f["label"], f["group"], protocol="given", given=f["split"])
        assert split.frame["part"].value_counts()[["train", "test"]].tolist() == [20, 10]
        assert len(split.valid) == 10

    def test_missing_genre_and_no_folder(self, gtzan):
        with pytest.raises(DatasetError, match="gtzan:/path"):
            load_source("gtzan")
        next(gtzan.rglob("jazz")).rename(gtzan / "elsewhere")
        with pytest.raises(DatasetError, match="these are missing: jazz"):
            load_source(f"gtzan:{gtzan}")

    def test_list_without_its_column(self, gtzan):
        (gtzan / "artist.csv").write_text("track,label\na,b\n")
        with pytest.raises(DatasetError, match="lacks group"):
            load_source(f"gtzan:{gtzan}")

    @pytest.mark.real_data
    def test_real_lists(self, gtzan):
        lists = Path(__file__).parents[2] / "../shared/data/gtzan97/splits"
        if not lists.is_dir():
            pytest.skip("needs ../shared/data/gtzan97")
        (gtzan / "splits").symlink_to(lists.resolve(), target_is_directory=True)
        manifest = load_source(f"gtzan:{gtzan}")
        assert manifest.grouped
        assert set(manifest.frame["split"].dropna()) == {"train", "valid", "test"}


TRACKS = """,album,artist,set,set,track
,title,id,split,subset,genre_top
track_id,,,,,
2,AWOL,1,training,small,Hip-Hop
5,AWOL,1,training,medium,Hip-Hop
140,Alec,54,validation,small,Folk
141,Alec,55,test,small,Folk
155,Arc,58,test,large,
"""


@pytest.fixture
def fma(tmp_path):
    (tmp_path / "fma_metadata").mkdir()
    (tmp_path / "fma_metadata/tracks.csv").write_text(TRACKS)
    for number in ("000002", "000140"):
        path = tmp_path / "fma_small" / number[:3] / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


class TestFma:
    def test_small(self, fma):
        manifest = load_source(f"fma:{fma}")
        rows = manifest.frame.set_index("id")
        assert (manifest.name, manifest.grouped) == ("fma_small", True)
        assert rows["label"].tolist() == ["Hip-Hop", "Folk", "Folk"]
        assert rows["group"].tolist() == ["1", "54", "55"]
        assert rows["split"].tolist() == ["training", "validation", "test"]
        assert rows["problem"].isna().tolist() == [True, True, False]
        assert rows.loc["000141", "problem"] == "file not found"
        assert rows.loc["000002", "path"] == str(fma / "fma_small/000/000002.mp3")

    @pytest.mark.parametrize(("subset", "n"), [("medium", 4), ("large", 5)])
    def test_larger_subsets_contain_the_smaller(self, fma, subset, n):
        (fma / f"fma_{subset}").mkdir()
        manifest = load_source(f"fma:{fma}")
        assert len(manifest) == n
        if subset == "large":
            assert manifest.frame.set_index("id").loc["000155", "problem"] == "label missing"

    def test_what_is_missing_is_named(self, fma):
        with pytest.raises(DatasetError, match="fma:/path"):
            load_source("fma")
        (fma / "fma_small").rename(fma / "small")
        with pytest.raises(DatasetError, match="none of fma_small, fma_medium"):
            load_source(f"fma:{fma}")
        (fma / "fma_metadata/tracks.csv").rename(fma / "tracks.csv")
        with pytest.raises(DatasetError, match=r"unpack fma_metadata\.zip"):
            load_source(f"fma:{fma}")
