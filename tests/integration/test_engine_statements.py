"""What one transfer sends to PostgreSQL: every statement is a place where it can be interrupted."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import House, house_of


def statements_of(house: House) -> list[str]:
    """The first words of each statement of one transfer; the engine is warm."""
    payer, payee = house.account(10_00), house.account()
    assert house.pay(payer, payee, 1_00).status_code == 201
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(" ".join(statement.split()[:2]))

    sa.event.listen(house.services.database, "before_cursor_execute", note)
    assert house.pay(payer, payee, 1_00).status_code == 201
    sa.event.remove(house.services.database, "before_cursor_execute", note)
    return sent


READ, WRITE, RECORD = "SELECT wallets.id,", "UPDATE wallets", "INSERT INTO"
TOKEN, PIN = "SELECT revoked_tokens.jti", "UPDATE users"
LOCK, CLAIM = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s,", "INSERT INTO"


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        ("fragile", [READ, READ, WRITE, WRITE, RECORD]),
        ("fragile,unit_of_work=swallow_then_commit", [READ, READ, WRITE, WRITE, RECORD]),
        ("hardened", [TOKEN, PIN, LOCK, CLAIM, READ, "WITH part_0"]),
        ("hardened,locking=serializable", [TOKEN, PIN, LOCK, CLAIM, READ, "WITH part_0"]),
        (
            "hardened,locking=advisory",
            [
                TOKEN,
                PIN,
                LOCK,
                CLAIM,
                "SELECT pg_advisory_xact_lock(hashtextextended(name,",
                READ,
                "WITH part_0",
            ],
        ),
        (
            "hardened,locking=conditional",
            [TOKEN, PIN, LOCK, CLAIM, READ, WRITE, "WITH part_0"],
        ),
        ("hardened,key_in_flight=wait", [TOKEN, PIN, CLAIM, READ, "WITH part_0"]),
    ],
)
def test_a_transfer_sends_no_statement_too_many(
    build: str,
    expected: list[str],
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    with house_of(build, databases, postgres, redis_server.url) as house:
        assert statements_of(house) == expected


def test_a_process_that_serves_loads_no_migrations() -> None:
    """They would take a seventh of the time that it takes to come back after a kill."""
    program = "import sys, engine.serving; print({'alembic', 'mako'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout.strip() == b"set()"
