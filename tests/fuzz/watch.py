"""Seconds and memory of every clip that a worker process reads, as the fuzzer reports them."""

from __future__ import annotations

import functools
import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quintet.audio.isolation.bounds import peak_bytes

READERS = {
    "quintet.features.extraction.worker": "describe_clip",
    "quintet.features.extraction.segments": "describe_file",
    "quintet.auditing.clip_facts": "measure_clip",
}
"""Module → its function that reads one file in a worker."""
LEAST_S, LEAST_MB = 0.25, 32.0


def watch(log: Path) -> None:
    """Have workers that are forked from now on write down the files that take more than those before them.

    Args:
        log: receives a line of JSON for each of them: seconds, peak_mb, file. A worker that dies writes none.
    """
    for module_name, name in READERS.items():
        module = importlib.import_module(module_name)
        setattr(module, name, _Watched(getattr(module, name), log))


class _Watched:
    """A function with a watch. It is pickled by the name of the function."""

    def __init__(self, function: Callable[..., Any], log: Path) -> None:
        self.function, self.log = function, log
        self.most_s, self.most_mb = LEAST_S, 0.0
        functools.update_wrapper(self, function)

    def __reduce__(self) -> str:
        return self.function.__qualname__

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call the function."""
        began = time.monotonic()
        result = self.function(*arguments, **settings)
        if isinstance(result, Iterator):
            return self._follow(result, arguments, began)
        self._note(arguments, time.monotonic() - began)
        return result

    def _follow(self, items: Iterator[Any], arguments: tuple[Any, ...], began: float) -> Iterator[Any]:
        yield from items
        self._note(arguments, time.monotonic() - began)

    def _note(self, arguments: tuple[Any, ...], seconds: float) -> None:
        peak_mb = peak_bytes() / 1e6
        if seconds <= self.most_s and peak_mb < self.most_mb + LEAST_MB:
            return
        self.most_s, self.most_mb = max(seconds, self.most_s), max(peak_mb, self.most_mb)
        file = getattr(arguments[0], "source", arguments[0]).path
        line = {
            "seconds": round(seconds, 2),
            "peak_mb": round(peak_mb),
            "file": "/".join(Path(file).parts[-4:]),
        }
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
