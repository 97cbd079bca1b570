"""Songs on the terminal: what is printed where, also if no song fits."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from quintet import cli
from tests.serving.browser.made_library import make_library


def test_a_condition_that_no_song_fits_prints_no_result_and_says_so(tmp_path: Path) -> None:
    make_library(tmp_path, 12)
    words = ["library", "songs", str(tmp_path / "my.library"), "--where"]
    nothing = CliRunner().invoke(cli.app, [*words, "tempo > 9000"])
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "No song fits.\n")
    assert len(CliRunner().invoke(cli.app, [*words, "tempo > 0"]).stdout.splitlines()) > 1
