"""Published datasets, on miniature copies with their real layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.datasets.builtin.gtzan import GENRES, REPETITIONS
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.datasets.splits.protocols import SplitSettings, make_split
from quintet.errors import ConfigError, DatasetError
from quintet.features.parameters import FeatureParameters
from quintet.workflow import extract


@pytest.fixture(params=["genres/{g}/{g}.{k:05d}.au", "Data/genres_original/{g}/{g}.{k:05d}.wav"])
def gtzan(tmp_path, request):
    """Three tracks of each genre, and the repeated recordings."""
    for g in GENRES:
        repeated = [name for name in REPETITIONS.keys() | REPETITIONS.values() if name.startswith(g)]
        for k in {0, 1, 54, *(int(name.split(".")[1]) for name in repeated)}:
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
        assert (
            rows.loc[["disco.00050", "disco.00051", "disco.00070"], "group"].tolist() == ["disco.00050"] * 3
        )
        assert len(REPETITIONS) == 81
        assert manifest.frame["group"].nunique() == len(manifest) - 81
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
        split = make_split(f["id"], f["label"], f["group"], SplitSettings("given"), given=f["split"])
        assert split.frame["part"].value_counts()[["train", "test"]].tolist() == [20, 10]
        assert len(split.valid) == 10

    def test_the_lists_as_dnn_mgr_has_them_and_sturms_index(self, gtzan):
        for part, k in (("train", 0), ("valid", 1), ("test", 54)):
            (gtzan / f"{part}_filtered.txt").write_text("".join(f"{g}/{g}.{k:05d}.wav\n" for g in GENRES))
        lines = [
            f"{g}.{k:05d}.wav ::: {'Both' if k < 54 else ''} ::: Title" for g in GENRES for k in (0, 1, 54)
        ]
        lines.append("jazz.00033.wav ::: Coleman Hawkins ::: Body And Soul")
        (gtzan / "GTZANindex.txt").write_text("\n".join(["## Bob L. Sturm, 2012", "##", *lines]))
        rows = load_source(f"gtzan@filtered:{gtzan}").frame.set_index("id")
        assert rows.loc[["jazz.00000", "jazz.00001", "jazz.00054", "jazz.00033"], "split"].tolist() == [
            "train",
            "valid",
            "test",
            "unused",
        ]
        assert rows.loc[["jazz.00000", "jazz.00001", "jazz.00054"], "group"].tolist() == [
            "artist Both (train)",
            "artist Both (valid)",
            "jazz.00054",
        ]
        assert rows.loc[["jazz.00033", "jazz.00051"], "group"].tolist() == ["artist Coleman Hawkins"] * 2, (
            "the same recording, which the index omits"
        )
        (gtzan / "test_filtered.txt").write_text("    13\n    14\n")
        with pytest.raises(DatasetError, match=r"one track per line.*'13'"):
            load_source(f"gtzan@filtered:{gtzan}")
        (gtzan / "test_filtered.txt").unlink()
        (gtzan / "GTZANindex.txt").write_text("blues.00000, John Lee Hooker\n")
        with pytest.raises(DatasetError, match="performer ::: title"):
            load_source(f"gtzan:{gtzan}")

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

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_lists_as_people_save_them(self, gtzan, encoding):
        tracks = ["blues.00000.mp3", "blues\\blues.00001.wav", "jazz.00000", "jazz.00099.wav"]
        (gtzan / "filtered_train.csv").write_text(
            "\n".join(["track;bpm", *(f"{t};1" for t in tracks)]), encoding
        )
        manifest = load_source(f"gtzan:{gtzan}")
        listed = manifest.frame.loc[manifest.frame["split"] == "train", "id"].tolist()
        assert listed == ["blues.00000", "blues.00001", "jazz.00000"]
        assert any("'jazz.00099'" in note for note in manifest.ignored)
        (gtzan / "filtered_train.csv").write_text("track\n13\n")
        with pytest.raises(DatasetError, match="'13'"):
            load_source(f"gtzan:{gtzan}")

    def test_folders_below_a_genre_are_no_labels(self, tmp_path):
        for g in GENRES:
            (tmp_path / "genres" / g / "wav").mkdir(parents=True)
            (tmp_path / "genres" / g / "wav" / f"{g}.00000.wav").write_bytes(b"")
        assert load_source(f"gtzan:{tmp_path}").classes == GENRES

    def test_named_splits(self, gtzan):
        (gtzan / "splits").mkdir()
        for fold, test in ((1, 0), (2, 1)):
            for part, numbers in (("train", [k for k in (0, 1) if k != test]), ("test", [test])):
                lines = [f"{g}.{k:05d}.wav,{g},{g}{k}" for g in GENRES for k in numbers]
                (gtzan / f"splits/artist_fold{fold}_{part}.csv").write_text(
                    "\n".join(["track,label,group", *lines])
                )
        for fold, expected in ((1, ["test", "train", "unused"]), (2, ["train", "test", "unused"])):
            manifest = load_source(f"gtzan@artist{fold}:{gtzan}")
            rows = manifest.frame.set_index("id")
            assert (manifest.name, manifest.grouped, manifest.ignored) == (f"gtzan@artist{fold}", True, ())
            assert rows.loc[["jazz.00000", "jazz.00001", "jazz.00054"], "split"].tolist() == expected
        assert load_source(f"gtzan:{gtzan}").frame["split"].isna().all()
        with pytest.raises(DatasetError, match=r"lacks artist_fold3_train\.csv, artist_fold3_test\.csv"):
            load_source(f"gtzan@artist3:{gtzan}")
        with pytest.raises(DatasetError, match=r"lacks filtered_train\.csv"):
            load_source(f"gtzan@filtered:{gtzan}")
        with pytest.raises(ConfigError, match="Did you mean 'filtered'"):
            load_source(f"gtzan@filterd:{gtzan}")
        with pytest.raises(ConfigError, match="'demo' has none"):
            load_source("demo@half")

    def test_an_artist_on_both_sides_of_a_split_is_one_group_per_part(self, gtzan):
        for part, k in (("train", 0), ("valid", 1), ("test", 54)):
            (gtzan / f"filtered_{part}.csv").write_text(
                "\n".join(["track", *(f"{g}.{k:05d}" for g in GENRES)])
            )
        lines = [
            f"{g}.{k:05d},{'both' if (g, k) in {('disco', 0), ('disco', 54)} else f'{g}{k}'}"
            for g in GENRES
            for k in (0, 1, 54)
        ]
        (gtzan / "artists.csv").write_text("\n".join(["track,group", *lines]))
        manifest = load_source(f"gtzan@filtered:{gtzan}")
        rows = manifest.frame.set_index("id")
        assert rows.loc[["disco.00000", "disco.00054"], "group"].tolist() == [
            "artist both (train)",
            "artist both (test)",
        ]
        assert manifest.ignored == ("the published split has artist both on both sides: one group per part",)

    def test_the_corrupt_file_is_a_row_of_the_ledger(self, gtzan, tmp_path):
        for path in sorted(gtzan.rglob("*.00000.*")):
            soundfile.write(
                path, np.sin(np.arange(22050) / 20), 22050, format="AU" if path.suffix == ".au" else "WAV"
            )
        manifest = load_source(f"gtzan:{gtzan}")
        chosen = manifest.frame[manifest.frame["id"].isin(["jazz.00000", "jazz.00054"])].reset_index(
            drop=True
        )
        few = Manifest(chosen, "gtzan", manifest.root, multilabel=False, grouped=False)
        parameters = FeatureParameters(feature_set="full", families=("temporal",))
        summary = extract(few, tmp_path / "f.parquet", parameters=parameters, n_jobs=0)
        assert (summary.n_ok, summary.failures["id"].tolist(), summary.failures["stage"].tolist()) == (
            1,
            ["jazz.00054"],
            ["decode"],
        )

    @pytest.mark.real_data
    @pytest.mark.parametrize("variant", ["filtered", "artist1", "artist2", "artist3"])
    def test_real_lists(self, gtzan, variant):
        lists = Path(__file__).parents[3] / "../shared/data/gtzan97/splits"
        if not lists.is_dir():
            pytest.skip("needs ../shared/data/gtzan97")
        (gtzan / "splits").symlink_to(lists.resolve(), target_is_directory=True)
        suffix = next(gtzan.rglob("jazz.00054.*")).suffix
        place = next(gtzan.rglob("jazz.00054.*")).parents[1]
        for k in range(100):
            for g in GENRES:
                (place / g / f"{g}.{k:05d}{suffix}").write_bytes(b"")
        manifest = load_source(f"gtzan@{variant}:{gtzan}")
        f = manifest.frame
        assert manifest.grouped
        assert len(manifest.ignored) == (2 if variant == "filtered" else 0)
        counts = f["split"].value_counts().to_dict()
        folds = {"artist1": (633, 315), "artist2": (632, 316), "artist3": (631, 317)}
        if variant == "filtered":
            assert counts == {"train": 443, "valid": 197, "test": 290, "unused": 70}
        else:
            assert (counts["train"], counts["test"], counts["unused"]) == (*folds[variant], 52)
        split = make_split(
            f["id"], f["label"], f["group"], SplitSettings("given"), given=f["split"], grouped=True
        )
        assert split.grouped


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

    def test_a_chosen_subset(self, fma):
        (fma / "fma_large").mkdir()
        manifest = load_source(f"fma@small:{fma}")
        assert (manifest.name, len(manifest), manifest.frame["problem"].isna().sum()) == ("fma_small", 3, 2)
        manifest = load_source(f"fma@medium:{fma}")
        assert (manifest.name, len(manifest), manifest.frame["path"][0]) == (
            "fma_medium",
            4,
            str(fma / "fma_large/000/000002.mp3"),
        )
        with pytest.raises(DatasetError, match="none of fma_full: unpack"):
            load_source(f"fma@full:{fma}")
        with pytest.raises(ConfigError, match="small, medium, large, full"):
            load_source(f"fma@tiny:{fma}")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
    def test_metadata_in_any_encoding(self, fma, encoding):
        (fma / "fma_metadata/tracks.csv").write_text(TRACKS.replace("Alec", "Aléc"), encoding)
        assert load_source(f"fma:{fma}").frame["label"].tolist() == ["Hip-Hop", "Folk", "Folk"]

    @pytest.mark.parametrize("text", ["", TRACKS.replace(",", ";", 1), TRACKS + "x,A,1,test,small,Folk\n"])
    def test_damaged_metadata(self, fma, text):
        (fma / "fma_metadata/tracks.csv").write_text(text)
        with pytest.raises(DatasetError, match=r"tracks\.csv"):
            load_source(f"fma:{fma}")

    def test_errors_name_what_is_missing(self, fma):
        with pytest.raises(DatasetError, match="fma:/path"):
            load_source("fma")
        (fma / "fma_small").rename(fma / "small")
        with pytest.raises(DatasetError, match="none of fma_small, fma_medium"):
            load_source(f"fma:{fma}")
        (fma / "fma_metadata/tracks.csv").rename(fma / "tracks.csv")
        with pytest.raises(DatasetError, match=r"unpack fma_metadata\.zip"):
            load_source(f"fma:{fma}")
