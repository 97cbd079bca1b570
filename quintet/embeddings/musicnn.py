"""The four networks of the package musicnn: how their wheel is fetched and converted, and their contracts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from quintet.embeddings.checkpoints import DATA, INDEX, read_checkpoint
from quintet.embeddings.contract import Contract, parse_contract
from quintet.embeddings.essentia import MUSICNN_BANDS
from quintet.embeddings.golden import check_golden
from quintet.embeddings.library import Installed, install
from quintet.embeddings.musicnn_graph import EMBEDDING, INPUT, TAGS, Checkpoint, musicnn_graph, vgg_graph
from quintet.embeddings.network import Network
from quintet.embeddings.vocabulary import tag_names
from quintet.errors import ArtefactError
from quintet.files.digests import file_digest
from quintet.files.json_types import JsonObject

VERSION = "0.1.0"
WHEEL = f"musicnn-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
LICENCE_FILE = f"musicnn-{VERSION}.dist-info/LICENSE.md"
LARGEST_PART = 64 * 2**20
"""Bytes of a file in the wheel that are unpacked at most."""
SOURCE = f"https://github.com/jordipons/musicnn (package musicnn {VERSION})"
FRONT_END: JsonObject = {**MUSICNN_BANDS, "frames": 187, "hop_frames": 93}


@dataclass(frozen=True)
class Published:
    """A network of the package.

    Args:
        folder: of its checkpoint in the wheel.
        vocabulary: of its tags, as in `tag_names`.
        trained_on: its training data.
        published: its published scores.
    """

    folder: str
    vocabulary: str
    trained_on: str
    published: str

    @property
    def is_vgg(self) -> bool:
        """Whether it is the VGG."""
        return self.folder.endswith("vgg")


MTT, MSD = "MagnaTagATune", "Million Song Dataset"
NETWORKS = {
    "musicnn_msd": Published("MSD_musicnn", "msd", MSD, "ROC-AUC .880, PR-AUC .289 on its test set"),
    "musicnn_mtt": Published("MTT_musicnn", "mtt", MTT, "ROC-AUC .907, PR-AUC .383 on its test set"),
    "vgg_msd": Published("MSD_vgg", "msd", MSD, "ROC-AUC .877, PR-AUC .282 on its test set"),
    "vgg_mtt": Published("MTT_vgg", "mtt", MTT, "ROC-AUC .903, PR-AUC .382 on its test set"),
}
"""The networks by their names in the library. Scores: the files `experiment.result` in the wheel."""


def fetch_musicnn(wheel: Path | None = None) -> list[Installed]:
    """Convert the four networks of the package musicnn and add them to the library.

    Args:
        wheel: the wheel, which the user brings. None downloads it with pip.

    Raises:
        ArtefactError: the wheel cannot be downloaded or is another file, or a golden clip deviates.
    """
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch:
        if wheel is None:
            wheel = _download(Path(scratch))
        _require_digest(wheel)
        return convert_wheel(wheel, Path(scratch) / "unpacked")


def convert_wheel(wheel: Path, scratch: Path) -> list[Installed]:
    """Convert the checkpoints of a wheel, check them with the golden clip and add them to the library."""
    installed = []
    with zipfile.ZipFile(wheel) as archive:
        licence = _unpack(archive, LICENCE_FILE).decode("utf-8")
        for name, network in NETWORKS.items():
            folder = scratch / network.folder
            folder.mkdir(parents=True)
            for part in (INDEX, DATA):
                (folder / part).write_bytes(_unpack(archive, f"musicnn/{network.folder}/{part}"))
            content = convert(read_checkpoint(folder), is_vgg=network.is_vgg)
            contract = network_contract(name, content)
            check_golden(Network(content, contract), scratch)
            installed.append(install(content, contract, licence=licence))
    return installed


def convert(checkpoint: Checkpoint, *, is_vgg: bool) -> bytes:
    """The ONNX file of a checkpoint."""
    return vgg_graph(checkpoint) if is_vgg else musicnn_graph(checkpoint)


def network_contract(name: str, content: bytes) -> Contract:
    """The contract of a network of the package.

    Args:
        name: as in `NETWORKS`.
        content: its ONNX file.
    """
    network = NETWORKS[name]
    width = 256 if network.is_vgg else 200
    golden = golden_values()[name]
    tags = tag_names(network.vocabulary)
    contract: JsonObject = {
        "id": name,
        "version": VERSION,
        "licence": "ISC",
        "source": SOURCE,
        "trained_on": network.trained_on,
        "published": network.published,
        "sha256": hashlib.sha256(content).hexdigest(),
        "sample_rate": 16000,
        "input_name": INPUT,
        "input": FRONT_END,
        "outputs": [
            {"name": TAGS, "dimension": len(tags), "tags": tags},
            {"name": EMBEDDING, "dimension": width},
        ],
        "golden": {"output": TAGS, "values": golden, "tolerance": 1e-3},
    }
    return parse_contract(contract, where=f"The contract of {name}")


def golden_values() -> dict[str, list[float]]:
    """For each network, the mean tags over all windows of the synthetic golden clip."""
    import json

    file = resources.files("quintet.embeddings").joinpath("musicnn_golden.json")
    values: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8"))
    return values


def _download(folder: Path) -> Path:
    """Download the wheel with pip, from the index that the user has configured."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"musicnn=={VERSION} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = folder / WHEEL
    if done.returncode or not wheel.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ArtefactError(
            f"pip must be able to download musicnn {VERSION}. It could not: "
            f"{lines[-1] if lines else 'no message'}. Offline: bring the file {WHEEL} (29 MB) and run: "
            "quintet weights fetch musicnn --from FILE"
        )
    return wheel


def _require_digest(wheel: Path) -> None:
    try:
        digest = file_digest(wheel)
    except OSError as error:
        raise ArtefactError(f"The wheel {wheel} cannot be read: {error.strerror}.") from None
    if digest != WHEEL_SHA256:
        raise ArtefactError(
            f"The wheel must be {WHEEL} with SHA-256 {WHEEL_SHA256}. {wheel} has {digest}: bring the "
            "published file."
        )


def _unpack(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ArtefactError(f"The wheel of musicnn must hold {name}. It does not.") from None
    if info.file_size > LARGEST_PART:
        raise ArtefactError(
            f"A file in the wheel must have at most 64 MiB. {name} has {info.file_size} bytes."
        )
    return archive.read(info)
