"""Preload for worker processes: loads the kernels.

The forkserver imports this module once, so that every worker that it forks has the kernels.
"""

from __future__ import annotations

from quintet.features.engine.warm_up import load_if_compiled

load_if_compiled()
