"""Result of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field

from quintet.files.json_types import JsonObject

KINDS = ("new", "changed", "moved", "back", "unchanged", "gone", "failed")
"""What became of the files of a folder: fields of `ScanSummary`."""


@dataclass
class ScanSummary:
    """Result of a scan.

    Args:
        n_songs: songs of the library that are there now.
        new: files with a song that the library did not have.
        changed: files with other tags, or with another song than before.
        moved: songs that were found at another path.
        gone: songs whose files are no longer there.
        back: songs that were gone, and are there again as they were.
        unchanged: files that need no look.
        failed: files of the folder in the failure ledger.
        failures: those that this scan examined: path and reason.
        seconds: wall-clock time.
        notes: sentences for the user.
    """

    n_songs: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    gone: int = 0
    back: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[JsonObject] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """What became of the files, in one line.

        Example:
            >>> ScanSummary(new=3, failed=1).sentence()
            '3 new, 1 failed'
        """
        counts = {name: getattr(self, name) for name in KINDS}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no files"

    def to_json(self) -> JsonObject:
        """JSON object with the fields of the summary."""
        return dict(vars(self))
