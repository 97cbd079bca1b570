"""The user's folder of pretrained networks: one folder per network, with its ONNX file and its contract."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from quintet.embeddings.contract import Contract, parse_contract, read_contract
from quintet.embeddings.golden import check_golden
from quintet.embeddings.network import Network, read_model
from quintet.errors import ArtefactError, ConfigError, unknown_name
from quintet.files.atomic import write_bytes, write_text

MODEL, CONTRACT, LICENCE = "model.onnx", "contract.json", "LICENCE.txt"
VARIABLE = "QUINTET_WEIGHTS_DIR"


@dataclass(frozen=True)
class Installed:
    """A network in the library.

    Args:
        contract: its contract.
        folder: its folder.
    """

    contract: Contract
    folder: Path


def weights_directory() -> Path:
    """The folder of pretrained networks. `QUINTET_WEIGHTS_DIR` overrides it.

    Returns:
        On Linux `~/.local/share/quintet/weights`, on macOS `~/Library/Application Support/quintet/weights`,
        on Windows `%LOCALAPPDATA%\\quintet\\weights`. The folder need not exist.
    """
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else user_data_path("quintet", appauthor=False) / "weights"


def installed_networks() -> dict[str, Installed]:
    """The networks in the library by their names, sorted.

    Raises:
        ArtefactError: a contract in the library cannot be read.
    """
    root = weights_directory()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    networks = {}
    for folder in folders:
        file = folder / CONTRACT
        if folder.name.startswith(".") or not file.is_file():
            continue
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            contract = parse_contract(content, where=str(file))
        except (OSError, ValueError, RecursionError, ConfigError) as error:
            raise ArtefactError(
                f"The contract {file} must be as it was written. It cannot be read ({error}): remove the "
                "folder and add the network again."
            ) from None
        networks[contract.id] = Installed(contract, folder)
    return networks


def find_network(name: str) -> Installed:
    """The network of a name.

    Raises:
        ConfigError: the library has no such network. The message says how to add one.
    """
    networks = installed_networks()
    if name in networks:
        return networks[name]
    if not networks:
        raise ConfigError(
            f"The network '{name}' must be in the library {weights_directory()}, which is empty. Run: "
            "quintet weights fetch musicnn   (offline: quintet weights fetch musicnn --from FILE.whl)"
        )
    raise unknown_name("pretrained network", name, networks)


def open_network(name: str, *, threads: int | None = 1) -> Network:
    """Open a network of the library, after its digest has been checked.

    Args:
        name: as in `quintet weights list`.
        threads: threads of ONNX Runtime; None lets it choose.

    Raises:
        ConfigError: the library has no such network.
        ArtefactError: the file has changed since it was added.
    """
    entry = find_network(name)
    return open_folder(entry.folder, entry.contract, threads=threads)


def open_folder(folder: Path, contract: Contract, *, threads: int | None = 1) -> Network:
    """Open the network in a folder of the library, after its digest has been checked.

    Args:
        folder: the folder.
        contract: its contract.
        threads: threads of ONNX Runtime; None lets it choose.

    Raises:
        ArtefactError: the file has changed since it was added.
    """
    return Network(_verified_content(folder, contract), contract, threads=threads)


def network_content(name: str) -> bytes:
    """The bytes of the ONNX file of a network in the library, after its digest has been checked.

    Args:
        name: as in `quintet weights list`.

    Raises:
        ConfigError: the library has no such network.
        ArtefactError: the file has changed since it was added.
    """
    entry = find_network(name)
    return _verified_content(entry.folder, entry.contract)


def _verified_content(folder: Path, contract: Contract) -> bytes:
    content = read_model(folder / MODEL)
    digest = hashlib.sha256(content).hexdigest()
    if digest != contract.sha256:
        raise ArtefactError(
            f"The file {folder / MODEL} must be as it was added (SHA-256 {contract.sha256}). It has "
            f"{digest}: remove the folder and add the network again."
        )
    return content


def add_network(model: Path, contract: Path, *, name: str | None = None) -> Installed:
    """Add an ONNX file to the library, after its golden clip has been checked.

    Args:
        model: the ONNX file.
        contract: its contract: TOML or JSON of ours, or the JSON that Essentia publishes.
        name: name in the library. Default: the contract's.

    Raises:
        ArtefactError: the file does not fit the contract, or its golden clip gives other numbers.
        ConfigError: the contract is not valid.
    """
    content = read_model(model)
    terms = read_contract(contract, sha256=hashlib.sha256(content).hexdigest())
    if name is not None:
        terms = parse_contract(terms.model_dump(mode="json") | {"id": name}, where=str(contract))
    network = Network(content, terms)
    golden_file = None
    if terms.golden is not None:
        check_golden(network, contract.parent)
        golden_file = contract.parent / terms.golden.clip if terms.golden.clip != "synthetic" else None
    return install(content, terms, golden_file=golden_file)


def install(
    content: bytes, contract: Contract, *, licence: str = "", golden_file: Path | None = None
) -> Installed:
    """Write a network into the library. An older one of the same name is replaced as a whole.

    Args:
        content: the ONNX file.
        contract: its contract.
        licence: text of the licence, kept beside it.
        golden_file: audio file of the golden clip, kept beside it.

    Raises:
        ArtefactError: a folder of this name holds other files than a network.
    """
    root = weights_directory()
    target = root / contract.id
    with _folder_beside(target) as folder:
        write_bytes(folder / MODEL, content)
        text = contract.model_dump_json(indent=1)
        write_text(folder / CONTRACT, text + "\n")
        write_text(folder / LICENCE, f"{contract.licence}\nSource: {contract.source}\n\n{licence}")
        if golden_file is not None:
            write_bytes(folder / golden_file.name, golden_file.read_bytes())
    return Installed(contract, target)


def _require_network(folder: Path) -> None:
    """Refuse to replace or remove a folder that holds anything but a network. The contract is its mark."""
    if not os.path.lexists(folder):
        return
    ours = {MODEL, CONTRACT, LICENCE}
    others = ["a link or a file"]
    if folder.is_dir() and not folder.is_symlink():
        try:
            contract = parse_contract(json.loads((folder / CONTRACT).read_text("utf-8")), where=str(folder))
            ours |= {contract.golden.clip} if contract.golden is not None else set()
        except (OSError, ValueError, RecursionError, ConfigError):
            ours = set()
        others = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours or entry.is_dir())
    if others:
        raise ArtefactError(
            f"A network needs a folder of its own. '{folder}' holds {', '.join(others[:3])}: move that "
            "elsewhere."
        )


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _require_network(target)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as scratch:
        folder = Path(scratch) / "network"
        folder.mkdir()
        yield folder
        if target.exists():
            _require_network(target)  # again: somebody may have put a file there meanwhile
            os.replace(target, Path(scratch) / "old")
        os.replace(folder, target)


def remove_network(name: str) -> None:
    """Remove a network from the library.

    Raises:
        ConfigError: the library has no such network.
        ArtefactError: its folder holds other files too.
    """
    folder = find_network(name).folder
    _require_network(folder)
    shutil.rmtree(folder)


def check_network(name: str) -> float | None:
    """Check digest, shapes and golden clip of a network.

    Returns:
        The largest difference of a golden value, or None if the contract has no golden clip.

    Raises:
        ArtefactError: something deviates.
    """
    network = open_network(name)
    if network.contract.golden is None:
        return None
    return check_golden(network, find_network(name).folder)
