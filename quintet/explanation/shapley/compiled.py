"""The loops of `kernels` and `forest_kernels` as machine code.

A process that finds it in the cache imports no numba.
"""

from __future__ import annotations

from quintet.features.engine.native import StoredKernel

_MODULE = "quintet.explanation.shapley.kernels"
_FORESTS = "quintet.explanation.shapley.forest_kernels"

add_coalition_outputs = StoredKernel(_FORESTS, "add_coalition_outputs")
add_hybrid_values = StoredKernel(_FORESTS, "add_hybrid_values")
add_background_values = StoredKernel(_FORESTS, "add_background_values")
add_tree_values = StoredKernel(_MODULE, "add_tree_values")
add_product_values = StoredKernel(_MODULE, "add_product_values")
add_leaf_values = StoredKernel(_FORESTS, "add_leaf_values")
fill_neighbour_shares = StoredKernel(_MODULE, "fill_neighbour_shares")
