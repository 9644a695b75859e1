"""Style as a test: sizes, names, places, sleeps, and one seam for each switch.

Every message names the file, the line, and what to do.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import quantiles

import pytest

from engine.defences import switches

ROOT = Path(__file__).parents[1]
PRODUCT = ("engine", "attacks", "scenarios", "reports")
PYTHON = tuple(
    path
    for top in (*PRODUCT, "tests", "benchmarks", "examples")
    for path in sorted((ROOT / top).rglob("*.py"))
) + tuple(sorted(ROOT.glob("*.py")))
DOCUMENTS = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))

LONGEST_FUNCTION_LINES = 70
LONG_FUNCTION_LINES = 45
LONGEST_FILE_LINES = 450
NAMELESS = {"util", "utils", "helper", "helpers", "common", "misc"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|home)/")
# Split, as the next one is, so that this file does not hold what it forbids.
REGISTRY = re.compile(
    r"https?://[^\s\"']*(?:py" + r"pi|python" + r"hosted|n" + r"pmjs)|index" + r"-url"
)
OPEN_END = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
SWITCHES = tuple(switches())


@cache
def _trees() -> dict[Path, ast.Module]:
    """Only where a test asks for it: every test process imports this module."""
    return {path: ast.parse(path.read_text()) for path in PYTHON}


def _place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def _functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node, (node.end_lineno or node.lineno) - node.lineno + 1


def _lines_with(pattern: re.Pattern[str], paths: tuple[Path, ...]) -> list[str]:
    return [
        f"{_place(path, number)}: {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]


def _text_files() -> tuple[Path, ...]:
    """What a user gets: code, documents, settings."""
    kinds = (".py", ".md", ".toml", ".yml", ".yaml", ".html", ".js", ".css", ".sh", ".txt", ".ini")
    tops = (*PRODUCT, "tests", "benchmarks", "examples", "docs", "deploy", ".ci", ".github")
    nested = (path for top in tops for path in (ROOT / top).rglob("*") if path.suffix in kinds)
    top_level = (path for path in ROOT.iterdir() if path.suffix in kinds or path.name == "Makefile")
    ours = [path for path in (*nested, *top_level) if path.is_file() and path != Path(__file__)]
    return tuple(sorted(path for path in ours if "out" not in path.relative_to(ROOT).parts))


def test_functions_are_short() -> None:
    long = [
        f"{_place(path, node.lineno)} {node.name} has {lines} lines; split it, at most "
        f"{LONGEST_FUNCTION_LINES}"
        for path, node, lines in _functions()
        if lines > LONGEST_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_most_functions_are_shorter_still() -> None:
    lengths = [lines for _, _, lines in _functions()]
    ninetieth = quantiles(lengths, n=10)[-1]
    assert ninetieth <= LONG_FUNCTION_LINES, f"nine in ten functions: {ninetieth} lines; split some"


def test_files_are_short() -> None:
    long = [
        f"{_place(path, len(lines))} is too long; split it by concern, at most {LONGEST_FILE_LINES}"
        for path in PYTHON
        if len(lines := path.read_text().splitlines()) > LONGEST_FILE_LINES
    ]
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is() -> None:
    silent = [
        f"{_place(path, 1)} has no docstring; say in one line what the module is"
        for path, tree in _trees().items()
        if tree.body and ast.get_docstring(tree) is None
    ]
    assert not silent, "\n".join(silent)


def test_modules_have_names() -> None:
    nameless = [
        f"{_place(path, 1)} is called {part}; put it beside its caller, or give it a noun"
        for path in PYTHON
        for part in path.relative_to(ROOT).with_suffix("").parts
        if part in NAMELESS
    ]
    assert not nameless, "\n".join(nameless)


def test_no_path_of_a_machine() -> None:
    found = _lines_with(MACHINE_PATH, _text_files())
    assert not found, "\n".join([*found, "make it relative to the repository, or a setting"])


def test_no_address_of_a_registry() -> None:
    found = _lines_with(REGISTRY, _text_files())
    assert not found, "\n".join([*found, "leave it to the user's own pip and npm settings"])


def test_no_loose_ends() -> None:
    found = _lines_with(OPEN_END, _text_files())
    assert not found, "\n".join([*found, "do it now, or write it into the documents as a limit"])


def sleeps_without_reason(tree: ast.AST, source: str) -> list[int]:
    """Lines that sleep outside `while <clock> < <deadline>` and without a comment of why."""
    lines = source.splitlines()
    polling = {
        id(inner)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While) and isinstance(loop.test, ast.Compare)
        for inner in ast.walk(loop)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("time.sleep", "sleep")
        and id(node) not in polling
        and "#" not in lines[node.lineno - 1]
    ]


def test_no_race_is_made_by_sleeping() -> None:
    found = [
        f"{_place(path, line)} sleeps; wait for what you can observe until a deadline, or say in a "
        "comment on the line why nothing waits for it"
        for path, tree in _trees().items()
        if path.relative_to(ROOT).parts[0] in ("scenarios", "attacks")
        for line in sleeps_without_reason(tree, path.read_text())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("time.sleep(1)", [1]),
        ("time.sleep(1)  # The fault itself.", []),
        ("while time.monotonic() < until_s:\n    time.sleep(1)", []),
        ("while True:\n    time.sleep(1)", [2]),
        ("while not done.is_set():\n    sleep(1)", [2]),
    ],
)
def test_the_rule_itself_sees_sleeps(source: str, expected: list[int]) -> None:
    assert sleeps_without_reason(ast.parse(source), source) == expected


def switch_reads(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every `defences.<switch>` and `….defences.<switch>`."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr in SWITCHES):
            continue
        owner = node.value
        name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
        if name in ("defences", "_defences"):
            yield node.attr, node.lineno


@cache
def _reads_in_the_engine() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {name: [] for name in SWITCHES}
    for path, tree in _trees().items():
        if path.relative_to(ROOT).parts[0] == "engine":
            for name, line in switch_reads(tree):
                places[name].append(_place(path, line))
    return places


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_is_read_at_one_place(switch: str) -> None:
    places = _reads_in_the_engine()[switch]
    assert len(places) == 1, (
        f"switch {switch} is read at {', '.join(places) or 'no place'}; one switch, one seam: "
        "choose the implementation there and hand it on"
    )


def test_the_rule_itself_sees_reads() -> None:
    source = "defences.locking\nself.build.defences.retry\nother.locking\nx._defences.money"
    assert sorted(switch_reads(ast.parse(source))) == [("locking", 1), ("money", 4), ("retry", 2)]


def broken_links(path: Path) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fenced ^= line.lstrip().startswith("```")
        for target in [] if fenced else re.findall(r"\]\(([^)\s]+)\)", line):
            local = target.partition("#")[0]
            outside = re.match(r"[a-z]+:", target)
            if local and not outside and not (path.parent / local).exists():
                yield number, target


def test_links_lead_somewhere() -> None:
    dead = [
        f"{_place(path, line)} links to {target}, which does not exist; correct or remove it"
        for path in DOCUMENTS
        for line, target in broken_links(path)
    ]
    assert not dead, "\n".join(dead)


def test_the_rule_itself_sees_dead_links(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md#part) [b](gone.md) [c](https://x.y/z)\n```\n[d](gone.md)\n```\n")
    assert list(broken_links(page)) == [(1, "gone.md")]
