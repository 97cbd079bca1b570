"""The image of `quintet serve`: its libraries are a part of the lock (what it imports: test_load.py)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from typer.testing import CliRunner

from quintet import cli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IN_THE_IMAGE = ("tensorflow", "keras", "scikit-learn", "xgboost", "pandas", "pyarrow", "shap")


def locked(path: Path) -> dict[str, tuple[str, ...]]:
    """Name, version and marker of each library → its hashes."""
    text = path.read_text(encoding="utf-8").replace("\\\n", "")
    found = {}
    for line in text.splitlines():
        if re.match(r"[a-z]", line):
            name, _, hashes = line.partition("--hash=")
            found[name.split(";")[0].strip()] = tuple(sorted(re.findall(r"sha256:\w+", hashes)))
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9-]+", text)[0].lower() for text in requirements}  # type: ignore[index]


def wanted() -> set[str]:
    lines = (ROOT / "docker/requirements.in").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_libraries_of_the_image_are_those_of_the_lock() -> None:
    everything, image = locked(ROOT / "requirements.lock"), locked(ROOT / "docker/requirements.lock")
    assert len(image) > 30
    assert {name: hashes for name, hashes in image.items() if everything.get(name) != hashes} == {}
    present = {name.split("==")[0] for name in image}
    assert present.isdisjoint(NOT_IN_THE_IMAGE)
    extras = PROJECT["optional-dependencies"]
    allowed = [*PROJECT["dependencies"], *extras["codecs"], *extras["embeddings"], *extras["serve"]]
    assert names(extras["serve"]) <= wanted() <= names(allowed)
    assert wanted() <= present


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    n = 0
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
                assert source in shown
                n += 1
    assert n == len(shown)


def test_the_home_server_mounts_music_read_only_and_opens_a_local_port_only() -> None:
    content = yaml.safe_load((ROOT / "docker/library.yaml").read_text(encoding="utf-8"))
    services = content["services"]
    assert set(services) == {"first-scan", "watch", "page"}
    runner = CliRunner()
    for service in services.values():
        mounts = [mount for mount in service["volumes"] if ":/music" in mount]
        assert [mount.partition(":/music:")[2] for mount in mounts] == ["${MODE:-ro}"]
        assert set(service["build"]["args"]) == {"OWNER", "GROUP"}
        assert service["cap_drop"] == ["ALL"]
        command, *words = service["command"]
        known = runner.invoke(cli.app, ["library", command, "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in words if word.startswith("-")):
            assert option in known
    assert services["page"]["ports"] == ["127.0.0.1:8421:8421"]
    text = (ROOT / "docker/library.Dockerfile").read_text(encoding="utf-8")
    shown = {
        line[1:]
        for line in (ROOT / "docker/library.Dockerfile.dockerignore").read_text().split("\n")
        if line[:1] == "!"
    }
    copied = {name for line in text.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied == shown
    assert all((ROOT / name).exists() for name in copied)


def test_the_service_refuses_a_folder_that_is_not_there() -> None:
    """The short form of a mount would make it, for root, and start again and again without a model."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["quintet"]
    (mount,) = service["volumes"]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", "/model", True)
    assert not mount.get("bind", {}).get("create_host_path")
    assert [port.rpartition(":")[0] for port in service["ports"]] == ["127.0.0.1:8000"]
    assert (ROOT / service["build"] / "Dockerfile").exists()
