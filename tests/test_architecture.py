"""Guards: imports run downwards, one home for each thing, nothing heavy at the front door."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "quintet"
SOURCES = sorted(PACKAGE.rglob("*.py"))


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
    "tensorflow": ("classifiers/networks/",),
    "matplotlib": ("reports/",),
    "shap": ("explanation/",),
    "soxr": ("audio/resample.py",),
    "soundfile": ("audio/reading/", "audio/encode.py", "datasets/"),
    "typer": ("cli.py", "commands/"),
    "optuna": ("tuning/",),
}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_stays_in_its_home(library: str) -> None:
    strays = [
        p.relative_to(PACKAGE).as_posix()
        for p in SOURCES
        if any(name.split(".")[0] == library for name in imports(ast.parse(p.read_text())))
        and not p.relative_to(PACKAGE).as_posix().startswith(HOMES[library])
    ]
    assert not strays


def test_sample_rate_has_no_default_in_any_function() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
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
        assert not {"pickle", "dill", "cloudpickle"} & {
            n.split(".")[0] for n in imports(ast.parse(path.read_text()))
        }, path


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
    "pandas",
    "xgboost",
)


@pytest.mark.parametrize(
    "command",
    [
        "import quintet",
        "import sys; sys.argv = ['quintet', '--help']; import quintet.cli; quintet.cli.app(standalone_mode=False)",
    ],
)
def test_the_front_door_is_light(command: str) -> None:
    code = f"import sys\n{command}\nprint('LOADED', sorted(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TERM": "dumb"},
    )
    assert "LOADED []" in done.stdout


def test_no_machine_path_or_registry_in_the_lock() -> None:
    lock = (PACKAGE.parent / "requirements.lock").read_text()
    assert not [line for line in lock.splitlines() if line.startswith("-")], (
        "an option of pip: an address, say"
    )
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==")
