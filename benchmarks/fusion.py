"""Fusion and evaluation of large files of predictions: wall time, CPU time and peak memory of each step.

    python benchmarks/fusion.py                  # 1,000,000 rows × 10 members × 50 classes
    python benchmarks/fusion.py --scale 0.01     # a hundredth of the rows, for a quick run

Each step runs in a process of its own. Target: fusion and the point scores of its result take less than a
minute and less than 4 GB on two cores.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, MEMBERS, CLASSES, BATCH = 1_000_000, 10, 50, 50_000


def write_member(path: Path, n: int, seed: int) -> None:
    """Write float32 probabilities that favour the true class, with labels and groups of four clips."""
    rng, truth = np.random.default_rng([seed, 1]), np.random.default_rng(0)
    writer = None
    for start in range(0, n, BATCH):
        rows = min(BATCH, n - start)
        y = truth.integers(0, CLASSES, rows)
        p = rng.standard_exponential((rows, CLASSES), dtype=np.float32)
        p[np.arange(rows), y] *= 4
        p /= p.sum(axis=1, keepdims=True)
        keys = {
            "clip_id": pa.array([f"clip{i:08d}" for i in range(start, start + rows)]),
            "label": pa.array([f"class{k:02d}" for k in y]),
            "group": pa.array([f"artist{i // 4}" for i in range(start, start + rows)]),
        }
        table = pa.table(keys | {f"probability.class{k:02d}": p[:, k] for k in range(CLASSES)})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none")
        writer.write_table(table)
    if writer:
        writer.close()


def step(name: str, folder: Path) -> None:
    """Run one step in this process, and print its time and memory."""
    from quintet.ensemble.fuse_files import fuse
    from quintet.predictions.evaluate import evaluate

    members, fused = sorted(folder.glob("member*.parquet")), folder / "fused.parquet"
    wall, cpu = time.perf_counter(), time.process_time()
    if name.startswith("fuse"):
        fuse(members, fused, rule=name.split()[1])
        scores = ""
    else:
        paths = members if "all" in name else [fused]
        result = evaluate(paths, n_resamples=1000 if "intervals" in name else 0)
        values = {key: result["scores"][key]["value"] for key in ("accuracy", "macro_auc", "log_loss")}
        scores = ", ".join(f"{key} {value:.4f}" for key, value in values.items())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:28} wall {wall:6.1f} s   CPU {cpu:6.1f} s   peak {peak:5.2f} GB   {scores}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the million rows")
    parser.add_argument(
        "--folder", type=Path, help="folder for the files (2 GB); default: a temporary folder"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step, arguments.folder)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        n = int(ROWS * arguments.scale)
        print(f"{n:,} rows × {MEMBERS} members × {CLASSES} classes", flush=True)
        for i in range(MEMBERS):
            write_member(Path(name) / f"member{i}.parquet", n, i)
        for what in (
            "fuse mean",
            "fuse geometric",
            "evaluate fused",
            "evaluate fused, intervals",
            "evaluate all",
        ):
            subprocess.run([sys.executable, __file__, "--folder", name, "--step", what], check=True)


if __name__ == "__main__":
    main()
