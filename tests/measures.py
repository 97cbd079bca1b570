"""Measures of size, types, names and wording of the package.

Usage: `python -m tests.measures [--worst N] [--all] [PATH ...]`. The script prints a table and exits 0.
The targets stand in the table; no measure stops a build. PATH limits the measures to files or folders.
`--worst N` also lists the N worst places of each measure, and `--all` lists every place. The measure of
documented parameters needs griffe, which comes with mkdocstrings. All others need the standard library only.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import logging
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

ROOT = Path(__file__).resolve().parents[1]

MOST_ANY_SHARE = 0.10
MOST_NODES_PER_LINE = 12
MOST_PARAMETERS = 8
MOST_COLUMNS = 110
MOST_MODULE_LINES = 450
MOST_FUNCTION_LINES = 60

IRREGULAR_PARTICIPLES = (
    "told", "heard", "held", "kept", "made", "found", "known", "seen", "given",
    "left", "shown", "written", "drawn", "built", "cut", "taken",
)  # fmt: skip
NOT_PARTICIPLES = ("embed", "seed", "feed", "need", "speed", "shed", "red", "bed", "exceed", "proceed")

METAPHORS = (  # regular expressions; a blank also matches a line break
    r"hears?|heard|hearing", r"listen|listens|listened|listening", r"tells?|told", r"strangers?", r"players?",
    r"verdicts?", r"opinions?", r"blames?|blamed", r"witness|witnesses|witnessed",
    r"nobody", r"whoever", r"whom", r"who must never part", r"but for", r"save where", r"as far as",
)  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Node = TypeVar("Node", bound=ast.AST)
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Place(NamedTuple):
    """One finding. A larger `weight` is a worse finding."""

    weight: float
    path: Path
    line: int
    note: str


@dataclass
class Measure:
    """One row of the table, with the places that it counts."""

    name: str
    figure: str
    target: str
    places: list[Place] = field(default_factory=list)


@dataclass
class Source:
    """One parsed Python file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def read_sources(paths: list[Path]) -> list[Source]:
    """The Python files at and under `paths`, each file once, sorted by path."""
    files: set[Path] = set()
    for path in paths:
        found = [path] if path.is_file() else path.rglob("*.py")
        files.update(file.resolve() for file in found)
    texts = {file: file.read_text(encoding="utf-8") for file in sorted(files)}
    return [Source(file, text, ast.parse(text)) for file, text in texts.items()]


def functions_of(tree: ast.AST) -> list[Function]:
    """Every function of a tree: methods and nested functions too."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def outer_nodes(tree: ast.AST, kinds: tuple[type[Node], ...]) -> Iterator[Node]:
    """The nodes of these kinds that lie in no other node of these kinds."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, kinds):
            yield child
        else:
            yield from outer_nodes(child, kinds)


def outer_functions(tree: ast.AST) -> Iterator[Function]:
    """The functions that lie in no other function. They hold their nested functions."""
    for node in outer_nodes(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, Function)
        yield node


def parameters_of(function: Function) -> list[ast.arg]:
    """All parameters, `*args` and `**kwargs` too, without a leading `self` or `cls`."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    if named and named[0].arg in {"self", "cls"}:
        named = named[1:]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*named, *arguments.kwonlyargs, *starred]


def docstring_node(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a function, class or module, if there is one."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body:
        return None
    first = body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    return first if isinstance(first.value.value, str) else None


def lines_between(first: ast.stmt, last: ast.stmt) -> set[int]:
    """The numbers of the physical lines from the first statement to the last."""
    return set(range(first.lineno, (last.end_lineno or last.lineno) + 1))


def docstring_lines(tree: ast.AST) -> set[int]:
    """The numbers of the lines of all docstrings in a tree."""
    docstrings = [docstring_node(node) for node in ast.walk(tree)]
    return {line for docstring in docstrings if docstring for line in lines_between(docstring, docstring)}


def code_lines(source: Source) -> set[int]:
    """The numbers of the lines that hold code: not blank, not a comment alone, not a docstring."""
    layout = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines - docstring_lines(source.tree)


def count_any(annotation: ast.expr | None) -> int:
    """How often `Any` occurs in an annotation, quoted annotations included."""
    if annotation is None:
        return 0
    count = 0
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            count += len(re.findall(r"\bAny\b", node.value))
        elif isinstance(node, ast.Name):
            count += node.id == "Any"
        elif isinstance(node, ast.Attribute):
            count += node.attr == "Any"
    return count


def any_signatures(sources: list[Source]) -> Measure:
    """Share of the signatures in whose annotations, of parameters or of the return value, `Any` occurs."""
    places, total = [], 0
    for source in sources:
        for function in functions_of(source.tree):
            total += 1
            annotations = [*(parameter.annotation for parameter in parameters_of(function)), function.returns]
            count = sum(map(count_any, annotations))
            if count:
                places.append(Place(count, source.path, function.lineno, f"{function.name}: {count} × Any"))
    share = len(places) / max(total, 1)
    figure = f"{share:.1%} ({len(places)} of {total})"
    return Measure("signatures with Any", figure, f"≤ {MOST_ANY_SHARE:.0%}", places)


def nodes_per_line(sources: list[Source]) -> Measure:
    """AST nodes per line of code in function bodies.

    The nodes are all nodes of `ast.walk` over the statements of the body, contexts and operators included.
    The lines are the physical lines of the body that hold code. Docstrings count in neither, nor do those of
    nested functions. A nested function is counted once, as part of its outermost function. The figure is the
    sum of nodes divided by the sum of lines. A function is worse the more nodes it has beyond 12 per line.
    """
    places, all_nodes, all_lines = [], 0, 0
    for source in sources:
        code = code_lines(source)
        for function in outer_functions(source.tree):
            body = function.body[1:] if docstring_node(function) else function.body
            if not body:
                continue
            inside = [node for statement in body for node in ast.walk(statement)]
            docstrings = sum(docstring_node(node) is not None for node in inside)
            nodes = len(inside) - 2 * docstrings  # a docstring is two nodes: a statement and its constant
            lines = len(code & lines_between(body[0], body[-1]))
            all_nodes, all_lines = all_nodes + nodes, all_lines + lines
            beyond = nodes - MOST_NODES_PER_LINE * lines
            if beyond > 0:
                note = f"{function.name}: {nodes / lines:.1f} ({nodes} nodes, {lines} lines)"
                places.append(Place(beyond, source.path, function.lineno, note))
    figure = f"{all_nodes / max(all_lines, 1):.2f} ({all_nodes} nodes, {all_lines} lines)"
    return Measure("AST nodes per body line", figure, f"≤ {MOST_NODES_PER_LINE}, aim 10", places)


def is_command_line(path: Path) -> bool:
    """Whether a file belongs to the command line, whose functions have one parameter per option."""
    return "commands" in (path.parent.name, path.parent.parent.name) or (
        path.parent.name == "quintet" and path.name.startswith("cli")
    )


def many_parameters(sources: list[Source]) -> Measure:
    """Functions with more than 8 parameters outside the command line."""
    places = []
    for source in sources:
        if is_command_line(source.path):
            continue
        for function in functions_of(source.tree):
            count = len(parameters_of(function))
            if count > MOST_PARAMETERS:
                note = f"{function.name}: {count} parameters"
                places.append(Place(count, source.path, function.lineno, note))
    return Measure(f"functions over {MOST_PARAMETERS} parameters", str(len(places)), "0", places)


def public_nodes(body: list[ast.stmt]) -> Iterator[Documented]:
    """Public functions and classes of a module, and the public methods of these classes."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_nodes(node.body)


def signature_names(node: Documented) -> list[str]:
    """Names of the parameters of a function, of a class's `__init__`, or of the fields of a dataclass."""
    if isinstance(node, Function):
        return [parameter.arg for parameter in parameters_of(node)]
    for statement in node.body:
        if isinstance(statement, Function) and statement.name == "__init__":
            return [parameter.arg for parameter in parameters_of(statement)]
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return []
    fields = [statement.target for statement in node.body if isinstance(statement, ast.AnnAssign)]
    return [target.id for target in fields if isinstance(target, ast.Name)]


def undocumented_parameters(sources: list[Source]) -> Measure:
    """Parameters that the docs parser does not find, although their docstring has a section of parameters.

    One cause is a line that documents several parameters: the parser reads it as one. griffe is the parser.
    """
    name = "parameters hidden from the docs"
    try:
        griffe = importlib.import_module("griffe")
    except ImportError:
        return Measure(name, "not measured: there is no griffe", "0")
    logging.getLogger("griffe").setLevel(logging.CRITICAL)
    places, total = [], 0
    for source in sources:
        for node in public_nodes(source.tree.body):
            text = ast.get_docstring(node) or ""
            if not re.search(r"^ *(Args|Arguments|Params|Parameters):", text, re.MULTILINE):
                continue
            sections = griffe.Docstring(text).parse("google")
            documented: set[str] = set()
            for section in sections:
                if section.kind.value in {"parameters", "other parameters"}:
                    documented.update(entry.name.lstrip("*") for entry in section.value)
            names = signature_names(node)
            hidden = [parameter for parameter in names if parameter not in documented]
            total += len(names)
            if hidden:
                note = f"{node.name}: {', '.join(hidden)}"
                places.append(Place(len(hidden), source.path, node.lineno, note))
    count = sum(int(place.weight) for place in places)
    return Measure(name, f"{count} of {total}, in {len(places)} docstrings", "0", places)


def long_lines(sources: list[Source]) -> Measure:
    """Lines longer than 110 characters."""
    places = [
        Place(len(line), source.path, number, f"{len(line)} characters")
        for source in sources
        for number, line in enumerate(source.lines, start=1)
    ]
    places = [place for place in places if place.weight > MOST_COLUMNS]
    return Measure(f"lines over {MOST_COLUMNS} characters", str(len(places)), "0", places)


def long_modules(sources: list[Source]) -> Measure:
    """Modules over 450 lines, blank lines and docstrings included."""
    places = [Place(len(source.lines), source.path, 1, f"{len(source.lines)} lines") for source in sources]
    places = [place for place in places if place.weight > MOST_MODULE_LINES]
    return Measure(f"modules over {MOST_MODULE_LINES} lines", str(len(places)), "0", places)


def long_functions(sources: list[Source]) -> Measure:
    """Functions over 60 lines, from `def` to the last line without docstrings.

    The lines of a nested function count in both functions.
    """
    places, lengths = [], []
    for source in sources:
        docstrings = docstring_lines(source.tree)
        for function in functions_of(source.tree):
            length = len(lines_between(function, function) - docstrings)
            lengths.append(length)
            if length > MOST_FUNCTION_LINES:
                places.append(Place(length, source.path, function.lineno, f"{function.name}: {length} lines"))
    median = statistics.median(lengths) if lengths else 0
    figure = f"{len(places)} (median {median:g})"
    return Measure(f"functions over {MOST_FUNCTION_LINES} lines", figure, "0", places)


def nested_comprehensions(sources: list[Source]) -> Measure:
    """Comprehensions with a condition that are nested or have two `for`. The outermost one counts once."""
    places = []
    for source in sources:
        for outer in outer_nodes(source.tree, get_args(Comprehension)):
            parts = [node for node in ast.walk(outer) if isinstance(node, Comprehension)]
            conditions = sum(len(loop.ifs) for part in parts for loop in part.generators)
            loops = sum(len(part.generators) for part in parts)
            if conditions and loops > 1:
                note = f"{loops} for, {conditions} if: {' '.join(ast.unparse(outer).split())[:70]}"
                places.append(Place(loops + conditions, source.path, outer.lineno, note))
    return Measure("nested comprehensions with if", str(len(places)), "0", places)


def is_participle(word: str) -> bool:
    """Whether a word of a name is a participle: it ends with "ed", or it is in the list of irregular ones."""
    return word in IRREGULAR_PARTICIPLES or (word.endswith("ed") and word not in NOT_PARTICIPLES)


def participle_names(sources: list[Source]) -> Measure:
    """Functions whose first or last word is a participle.

    Names with two leading underscores and questions (`is_…`, `has_…`) are left out.
    """
    places, total = [], 0
    for source in sources:
        for function in functions_of(source.tree):
            total += 1
            words = function.name.strip("_").split("_")
            if function.name.startswith("__") or words[0] in {"is", "has"}:
                continue
            if is_participle(words[0]) or is_participle(words[-1]):
                places.append(Place(1, source.path, function.lineno, function.name))
    return Measure("function names that are participles", f"{len(places)} of {total}", "0", places)


def prose_of(source: Source) -> Iterator[tuple[int, str]]:
    """(first line, text) of every string and comment of a file. Docstrings are strings."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def metaphors(sources: list[Source]) -> list[Measure]:
    """Words of `METAPHORS` in docstrings, comments and strings: one measure for all, one per word."""
    patterns = {}
    for words in METAPHORS:
        spaced = words.replace(" ", r"\s+")
        patterns[words] = re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE)
    found: dict[str, list[Place]] = {words: [] for words in METAPHORS}
    for source in sources:
        lines = source.lines
        for first, text in prose_of(source):
            for words, pattern in patterns.items():
                for match in pattern.finditer(text):
                    number = first + text[: match.start()].count("\n")
                    line = lines[min(number, len(lines)) - 1].strip()
                    note = f"{' '.join(match.group().split())}: {line[:80]}"
                    found[words].append(Place(1, source.path, number, note))
    files = Counter(place.path for places in found.values() for place in places)
    worst = [Place(count, path, 1, f"{count} words") for path, count in files.items()]
    total = Measure("metaphors in prose", str(sum(files.values())), "0", worst)
    return [total, *(Measure(f"  {words}", str(len(places)), "", places) for words, places in found.items())]


MEASURES: tuple[Callable[[list[Source]], Measure], ...] = (
    any_signatures,
    nodes_per_line,
    many_parameters,
    undocumented_parameters,
    long_lines,
    long_modules,
    long_functions,
    nested_comprehensions,
    participle_names,
)


def measure(sources: list[Source]) -> list[Measure]:
    """All measures of these files, in the order of the table."""
    return [*(rule(sources) for rule in MEASURES), *metaphors(sources)]


def print_table(rows: list[Measure], n_files: int) -> None:
    """Print one line per measure: name, figure, target."""
    print(f"{n_files} files\n")
    names, figures = max(len(row.name) for row in rows), max(len(row.figure) for row in rows)
    for row in rows:
        print(f"{row.name:<{names}}  {row.figure:<{figures}}  {row.target}".rstrip())


def print_places(rows: list[Measure], worst: int | None) -> None:
    """Print the worst places of each measure; all of them if `worst` is None."""
    for row in rows:
        ranked = sorted(row.places, key=lambda place: (-place.weight, place.path, place.line))[:worst]
        if ranked:
            print(f"\n{row.name.strip()}: {len(ranked)} of {len(row.places)} places")
        for place in ranked:
            path = place.path.relative_to(ROOT) if place.path.is_relative_to(ROOT) else place.path
            print(f"  {path.as_posix()}:{place.line}  {place.note}")


def main() -> None:
    """Read the command line, print the table and, if wanted, the worst places."""
    parser = argparse.ArgumentParser(prog="python -m tests.measures", description="Measures of the package.")
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "quintet"], metavar="PATH")
    worst_help = "list the N worst places of each measure"
    parser.add_argument("--worst", type=int, default=0, metavar="N", help=worst_help)
    parser.add_argument("--all", action="store_true", help="list every place")
    options = parser.parse_args()
    missing = [str(path) for path in options.paths if not path.exists()]
    if missing:
        parser.error(f"each PATH must exist. There is no {', '.join(missing)}")
    sources = read_sources(options.paths)
    rows = measure(sources)
    print_table(rows, len(sources))
    if options.all or options.worst > 0:
        print_places(rows, None if options.all else options.worst)


if __name__ == "__main__":
    main()
