"""Tests of the number of threads that libraries start with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNTED = """
import os, sys
{before}
from quintet.audio.isolation import processes
processes.use_one_thread_ahead()
import numpy
from threadpoolctl import threadpool_info
print(max([pool["num_threads"] for pool in threadpool_info()], default=1), processes._Ahead.is_set)
processes.use_one_thread()
print(max([pool["num_threads"] for pool in threadpool_info()], default=1))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread")
@pytest.mark.parametrize(
    ("before", "given", "expected"),
    [
        ("", {}, ["1", "True", "1"]),
        ("", {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}, ["2", "False", "1"]),
        ("import numpy", {}, [None, "False", "1"]),
    ],
    ids=["nothing is set", "the user has set it", "a library is imported already"],
)
def test_a_process_starts_with_one_thread_unless_the_user_wants_more(
    before: str, given: dict[str, str], expected: list[str | None]
) -> None:
    unset = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    code = COUNTED.format(before=before)
    printed = subprocess.run(
        [sys.executable, "-c", code], env=unset | given, capture_output=True, text=True, check=True
    ).stdout.split()
    if expected[0] is None:
        expected[0] = printed[0]
        assert int(printed[0]) > 1
    assert printed == expected
