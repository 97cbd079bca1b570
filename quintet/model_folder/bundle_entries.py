"""Entries of `bundle.json`: what each of them must be in a folder that may come from a stranger."""

from __future__ import annotations

from pathlib import Path

from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.listed_files import Record, is_inner_path

SHORTEST_CLIP_S, LONGEST_CLIP_S = 0.01, 1e9


def listed_records(bundle: JsonObject, file: Path) -> dict[str, Record]:
    """Name → size and digest of each file that the bundle lists. Folders of early versions have no sizes.

    Args:
        bundle: content of `bundle.json`, with the kinds that `require_kinds` asks for.
        file: its path, for messages.

    Raises:
        ArtefactError: if sizes are given, but not one plausible size per listed file.
    """
    digests, sizes = bundle["files"], bundle.get("sizes")
    if sizes is None:
        return {name: Record(digest) for name, digest in digests.items()}
    if not isinstance(sizes, dict) or set(sizes) != set(digests) or not all(map(_is_size, sizes.values())):
        raise ArtefactError(
            f"{file} must name the size of every file that it lists. It does not. "
            "Copy it again, or train again."
        )
    return {name: Record(digest, sizes[name]) for name, digest in digests.items()}


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= limits.FILE_BYTES


def require_kinds(bundle: JsonObject, file: Path) -> None:
    """Refuse a bundle with an entry that `ModelFolder.finalise` cannot have written.

    Args:
        bundle: content of `bundle.json`.
        file: its path, for messages.

    Raises:
        ArtefactError: if an entry is missing or of another kind; it names the entries.
    """
    wrong = [key for key in ("members", "classes", "feature_names") if not _are_names(bundle.get(key))]
    if not _are_digests(bundle.get("files")):
        wrong.append("files")
    if not _is_clip_length(bundle.get("clip_seconds")):
        wrong.append("clip_seconds")
    required = ("rule", "multilabel", "feature_hash", "feature_parameters", "clip_seconds")
    wrong += [key for key in required if key not in bundle]
    kinds = {
        "multilabel": bool,
        "rule": str,
        "quintet": str,
        "table_roles": dict,
        "split": dict,
        "notes": list,
    }
    wrong += [key for key, kind in kinds.items() if key in bundle and not isinstance(bundle[key], kind)]
    optional = {"feature_parameters": dict, "feature_hash": str, "log_mel_hash": str, "spectrograms": str}
    wrong += [key for key, kind in optional.items() if not isinstance(bundle.get(key), kind | None)]
    wrong += [] if _are_joins(bundle.get("joined", [])) else ["joined"]
    wrong += [] if _is_split(bundle.get("split", {})) else ["split"]
    wrong += [] if _are_fold_seconds(bundle.get("fold_seconds", {})) else ["fold_seconds"]
    if wrong:
        raise ArtefactError(
            f"{file} must be what `quintet train` wrote. These entries are not: {', '.join(wrong)}. "
            "Copy it again, or train again."
        )


def _are_names(value: object) -> bool:
    """Whether a value is a list of one text or more, no two of them equal, which a table can hold."""
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
        return False
    try:
        "".join(value).encode("utf-8")
    except UnicodeEncodeError:  # half of a pair of surrogates: no CSV and no parquet holds it
        return False
    return len(set(value)) == len(value)


def _is_split(split: object) -> bool:
    """Whether a value names protocol and groups of a split, if it says anything about them."""
    if not isinstance(split, dict):
        return False
    protocol, grouped = split.get("protocol"), split.get("grouped")
    is_empty = not split
    return is_empty or (isinstance(protocol, str | None) and isinstance(grouped, bool | None))


def _are_joins(records: object) -> bool:
    """Whether a value is a list of records of joined tables, as `features.storage.join` writes them."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return False
    texts = [record.get(key) for record in records for key in ("name", "file", "sha256")]
    return (
        all(isinstance(text, str) for text in texts)
        and all(_are_names(record.get("families")) for record in records)
        and all(isinstance(record.get("made_by"), dict) for record in records)
    )


def _are_fold_seconds(seconds: object) -> bool:
    """Whether a value is a JSON object of lists of numbers."""
    if not isinstance(seconds, dict):
        return False
    return all(
        isinstance(values, list) and all(isinstance(value, int | float) for value in values)
        for values in seconds.values()
    )


def _are_digests(files: object) -> bool:
    """Whether a value is a JSON object of paths inside the folder and digests."""
    if not isinstance(files, dict):
        return False
    digests = [isinstance(digest, str) and len(digest) == 64 for digest in files.values()]
    return all(digests) and all(is_inner_path(name) for name in files)


def _is_clip_length(seconds: object) -> bool:
    """Whether a value is None or a plausible number of seconds."""
    if seconds is None:
        return True
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return False
    return SHORTEST_CLIP_S <= seconds < LONGEST_CLIP_S
