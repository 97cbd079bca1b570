"""Arrays of a checkpoint of TensorFlow 1."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from quintet.embeddings.musicnn_graph import Checkpoint
from quintet.embeddings.onnx_graph import Floats
from quintet.errors import ArtefactError
from quintet.files.notices import silence_libraries

INDEX, DATA = ".index", ".data-00000-of-00001"
OPTIMIZER = ("Adam", "beta1_power", "beta2_power", "global_step")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the variables of a checkpoint, without those of its optimizer.

    Args:
        folder: folder with the files `.index` and `.data-00000-of-00001`, with or without a name before the
            dot.

    Raises:
        ArtefactError: the folder holds no checkpoint, or a damaged one.
    """
    with silence_libraries():
        import tensorflow as tf

    index = next(iter(sorted(folder.glob(f"*{INDEX}"))), None)
    if index is None:
        raise ArtefactError(f"A checkpoint must have a file that ends in {INDEX}. {folder} has none.")
    stem = index.name[: -len(INDEX)]
    data = folder / f"{stem}{DATA}"
    if not data.is_file():
        raise ArtefactError(
            f"A checkpoint must have the file {data.name} beside {index.name}. It is missing."
        )
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch:
        prefix = Path(scratch) / "checkpoint"  # TensorFlow wants a prefix with a name
        shutil.copyfile(index, f"{prefix}{INDEX}")
        shutil.copyfile(data, f"{prefix}{DATA}")
        arrays: dict[str, Floats] = {}
        try:
            reader = tf.train.load_checkpoint(str(prefix))
            for name in reader.get_variable_to_shape_map():
                if not any(part in name for part in OPTIMIZER):
                    arrays[name] = reader.get_tensor(name)
        except Exception as error:  # noqa: BLE001 - TensorFlow's errors have no common public base class
            raise ArtefactError(f"The checkpoint in {folder} cannot be read: {error}") from None
    prefixes = {name.rpartition("batch_normalization/gamma")[0] for name in arrays if _is_first_norm(name)}
    return Checkpoint(arrays, prefix=min(prefixes, default=""))


def _is_first_norm(name: str) -> bool:
    return name.endswith("batch_normalization/gamma")
