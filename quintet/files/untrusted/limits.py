"""Largest sizes that are read from a stranger's files: the one table of them (docs/security.md shows it).

A limit is what a reader allows if nothing narrower is known. Most arrays have a narrower one: the shape that
`member.json` or `bundle.json` implies. A file beyond a limit is refused in one sentence before it is
unpacked.
"""

from __future__ import annotations

MIB = 1 << 20

FILES = 20_000
"""Files of a model folder."""

FILE_BYTES = 16_384 * MIB
"""Bytes of one file."""

JSON_BYTES = 48 * MIB
"""Bytes of a JSON file, or of the JSON inside another file."""

TOML_BYTES = 8 * MIB
"""Bytes of a TOML file."""

LINES_BYTES = 256 * MIB
"""Bytes of a file with one JSON object per line: corrections of a library, a journal of tags."""

JSON_DEPTH = 40
"""Levels of nested lists and objects in JSON, UBJSON and TOML."""

ENTRIES = 200_000
"""Entries of an archive (.npz, .skops); groups and datasets of an HDF5 file."""

HEADER_BYTES = 4_096
"""Bytes of the header of an array."""

TREES = 200_000
"""Trees of a forest or of a boosted model."""

TREE_DEPTH = 256
"""Decisions on the longest path of a frozen tree."""

FEATURES = 1_000_000
"""Columns of a feature table."""

CLASSES = 100_000
"""Classes of a model."""

ID_CHARACTERS = 16_384
"""Characters of the id of a known clip: a path of 4,096 bytes, each of them written as an escape."""

BANDS = 4_096
"""Mel bands of a network."""

WEIGHTS = 512 * MIB
"""Weights of a network (numbers, not bytes)."""

NETWORK_SETTING = 65_536
"""Largest number among the settings of a network (filters, units, blocks)."""

LAYERS = 2_000
"""Layers of a network."""

ACTIVATION_BYTES = 128 * MIB
"""Bytes of the largest output of a layer for one patch."""

STEP_BYTES = 4096 * MIB
"""Bytes of the largest output of a layer for one batch of patches."""

NETWORK_BYTES = 512 * MIB
"""Bytes of the outputs of a frozen network that are in memory at a time."""

OUTPUTS_BYTES = 2048 * MIB
"""Bytes of all outputs of a frozen network for one patch."""

NETWORK_WORK = 1 << 38
"""Multiplications of a frozen network for one patch, and what takes as long. VGG16 has 2³⁴."""

STEP_INPUTS = 1_000
"""Outputs, or weights, that a step of a frozen network reads."""

FRAMES = 100_000
"""Frames of a patch, and time steps of a GRU."""

EPOCHS = 1_000_000
"""Epochs of a network."""

BATCH_PATCHES = 4_096
"""Patches that a network reads in one step."""

CLIP_PATCHES = 100_000
"""Patches of one clip."""

THREADS = 256
"""Threads that a stored classifier may ask for."""

TABLE_ROWS = 50_000_000
"""Rows of a parquet table."""

TABLE_COLUMNS = 100_000
"""Columns of a parquet table."""

TABLE_BYTES = 8_192 * MIB
"""Bytes of a parquet table in memory, unless its file is of that order."""

TABLE_ALWAYS = 4
"""Bytes in memory for each byte of a parquet file that are always allowed."""

TABLE_FLOOR_BYTES = 256 * MIB
"""Bytes that the table of a very small parquet file may take in memory."""

TABLE_RATIO = 64
"""Bytes in memory for each byte of a parquet file, beyond `TABLE_FLOOR_BYTES`."""

PAGE_BYTES = 256 * MIB
"""Bytes of one page of a parquet table after unpacking."""
