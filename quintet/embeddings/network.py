"""A pretrained network in ONNX Runtime, bound to its contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.embeddings.contract import Contract
from quintet.embeddings.front_end import DEFAULT_WINDOWS, Windows, clip_windows
from quintet.errors import ArtefactError, MissingExtraError

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, TensorProto
    from onnxruntime import InferenceSession

Floats = NDArray[np.float32]
GPU = "CUDAExecutionProvider"
GPU_BATCH = 16
"""Windows that a GPU computes at once. On a CPU, one at a time fits the cache best."""
LARGEST_FILE = 4 * 2**30
"""Bytes of an ONNX file that is read at most."""


class Network:
    """A pretrained network. `batch` is the number of windows that it computes at once.

    Args:
        content: bytes of the ONNX file.
        contract: its contract.
        threads: threads of ONNX Runtime. None lets it choose.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ArtefactError: the file is no ONNX model, refers to other files, or its inputs or outputs are not
            those of the contract.
    """

    def __init__(self, content: bytes, contract: Contract, *, threads: int | None = 1) -> None:
        self.contract = contract
        self._session = open_session(content, threads=threads)
        self.batch = self._require_input()
        self._require_outputs()

    def run(self, samples: Floats, *, windows: Windows = DEFAULT_WINDOWS) -> dict[str, Floats]:
        """Outputs per window of a clip.

        Args:
            samples: mono, at the contract's sample rate, shape `(n,)`.
            windows: number of windows, or `"all"`.

        Returns:
            For the name of each output, shape `(k, dimension)`, float32.

        Raises:
            TooShortError: the clip is too short.
            ArtefactError: the network fails, or gives numbers that are not finite or of another shape.
        """
        return self.run_windows(clip_windows(samples, self.contract, windows))

    def run_windows(self, inputs: Floats) -> dict[str, Floats]:
        """Outputs of windows that `front_end` has made.

        Args:
            inputs: shape `(k, *window_shape)`, k ≥ 1.

        Returns:
            For the name of each output, shape `(k, dimension)`, float32.

        Raises:
            ArtefactError: as `run`.
        """
        outputs = self.contract.outputs
        names = [output.name for output in outputs]
        starts = range(0, len(inputs), self.batch)
        parts = [self._run_batch(names, inputs[start : start + self.batch]) for start in starts]
        results = {}
        for position, output in enumerate(outputs):
            values = np.concatenate([part[position] for part in parts])[: len(inputs)]
            if values.shape != (len(inputs), output.dimension) or not np.isfinite(values).all():
                raise ArtefactError(
                    f"Output '{output.name}' of {self.contract.id} must give {output.dimension} finite "
                    f"numbers per window. Received the shape {values.shape} for {len(inputs)} windows."
                )
            if output.l2:
                values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
            results[output.name] = values.astype(np.float32, copy=False)
        return results

    def _run_batch(self, names: list[str], batch: Floats) -> list[Floats]:
        missing = self.batch - len(batch) if self._is_fixed else 0
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        try:
            values = self._session.run(names, {self.contract.input_name: batch})
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base class of its errors
            raise ArtefactError(
                f"The network {self.contract.id} cannot compute an input of shape {batch.shape}: "
                f"{str(error).splitlines()[0]}"
            ) from None
        return [np.asarray(value).reshape(len(batch), -1) for value in values]

    def _require_input(self) -> int:
        """Check the input against the contract; the number of windows that are computed at once."""
        inputs = self._session.get_inputs()
        wanted, received = self.contract.input_name, [value.name for value in inputs]
        if received != [wanted]:
            raise ArtefactError(
                f"The only input of {self.contract.id} must be '{wanted}'. "
                f"The file has: {', '.join(received)}."
            )
        batch, *shape = inputs[0].shape
        window = self.contract.input.window_shape
        fits = len(shape) == len(window) and all(
            not isinstance(size, int) or size == own for size, own in zip(shape, window, strict=True)
        )
        if not fits:
            raise ArtefactError(
                f"A window of {self.contract.id} must have the shape that its file wants: {_text(shape)}. "
                f"The contract gives {_text(window)}: check the bands, the frames and the order of the axes."
            )
        self._is_fixed = isinstance(batch, int) and batch > 0
        if self._is_fixed:
            return int(batch)
        return GPU_BATCH if GPU in self._session.get_providers() else 1

    def _require_outputs(self) -> None:
        present = {value.name: value.shape for value in self._session.get_outputs()}
        for output in self.contract.outputs:
            if output.name not in present:
                raise ArtefactError(
                    f"The file of {self.contract.id} must have the output '{output.name}'. It has: "
                    f"{', '.join(present)}."
                )
            sizes = present[output.name][1:]
            known = [size for size in sizes if isinstance(size, int)]
            if len(known) == len(sizes) and int(np.prod(known)) != output.dimension:
                raise ArtefactError(
                    f"Output '{output.name}' of {self.contract.id} must have {output.dimension} numbers per "
                    f"window, as its contract says. The file gives {int(np.prod(known))}."
                )


def open_session(content: bytes, *, threads: int | None = 1) -> InferenceSession:
    """A session of ONNX Runtime on bytes that refer to no other file.

    Args:
        content: the ONNX file.
        threads: threads of the session; None lets ONNX Runtime choose.

    Raises:
        MissingExtraError: ONNX Runtime or onnx is not installed.
        ArtefactError: the bytes are no ONNX model, or keep arrays in other files.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("A pretrained network", "embeddings") from None
    parse_model(content)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=_providers(onnxruntime.get_available_providers())
        )
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base class of its errors
        raise ArtefactError(
            f"The file must be an ONNX model of standard operators: {str(error).splitlines()[0]}"
        ) from None


def parse_model(content: bytes) -> ModelProto:
    """The parsed bytes of an ONNX file that refers to no other file.

    Raises:
        MissingExtraError: onnx is not installed.
        ArtefactError: the bytes are no ONNX model, or keep arrays in other files.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("A pretrained network", "embeddings") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # noqa: BLE001 - errors of protobuf have no public base class
        raise ArtefactError(f"The file must be an ONNX model. It cannot be parsed: {error}") from None
    _require_own_data(model)
    return model


def _providers(available: Sequence[str]) -> list[str]:
    """A GPU if ONNX Runtime has one, then the CPU."""
    return [name for name in (GPU, "CPUExecutionProvider") if name in available]


def require_runtime() -> None:
    """Require that ONNX Runtime and onnx are installed. Neither is imported.

    Raises:
        MissingExtraError: one of them is not.
    """
    if not all(map(find_spec, ("onnx", "onnxruntime"))):
        raise MissingExtraError("A pretrained network", "embeddings")


def _require_own_data(model: ModelProto) -> None:
    """Refuse arrays that lie in other files: their names could lead anywhere."""
    for graph in (model.graph, *model.functions):
        for tensor in _tensors(graph):
            if tensor.data_location == tensor.EXTERNAL:
                raise ArtefactError(
                    f"An ONNX file must hold all its arrays. Array '{tensor.name}' lies in another file: "
                    "save the model as one file."
                )


def _tensors(graph: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    """All arrays of a graph and of the graphs in it."""
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _tensors(inner)


def read_model(path: Path) -> bytes:
    """The bytes of an ONNX file.

    Raises:
        ArtefactError: the file cannot be read or is larger than 4 GiB.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ArtefactError(f"An ONNX file must have at most 4 GiB. {path} has more.")
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"The ONNX file {path} cannot be read: {error.strerror}.") from None


def _text(shape: Sequence[object]) -> str:
    return " × ".join(str(size) if isinstance(size, int) else "any" for size in shape)
