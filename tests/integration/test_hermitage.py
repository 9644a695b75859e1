"""PostgreSQL's table of anomalies, through the proxy, comes out as PostgreSQL documents it."""

from collections.abc import Mapping
from itertools import product

import pytest

from engine.stores import PostgresServer
from tests.integration.hermitage import (
    FILE,
    LEVELS,
    Cell,
    document,
    expected,
    measured,
    without_counts,
)
from tests.integration.hermitage_cases import CASES, Case

pytestmark = pytest.mark.slow

Cells = Mapping[tuple[str, str], Cell]


@pytest.fixture(scope="module")
def cells(postgres: PostgresServer) -> Cells:
    return {(cell.case.name, cell.level): cell for cell in measured(postgres)}


def _named(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("case", "level"), tuple(product(CASES, LEVELS)), ids=_named)
def test_an_anomaly_is_possible_where_postgres_says_so(
    cells: Cells, case: Case, level: str
) -> None:
    cell, documented = cells[case.name, level], expected(case, level)
    assert cell.forced.order == case.order, "the script was not forced line by line"
    assert not cell.forced.uncontrolled
    assert not cell.forced.unfinished
    assert cell.forced_shows == (documented == "possible"), cell.forced.results
    # The search is no help of the script: it has to find the order, or the absence of one, alone.
    assert (cell.explored.losing is not None) == (documented == "possible"), cell.explored
    assert cell.verdict == documented, cell.explored.reasons
    assert not cell.explored.no_race_needed, "sessions one after the other show no anomaly"


def test_the_page_says_what_was_measured(cells: Cells) -> None:
    page = document(tuple(cells.values()))
    remedy = "run `python -m tests.integration.hermitage`"
    assert without_counts(FILE.read_text()) == without_counts(page), f"{FILE.name}: {remedy}"
