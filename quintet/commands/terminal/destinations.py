"""Files and folders of outputs: formats by the suffix, and places that are checked before the work."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import typer

from quintet.commands.terminal.faults import is_folder_gone
from quintet.errors import ArtefactError
from quintet.files.display.file_names import name_text
from quintet.files.locks import output_lock
from quintet.files.paths import OPEN_FILES

_HELD = ExitStack()
OUTPUT_OPTION = "--output"
PROBE_BYTES = 1 << 16
"""Size of the file that is written, before the work, where an output shall be."""
PREDICTION_FORMATS = {
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "table",
    "": "table",
}
"""Suffix of a file of `predict` → format."""


def choose_format(output: Path | None, format_: str | None, formats: Mapping[str, str]) -> str:
    """The format of an output: as asked for, by the suffix of the file, or a table on standard output.

    Args:
        output: the file, or None for standard output.
        format_: the format that the user asked for, or None.
        formats: suffix → format.

    Raises:
        BadParameter: if the format is unknown, if it contradicts the suffix, or if no format belongs to the
            suffix (exit code 2).

    Example:
        >>> choose_format(Path("x.csv"), None, PREDICTION_FORMATS)
        'csv'
    """
    names = list(dict.fromkeys(formats.values()))
    if format_ is not None and format_ not in names:
        raise typer.BadParameter(f"must be one of: {', '.join(sorted(names))}", param_hint="--format")
    if output is None:
        if format_ == "parquet":
            raise typer.BadParameter("parquet is binary: name a file with --output", param_hint="--format")
        return format_ or "table"
    suffix = output.suffix.lower()
    by_suffix = formats.get(suffix)
    if format_ is None:
        if by_suffix is None:
            raise _unknown_suffix(output, formats)
        return by_suffix
    if suffix and by_suffix not in (None, format_):
        raise typer.BadParameter(
            f"{format_} contradicts the name '{output}', which stands for {by_suffix}: leave --format out, "
            "or choose another name",
            param_hint="--format",
        )
    return format_


def refuse_two_results(format_: str | None, output: Path | None) -> None:
    """Refuse `--json` beside a format on standard output, which holds one of them.

    Args:
        format_: the format that the user asked for, or None.
        output: the file, or None for standard output.

    Raises:
        BadParameter: if both would be on standard output (exit code 2).
    """
    if format_ is not None and output is None:
        raise typer.BadParameter(
            "standard output holds one of --json and --format: give one, or name a file with --output",
            param_hint="--json",
        )


def require_suffix(output: str | Path, suffixes: tuple[str, ...], option: str = OUTPUT_OPTION) -> None:
    """Refuse a file whose suffix stands for a format that the command does not write.

    Args:
        output: the file, or its URL.
        suffixes: suffixes that are allowed, with dots.
        option: option that names the file.

    Raises:
        BadParameter: if the suffix is another one (exit code 2).
    """
    stem, suffix = os.path.splitext(str(output))
    if suffix.lower() not in suffixes:
        raise typer.BadParameter(
            f"the file must end in {' or '.join(suffixes)}. Received '{output}': "
            f"name it, for example, {stem}{suffixes[0]}",
            param_hint=option,
        )


def prepare_file(
    output: str | Path | None, option: str = OUTPUT_OPTION, *, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Make the folder of a file that a command will write, and check that it can be written.

    Args:
        output: the file, or None if none is written. A URL is not checked.
        option: option that names the file.
        inputs: files that the command reads, which the output must not replace. Other things, as globs, are
            passed over.

    Raises:
        ArtefactError: if a folder has this name, the file cannot be written, it is one of the inputs, or it
            would be a part of a model.
    """
    from quintet.files.internet.remote import is_remote  # every command imports this module

    if output is None or is_remote(output):
        return
    file = Path(output)
    if file.suffix.lower() in (".parquet", ".pq"):
        _require_text(output, option)
    _keep_models(file, option)
    if file.is_dir():
        raise ArtefactError(f"{option} must name a file. '{output}' is a folder: name a file in it.")
    if file.exists():
        if not os.access(file, os.W_OK):
            raise ArtefactError(f"{option} must name a file that can be written. '{output}' is protected.")
        if not file.is_file():  # a device or a pipe, such as /dev/stdout
            return
        if any(given is not None and _is_same_file(given, file) for given in inputs):
            raise ArtefactError(
                f"{option} must name another file than those that the command reads. '{output}' is one of "
                "them: choose another name."
            )
    _make_folder(file.parent, option)


def _keep_models(output: Path, option: str) -> None:
    """Refuse an output that would change a finished model: no command reads one with other files in it."""
    place = Path(os.path.realpath(output.parent), output.name)
    for folder in place.parents:
        if not (os.path.isfile(folder / "bundle.json") and os.path.isdir(folder / "members")):
            continue
        from quintet.model_folder.folder import OUR_FILES, OUR_FOLDERS

        if place.relative_to(folder).parts[0] in (*OUR_FILES, *OUR_FOLDERS):
            raise ArtefactError(
                f"{option} must not be a part of a model. '{output}' would change the model '{folder}', "
                "which no command could read any more: choose another place."
            )


def _is_same_file(given: str | Path, file: Path) -> bool:
    """Whether two paths name one file, also by links."""
    try:
        return os.path.samefile(given, file)
    except (OSError, ValueError):
        return False


def hold_file(output: str | Path | None) -> None:
    """Hold the lock of a file until the end of the command, so that no other command writes it meanwhile.

    Args:
        output: the file, or None if none is written.

    Raises:
        ArtefactError: another command writes it.
    """
    if output is not None:
        _HELD.enter_context(output_lock(output))


def release_files() -> None:
    """Release what `hold_file` holds, at the end of a command."""
    _HELD.close()


def prepare_folder(output: str | Path | None, option: str = OUTPUT_OPTION) -> None:
    """Check, before the work, that a command can write a folder. The folder itself is not made.

    Args:
        output: the folder, or None if none is written.
        option: option that names the folder.

    Raises:
        ArtefactError: if a file has this name, the folder cannot be written, or it would be a part of a
            model.
    """
    if output is None:
        return
    _require_text(output, option)
    folder = Path(output)
    _keep_models(folder, option)
    if folder.is_symlink():
        raise ArtefactError(
            f"{option} must name a folder. '{output}' is a link to '{os.readlink(folder)}': name the folder "
            "itself."
        )
    if folder.exists() and not folder.is_dir():
        raise ArtefactError(f"{option} must name a folder. '{output}' is a file: choose another name.")
    _make_folder(folder if folder.is_dir() else folder.absolute().parent, option)


def _make_folder(folder: Path, option: str) -> None:
    """Make a folder if it is missing, and write and remove a small file in it. On a full disk that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if is_folder_gone():
            raise  # the sentence for a deleted current folder says more
        raise ArtefactError(
            f"{option} must be in a folder that can be written. '{folder}' cannot be: "
            f"{error.strerror or error}. Choose another place."
        ) from None


def _require_text(output: str | Path, option: str) -> None:
    """Refuse an output whose name or folder is not UTF-8, where such a file has no other name.

    The libraries that write it open no such name (`files.paths.text_name`).
    """
    path = os.path.abspath(output)
    if os.path.isdir(OPEN_FILES):
        return
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ArtefactError(
            f"{option} must have a name in UTF-8, its folders too. '{name_text(path)}' is not: "
            "choose another place."
        ) from None


def _unknown_suffix(output: Path, formats: Mapping[str, str]) -> typer.BadParameter:
    suffixes = ", ".join(suffix for suffix in formats if suffix)
    return typer.BadParameter(
        f"the suffix decides the format and must be one of {suffixes}. Received '{output}': "
        "choose another name, or name the format with --format",
        param_hint=OUTPUT_OPTION,
    )
