"""The spectrogram store: log-mel spectrograms of many clips, computed once, kept as float16, read one by one.

```
store/
├── store.json            log-mel parameters, their hash, versions
├── index.parquet         id, shard, offset, frames, audio_digest
├── index.parts/          entries that were committed since
└── shard-00000.npy       float16 (all frames of its clips one after another, n_mels), memory-mapped when read
```

A shard is only ever appended to, and an entry is written after its frames are on the disk: whatever is in the index is whole. A
later entry of the same id replaces the earlier one.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.table import library_versions
from quintet.files.atomic import atomic_replace, exclusive_lock

STORE_VERSION = 1
_HEADER_BYTES = 128
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.int64()),
        ("offset", pa.int64()),
        ("frames", pa.int64()),
        ("audio_digest", pa.string()),
    ]
)


class SpectrogramStore:
    """The log-mel spectrograms in a folder, by clip id.

    Args:
        folder: what a `SpectrogramWriter` (or `quintet extract --spectrograms`) wrote.

    Raises:
        ArtefactError: if there is no store, or it is of another version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.parameters, self.versions = _read_description(self.folder)
        index = read_index(self.folder)
        self._rows = {id: row for row, id in enumerate(index["id"].to_pylist())}
        self._shard, self._offset, self._frames = (
            index[name].to_numpy() for name in ("shard", "offset", "frames")
        )
        self._maps: dict[int, NDArray[np.float16]] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all clips in the store, in the order in which they were written."""
        return tuple(self._rows)

    @property
    def parameter_hash(self) -> str:
        """16 hex digits of the log-mel parameters."""
        return str(self.parameters.hash)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    def __getitem__(self, id: str) -> NDArray[np.float32]:
        """The spectrogram of one clip: `(n_mels, frames)`, float32, dB re 1.0.

        Raises:
            AlignmentError: if the clip is not in the store.
        """
        return self.window(id, 0, None)

    def window(self, id: str, start: int, stop: int | None) -> NDArray[np.float32]:
        """Frames `start` … `stop` - 1 of a clip (None: to its end), and no others are read: `(n_mels, frames)`, float32, dB re 1.0.

        Raises:
            AlignmentError: if the clip is not in the store.
        """
        row = self._positions([id])[0]
        offset, frames = int(self._offset[row]), int(self._frames[row])
        first, last, _ = slice(start, stop).indices(frames)
        return np.ascontiguousarray(
            self._map(int(self._shard[row]))[offset + first : offset + last].T, dtype=np.float32
        )

    def frames(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The number of frames of each of these clips, without reading them."""
        counts: NDArray[np.int64] = self._frames[self._positions(ids)]
        return counts

    def take(self, ids: Sequence[str]) -> Spectrograms:
        """These clips, in this order, read when they are asked for.

        Raises:
            AlignmentError: if one of them is not in the store.
        """
        self._positions(ids)
        return Spectrograms(self, tuple(ids))

    def _positions(self, ids: Sequence[str]) -> list[int]:
        missing = [id for id in ids if id not in self._rows]
        if missing:
            examples = ", ".join(repr(id) for id in missing[:3])
            raise AlignmentError(
                f"Every clip must have a spectrogram. {len(missing)} of {len(ids)} have none in {self.folder}, for example {examples}: "
                f"run `quintet extract` again with `--spectrograms {self.folder}`."
            )
        return [self._rows[id] for id in ids]

    def _map(self, shard: int) -> NDArray[np.float16]:
        if shard not in self._maps:
            try:
                self._maps[shard] = np.load(shard_path(self.folder, shard), mmap_mode="r")
            except (OSError, ValueError) as error:
                raise ArtefactError(
                    f"The store must have all its shards. {shard_path(self.folder, shard)} cannot be read ({error})."
                ) from error
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_maps": {},
        }  # memory maps do not travel to other processes; they are opened again there


class Spectrograms(Sequence[NDArray[np.float32]]):
    """A lazy sequence of spectrograms: an integer gives an array `(n_mels, frames)`, anything else a shorter sequence.

    Args:
        store: where they lie.
        ids: which clips, in which order.
    """

    def __init__(self, store: SpectrogramStore, ids: Sequence[str]) -> None:
        self.store, self.ids = store, tuple(ids)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Spectrograms: ...
    def __getitem__(self, index: int | slice | ArrayLike) -> Any:
        if isinstance(index, (int, np.integer)):
            return self.store[self.ids[index]]
        if isinstance(index, slice):
            return Spectrograms(self.store, self.ids[index])
        positions = np.asarray(index)
        if positions.dtype == bool:
            if positions.shape != (len(self),):
                raise AlignmentError(
                    f"A mask must have one entry per spectrogram ({len(self)}). Received shape {positions.shape}."
                )
            positions = np.flatnonzero(positions)
        return Spectrograms(self.store, [self.ids[i] for i in positions.astype(np.int64)])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self.store[id] for id in self.ids)

    @property
    def frames(self) -> NDArray[np.int64]:
        """The number of frames of each, without reading them."""
        return self.store.frames(self.ids)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """`(n_mels, frames)` of each, without reading them."""
        return [(self.store.parameters.n_mels, int(frames)) for frames in self.frames]

    def window(self, index: int, start: int, stop: int | None) -> NDArray[np.float32]:
        """Frames `start` … `stop` - 1 of one of them, and no others are read: `(n_mels, frames)`."""
        return self.store.window(self.ids[index], start, stop)


class SpectrogramWriter:
    """Appends spectrograms to a store, which it makes if there is none. What was committed survives a crash.

    Args:
        folder: the store.
        parameters: the log-mel parameters of everything in it.
        shard_bytes: a shard that has grown to this size is closed and the next one begun.

    Raises:
        ConfigError: if the store was written with other parameters; the message says what differs.
        ArtefactError: if the folder holds something else, or another process is writing to it.

    Example:
        >>> import tempfile, numpy as np
        >>> parameters = LogMelParameters()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with SpectrogramWriter(folder, parameters) as writer:
        ...         writer.add("a", np.zeros((parameters.n_mels, 7), np.float32))
        ...     SpectrogramStore(folder)["a"].shape[1]
        7
    """

    def __init__(
        self, folder: str | os.PathLike[str], parameters: LogMelParameters, *, shard_bytes: int = 1 << 28
    ) -> None:
        self.folder, self.parameters, self.shard_bytes = Path(folder), parameters, shard_bytes
        self._stack = ExitStack()
        _require_ours(self.folder)
        self._stack.enter_context(
            exclusive_lock(self.folder / ".lock", what=f"the spectrogram store {self.folder}")
        )
        with self._stack as guard:  # released at once if the folder turns out to be unusable
            self._describe()
            index = read_index(self.folder)
            self._stack = guard.pop_all()
        self._digests: dict[str, str] = dict(
            zip(index["id"].to_pylist(), index["audio_digest"].to_pylist(), strict=True)
        )
        self._shard, self._offset, self._parts = _next_shard(self.folder), 0, 0
        self._file: BinaryIO | None = None
        self._entries: list[tuple[str, int, int, int, str]] = []

    def digest(self, id: str) -> str | None:
        """The audio digest with which a clip was committed or added; None if it is not in the store."""
        return self._digests.get(id)

    def add(self, id: str, log_mel: NDArray[np.floating], audio_digest: str = "") -> None:
        """Append one spectrogram; the same id with the same (non-empty) digest is already there and costs nothing.

        Args:
            id: the clip.
            log_mel: shape `(n_mels, frames)`, dB re 1.0.
            audio_digest: of the decoded audio.

        Raises:
            ConfigError: if the number of bands is not that of the parameters.
        """
        if log_mel.ndim != 2 or log_mel.shape[0] != self.parameters.n_mels:
            raise ConfigError(
                f"A log-mel spectrogram must have shape ({self.parameters.n_mels}, frames). Received {log_mel.shape} for {id!r}."
            )
        if audio_digest and self._digests.get(id) == audio_digest:
            return
        file, frames = self._open(), np.ascontiguousarray(log_mel.T, dtype="<f2")
        file.write(frames.data)
        self._entries.append((id, self._shard, self._offset, len(frames), audio_digest))
        self._digests[id] = audio_digest
        self._offset += len(frames)

    def commit(self) -> None:
        """Put everything added so far on the disk for good: frames first, then the header, then the index entries."""
        if self._file is None or not self._entries:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        self._file.write(_header(self._offset, self.parameters.n_mels))
        self._file.seek(0, os.SEEK_END)
        self._file.flush()
        os.fsync(self._file.fileno())
        _write_index(
            self.folder / "index.parts" / f"part-{self._shard:05d}-{self._parts:07d}.parquet", self._entries
        )
        self._entries, self._parts = [], self._parts + 1
        if self._offset * self.parameters.n_mels * 2 >= self.shard_bytes:
            self._end_shard()

    def close(self) -> None:
        """Commit, gather the index into one file, and delete shards of which nothing is left."""
        try:
            self.commit()
            self._end_shard()
            _compact_index(self.folder)
        finally:
            self._stack.close()

    def abandon(self) -> None:
        """Let go without a commit: what was committed stays, the rest is as if it had never been added."""
        if self._file is not None:
            self._file.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = shard_path(self.folder, self._shard).open("xb")
            self._file.write(_header(0, self.parameters.n_mels))
        return self._file

    def _end_shard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._shard, self._offset, self._parts = None, self._shard + 1, 0, 0

    def _describe(self) -> None:
        if (self.folder / "store.json").exists():
            stored, _ = _read_description(self.folder)
            if stored.hash != self.parameters.hash:
                raise ConfigError(_mismatch(self.folder, stored, self.parameters))
            return
        text = {
            "schema_version": STORE_VERSION,
            "parameters": self.parameters.model_dump(mode="json"),
            "parameter_hash": self.parameters.hash,
            "versions": library_versions(),
        }
        with atomic_replace(self.folder / "store.json") as temporary:
            temporary.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def shard_path(folder: Path, shard: int) -> Path:
    """The file of shard number `shard`."""
    return folder / f"shard-{shard:05d}.npy"


def read_index(folder: Path) -> pa.Table:
    """The latest entry of every id: id, shard, offset, frames, audio_digest, in the order in which they were written."""
    files = [folder / "index.parquet", *sorted((folder / "index.parts").glob("part-*.parquet"))]
    tables = [pq.read_table(file, schema=_SCHEMA) for file in files if file.exists()]
    entries = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    written = np.lexsort((entries["offset"].to_numpy(), entries["shard"].to_numpy()))
    ids = entries["id"].to_pylist()
    latest = {ids[row]: place for place, row in enumerate(written)}
    return entries.take(pa.array(written[sorted(latest.values())]))


def _read_description(folder: Path) -> tuple[LogMelParameters, dict[str, str]]:
    path = folder / "store.json"
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(
            f"A spectrogram store must exist. There is none in {folder}: make one with `quintet extract SOURCE --spectrograms {folder}`."
        ) from None
    except ValueError as error:
        raise ArtefactError(
            f"A spectrogram store must have a whole store.json. {path} is damaged ({error})."
        ) from error
    if text.get("schema_version") != STORE_VERSION:
        raise ArtefactError(
            f"This version reads spectrogram stores of version {STORE_VERSION}. {folder} has {text.get('schema_version')}: extract it again."
        )
    parameters = LogMelParameters.parse(text["parameters"], where=f"The spectrogram store {folder}")
    if parameters.hash != text["parameter_hash"]:
        raise ArtefactError(
            f"The parameters of a spectrogram store must give its hash. {folder} says {text['parameter_hash']}, "
            f"they give {parameters.hash}: extract it again."
        )
    return parameters, text["versions"]


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ArtefactError(f"A spectrogram store must be a folder. {folder} is a file: choose another name.")
    if (
        folder.is_dir()
        and not (folder / "store.json").exists()
        and any(entry.name != ".lock" and not entry.name.endswith(".tmp") for entry in folder.iterdir())
    ):
        raise ArtefactError(
            f"A new spectrogram store needs an empty folder. {folder} holds other files: choose another."
        )


def _mismatch(folder: Path, stored: LogMelParameters, wanted: LogMelParameters) -> str:
    ours, theirs = stored.model_dump(), wanted.model_dump()
    differences = ", ".join(
        f"{name} ({ours.get(name)} there, {theirs.get(name)} now)"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    )
    return f"All spectrograms of a store must have the same parameters. {folder} differs in {differences}: choose another folder, or delete this one."


def _next_shard(folder: Path) -> int:
    numbers = [
        int(found[1])
        for entry in folder.iterdir()
        if (found := re.fullmatch(r"shard-(\d+)\.npy", entry.name))
    ]
    return max(numbers, default=-1) + 1


def _header(frames: int, n_mels: int) -> bytes:
    """The npy header of a float16 array `(frames, n_mels)`, padded to 128 bytes so that it can be written again in its place."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f2", "fortran_order": False, "shape": (frames, n_mels)}
    )
    if buffer.tell() != _HEADER_BYTES:
        raise ArtefactError(
            f"The header of a shard must take {_HEADER_BYTES} bytes. It takes {buffer.tell()} for {frames} frames: use a smaller shard_bytes."
        )
    return buffer.getvalue()


def _write_index(path: Path, entries: Sequence[tuple[str, int, int, int, str]]) -> None:
    columns = list(zip(*entries, strict=True))
    with atomic_replace(path) as temporary:
        pq.write_table(
            pa.table(
                [pa.array(column, type=field.type) for column, field in zip(columns, _SCHEMA, strict=True)],
                schema=_SCHEMA,
            ),
            temporary,
        )


def _compact_index(folder: Path) -> None:
    parts = sorted((folder / "index.parts").glob("part-*.parquet"))
    before = read_index(folder)
    with atomic_replace(folder / "index.parquet") as temporary:
        pq.write_table(before, temporary, compression="zstd")
    for part in parts:
        part.unlink()
    live = set(before["shard"].unique().to_pylist())
    for entry in folder.glob("shard-*.npy"):
        if int(entry.stem.removeprefix("shard-")) not in live:
            entry.unlink()
