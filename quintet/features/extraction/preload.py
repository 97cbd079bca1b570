"""Preload for worker processes: the forkserver imports this module once, so that its workers start with the kernels loaded."""

from __future__ import annotations

from quintet.features.engine.warm_up import load_if_compiled

load_if_compiled()
