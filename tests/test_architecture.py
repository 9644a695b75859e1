"""The arrows of the design: who may import whom, also lazily, and that nothing goes in circles.

`engine`, `attacks` and `reports` do not know that the others exist; `scenarios` is where they meet;
`locustfile.py` takes nothing of the house but the history and what drives a load. What imports
Locust, which patches sockets and threads, is imported by nobody else.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = (
    "engine",
    "attacks",
    "reports",
    "scenarios",
    "tests",
    "benchmarks",
    "conftest",
    "locustfile",
)
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "engine": ("engine",),
    "attacks": ("attacks",),
    "reports": ("reports",),
    "scenarios": ("engine", "attacks", "reports", "scenarios"),
    "locustfile": ("attacks.history", "attacks.load"),
    "conftest": ("engine", "attacks", "reports", "scenarios"),
}
REMEDIES = {
    "engine": "the engine knows nobody: hand the value in from scenarios/",
    "attacks": "attacks run against anybody's service: take it as an argument from scenarios/",
    "reports": "reports read a document: add what is missing to reports/evidence.py",
    "scenarios": "only tests may import tests: move it to the package that needs it",
    "locustfile": "write a history and nothing else: judging is scenarios/audit.py's",
    "conftest": "only tests may import tests: move it to the package that needs it",
}


PATCHES = ("locust", "gevent", "geventhttpclient")
"""Importing these patches the process, or is of use in a patched one only."""
PATCHED = (
    "locustfile",
    "attacks.load.driving",
    "attacks.load.thresholds.plugin",
    "attacks.http.pump_process",
)
"""What may import these, and may be imported by each other alone."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import, at the top of a file or inside a function."""

    importer: str
    line: int
    module: str


def _sources() -> Iterator[tuple[str, Path]]:
    for top in ("engine", "attacks", "reports", "scenarios"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path
    for name in ("conftest", "locustfile"):
        if (path := ROOT / f"{name}.py").exists():
            yield name, path


def imports_of(importer: str, tree: ast.AST, *, is_package: bool) -> Iterator[Import]:
    """Everything imported anywhere in a module, `importlib.import_module("…")` included."""
    for node in ast.walk(tree):
        for module in _modules(node, importer, is_package):
            yield Import(importer=importer, line=getattr(node, "lineno", 0), module=module)


def _modules(node: ast.AST, importer: str, is_package: bool) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, importer, is_package)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else None
        called = node.func.id if isinstance(node.func, ast.Name) else called
        if called in ("import_module", "__import__", "run_module"):
            return [str(node.args[0].value)]
    return []


def _absolute(node: ast.ImportFrom, importer: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


@cache
def _all_imports() -> list[Import]:
    found: list[Import] = []
    for module, path in _sources():
        tree = ast.parse(path.read_text())
        found += imports_of(module, tree, is_package=path.name == "__init__.py")
    return found


def forbidden(found: Import) -> bool:
    top = found.importer.split(".")[0]
    if found.module.split(".")[0] not in HOUSE:
        return False
    return not any(
        found.module == allowed or found.module.startswith(f"{allowed}.")
        for allowed in ALLOWED[top]
    )


def _file_of(module: str) -> str:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return str(file.relative_to(ROOT))


def test_imports_go_one_way() -> None:
    wrong = [
        f"{_file_of(i.importer)}:{i.line} imports {i.module}; {REMEDIES[i.importer.split('.')[0]]}"
        for i in _all_imports()
        if forbidden(i)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["engine", "attacks", "reports", "scenarios"])
def test_no_imports_go_in_circles(package: str) -> None:
    known = {module for module, _ in _sources()}
    edges: dict[str, dict[str, int]] = {module: {} for module in known}
    for found in _all_imports():
        target = found.module if found.module in known else found.module.rpartition(".")[0]
        if target in known and target != found.importer and target.startswith(package):
            edges[found.importer].setdefault(target, found.line)
    circle = circle_in({m: tuple(e) for m, e in edges.items() if m.startswith(package)})
    steps = [
        f"{_file_of(importer)}:{edges[importer][imported]} imports {imported}"
        for importer, imported in pairwise(circle)
    ]
    assert not circle, "\n".join([*steps, "move what both need into a third module"])


def circle_in(edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The first circle, its first module repeated at the end; empty when there is none."""
    done: set[str] = set()

    def walk(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for target in edges.get(module, ()):
            if circle := walk(target, [*trail, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in sorted(edges) if (circle := walk(module, []))), [])


@pytest.mark.parametrize(
    ("importer", "source", "expected"),
    [
        ("engine.money", "import attacks.history", True),
        ("engine.money", "def f():\n    from reports import evidence", True),
        ("engine.money", "from . import schema", False),
        ("engine.books.core", "from ...attacks import history", True),
        ("attacks.history", "from scenarios.model import Scenario", True),
        ("attacks.history", "import importlib\nimportlib.import_module('engine.app')", True),
        ("reports.page", "if TYPE_CHECKING:\n    from attacks.history import History", True),
        ("reports.page", "import enginery, jinja2", False),
        ("scenarios.cell", "import engine, attacks.history, reports.page", False),
        ("scenarios.cell", "from tests.unit import evidence_samples", True),
        ("locustfile", "from attacks.history import Recorder", False),
        ("locustfile", "from attacks.load.driving import crew", False),
        ("locustfile", "from attacks.http.sender import Sender", True),
        ("locustfile", "import engine", True),
    ],
)
def test_the_rule_itself_sees_what_is_forbidden(importer: str, source: str, expected: bool) -> None:
    found = list(imports_of(importer, ast.parse(source), is_package=False))
    assert any(forbidden(one) for one in found) is expected


def test_the_rule_itself_sees_circles() -> None:
    assert circle_in({"a": ("b",), "b": ("c",), "c": ()}) == []
    assert circle_in({"a": ("b",), "b": ("c",), "c": ("b",)}) == ["b", "c", "b"]


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def patches_others(found: Import) -> bool:
    return within(found.module, (*PATCHES, *PATCHED)) and not within(found.importer, PATCHED)


def test_only_a_locustfile_imports_what_patches_the_process() -> None:
    wrong = [
        f"{_file_of(i.importer)}:{i.line} imports {i.module}, which patches sockets and threads; "
        "start Locust as a process of its own"
        for i in _all_imports()
        if patches_others(i)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("importer", "source", "expected"),
    [
        ("scenarios.loading", "import locust", True),
        ("attacks.load.pace", "from gevent import sleep", True),
        ("scenarios.loading", "from attacks.load.driving.options import why_not", True),
        ("attacks.load.thresholds", "from attacks.load.thresholds import plugin", True),
        ("conftest", "import locustfile", True),
        ("attacks.load.driving.crew", "import gevent", False),
        ("locustfile", "from locust import events", False),
        ("scenarios.loading", "from attacks.load.plan import Plan", False),
    ],
)
def test_the_rule_itself_sees_what_patches(importer: str, source: str, expected: bool) -> None:
    found = list(imports_of(importer, ast.parse(source), is_package=False))
    assert any(patches_others(one) for one in found) is expected


def test_the_plugin_of_thresholds_needs_nothing_of_assay() -> None:
    own = "attacks.load.thresholds"
    wrong = [
        f"{_file_of(i.importer)}:{i.line} imports {i.module}; it is to be published by itself"
        for i in _all_imports()
        if within(i.importer, (own,))
        and i.module.split(".")[0] in HOUSE
        and not within(i.module, (own,))
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_something_to_look_at() -> None:
    packages = {found.importer.split(".")[0] for found in _all_imports()}
    assert packages >= {"engine", "attacks", "reports", "scenarios", "conftest"}
