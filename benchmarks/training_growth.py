"""Growth of training with the rows: `python -m benchmarks.training_growth [--rows 1000 3000 10000]`.

Every member is fitted on made-up collections of 518 columns and 16 classes, the size of FMA's features, and
predicts 2,000 rows that it was not fitted on. Each fit runs in a process of its own, which gives CPU time,
peak memory and scores. The exponents are the slopes of log time and log memory over log rows from
3,000 rows on. `--exact` also fits the members without the sizes of `quintet.classifiers.sizes`.
`--train` runs the whole command `quintet train` at each size, and compares the time that its bar announced.

    nice -n 19 python -m benchmarks.training_growth --rows 30000 100000 --json results/growth_large.json
    nice -n 19 python -m benchmarks.training_growth --rows 100000 --train --jobs 2 --members ""
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable

N_COLUMNS, N_CLASSES, LATENT, CLUSTERS = 518, 16, 40, 6
N_TEST = 2_000
RESULTS = Path(__file__).parent / "results"


def collection(n: int, *, seed: int = 0) -> tuple[Any, Any, Any]:
    """A made-up collection: features `(n, 518)` float32, classes and groups.

    Each class has six clusters in a space of 40 dimensions; groups are shifted, the space is bent into the
    columns, noise is added, and a tenth of the labels is wrong. Classes are as unequal as 1 : 1/16.
    """
    world = np.random.default_rng(0)
    centres = world.normal(size=(N_CLASSES, CLUSTERS, LATENT))
    bend = world.normal(size=(LATENT, 120)) / np.sqrt(LATENT)
    spread = world.normal(size=(120, N_COLUMNS)) / np.sqrt(120)
    share = 1 / np.arange(1, N_CLASSES + 1)
    share /= share.sum()
    rng = np.random.default_rng(seed + 1)
    n_groups = max(N_CLASSES * 4, n // 6)
    class_of_group = rng.choice(N_CLASSES, n_groups, p=share)
    class_of_group[: N_CLASSES * 4] = np.arange(N_CLASSES * 4) % N_CLASSES
    cluster, shift = rng.integers(0, CLUSTERS, n_groups), 0.7 * rng.normal(size=(n_groups, LATENT))
    group = rng.integers(0, n_groups, n)
    group[: min(n, n_groups)] = np.arange(min(n, n_groups))
    y = class_of_group[group]
    z = centres[y, cluster[group]] + shift[group] + 1.1 * rng.normal(size=(n, LATENT))
    y = np.where(rng.random(n) < 0.1, rng.choice(N_CLASSES, n, p=share), y)
    X = np.tanh(1.2 * z @ bend) @ spread + 0.5 * rng.normal(size=(n, N_COLUMNS))
    return X.astype(np.float32), y, group


def as_table(X: Any, y: Any, group: Any) -> FeatureTable:
    """The collection as a feature table."""
    frame = pd.DataFrame(X, columns=[f"family{j % 8}.column_{j:03d}" for j in range(X.shape[1])])
    rest = {
        "id": [f"clip{i:06d}" for i in range(len(X))],
        "label": [f"class{k:02d}" for k in y],
        "group": [f"artist{g:06d}" for g in group],
    }
    return foreign_table(pd.concat([pd.DataFrame(rest), frame], axis=1), Roles(), name="made up")


def fit_one(member: str, n: int, *, exact: bool) -> dict[str, Any]:
    """Fit one member as a run of `n` training rows does, in this process; its time, memory and scores."""
    from quintet.classifiers.sizes import sized_settings
    from quintet.ensemble.crossfit import Inputs, Trainer
    from quintet.evaluation.metrics import all_metrics

    X, y, group = collection(n)
    unseen, true, _ = collection(N_TEST, seed=1)
    columns = [f"c{j:03d}.x" for j in range(N_COLUMNS)]
    settings = {} if exact else sized_settings(member, {}, n)
    trainer = Trainer(member, settings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    inputs = Inputs(pd.DataFrame(X, columns=columns))
    fitted = trainer.fit(inputs, y.astype(str), np.array([f"g{g}" for g in group]))
    seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    p = fitted.predict_proba(pd.DataFrame(unseen, columns=columns))
    names = [str(name) for name in fitted.classes_]
    scores = all_metrics(np.array([names.index(str(k)) for k in true]), p).scores
    return {
        "member": member,
        "rows": n,
        "exact": exact,
        "settings": settings,
        "seconds": seconds,
        "peak_mb": memory,
        "data_mb": before / 1024,
        **{name: float(scores[name]) for name in ("accuracy", "log_loss", "macro_auc")},
    }


def in_own_process(*words: str) -> dict[str, Any]:
    """The result of this module with other arguments, in a new process."""
    command = [sys.executable, "-m", "benchmarks.training_growth", "--only", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(rows: Sequence[int], members: Sequence[str] = tuple(TABLE_MEMBERS)) -> list[dict[str, Any]]:
    """Time, memory and scores of a fit of each member at each size, from the smallest; each is printed."""
    results = []
    for n in sorted(rows):
        for member in members:
            results.append(in_own_process(member, str(n), "sized"))
            print(_line(results[-1]), flush=True)
    return results


def train_all(n: int, *, jobs: int, members: Sequence[str]) -> dict[str, Any]:
    """The whole training of a collection, and what the bar announced on the way.

    `announced` has pairs: the share of the time that had passed, and the total that the bar implied then over
    the true total of the fits.
    """
    import quintet
    from quintet.ensemble.crossfit import TrainingEvent
    from quintet.training.settings import TrainSettings

    seen: list[tuple[float, float]] = []
    fits_end = started = time.perf_counter()

    def listen(event: TrainingEvent) -> None:
        nonlocal fits_end
        if event.kind == "done":
            fits_end = time.perf_counter()
            seen.append((fits_end - started, event.details["left_s"]))

    table = as_table(*collection(n))
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(members=tuple(members))
        quintet.train(table, Path(folder) / "model", settings=settings, listener=listen, n_jobs=jobs)
    total = fits_end - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rows": n,
        "jobs": jobs,
        "wall_s": time.perf_counter() - started,
        "fits_s": total,
        "cpu_s": time.process_time() - begun + usage.ru_utime + usage.ru_stime,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_mb_of_a_worker": usage.ru_maxrss / 1024,
        "announced": [(at / total, (at + left) / total) for at, left in seen],
    }


def exponent(rows: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log values over log rows, of the sizes from 3,000 on.

    Example:
        >>> round(exponent([1000, 3000, 9000], [1, 9, 81]), 6)
        2.0
    """
    chosen = [(r, v) for r, v in zip(rows, values, strict=True) if r >= 3_000] or list(
        zip(rows, values, strict=True)
    )
    if len(chosen) < 2:
        return float("nan")
    slope, _ = np.polyfit(np.log([r for r, _ in chosen]), np.log([v for _, v in chosen]), 1)
    return float(slope)


def exponents(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per member, the exponents of the CPU time and of the memory beyond the data."""
    found: dict[str, dict[str, float]] = {}
    for member in dict.fromkeys(row["member"] for row in results):
        own = sorted(
            (r for r in results if r["member"] == member and not r["exact"]), key=lambda r: r["rows"]
        )
        rows = [row["rows"] for row in own]
        found[member] = {
            "time": exponent(rows, [row["seconds"] for row in own]),
            "memory": exponent(rows, [max(row["peak_mb"] - row["data_mb"], 1.0) for row in own]),
        }
    return found


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Time and peak memory over the rows, a line per member, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    slopes = exponents(results)
    for member in slopes:
        own = sorted(
            (r for r in results if r["member"] == member and not r["exact"]), key=lambda r: r["rows"]
        )
        rows = [row["rows"] for row in own]
        label = f"{member}, n^{slopes[member]['time']:.2f}"
        left.loglog(rows, [row["seconds"] for row in own], marker="o", label=label)
        right.loglog(rows, [row["peak_mb"] for row in own], marker="o", label=member)
    left.set(xlabel="rows", ylabel="CPU seconds of one fit")
    right.set(xlabel="rows", ylabel="peak memory, MB")
    left.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a line per fit, and write JSON and plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 3_000, 10_000])
    parser.add_argument("--members", default=",".join(TABLE_MEMBERS), help="between commas")
    parser.add_argument("--exact", action="store_true", help="also fit the members without sizes")
    parser.add_argument("--train", action="store_true", help="also run the whole training at each size")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes of the whole training")
    parser.add_argument("--json", type=Path, default=RESULTS / "growth.json")
    parser.add_argument("--plot", type=Path, default=RESULTS / "growth.svg")
    parser.add_argument("--only", nargs=3, metavar=("MEMBER", "ROWS", "EXACT"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.only:
        member, rows, exact = asked.only
        print(json.dumps(fit_one(member, int(rows), exact=exact == "exact")))
        return
    earlier = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    results: list[dict[str, Any]] = earlier.get("fits", [])
    runs: list[dict[str, Any]] = earlier.get("runs", [])

    def keep() -> None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"fits": results, "exponents": exponents(results), "runs": runs}
        asked.json.write_text(json.dumps(content, indent=1) + "\n")

    members = [name for name in asked.members.split(",") if name]
    for n in sorted(asked.rows):
        for member in members:
            for kind in ("sized", "exact") if asked.exact else ("sized",):
                row = in_own_process(member, str(n), kind)
                results.append(row)
                keep()
                print(_line(row), flush=True)
        if asked.train:
            run = train_all(n, jobs=asked.jobs, members=members or TABLE_MEMBERS)
            runs.append(run)
            keep()
            print(f"train {n:>7} rows  " + _run_line(run), flush=True)
    for member, slopes in exponents(results).items():
        print(f"{member:<20} time n^{slopes['time']:.2f}  memory n^{slopes['memory']:.2f}")
    if results:
        draw(results, asked.plot)


def _line(row: dict[str, Any]) -> str:
    kind = "exact" if row["exact"] else "sized" if row["settings"] else ""
    return (
        f"{row['member']:<20} {row['rows']:>7} rows  {row['seconds']:8.1f} s CPU  {row['peak_mb']:7.0f} MB  "
        f"accuracy {row['accuracy']:.3f}  log loss {row['log_loss']:.3f}  AUC {row['macro_auc']:.3f}  {kind}"
    )


def _run_line(run: dict[str, Any]) -> str:
    """Times and memory of a run, and the bar's error after a tenth, a quarter and half of the time."""
    shares: list[str] = []
    at: Callable[[float], list[float]] = lambda share: [t for s, t in run["announced"] if s >= share]  # noqa: E731
    for share in (0.1, 0.25, 0.5):
        later = at(share)
        shares.append(f"{share:.0%}: {later[0]:.2f}" if later else f"{share:.0%}: -")
    return (
        f"{run['wall_s']:.0f} s wall  {run['cpu_s']:.0f} s CPU  {run['peak_mb']:.0f} MB "
        f"(a worker {run['peak_mb_of_a_worker']:.0f})  announced over true total {', '.join(shares)}"
    )


if __name__ == "__main__":
    main()
