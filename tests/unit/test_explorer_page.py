"""The page on the explorer quotes what the code really says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explorer.md").read_text()
EXAMPLE = Path("examples", "explore_a_service.py")


def _quoted() -> list[str]:
    """The first column of the table of obstacles."""
    table = PAGE.split("| it says | do |")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def _said() -> str:
    """Every text in the code of the PostgreSQL side; pieces that stand together are one."""
    texts = [
        node.value
        for path in sorted((ROOT / "attacks" / "postgres").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join(texts)


def test_there_are_obstacles() -> None:
    assert len(_quoted()) > 10


@pytest.mark.parametrize("line", _quoted())
def test_each_obstacle_is_quoted_as_it_is_said(line: str) -> None:
    assert line in _said(), f"docs/explorer.md quotes {line!r}, which the code does not say"


def test_the_excerpt_of_the_example_is_in_the_example() -> None:
    example = (ROOT / EXAMPLE).read_text()
    excerpt = PAGE.split("```python\n")[1].split("```")[0]
    assert str(EXAMPLE) in PAGE
    for line in filter(None, map(str.strip, excerpt.splitlines())):
        assert line.removeprefix("explored = ") in example, f"{EXAMPLE} has no line {line!r}"
