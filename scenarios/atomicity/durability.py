"""PostgreSQL is killed right after a payment was acknowledged.

Claim    Acknowledged movements survive kill -9 of PostgreSQL.
Attack   PostgreSQL is told to write what is not waited for every 10 s instead of every 200 ms. Then
         payments, one after the other, and kill -9 as soon as the last one is acknowledged; after
         the recovery the service is started again and the balances are compared.
Why      A commit that is acknowledged before it is on the disk is gone with the server's memory.
         Whether it was on the disk is a matter of milliseconds otherwise, so that tests seldom see
         it.
Known as Durability; synchronous_commit = off, write-ahead log.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import AttackFailed, Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import acknowledged, struck

PAYMENTS = 5
RARELY = {"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
"""The longest that there is, and more than a few payments write."""


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 1_00, round=1)
    with _writing_rarely(lab.database_url):
        for _ in range(PAYMENTS):
            lab.sender.send(payer.pays(payee, 10_00), round=1)
        lab.postgres.kill()
        lab.recorder.event("kill", "PostgreSQL was killed (kill -9)", round=1)
        lab.service.stop()
        lab.postgres.start()
        lab.service.start()


@contextmanager
def _writing_rarely(database_url: str) -> Iterator[None]:
    """Commits that nobody waits for stay in memory for seconds. Raises AttackFailed."""
    try:
        _settle(database_url)
        _configure(database_url, [f"ALTER SYSTEM SET {n} = '{v}'" for n, v in RARELY.items()])
        yield
    except psycopg2.Error as error:
        raise AttackFailed(f"PostgreSQL could not be told to write rarely: {error}") from error
    finally:
        _configure(database_url, [f"ALTER SYSTEM RESET {name}" for name in RARELY])


def _configure(database_url: str, statements: list[str]) -> None:
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                cursor.execute(statement)


def _settle(database_url: str) -> None:
    """Wake the writer of the log: after long rest it would write the next commit at once.

    It rests after 50 rounds without work (`walwriter.c`, LOOPS_UNTIL_HIBERNATE).
    """
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("CREATE TABLE assay_wakes_the_writer ()")
        connection.commit()
        cursor.execute("DROP TABLE assay_wakes_the_writer")
        connection.commit()


SCENARIO = Scenario(
    name="durability",
    suite="atomicity",
    claim="Acknowledged movements survive kill -9 of PostgreSQL.",
    story=__doc__,
    attack=attack,
    invariants=(acknowledged_is_recorded, balances_are_explained, money_is_conserved),
    holds_when=switch("durability", "sync"),
    requires=(struck("kill"), acknowledged),
    strength="bounded",
    restarts=frozenset({"postgres"}),
)
