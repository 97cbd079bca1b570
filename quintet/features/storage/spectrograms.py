"""Spectrogram store: log-mel spectrograms of many clips, computed once, stored as float16, read one by one.

```
store/
├── store.json            log-mel parameters, their hash, versions
├── index.parquet         id, shard, offset, frames, audio_digest
├── index.parts/          entries that were committed after index.parquet was written
└── shard-00000.npy       float16 (frames of all its clips, n_mels), memory-mapped for reading
```

Frames are only appended to a shard, and an index entry is written after its frames are on the disk: every
spectrogram in the index is complete. A later entry of the same id replaces an earlier one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrogram_files import (
    STORE_VERSION,
    compact_index,
    map_shard,
    next_shard,
    read_description,
    read_index,
    shard_header,
    shard_path,
    write_index,
)
from quintet.features.storage.table import library_versions
from quintet.files.atomic import atomic_replace
from quintet.files.locks import INNER_LOCK, output_lock
from quintet.files.paths import require_path


class SpectrogramStore:
    """Log-mel spectrograms of a folder, by clip id.

    Args:
        folder: a folder that `SpectrogramWriter` (or `quintet extract --spectrograms`) wrote.

    Raises:
        ArtefactError: there is no store, or it is of another version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(require_path(folder, "`folder`"))
        self.parameters, self.versions = read_description(self.folder)
        index = read_index(self.folder)
        self._rows = {id: row for row, id in enumerate(index["id"].to_pylist())}
        self._digests = index["audio_digest"]
        self._shard = index["shard"].to_numpy()
        self._offset = index["offset"].to_numpy()
        self._frames = index["frames"].to_numpy()
        self._maps: dict[int, NDArray[np.float16]] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all clips in the store, in the order of writing."""
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
        """Spectrogram of one clip: `(n_mels, frames)`, float32, dB re 1.0.

        Raises:
            AlignmentError: the clip is not in the store.
        """
        return self.window(id, 0, None)

    def window(self, id: str, start: int, stop: int | None) -> NDArray[np.float32]:
        """Frames `start` to `stop` - 1 of a clip: `(n_mels, frames)`, float32, dB re 1.0. No others are read.

        Args:
            id: the clip.
            start: first frame.
            stop: the frame after the last; None is the end of the clip.

        Raises:
            AlignmentError: the clip is not in the store.
        """
        row = self._positions([id])[0]
        offset = int(self._offset[row])
        first, last, _ = slice(start, stop).indices(int(self._frames[row]))
        shard = self._map(int(self._shard[row]))
        values = np.ascontiguousarray(shard[offset + first : offset + last].T, dtype=np.float32)
        if not np.isfinite(values).all():
            raise ArtefactError(
                f"A spectrogram must be finite. That of {id!r} in {self.folder} is not: "
                "delete the store and extract it again."
            )
        return values

    def frames(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Number of frames of each of these clips. The spectrograms are not read."""
        counts: NDArray[np.int64] = self._frames[self._positions(ids)]
        return counts

    def digests(self, ids: Sequence[str]) -> list[str]:
        """Audio digest of each of these clips; empty if the store does not know it."""
        digests = self._digests.take(pa.array(self._positions(ids), pa.int64())).to_pylist()
        return [digest or "" for digest in digests]

    def take(self, ids: Sequence[str]) -> Spectrograms:
        """The spectrograms of these clips, in this order. Each is read when it is used.

        Raises:
            AlignmentError: one of them is not in the store.
        """
        self._positions(ids)
        return Spectrograms(self, tuple(ids))

    def _positions(self, ids: Sequence[str]) -> list[int]:
        missing = [id for id in ids if id not in self._rows]
        if missing:
            examples = ", ".join(repr(id) for id in missing[:3])
            raise AlignmentError(
                "Every clip must have a spectrogram. "
                f"{len(missing)} of {len(ids)} have none in {self.folder}, for example {examples}: "
                f"run `quintet extract` again with `--spectrograms {self.folder}`."
            )
        return [self._rows[id] for id in ids]

    def _map(self, shard: int) -> NDArray[np.float16]:
        if shard not in self._maps:
            is_here = self._shard == shard
            n_frames = int((self._offset + self._frames)[is_here].max())
            path = shard_path(self.folder, shard)
            self._maps[shard] = map_shard(path, self.parameters.n_mels, n_frames)
        return self._maps[shard]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": {}}  # another process opens its own memory maps


class Spectrograms(Sequence[NDArray[np.float32]]):
    """A lazy sequence of spectrograms.

    An integer index gives an array `(n_mels, frames)`; a slice, positions or a mask give a shorter sequence.

    Args:
        store: the store.
        ids: the clips, in the order of the sequence.
    """

    def __init__(self, store: SpectrogramStore, ids: Sequence[str]) -> None:
        self.store, self.ids = store, tuple(ids)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[np.generic]) -> Spectrograms: ...
    def __getitem__(self, index: int | slice | ArrayLike) -> NDArray[np.float32] | Spectrograms:
        if isinstance(index, (int, np.integer)):
            return self.store[self.ids[index]]
        if isinstance(index, slice):
            return Spectrograms(self.store, self.ids[index])
        positions = np.asarray(index)
        if positions.dtype == bool:
            if positions.shape != (len(self),):
                raise AlignmentError(
                    f"A mask must have one entry per spectrogram ({len(self)}). "
                    f"Received shape {positions.shape}."
                )
            positions = np.flatnonzero(positions)
        return Spectrograms(self.store, [self.ids[i] for i in positions.astype(np.int64)])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self.store[id] for id in self.ids)

    @property
    def parameters(self) -> LogMelParameters:
        """Settings of the spectrograms."""
        return self.store.parameters

    @property
    def frames(self) -> NDArray[np.int64]:
        """Number of frames of each spectrogram. They are not read."""
        return self.store.frames(self.ids)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape `(n_mels, frames)` of each spectrogram. They are not read."""
        return [(self.store.parameters.n_mels, int(frames)) for frames in self.frames]

    def window(self, index: int, start: int, stop: int | None) -> NDArray[np.float32]:
        """Frames `start` to `stop` - 1 of one spectrogram: `(n_mels, frames)`. No others are read."""
        return self.store.window(self.ids[index], start, stop)


class SpectrogramWriter:
    """Writer that appends spectrograms to a store, or makes one. Committed spectrograms survive a crash.

    Args:
        folder: the store.
        parameters: log-mel parameters of all spectrograms in the store.
        shard_bytes: size at which a shard is closed and the next one begun.

    Raises:
        ConfigError: the store was written with other parameters; the message names the differences.
        ArtefactError: the folder holds something else, or another process is writing to it.

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
        self._stack.enter_context(output_lock(self.folder))
        with self._stack as guard:  # released at once if the folder turns out to be unusable
            self._describe()
            index = read_index(self.folder)
            self._stack = guard.pop_all()
        self._digests: dict[str, str] = dict(
            zip(index["id"].to_pylist(), index["audio_digest"].to_pylist(), strict=True)
        )
        self._shard, self._offset, self._parts = next_shard(self.folder), 0, 0
        self._file: BinaryIO | None = None
        self._entries: list[tuple[str, int, int, int, str]] = []

    def digest(self, id: str) -> str | None:
        """Audio digest of a committed or added clip; None if the clip is not in the store."""
        return self._digests.get(id)

    def add(self, id: str, log_mel: NDArray[np.floating], audio_digest: str = "") -> None:
        """Append one spectrogram. Nothing is done if the store has the id with the same (non-empty) digest.

        Args:
            id: the clip.
            log_mel: shape `(n_mels, frames)`, dB re 1.0.
            audio_digest: digest of the decoded audio.

        Raises:
            ConfigError: the number of bands is not that of the parameters.
        """
        if log_mel.ndim != 2 or log_mel.shape[0] != self.parameters.n_mels:
            raise ConfigError(
                f"A log-mel spectrogram must have shape ({self.parameters.n_mels}, frames). "
                f"Received {log_mel.shape} for {id!r}."
            )
        if audio_digest and self._digests.get(id) == audio_digest:
            return
        file, frames = self._open(), np.ascontiguousarray(log_mel.T, dtype="<f2")
        file.write(frames.data)
        self._entries.append((id, self._shard, self._offset, len(frames), audio_digest))
        self._digests[id] = audio_digest
        self._offset += len(frames)

    def commit(self) -> None:
        """Write all added spectrograms to the disk: frames first, then the header, then the index entries."""
        if self._file is None or not self._entries:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        self._file.write(shard_header(self._offset, self.parameters.n_mels))
        self._file.seek(0, os.SEEK_END)
        self._file.flush()
        os.fsync(self._file.fileno())
        part = f"part-{self._shard:05d}-{self._parts:07d}.parquet"
        write_index(self.folder / "index.parts" / part, self._entries)
        self._entries, self._parts = [], self._parts + 1
        if self._offset * self.parameters.n_mels * 2 >= self.shard_bytes:
            self._end_shard()

    def close(self) -> None:
        """Commit, write the index to one file, and delete shards that hold no current entry."""
        try:
            self.commit()
            self._end_shard()
            compact_index(self.folder)
        finally:
            self._stack.close()

    def abandon(self) -> None:
        """Close without a commit. Committed spectrograms stay; the others are lost."""
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
            self._file.write(shard_header(0, self.parameters.n_mels))
        return self._file

    def _end_shard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._shard, self._offset, self._parts = None, self._shard + 1, 0, 0

    def _describe(self) -> None:
        if (self.folder / "store.json").exists():
            stored, _ = read_description(self.folder)
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


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ArtefactError(f"A spectrogram store must be a folder. {folder} is a file: choose another name.")
    if not folder.is_dir() or (folder / "store.json").exists():
        return
    locks = (INNER_LOCK, ".lock")  # earlier versions left `.lock`
    others = [entry for entry in folder.iterdir() if entry.name not in locks and entry.suffix != ".tmp"]
    if others:
        raise ArtefactError(
            f"A new spectrogram store needs an empty folder. {folder} holds other files: choose another."
        )


def _mismatch(folder: Path, stored: LogMelParameters, wanted: LogMelParameters) -> str:
    before, now = stored.model_dump(), wanted.model_dump()
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    differences = ", ".join(f"{name} ({before.get(name)} there, {now.get(name)} now)" for name in names)
    return (
        "All spectrograms of a store must have the same parameters. "
        f"{folder} differs in {differences}: choose another folder, or delete this one."
    )
