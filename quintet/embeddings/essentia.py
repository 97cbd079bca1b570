"""Essentia's own JSON descriptions of models, read as contracts.

The JSON names inputs, outputs, classes, the sample rate and the Essentia algorithm; the algorithm decides the
front end. Source: the reference pages of `TensorflowInputMusiCNN`, `TensorflowInputVGGish` and of the
`TensorflowPredict…` algorithms (https://essentia.upf.edu/reference).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from quintet.errors import ConfigError, unknown_name

MUSICNN_BANDS = {
    "kind": "log_mel",
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 96,
    "compression": "log10",
    "scale": 1e4,
    "offset": 1.0,
}
"""Mel bands of musicnn, which Essentia computes from frames that begin at sample 0."""
VGGISH_BANDS = {
    "kind": "log_mel",
    "n_fft": 512,
    "win_length": 400,
    "hop_length": 160,
    "n_mels": 64,
    "fmin": 125.0,
    "fmax": 7500.0,
    "mel_scale": "htk",
    "norm": "none",
    "power": 1,
    "compression": "ln",
    "offset": 0.01,
}
FRONT_ENDS: dict[str, dict[str, object]] = {
    "TensorflowPredictMusiCNN": {**MUSICNN_BANDS, "frames": 187, "hop_frames": 93},
    "TensorflowPredictEffnetDiscogs": {**MUSICNN_BANDS, "frames": 128, "hop_frames": 62},
    "TensorflowPredictMAEST": {**MUSICNN_BANDS, "frames": 1876, "hop_frames": 1875},
    "TensorflowPredictVGGish": {**VGGISH_BANDS, "frames": 96, "hop_frames": 96},
}
"""Front end of each Essentia algorithm."""


def is_essentia(content: Mapping[str, object]) -> bool:
    """Whether a JSON is a description by Essentia."""
    return "schema" in content and "inference" in content


def from_essentia(content: Mapping[str, object], *, where: str) -> dict[str, object]:
    """The content of a contract from a description by Essentia.

    Args:
        content: the parsed JSON.
        where: the file, for error messages.

    Raises:
        ConfigError: a part is missing, or the algorithm has a front end that is not known here.
    """
    inference, schema = _table(content, "inference", where), _table(content, "schema", where)
    algorithm = str(inference.get("algorithm"))
    if algorithm not in FRONT_ENDS:
        raise ConfigError(f"{where}: {unknown_name('algorithm', algorithm, FRONT_ENDS)}")
    inputs = _rows(schema, "inputs", where)
    return {
        "id": re.sub(r"[^A-Za-z0-9_-]+", "-", str(content.get("name", "")).strip()).strip("-").lower(),
        "version": str(content.get("version", "1")),
        "licence": str(content.get("license") or "CC BY-NC-SA 4.0 (Essentia's models)"),
        "source": str(content.get("link") or "Essentia models"),
        "trained_on": str(_optional(content, "dataset").get("name", "")),
        "sample_rate": inference.get("sample_rate"),
        "input_name": str(inputs[0].get("name")),
        "input": {**FRONT_ENDS[algorithm], "center": False},
        "outputs": _outputs(content, _rows(schema, "outputs", where), where),
    }


def _outputs(
    content: Mapping[str, object], rows: Sequence[Mapping[str, object]], where: str
) -> list[dict[str, object]]:
    classes = content.get("classes")
    tags = [str(name) for name in classes] if isinstance(classes, list) else []
    outputs = []
    for row in rows:
        shape = row.get("shape")
        if not isinstance(shape, list) or len(shape) != 2 or not isinstance(shape[1], int):
            continue  # an inner layer, such as a feature map
        is_prediction = row.get("output_purpose") == "predictions" and len(tags) == shape[1]
        outputs.append(
            {"name": str(row.get("name")), "dimension": shape[1], "tags": tags if is_prediction else []}
        )
    if not outputs:
        raise ConfigError(f"{where}: an output must have the shape [batch, numbers]. No output has.")
    return outputs


def _table(content: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: '{key}' must be a table. Received {type(value).__name__}.")
    return value


def _optional(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _rows(schema: Mapping[str, object], key: str, where: str) -> list[Mapping[str, object]]:
    rows = schema.get(key)
    tables: list[Mapping[str, object]] = []
    if isinstance(rows, list):
        tables = [row for row in rows if isinstance(row, dict)]
    if not tables:
        raise ConfigError(f"{where}: 'schema.{key}' must be a list of tables. Received {rows!r:.80}.")
    return tables
