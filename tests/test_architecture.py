"""Rules of the whole code: homes of libraries, no default sample rate, no pickle, light imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "quintet"
SOURCES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a module, parsed once for all rules."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


HOMES = {  # a library, and the only places that may import it
    "keras": ("classifiers/networks/",),
    "tensorflow": ("classifiers/networks/", "embeddings/checkpoints.py"),
    "onnx": ("embeddings/", "export/"),
    "onnxruntime": ("embeddings/network.py", "export/bundle.py"),
    "matplotlib": ("reports/",),
    "shap": ("explanation/", "model/"),
    "soxr": ("audio/resample.py",),
    "soundfile": ("audio/reading/", "audio/encode.py", "datasets/"),
    "typer": ("cli.py", "commands/"),
    "optuna": ("tuning/",),
}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_only(library: str) -> None:
    importers = []
    for path in SOURCES:
        libraries = {name.split(".")[0] for name in imports(tree_of(path))}
        if library in libraries:
            importers.append(path.relative_to(PACKAGE).as_posix())
    assert [path for path in importers if not path.startswith(HOMES[library])] == []


def test_sample_rate_has_no_default_in_any_function() -> None:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                args = node.args
                positional = [*args.posonlyargs, *args.args]
                with_default = positional[len(positional) - len(args.defaults) :]
                named = [
                    a.arg
                    for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
                    if default is not None
                ]
                assert "sample_rate" not in [a.arg for a in with_default] + named, (
                    f"{path}:{node.lineno} {node.name}"
                )


def test_no_pickle_anywhere() -> None:
    for path in SOURCES:
        assert not {"pickle", "dill", "cloudpickle"} & {n.split(".")[0] for n in imports(tree_of(path))}, path


def test_no_global_random_state() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert "np.random.seed" not in text, path
        assert "numpy.random.seed" not in text, path


HEAVY = (
    "tensorflow",
    "keras",
    "librosa",
    "matplotlib",
    "shap",
    "sklearn",
    "numba",
    "scipy.signal",
    "scipy.stats",
    "pandas",
    "xgboost",
)


@pytest.mark.parametrize(
    "command",
    [
        "import quintet",
        "sys.argv = ['quintet', '--help']; import quintet.cli; quintet.cli.app(standalone_mode=False)",
    ],
)
def test_import_and_help_load_no_heavy_library(command: str) -> None:
    code = f"import sys\n{command}\nprint('LOADED', sorted(m for m in {HEAVY!r} if m in sys.modules))"
    environment = {**os.environ, "TERM": "dumb"}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "LOADED []" in process.stdout


@pytest.mark.parametrize(
    ("words", "modules"),
    [
        (["predict"], ["predict"]),
        (["library", "open"], ["library", "library.app", "library.open_page"]),
    ],
)
def test_a_command_imports_no_other_command(words: list[str], modules: list[str]) -> None:
    code = (
        f"import sys; from quintet.cli import app; app({[*words, '--help']}, standalone_mode=False); "
        "print(sorted(m for m in sys.modules if m.startswith('quintet.commands.') and '.terminal' not in m))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == str([f"quintet.commands.{module}" for module in modules])


def test_settings_are_read_without_the_libraries_of_fusion() -> None:
    code = "import sys, quintet.pipeline.recipe; print([m for m in sys.modules if m.startswith('scipy.')])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_the_lock_names_no_address() -> None:
    lock = (PACKAGE.parent / "requirements.lock").read_text()
    options_of_pip = [line for line in lock.splitlines() if line.startswith("-")]
    assert options_of_pip == []
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==")
