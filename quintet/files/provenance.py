"""Where a run comes from: versions, platform and command."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import sys
from typing import Any

from quintet import __version__

LIBRARIES = (
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
    versions: dict[str, str | None] = {"quintet": __version__}
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
