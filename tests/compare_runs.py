"""Comparison of two runs of one recipe: `python -m tests.compare_runs RUN_A RUN_B`.

Every file of the two run folders is compared. Equal bytes are equal. Otherwise the content is compared
without timings, versions, paths and times of change: JSON with the order of its keys, parquet by columns,
arrays by value. Pages are left out: they show the timings. The exit code is 1 if anything differs. Both runs
must use the same number of threads (`OMP_NUM_THREADS=1`), because BLAS adds in another order with another
number of threads.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

TIMINGS = {"seconds", "fold_seconds", "created", "command", "versions", "platform", "files", "spectrograms"}
OWN_PATHS = ["source_mtime_ns", "path", "seconds", "shard", "row", "offset"]


def without_timings(content: Any) -> Any:
    """JSON content without the keys that tell times, versions, digests of files and places."""
    if isinstance(content, dict):
        return {key: without_timings(value) for key, value in content.items() if key not in TIMINGS}
    return [without_timings(value) for value in content] if isinstance(content, list) else content


def same_json(a: Path, b: Path) -> bool:
    """Whether two JSON files say the same, in the same order."""
    first, second = (json.dumps(without_timings(json.loads(path.read_text()))) for path in (a, b))
    return first == second


def same_table(a: Path, b: Path) -> bool:
    """Whether two parquet files have the same columns in the same order, and the same values by id."""
    first, second = pq.read_table(a), pq.read_table(b)
    if first.schema.names != second.schema.names:
        return False
    absent = [name for name in OWN_PATHS if name in first.column_names]
    frames = [table.drop(absent).to_pandas() for table in (first, second)]
    if "file" in frames[0]:
        frames = [frame.assign(file=[Path(name).name for name in frame["file"]]) for frame in frames]
    if "id" in frames[0] and absent:
        frames = [frame.sort_values(frame.columns.tolist(), ignore_index=True) for frame in frames]
    if "clip_id" in frames[0]:
        frames = [frame.assign(clip_id=[Path(name).name for name in frame["clip_id"]]) for frame in frames]
    return bool(frames[0].equals(frames[1]))


def same_arrays(a: Path, b: Path) -> bool:
    """Whether two `.npz` files hold the same arrays."""
    first, second = np.load(a), np.load(b)
    return first.files == second.files and all(
        np.array_equal(first[name], second[name], equal_nan=first[name].dtype.kind == "f")
        for name in first.files
    )


def same_rows(a: Path, b: Path) -> bool:
    """Whether two shards hold the same frames; workers may append the clips in another order."""
    first, second = (np.load(path) for path in (a, b))
    return first.shape == second.shape and bool((np.sort(first, axis=0) == np.sort(second, axis=0)).all())


def same_skops(a: Path, b: Path) -> bool:
    """Whether two skops files hold the same arrays; their schemas carry identities of objects."""
    contents = []
    for path in (a, b):
        with zipfile.ZipFile(path) as file:
            arrays = [file.read(name) for name in sorted(file.namelist()) if name.endswith(".npy")]
        contents.append(sorted(arrays))
    return contents[0] == contents[1]


COMPARISONS = {
    ".json": same_json,
    ".parquet": same_table,
    ".npz": same_arrays,
    ".npy": same_rows,
    ".skops": same_skops,
}


def files_of(run: Path) -> list[str]:
    """Names of the files of a run, without its report and hidden files."""
    files = [path.relative_to(run) for path in run.rglob("*") if path.is_file()]
    return sorted(file.as_posix() for file in files if file.parts[0] != "report" and file.name[0] != ".")


def main(first: Path, second: Path) -> int:
    """Print a line for each file and return the number of differences."""
    names = files_of(first)
    n_different = int(names != files_of(second))
    if n_different:
        print("DIFFERS  the list of files:", sorted(set(names) ^ set(files_of(second))))
    for name in names:
        a, b = first / name, second / name
        if not b.exists():
            continue
        if a.read_bytes() == b.read_bytes():
            print("bytes    ", name)
            continue
        compare = COMPARISONS.get(a.suffix)
        is_same = compare is not None and compare(a, b)
        n_different += not is_same
        print("content  " if is_same else "DIFFERS  ", name)
    print(f"{n_different} differences")
    return n_different


if __name__ == "__main__":
    sys.exit(bool(main(Path(sys.argv[1]), Path(sys.argv[2]))))
