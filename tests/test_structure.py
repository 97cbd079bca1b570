"""Rules of the tree: sizes of folders, root modules, layers, circles, names of files, texts of the sabotages.

Each checker takes the folder of a package and returns one sentence per fault. Each has a test on the real
package and a test on a small false package that breaks its rule.
"""

from __future__ import annotations

import ast
import importlib.util
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quintet"

MOST_FILES = 12
FREE_FOLDERS = {"classifiers/networks"}  # one file per paper
ROOT_MODULES = {"__init__", "__main__", "errors", "settings", "workflow", "cli"}
MOST_EQUAL_STEMS = 3
LAYERS = (  # a part may import the parts of earlier lines, and itself
    ("errors",),
    ("settings",),
    ("files",),
    ("audio",),
    ("datasets",),
    ("features",),
    ("embeddings",),
    ("evaluation",),
    ("predictions",),
    ("classifiers",),
    ("ensemble",),
    ("frozen",),
    ("model_folder",),
    ("explanation",),
    ("auditing",),
    ("training",),
    ("tuning",),
    ("inference",),
    ("labelling", "robustness"),
    ("library", "reports", "export"),
    ("pipeline",),
    ("model",),
    ("workflow",),
    ("mlflow", "serving"),
    ("commands",),
    ("cli",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def folders(root: Path) -> list[Path]:
    """All folders of the package that hold a Python file. Other folders hold data."""
    return sorted({path.parent for path in sources(root)})


def name_in(root: Path, path: Path) -> str:
    return root.name if path == root else path.relative_to(root).as_posix()


def part_of(root: Path, path: Path) -> str:
    """Sub-package or root module of a file: `audio` for `audio/clip.py`, `cli` for `cli.py`."""
    return path.relative_to(root).with_suffix("").parts[0]


def module_file(root: Path, words: list[str]) -> Path | None:
    """The file of a dotted name such as `["quintet", "audio", "clip"]`, if there is one."""
    if not words or words[0] != root.name:
        return None
    path = root.joinpath(*words[1:])
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    file = path.with_suffix(".py")
    return file if len(words) > 1 and file.is_file() else None


def absolute_words(root: Path, path: Path, node: ast.ImportFrom) -> list[str]:
    """The dotted name after `from`, with the dots of a relative import resolved."""
    words = node.module.split(".") if node.module else []
    if node.level == 0:
        return words
    package = [root.name, *path.relative_to(root).parent.parts]
    return package[: len(package) - node.level + 1] + words


@cache
def exported(root: Path, name: str) -> Path | None:
    """The file from which the package's own `__init__` imports a public name."""
    front = root / "__init__.py"
    if not front.is_file():
        return None
    for node in ast.walk(ast.parse(front.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
            return module_file(root, absolute_words(root, front, node))
    return None


@cache
def imported_files(root: Path, path: Path) -> tuple[tuple[int, Path], ...]:
    return tuple(_find_imported_files(root, path))


def _find_imported_files(root: Path, path: Path) -> Iterator[tuple[int, Path]]:
    """(line, file) of every import of a file of the package, lazy and type-checking imports included.

    `from quintet import X` is an import of `quintet/X.py` if there is such a file. Otherwise it is an import
    of the file from which `quintet/__init__.py` takes X. Strings are not imports.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                file = module_file(root, alias.name.split("."))
                if file:
                    yield node.lineno, file
        elif isinstance(node, ast.ImportFrom):
            words = absolute_words(root, path, node)
            for alias in node.names:
                file = module_file(root, [*words, alias.name])
                if not file and words == [root.name]:
                    file = exported(root, alias.name)
                file = file or module_file(root, words)
                if file:
                    yield node.lineno, file


def crowded_folders(root: Path) -> list[str]:
    faults = []
    for folder in folders(root):
        count = len([path for path in folder.glob("*.py") if path.stem != "__init__"])
        if count > MOST_FILES and name_in(root, folder) not in FREE_FOLDERS:
            faults.append(f"{name_in(root, folder)}/ holds {count} files. At most {MOST_FILES} are allowed.")
    return faults


def root_modules(root: Path) -> list[str]:
    present = {path.stem for path in root.glob("*.py")}
    strays = [f"{name}.py must not stand in the root." for name in sorted(present - ROOT_MODULES)]
    return strays + [f"{name}.py is missing in the root." for name in sorted(ROOT_MODULES - present)]


def unknown_parts(root: Path) -> list[str]:
    parts = {part_of(root, path) for path in sources(root)} - {"__init__", "__main__"}
    return [f"{part} has no line in LAYERS." for part in sorted(parts - set(LEVEL))]


def upward_imports(root: Path) -> list[str]:
    """Imports of a later part or of another part of the same line.

    `unknown_parts` reports parts without a line.
    """
    faults = []
    for path in sources(root):
        here = part_of(root, path)
        for line, file in imported_files(root, path):
            there = part_of(root, file)
            if here in LEVEL and there in LEVEL and here != there and LEVEL[there] >= LEVEL[here]:
                names = f"{name_in(root, path)}:{line} imports {name_in(root, file)}"
                faults.append(f"{names}. {there} is not below {here}.")
    return list(dict.fromkeys(faults))


def import_circles(root: Path) -> list[str]:
    """Sets of files each of which imports all others, directly or through further files."""
    front = {root / "__init__.py", root / "__main__.py"}
    graph = {}
    for path in sources(root):
        graph[path] = {file for _, file in imported_files(root, path)} - {path} - front
    reached = {path: reachable(graph, path) for path in graph}
    circles = {frozenset(file for file in reached[path] if path in reached[file]) for path in graph}
    names = sorted(sorted(name_in(root, file) for file in circle) for circle in circles if circle)
    return [f"{len(circle)} files import each other in a circle: {', '.join(circle)}." for circle in names]


def reachable(graph: dict[Path, set[Path]], start: Path) -> set[Path]:
    """The files that `start` imports, directly or through others; also `start` if it lies on a circle."""
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def repeated_names(root: Path) -> list[str]:
    """Files and folders with the same name in folders of the same name, and stems of more than three files.

    Two files may share a stem if their folders have different names: `figures/calibration` draws,
    `ensemble/calibration` computes.
    """
    files = [path for path in sources(root) if path.stem not in {"__init__", "__main__"}]
    places = defaultdict(list)
    for path in [*files, *(folder for folder in folders(root) if folder != root)]:
        places[path.parent.name, path.stem].append(name_in(root, path))
    repeated = [", ".join(names) for names in places.values() if len(names) > 1]
    pairs = [f"{names}: one name in folders of one name." for names in repeated]
    stems = Counter(path.stem for path in files)
    often = [f"{n} files are called {stem}.py." for stem, n in sorted(stems.items()) if n > MOST_EQUAL_STEMS]
    return sorted(pairs) + often


Checker = Callable[[Path], list[str]]
CHECKERS: tuple[Checker, ...] = (
    crowded_folders,
    root_modules,
    unknown_parts,
    upward_imports,
    import_circles,
    repeated_names,
)


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_the_package_keeps_the_rule(checker: Checker) -> None:
    faults = checker(PACKAGE)
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


@pytest.fixture
def false_package(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Writes a small package that keeps all rules, adds these files (name → text), returns its folder."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "quintet"
        good = {
            **{f"{name}.py": "" for name in ROOT_MODULES},
            "__init__.py": "from quintet.workflow import run\n",
            "cli.py": "from quintet import __version__, workflow\n",
            "workflow.py": "from quintet.audio import clip\n",
            "audio/__init__.py": "from quintet.audio.clip import Clip\n",
            "audio/clip.py": "from quintet.errors import QuintetError\n",
            "reports/__init__.py": "",
            "reports/templates/page.html": "",
        }
        for name, text in {**good, **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return root

    return write


FalsePackage = Callable[[dict[str, str]], Path]


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_a_good_package_has_no_fault(checker: Checker, false_package: FalsePackage) -> None:
    assert checker(false_package({})) == []


def test_a_thirteenth_file_is_reported(false_package: FalsePackage) -> None:
    twelve = {f"reports/page_{i}.py": "" for i in range(12)}
    assert crowded_folders(false_package(twelve)) == []
    faults = crowded_folders(false_package({"reports/last.py": ""}))
    assert faults == ["reports/ holds 13 files. At most 12 are allowed."]


def test_networks_may_hold_more_files(false_package: FalsePackage) -> None:
    assert crowded_folders(false_package({f"classifiers/networks/paper_{i}.py": "" for i in range(20)})) == []


def test_a_further_root_module_is_reported(false_package: FalsePackage) -> None:
    assert root_modules(false_package({"runner.py": ""})) == ["runner.py must not stand in the root."]


def test_a_missing_root_module_is_reported(false_package: FalsePackage) -> None:
    root = false_package({})
    (root / "settings.py").unlink()
    assert root_modules(root) == ["settings.py is missing in the root."]


def test_an_unknown_package_is_reported(false_package: FalsePackage) -> None:
    assert unknown_parts(false_package({"helpers/text.py": ""})) == ["helpers has no line in LAYERS."]


@pytest.mark.parametrize(
    "text",
    [
        "import quintet.reports.page\n",
        "from quintet.reports import page\n",
        "from quintet.reports.page import write\n",
        "from ..reports import page\n",
        "def decode():\n    from quintet.reports import page\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from quintet.reports.page import Page\n",
    ],
    ids=["import", "from_package", "from_module", "relative", "lazy", "type_checking"],
)
def test_an_import_upwards_is_reported(text: str, false_package: FalsePackage) -> None:
    faults = upward_imports(false_package({"audio/decode.py": text, "reports/page.py": ""}))
    line = text[: text.index("reports")].count("\n") + 1
    assert faults == [f"audio/decode.py:{line} imports reports/page.py. reports is not below audio."]


@pytest.mark.parametrize("name", ["workflow", "run"], ids=["a_module", "a_public_name"])
def test_an_import_from_the_root_is_resolved(name: str, false_package: FalsePackage) -> None:
    faults = upward_imports(false_package({"audio/decode.py": f"from quintet import {name}\n"}))
    assert faults == ["audio/decode.py:1 imports workflow.py. workflow is not below audio."]


def test_parts_of_one_layer_must_not_import_each_other(false_package: FalsePackage) -> None:
    files = {"auditing/run.py": "from quintet.training import train\n", "training/train.py": ""}
    faults = upward_imports(false_package(files))
    assert faults == ["auditing/run.py:1 imports training/train.py. training is not below auditing."]


def test_a_string_is_no_import(false_package: FalsePackage) -> None:
    table = {"audio/table.py": 'HOMES = {"page": "quintet.reports.page:Page"}\n', "reports/page.py": ""}
    assert upward_imports(false_package(table)) == []


def test_a_lazy_circle_is_reported(false_package: FalsePackage) -> None:
    files = {
        "audio/mel.py": "def mel():\n    from quintet.audio.spectrum import spectrum\n",
        "audio/spectrum.py": "def spectrum():\n    from quintet.audio.mel import mel\n",
        "audio/decode.py": "from quintet.audio.mel import mel\n",
    }
    faults = import_circles(false_package(files))
    assert faults == ["2 files import each other in a circle: audio/mel.py, audio/spectrum.py."]


def test_a_circle_through_an_init_is_reported(false_package: FalsePackage) -> None:
    files = {
        "audio/__init__.py": "from quintet.audio.mel import mel\n",
        "audio/mel.py": "from quintet.audio.spectrum import spectrum\n",
        "audio/spectrum.py": "from quintet.audio import Clip\n",
    }
    faults = import_circles(false_package(files))
    circle = "audio/__init__.py, audio/mel.py, audio/spectrum.py"
    assert faults == [f"3 files import each other in a circle: {circle}."]


def test_one_name_in_folders_of_one_name_is_reported(false_package: FalsePackage) -> None:
    files = {"features/storage/table.py": "", "classifiers/storage/table.py": "", "reports/table.py": ""}
    faults = repeated_names(false_package(files))
    files_named = "classifiers/storage/table.py, features/storage/table.py"
    assert faults == [f"{files_named}: one name in folders of one name."]


def test_a_module_beside_a_folder_of_its_name_is_reported(false_package: FalsePackage) -> None:
    faults = repeated_names(false_package({"features/storage/table.py": "", "features/storage.py": ""}))
    assert faults == ["features/storage.py, features/storage: one name in folders of one name."]


def test_a_fourth_file_of_a_stem_is_reported(false_package: FalsePackage) -> None:
    three = {f"{folder}/scores.py": "" for folder in ("evaluation", "model_folder", "reports")}
    assert repeated_names(false_package(three)) == []
    assert repeated_names(false_package({"training/scores.py": ""})) == ["4 files are called scores.py."]


def load_mutants() -> tuple[tuple[str, str, str, str], ...]:
    """`MUTANTS` of tests/mutants.py, read by path: the tests are no package."""
    spec = importlib.util.spec_from_file_location("quintet_mutants", Path(__file__).with_name("mutants.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS  # type: ignore[no-any-return]


MUTANTS = load_mutants()


def sabotage_fault(root: Path, file: str, before: str, test: str) -> str | None:
    """What prevents a sabotage: its file, text or test is missing, or its text stands there twice."""
    path, test_path = root / file, root / test.split()[0]
    if not path.is_file():
        return f"There is no {file}."
    if not test_path.exists():
        return f"There is no {test.split()[0]}."
    count = path.read_text(encoding="utf-8").count(before)
    return None if count == 1 else f"{before!r} must stand once in {file}. It stands there {count} times."


MUTANT_IDS = [f"{number}-{Path(row[0]).stem}" for number, row in enumerate(MUTANTS)]


@pytest.mark.parametrize(("file", "before", "after", "test"), MUTANTS, ids=MUTANT_IDS)
def test_a_sabotage_names_a_text_that_stands_once(file: str, before: str, after: str, test: str) -> None:
    assert sabotage_fault(ROOT, file, before, test) is None
    assert before != after


def test_a_sabotage_without_its_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n", encoding="utf-8")
    assert sabotage_fault(tmp_path, "a.py", "x = 1", "a.py -k x") is None
    assert sabotage_fault(tmp_path, "b.py", "x = 1", "a.py") == "There is no b.py."
    assert sabotage_fault(tmp_path, "a.py", "x = 1", "test_b.py") == "There is no test_b.py."
    for before, count in (("z = 1", 0), ("= 1", 2)):
        fault = sabotage_fault(tmp_path, "a.py", before, "a.py")
        assert fault == f"{before!r} must stand once in a.py. It stands there {count} times."
