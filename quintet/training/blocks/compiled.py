"""The loops of `kernels` as machine code. A process that finds it in the cache imports no numba."""

from __future__ import annotations

from quintet.features.engine.native import StoredKernel

_MODULE = "quintet.training.blocks.kernels"

fill_run_densities = StoredKernel(_MODULE, "fill_run_densities")
move_in_turn = StoredKernel(_MODULE, "move_in_turn")
split_and_merge_in_turn = StoredKernel(_MODULE, "split_and_merge_in_turn")
