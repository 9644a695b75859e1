"""What the documents tell to run really runs, and says what they say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from engine.stores import PostgresServer

ROOT = Path(__file__).parents[2]
SCRIPT = Path("examples", "explore_a_service.py")
DATABASE = "examples"
RUN_S = 120
TABLES = """
SELECT relnamespace::regnamespace, relname FROM pg_class WHERE relkind = 'r'
AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
"""


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    yield postgres.create_database(DATABASE)
    postgres.drop_database(DATABASE)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def test_a_service_of_one_s_own_is_explored(url: str) -> None:
    done = run(url)
    assert (done.returncode, done.stderr) == (0, "")
    racy, _, right = done.stdout.partition("/right: ")
    assert racy.startswith("/racy: violated in ")
    assert racy.endswith("forced again, it was violated 10 of 10 times\n")
    # Both have read before either writes: that is the lost update.
    steps = [line.split() for line in racy.splitlines()[1:-1]]
    reads = [step[0] for step in steps if step[1] == "SELECT"]
    writers = [step[0] for step in steps if step[1] == "UPDATE"]
    assert sorted(reads) == ["A", "B"]
    assert set(writers) == {"A", "B"}
    first_write = next(n for n, step in enumerate(steps) if step[1] == "UPDATE")
    assert all(step[1] != "SELECT" for step in steps[first_write:])
    assert right.startswith("held, exhausted, ")


def test_nothing_of_the_example_stays_in_the_database(url: str) -> None:
    run(url)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        left = cursor.fetchall()
    connection.close()
    assert left == []
