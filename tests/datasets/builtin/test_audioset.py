"""AudioSet on a miniature copy with its real layout; downloads with false programs, without a network."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.datasets.builtin import audioset_download
from quintet.datasets.builtin.audioset import GENRES, Segment, clip_files
from quintet.datasets.builtin.audioset_download import UNAVAILABLE, cut_command, download_command, retrieve
from quintet.datasets.source import load_source
from quintet.errors import ConfigError, DatasetError

HEADER = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids={n}, num_segs={n}, num_unique_labels=527, num_positive_labels=52882
# YTID, start_seconds, end_seconds, positive_labels
"""
BALANCED = [
    '-0RWZT-miFs, 420.000, 430.000, "/m/064t9,/m/04rlf"',  # pop, and music
    '--ZhevVpy1s, 50.000, 60.000, "/m/012xff"',  # none of the genres
    'Yabcdefghij, 0.000, 10.000, "/m/06by7,/m/064t9"',  # two; an id that begins with Y
    'abcdefghij_, 30.000, 40.000, "/m/05r6t,/m/06cqb"',  # punk rock (below rock) and reggae
    '0123456789a, 30.000, 40.000, "/m/0punk"',  # something below punk rock
]
EVALUATION = ['zzzzzzzzzzz, 30.000, 40.000, "/m/06by7"']


def table(rows):
    return HEADER.format(n=len(rows)) + "\n".join(rows) + "\n"


@pytest.fixture
def small(tmp_path):
    """Segments and ontology as they are distributed, without clips."""
    (tmp_path / "balanced_train_segments.csv").write_text(table(BALANCED))
    extra = {"description": "", "citation_uri": "", "positive_examples": [], "restrictions": []}
    below = {"/m/06by7": ["/m/05r6t"], "/m/05r6t": ["/m/0punk"]}
    ids = [*GENRES, "/m/04rlf", "/m/05r6t", "/m/0punk"]
    (tmp_path / "ontology.json").write_text(
        json.dumps([{"id": id, "name": id, "child_ids": below.get(id, []), **extra} for id in ids])
    )
    return tmp_path


@pytest.fixture
def clips(small):
    for name in (
        "audio/-0RWZT-miFs.flac",
        "audio/YYabcdefghij.wav",
        "audio/deep/abcdefghij__30.000_40.000.m4a",
        "audio/notes.txt",
    ):
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(b"")
    return small


class TestReading:
    def test_sets_of_genres_and_clips_by_id(self, clips):
        manifest = load_source(f"audioset:{clips}")
        rows = manifest.frame.set_index("id")
        assert (manifest.name, manifest.multilabel, manifest.grouped) == ("audioset", True, False)
        assert rows["label"].to_dict() == {
            "-0RWZT-miFs": "Pop",
            "Yabcdefghij": "Pop;Rock",
            "abcdefghij_": "Reggae",
        }
        names = [Path(path).name for path in rows["path"]]
        assert names == ["-0RWZT-miFs.flac", "YYabcdefghij.wav", "abcdefghij__30.000_40.000.m4a"]
        assert rows["problem"].isna().all()
        assert manifest.ignored == ("2 segments with none of the genres",)
        assert rows["split"].isna().all()

    def test_a_relative_folder_and_the_home_folder_give_the_same_files(self, clips, monkeypatch):
        expected = load_source(f"audioset:{clips}").frame["path"].tolist()
        monkeypatch.chdir(clips.parent)
        monkeypatch.setenv("HOME", str(clips.parent))
        for folder in (clips.name, f"./{clips.name}/", f"~/{clips.name}"):
            manifest = load_source(f"audioset:{folder}")
            assert manifest.frame["path"].tolist() == expected
            assert manifest.frame["problem"].isna().all()

    def test_missing_clips_have_a_reason_and_are_counted(self, clips):
        (clips / "audio/-0RWZT-miFs.flac").unlink()
        (clips / "audio/YYabcdefghij.wav").unlink()
        (clips / "gone.csv").write_text(
            "id,label,start,end,outcome,reason\n"
            "-0RWZT-miFs,Pop,420,430,failed,no network\n"
            "-0RWZT-miFs,Pop,420,430,gone,Private video\n"
        )
        manifest = load_source(f"audioset:{clips}")
        assert manifest.frame["problem"].fillna("").tolist() == ["gone: Private video", "no clip", ""]
        assert manifest.frame["path"][1] == str(clips / "audio/Yabcdefghij.flac")
        assert manifest.ignored[1:] == (
            "1 of 3 clips are not here (gone)",
            "1 of 3 clips are not here (no clip)",
        )

    def test_single_and_branches(self, clips):
        problems = load_source(f"audioset@single:{clips}").frame["problem"]
        assert problems.isna().tolist() == [True, False, True]
        assert problems[1].startswith("2 genres (Pop, Rock)")
        assert not load_source(f"audioset@single:{clips}").multilabel
        rows = load_source(f"audioset@branches:{clips}").frame.set_index("id")
        assert rows["label"].to_dict() == {
            "-0RWZT-miFs": "Pop",
            "Yabcdefghij": "Pop;Rock",
            "abcdefghij_": "Rock;Reggae",
            "0123456789a": "Rock",
        }

    def test_the_official_split(self, clips):
        (clips / "csv").mkdir()
        (clips / "csv/eval_segments.csv").write_text(table(EVALUATION))
        rows = load_source(f"audioset:{clips}").frame.set_index("id")
        assert rows["split"].tolist() == ["train", "train", "train", "test"]

    def test_seven_genres_by_their_names(self):
        assert list(GENRES.values()) == [
            "Pop",
            "Rock",
            "Hip hop",
            "Techno",
            "Rhythm & blues",
            "Vocal",
            "Reggae",
        ]

    def test_an_exact_file_name_is_preferred_to_a_longer_one(self, tmp_path):
        for name in (
            "abcdefghijk.flac",
            "abcdefghijk_0.flac",
            "Yabcdefghijk.flac",
            "abcdefghijkl.flac",
            "short.flac",
        ):
            (tmp_path / name).write_bytes(b"")
        assert {id: path.name for id, path in clip_files(tmp_path).items()} == {
            "abcdefghijk": "abcdefghijk.flac"
        }

    def test_errors_name_what_is_missing(self, clips):
        with pytest.raises(DatasetError, match="audioset:/path"):
            load_source("audioset")
        with pytest.raises(ConfigError, match="Did you mean 'branches'"):
            load_source(f"audioset@branch:{clips}")
        (clips / "ontology.json").write_text('[{"id": "/m/064t9", "child_ids": []}]')
        with pytest.raises(DatasetError, match="lacks /m/06by7"):
            load_source(f"audioset:{clips}")
        (clips / "ontology.json").write_text('{"id": 1}')
        with pytest.raises(DatasetError, match="JSON list"):
            load_source(f"audioset:{clips}")
        (clips / "ontology.json").unlink()
        assert len(load_source(f"audioset:{clips}")) == 3
        with pytest.raises(DatasetError, match="audioset/ontology"):
            load_source(f"audioset@branches:{clips}")
        shutil.rmtree(clips / "audio")
        with pytest.raises(DatasetError, match=r"none for the 3 segments.*quintet fetch audioset"):
            load_source(f"audioset:{clips}")
        (clips / "balanced_train_segments.csv").write_text(HEADER + "abc, x, 10, /m/064t9\n")
        with pytest.raises(DatasetError, match=r"Line 4 of .*abc,x,10"):
            load_source(f"audioset:{clips}")
        (clips / "balanced_train_segments.csv").unlink()
        with pytest.raises(DatasetError, match=r"has none of balanced_train_segments\.csv.*download page"):
            load_source(f"audioset:{clips}")


YT_DLP = """#!{python} -SE
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(["yt-dlp", *sys.argv[1:]]) + "\\n")
answer = {answers!r}.get(sys.argv[-1][-11:])
if answer:
    sys.stderr.write("WARNING: something\\nERROR: [youtube] " + answer + "\\n")
    sys.exit(1)
output = sys.argv[sys.argv.index("--output") + 1].replace("%(ext)s", "webm").replace("%%", "%")
open(output, "w").write(sys.argv[-1])
"""
FFMPEG = """#!{python} -SE
import json, shutil, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(["ffmpeg", *sys.argv[1:]]) + "\\n")
open(sys.argv[sys.argv.index("-i") + 1]).close()
shutil.copy({clip!r}, sys.argv[-1])
"""


@pytest.fixture
def programs(tmp_path_factory, monkeypatch):
    """Maker of a yt-dlp with given errors and an ffmpeg that copies a clip; `called` lists their calls."""
    if sys.platform == "win32":
        pytest.skip("the stand-ins are scripts with an interpreter line")
    folder = tmp_path_factory.mktemp("programs % of the test")
    log = folder / "log"
    soundfile.write(folder / "clip.flac", np.zeros(100), 22050)
    soundfile.write(folder / "empty.flac", np.zeros(0), 22050)
    monkeypatch.setenv("PATH", str(folder))

    def make(answers=None, *, clip="clip.flac"):
        settings = {
            "python": sys.executable,
            "log": str(log),
            "answers": answers or {},
            "clip": str(folder / clip),
        }
        for name, text in (("yt-dlp", YT_DLP), ("ffmpeg", FFMPEG)):
            (folder / name).write_text(text.format(**settings))
            (folder / name).chmod(0o755)

    def called():
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    make.called = called
    make.folder = folder
    return make


def ledger(folder):
    with (folder / "gone.csv").open(newline="") as file:
        return list(csv.reader(file))


class TestRetrieval:
    def test_commands(self, tmp_path):
        segment = Segment("-0RWZT-miFs", 420.0, 430.0, ("Pop",), "train")
        command = download_command("/bin/yt-dlp", segment, Path("/t/100%"))
        assert (command[0], command[-2:]) == (
            "/bin/yt-dlp",
            ["--", "https://www.youtube.com/watch?v=-0RWZT-miFs"],
        )
        assert command[command.index("--output") + 1] == "/t/100%%/whole.%(ext)s"
        assert {"--ignore-config", "--no-playlist"} <= set(command)
        command = cut_command("/bin/ffmpeg", segment, tmp_path / "whole.webm", tmp_path / "clip.flac")
        assert command[command.index("-ss") : command.index("-i") + 2] == [
            "-ss",
            "420.000",
            "-t",
            "10.000",
            "-i",
            str(tmp_path / "whole.webm"),
        ]
        assert command[-1] == str(tmp_path / "clip.flac")

    def test_outcomes_are_counted_and_recorded(self, small, programs):
        programs(
            {
                "Yabcdefghij": "Yabcdefghij: Private video. Sign in if you've been granted access",
                "abcdefghij_": "HTTP Error 429: Too Many",
            }
        )
        seen = []
        result = retrieve(small, progress=seen.append)
        assert (
            result.n_requested,
            result.n_present,
            result.new,
            result.n_unavailable,
            result.failed,
            result.ledger,
        ) == (3, 1, 1, 1, 1, small / "gone.csv")
        assert [(p.done, p.total, p.failed) for p in seen] == [(1, 3, 0), (2, 3, 1), (3, 3, 2)]
        called = programs.called()
        assert [line[0] for line in called] == ["yt-dlp", "ffmpeg", "yt-dlp", "yt-dlp"]
        assert [line[-1] for line in called if line[0] == "yt-dlp"] == [
            f"https://www.youtube.com/watch?v={id}" for id in ("-0RWZT-miFs", "Yabcdefghij", "abcdefghij_")
        ]
        assert [path.name for path in (small / "audio").iterdir()] == ["-0RWZT-miFs.flac"]
        assert ledger(small) == [
            ["id", "label", "start", "end", "outcome", "reason"],
            [
                "Yabcdefghij",
                "Pop;Rock",
                "0",
                "10",
                "gone",
                "ERROR: [youtube] Yabcdefghij: Private video. Sign in if you've been granted access",
            ],
            ["abcdefghij_", "Reggae", "30", "40", "failed", "ERROR: [youtube] HTTP Error 429: Too Many"],
        ]
        manifest = load_source(f"audioset:{small}")
        assert manifest.frame["problem"].isna().tolist() == [True, False, False]

        programs()  # present clips and gone clips are not requested again
        assert retrieve(small).new == 1
        assert [line[-1][-11:] for line in programs.called() if line[0] == "yt-dlp"] == ["abcdefghij_"]
        result = retrieve(small, retry_gone=True)
        assert (result.new, result.n_present, result.n_unavailable) == (1, 3, 0)
        assert load_source(f"audioset:{small}").frame["problem"].isna().all()

    def test_limit_and_variant(self, small, programs):
        programs()
        assert retrieve(small, limit=1).new == 1
        assert retrieve(small, variant="single", limit=5).n_requested == 2
        assert [line[-1][-11:] for line in programs.called() if line[0] == "yt-dlp"] == [
            "-0RWZT-miFs",
            "abcdefghij_",
        ]
        with pytest.raises(ConfigError, match="at least 1"):
            retrieve(small, limit=0)

    @pytest.mark.parametrize(
        "id",
        [
            "elsewhere/ABS&v=dQw4w9WgXcQ",
            "../../../elsewhere/REL&v=dQw4w9WgXcQ",
            "--exec=touch",
            "dQw4w9WgXc/",
            "dQw4w9WgXc\u0660",
            "dQw4w9WgXcQQ",
        ],
    )
    def test_an_id_that_is_none_writes_nothing(self, small, programs, id):
        """Attack A3: the clip is a file of the name of the id."""
        programs()
        (small / "elsewhere").mkdir()
        before = sorted(small.rglob("*"))
        (small / "eval_segments.csv").write_text(table([f'{id}, 0.000, 5.000, "/m/064t9"']))
        with pytest.raises(DatasetError, match="YTID"):
            retrieve(small)
        assert programs.called() == []
        (small / "eval_segments.csv").unlink()
        assert sorted(small.rglob("*")) == before

    def test_a_folder_that_does_not_exist_is_refused(self, tmp_path, programs):
        programs()
        with pytest.raises(DatasetError, match="must have its segments"):
            retrieve(tmp_path / "nowhere")

    def test_a_video_that_ends_before_its_segment(self, small, programs):
        programs(clip="empty.flac")
        assert retrieve(small, limit=1).n_unavailable == 1
        assert ledger(small)[1][-2:] == ["gone", "The video ends before 420 s."]
        assert not list((small / "audio").iterdir())

    def test_without_a_network_clips_are_failed_and_not_gone(self, small, programs, monkeypatch):
        monkeypatch.setattr(audioset_download, "PATIENCE", 2)
        programs(
            {
                line[:11]: "Unable to download webpage: Temporary failure in name resolution"
                for line in BALANCED
            }
        )
        with pytest.raises(DatasetError, match=r"2 attempts in a row failed.*name resolution"):
            retrieve(small)
        assert len(programs.called()) == 2
        assert {row[4] for row in ledger(small)[1:]} == {"failed"}

    @pytest.mark.parametrize("absent", ["yt-dlp", "ffmpeg"])
    def test_a_missing_program_is_an_error(self, small, programs, absent):
        programs()
        (programs.folder / absent).unlink()
        with pytest.raises(ConfigError, match=f"needs the program {absent}.*not on the PATH"):
            retrieve(small)
        assert not (small / "audio").exists()

    @pytest.mark.parametrize(
        ("message", "gone"),
        [
            ("Video unavailable. This video has been removed by the uploader", True),
            (
                "This video is no longer available because the YouTube account associated with this video "
                "has been terminated.",
                True,
            ),
            ("Sign in to confirm your age. This video may be inappropriate for some users.", True),
            ("Sign in to confirm you're not a bot.", False),
            ("Unable to download API page: HTTP Error 403: Forbidden", False),
            ("Requested format is not available.", False),
        ],
    )
    def test_messages_of_unavailable_videos_are_recognised(self, message, gone):
        assert bool(UNAVAILABLE.search(f"ERROR: [youtube] abc: {message}")) == gone

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
    def test_the_real_ffmpeg_cuts_to_the_sample(self, tmp_path):
        import subprocess

        seconds = np.repeat(np.arange(8) / 10, 8000)
        soundfile.write(tmp_path / "whole.wav", seconds, 8000)
        segment = Segment("abcdefghijk", 3.0, 5.0, ("Pop",), "train")
        subprocess.run(
            cut_command(str(shutil.which("ffmpeg")), segment, tmp_path / "whole.wav", tmp_path / "clip.flac"),
            check=True,
        )
        clip, rate = soundfile.read(tmp_path / "clip.flac")
        assert (rate, len(clip)) == (8000, 16000)
        np.testing.assert_allclose(clip, seconds[24000:40000], atol=1e-4)

    def test_the_command_of_the_command_line(self, small, programs):
        from typer.testing import CliRunner

        from quintet.cli import app

        programs({"Yabcdefghij": "Yabcdefghij: Video unavailable"})
        done = CliRunner().invoke(app, ["fetch", "audioset@single", str(small), "--limit", "1"])
        assert (
            done.exit_code,
            "".join(done.stderr.split("\n")).startswith(
                "1 of 2 clips are here, 1 of them new; 0 gone, 0 failed"
            ),
        ) == (0, True)
        done = CliRunner().invoke(app, ["fetch", "audiosat", str(small)])
        assert isinstance(done.exception, ConfigError)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_that_an_editor_has_saved(clips, encoding):
    for name in ("balanced_train_segments.csv", "gone.csv"):
        path = clips / name
        text = path.read_text() if path.is_file() else "id,label,start,end,outcome,reason\n"
        path.write_text(text, encoding)
    assert len(load_source(f"audioset:{clips}")) == 3
