"""The space in which near songs sound alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quintet.library.vectors import _write_space, learn_space, read_space


def test_a_space_that_was_read_gives_the_vectors_of_the_one_that_was_learnt(tmp_path: Path) -> None:
    """To the last bit: a scan that was interrupted leaves what another one leaves."""
    values = np.random.default_rng(0).normal(size=(60, 1100)).astype(np.float32)
    learnt = learn_space([f"x{k}" for k in range(1100)], values, 60)
    _write_space(tmp_path, learnt)
    read = read_space(tmp_path)
    assert read is not None
    np.testing.assert_array_equal(read.project(values), learnt.project(values))
