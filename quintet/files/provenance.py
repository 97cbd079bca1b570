"""Where a run comes from: versions, platform and command, and digests of what it looked at."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import platform
import shlex
import sys
from typing import Any

import numpy as np
import pandas as pd

from quintet.features.storage.table import FeatureTable
from quintet.model_folder.folder import hash_of

LIBRARIES = (
    "quintet",
    "numpy",
    "scipy",
    "scikit-learn",
    "xgboost",
    "keras",
    "tensorflow",
    "librosa",
    "soundfile",
    "soxr",
    "numba",
    "pandas",
    "pyarrow",
)


def environment() -> dict[str, Any]:
    """Versions, platform and command of this run."""
    versions: dict[str, str | None] = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "created": now,
        "command": shlex.join(sys.argv),
    }


def table_digest(table: FeatureTable) -> str:
    columns = ["id", "label", "group", "status"]
    return hash_of([int(pd.util.hash_pandas_object(table.frame[columns].astype(str)).sum()), _values_digest(table.features)])


def _values_digest(features: pd.DataFrame) -> str:
    return hashlib.sha256(np.ascontiguousarray(features.to_numpy(np.float32)).tobytes()).hexdigest()[:16]
