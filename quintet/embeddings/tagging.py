"""Tags of audio files by pretrained networks, as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.audio.decode import DecodedClip, load_clip
from quintet.audio.isolation.calls import call_isolated
from quintet.embeddings.contract import Contract, Output
from quintet.embeddings.front_end import DEFAULT_WINDOWS, Windows, window_times
from quintet.embeddings.network import Network
from quintet.embeddings.vocabulary import tag_group
from quintet.errors import AudioError, ConfigError
from quintet.files.display.notebook import notebook_html

COLUMNS = ("path", "network", "start_s", "end_s", "tag", "group", "activation")


@dataclass(frozen=True)
class TagResult:
    """Tags of files.

    Args:
        frame: one row per file, network, window and tag: `path`, `network`, `start_s`, `end_s`, `tag`,
            `group`, `activation`; ordered by file, network, time and falling activation. Without windows the
            times are those of the whole file.
        failures: one row per file that could not be read: `path`, `error`, `reason`.
        truncated: one row per recording that is cut short: `path`, `reason`.
        networks: for each network, what it was trained on and its published scores.
        notes: what was left out of folders, one sentence each.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame
    truncated: pd.DataFrame
    networks: dict[str, str]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        n_files, n_failed = self.frame["path"].nunique(), len(self.failures)
        facts = f"Tags of {n_files} files by {', '.join(self.networks)}; {n_failed} could not be read"
        return notebook_html(facts, self.frame, notes=self.notes)


@dataclass(frozen=True)
class TagProgress:
    """Progress of tagging: finished files, all files, and files that could not be read."""

    done: int
    total: int
    failed: int


@dataclass(frozen=True)
class TagChoice:
    """Which tags are kept.

    Args:
        top: number of tags per network, and per window if there are windows. None keeps all.
        threshold: smallest activation.
        windows: number of windows per file, spread evenly, or `"all"`.
        over_time: whether each window gets its own rows. If not, activations are means over the windows.
    """

    top: int | None = 10
    threshold: float = 0.0
    windows: Windows = DEFAULT_WINDOWS
    over_time: bool = False


def tag_files(
    files: Sequence[Path],
    networks: Sequence[Network],
    choice: TagChoice | None = None,
    *,
    progress: Callable[[TagProgress], object] | None = None,
) -> TagResult:
    """Tags of audio files. Each file is decoded once per sample rate, in a worker process that may die.

    Args:
        files: the files.
        networks: networks whose contract has tags.
        choice: which tags are kept.
        progress: called after each file.

    Raises:
        ConfigError: a network has no tags.
    """
    choice = choice or TagChoice()
    for network in networks:
        if network.contract.tag_output is None:
            raise ConfigError(f"A network that tags must have named outputs. {network.contract.id} has none.")
    frames: list[pd.DataFrame] = []
    failures: list[tuple[str, str, str]] = []
    truncated: list[tuple[str, str]] = []
    for done, file in enumerate(files, 1):
        try:
            tables, truncation = _tag_file(file, networks, choice)
        except AudioError as error:
            failures.append((str(file), type(error).__name__, str(error)))
        else:
            frames += tables
            if truncation:
                truncated.append((str(file), truncation))
        if progress is not None:
            progress(TagProgress(done, len(files), len(failures)))
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    return TagResult(
        frame,
        pd.DataFrame(failures, columns=["path", "error", "reason"]),
        pd.DataFrame(truncated, columns=["path", "reason"]),
        {network.contract.id: _facts(network.contract) for network in networks},
    )


def _facts(contract: Contract) -> str:
    trained_on = contract.trained_on or "music that its contract does not name"
    return f"trained on {trained_on}" + (f"; {contract.published}" if contract.published else "")


def _tag_file(file: Path, networks: Sequence[Network], choice: TagChoice) -> tuple[list[pd.DataFrame], str]:
    """Tables of a file, and why the recording counts as cut short."""
    tables: list[pd.DataFrame] = []
    truncation = ""
    clips: dict[int, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
    for network in networks:
        rate = network.contract.sample_rate
        if rate not in clips:
            decoded = call_isolated(_decode, file, rate)
            clips[rate], truncation = decoded.clip.samples, decoded.truncation
        tables += _tag_clip(file, network, clips[rate], choice)
    return tables, truncation


def _decode(file: Path, sample_rate: int) -> DecodedClip:
    return load_clip(file, sample_rate=sample_rate, strict=False)


def _tag_clip(
    file: Path,
    network: Network,
    samples: np.ndarray[tuple[int], np.dtype[np.float32]],
    choice: TagChoice,
) -> list[pd.DataFrame]:
    contract = network.contract
    output = contract.tag_output
    assert output is not None  # checked by the caller
    activations = network.run(samples, windows=choice.windows)[output.name]
    duration_s = len(samples) / contract.sample_rate
    if not choice.over_time:
        return [_table(file, contract.id, (0.0, duration_s), output, activations.mean(axis=0), choice)]
    starts = window_times(len(samples), contract, choice.windows)
    tables = []
    for start, values in zip(starts, activations, strict=True):
        end = min(start + contract.window_s, duration_s)
        tables.append(_table(file, contract.id, (float(start), float(end)), output, values, choice))
    return tables


def _table(
    file: Path,
    network: str,
    span: tuple[float, float],
    output: Output,
    activations: np.ndarray[tuple[int], np.dtype[np.float32]],
    choice: TagChoice,
) -> pd.DataFrame:
    """Rows of the tags that are kept, by falling activation."""
    order = np.argsort(-activations, kind="stable")
    kept = [int(i) for i in order[: choice.top] if activations[i] >= choice.threshold]
    tags = [output.tags[i] for i in kept]
    return pd.DataFrame(
        {
            "path": str(file),
            "network": network,
            "start_s": span[0],
            "end_s": span[1],
            "tag": pd.Series(tags, dtype="str"),
            "group": pd.Series([tag_group(tag) for tag in tags], dtype="str"),
            "activation": activations[kept].astype(np.float64),
        },
        columns=list(COLUMNS),
    )
