"""Upgrading a database that is in use: nothing lost, nobody kept waiting, nothing half done."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from attacks.postgres.checkpoint import Checkpoint
from engine.defences import DefenceError, parse_build
from engine.migrations import MigrationError, Shape, down, status, up
from engine.ownership import poll
from engine.provision import Databases
from engine.revisions import VERSIONS, newest_revision
from engine.stores import PostgresServer
from tests.integration.engine_client import House, house_in, house_of
from tests.integration.test_engine_migrations import FILES, rows, tables

pytestmark = pytest.mark.slow

HARDENED = Shape.of(parse_build("hardened").defences)
BEFORE_LIMITS, BEFORE_CONSTRAINTS = "0005", "0003"
NUMBERS = count()
OPEN_ACCOUNTS = """
INSERT INTO users (username) VALUES ('one'), ('two');
INSERT INTO asset_types (name, code, decimals) VALUES ('US Dollar', 'USD', 2);
INSERT INTO wallets (user_id, asset_type_id) SELECT id, 1 FROM users
"""
HELD = """
SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND granted
AND locktype = 'relation' AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')
"""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"


@pytest.fixture
def new_url(postgres: PostgresServer) -> Iterator[str]:
    name = f"upgrades_{next(NUMBERS)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def early_url(new_url: str) -> str:
    """A database with accounts in it, at a revision before there were constraints."""
    up(new_url, HARDENED, revision=BEFORE_CONSTRAINTS)
    rows(new_url, OPEN_ACCOUNTS)
    return new_url


def with_label(house: House, user_id: int, label: str) -> int:
    body = {"user_id": user_id, "asset": "USD", "label": label}
    answer = house.post("/wallets", body, house.operator)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@pytest.mark.parametrize("build", ["fragile", "hardened"])
def test_limits_go_and_wallets_with_labels_stay(
    databases: Databases, postgres: PostgresServer, build: str
) -> None:
    build = f"{build},balance_cache=off,redis_policy=bounded"
    with house_of(build, databases, postgres, "") as house:
        account = house.account(12_34)
        savings = with_label(house, account.user_id, "savings")
        house.deposit(savings, 5_00)
        limit = {"overdraft": house.money(1_00)}
        path = f"/v1/users/{account.user_id}/limits/USD"
        assert house.http.put(path, json=limit, headers=house.operator).is_success
        held = "SELECT id, user_id, balance, version, label FROM wallets ORDER BY id"
        before = house.rows(held), house.rows("SELECT * FROM transactions ORDER BY id")
        down(house.database_url, revision=BEFORE_LIMITS)
        assert house.rows("SELECT count(*) FROM wallets WHERE allow_negative") == [(2,)]
        up(house.database_url, Shape.of(house.services.build.defences))
        assert (
            house.rows(held),
            house.rows("SELECT * FROM transactions ORDER BY id"),
        ) == before
        limits = house.get(f"/users/{account.user_id}/limits", account.headers)
        assert limits.json() == {"limits": []}
        account = replace(account, headers=house.set_pin(house.token(account.user_id)))
        assert house.pay(account, house.account(), 12_35).status_code in (400, 402)
        again = {"user_id": account.user_id, "asset": "USD", "label": "savings"}
        assert house.post("/wallets", again, house.operator).status_code in (400, 409)
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200


@pytest.mark.parametrize("revision", [BEFORE_LIMITS, BEFORE_CONSTRAINTS])
def test_labels_keep_wallets_apart_from_wherever_it_goes_up_again(
    new_url: str, revision: str
) -> None:
    up(new_url, HARDENED)
    rows(
        new_url,
        "INSERT INTO users (username) VALUES ('one'); "
        "INSERT INTO wallets (user_id, asset_type_id, label) "
        "SELECT u.id, 1, l FROM users u, unnest(ARRAY['', 'savings']) l WHERE username = 'one'",
    )
    down(new_url, revision=revision)
    up(new_url, HARDENED)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        rows(
            new_url,
            "INSERT INTO wallets (user_id, asset_type_id, label) "
            "SELECT user_id, asset_type_id, label FROM wallets WHERE label = 'savings'",
        )


def test_without_labels_one_wallet_a_user_and_asset_is_insisted_on_again(
    databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened", databases, postgres, "") as house:
        account = house.account(1_00)
        down(house.database_url, revision=BEFORE_LIMITS)
        with pytest.raises(psycopg2.errors.UniqueViolation):
            house.rows(
                "INSERT INTO wallets (user_id, asset_type_id) SELECT user_id, asset_type_id "
                "FROM wallets WHERE id = %s",
                account.wallet_id,
            )
        up(house.database_url, HARDENED)
        assert house.balance(account) == 1_00


def test_who_is_overdrawn_keeps_the_limits_there(
    databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened", databases, postgres, "") as house:
        account, shop = house.account(1_00), house.account()
        limit = {"overdraft": house.money(5_00)}
        path = f"/v1/users/{account.user_id}/limits/USD"
        house.http.put(path, json=limit, headers=house.operator)
        assert house.pay(account, shop, 4_00).status_code == 201
        with pytest.raises(MigrationError, match="overdrawn"):
            down(house.database_url, revision=BEFORE_LIMITS)
        up(house.database_url, HARDENED)
        assert house.balance(account) == -3_00
        # PINs went before the limits could stop it.
        account = replace(account, headers=house.set_pin(house.token(account.user_id)))
        assert house.pay(account, shop, 2_01).status_code == 402
        assert house.pay(account, shop, 2_00).status_code == 201


def test_an_upgrade_waits_without_keeping_others_waiting(early_url: str) -> None:
    """Somebody holds the table for long; the upgrade queues for it and gives way, again and again.

    Whoever queues for good keeps every writer behind him.
    """
    database = early_url.rpartition("/")[2]
    write = "UPDATE wallets SET version = version + 1 WHERE id = 2"
    with (
        ThreadPoolExecutor(1) as threads,
        closing(psycopg2.connect(early_url)) as holder,
        closing(psycopg2.connect(early_url)) as writer,
    ):
        holder.cursor().execute("UPDATE wallets SET version = 7 WHERE id = 1")
        upgrade = threads.submit(up, early_url, HARDENED)
        writer.autocommit = True
        cursor = writer.cursor()
        cursor.execute("SET statement_timeout = '20s'")

        def someone_waits() -> bool:
            cursor.execute(WAITING, (database,))
            return cursor.fetchone() == (1,)

        for _ in range(3):
            assert poll(someone_waits, 20)
            # Behind the upgrade in the queue, and yet before the holder is through.
            cursor.execute(write)
        assert not upgrade.done()
        holder.commit()
        upgrade.result()
    assert all(done for _, _, done in status(early_url))
    assert rows(early_url, "SELECT version FROM wallets WHERE id IN (1, 2) ORDER BY id") == [
        (7,),
        (3,),
    ]


def test_what_the_data_do_not_allow_stops_the_upgrade_and_it_goes_on_when_mended(
    early_url: str,
) -> None:
    rows(early_url, "INSERT INTO wallets (user_id, asset_type_id) VALUES (1, 1)")
    for _ in range(2):
        with pytest.raises(MigrationError) as caught:
            up(early_url, HARDENED)
        assert "could not create unique index" in str(caught.value)
        assert f"the database is at revision {BEFORE_CONSTRAINTS}" in str(caught.value)
        assert "\n" not in str(caught.value)
    rows(early_url, "DELETE FROM wallets WHERE id = 3")
    up(early_url, HARDENED)
    assert all(done for _, _, done in status(early_url))


def test_nothing_is_left_unchecked(early_url: str) -> None:
    up(early_url, HARDENED)
    assert rows(early_url, "SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert rows(early_url, "SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    rows(early_url, "SELECT 1 FROM wallets")
    sessions = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert rows(early_url, sessions) == [(0,)]


def test_nothing_is_looked_through_while_others_wait(new_url: str) -> None:
    """Of tables that are there already; whoever made a table has it for himself."""
    told: list[str] = []

    def tell(*event: Any) -> None:
        told.append(event[2])

    waiting: list[str] = []
    for file in FILES:
        there = tables(new_url)
        told.clear()
        sa.event.listen(sa.Engine, "before_cursor_execute", tell)
        up(new_url, HARDENED, revision=file.name.partition("_")[0])
        sa.event.remove(sa.Engine, "before_cursor_execute", tell)
        waiting += [f"{file.stem}: {sql}" for sql in told if _looks_through(sql, there)]
    assert not waiting, "\n".join(waiting)


def _looks_through(sql: str, there: set[str]) -> bool:
    index = re.match(r"\s*CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON (\w+)", sql)
    constraint = re.match(
        r"\s*ALTER TABLE (\w+) ADD CONSTRAINT (?!.*(?:NOT VALID|USING INDEX))", sql
    )
    return any(found is not None and found[1] in there for found in (index, constraint))


def test_locks_are_taken_in_the_order_of_payments(new_url: str) -> None:
    """Whoever holds the second table and wants the first meets payments in a circle."""
    order = ("wallets", "transactions", "ledger_entries")
    held: list[str] = []
    circles: list[str] = []

    def look(*event: Any) -> None:
        _, used, statement, *_ = event
        with used.connection.cursor() as cursor:
            cursor.execute(HELD)
            now = [table for (table,) in cursor.fetchall() if table in order]
        if not set(held) <= set(now):
            held.clear()  # They go only with their database transaction.
        if held and any(order.index(n) < order.index(held[-1]) for n in now if n not in held):
            circles.append(f"{statement}: {now} after {held}")
        held[:] = sorted(now, key=order.index)

    sa.event.listen(sa.Engine, "after_cursor_execute", look)
    try:
        up(new_url, HARDENED, revision="0005")
        circles.clear()  # Of tables that were new.
        up(new_url, HARDENED)
        down(new_url, revision="0005")
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", look)
    assert not circles, "\n".join(circles)


def test_somebody_may_be_called_escrow(early_url: str) -> None:
    rows(early_url, "INSERT INTO users (username) VALUES ('escrow')")
    up(early_url, HARDENED)
    ((name, wallets),) = rows(
        early_url,
        "SELECT u.username, count(*) FROM users u JOIN wallets w ON w.user_id = u.id "
        "WHERE u.role = 'escrow' GROUP BY u.id",
    )
    assert (name != "escrow", wallets) == (True, 2)
    people = "SELECT count(*) FROM users WHERE username = 'escrow' AND role = 'user'"
    assert rows(early_url, people) == [(1,)]


@pytest.mark.parametrize(
    ("revision", "change", "said"),
    [
        ("0011", "SELECT", "run `assay migrate up --build hardened`"),
        (None, "UPDATE alembic_version SET version_num = '9999'", "use the engine that migrated"),
        (None, "DELETE FROM alembic_version", "is at revision none"),
    ],
)
def test_an_engine_does_not_start_on_another_revision(
    new_url: str, revision: str | None, change: str, said: str
) -> None:
    up(new_url, HARDENED, revision=revision or "head")
    rows(new_url, change)
    with pytest.raises(DefenceError, match=said) as caught, house_in(new_url, "hardened", ""):
        pass
    assert "\n" not in str(caught.value)


def test_the_newest_revision_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == newest_revision()


def test_nobody_takes_a_mark_away(new_url: str) -> None:
    """By revision: what is a fact from then on, also after what came later was undone."""
    facts = {
        "0011": ("reverses_transaction_id", "campaign", "campaign_user_id"),
        "0012": ("settles_hold_id",),
    }
    up(new_url, HARDENED)
    for revision, guarded in (("0012", facts["0011"] + facts["0012"]), ("0011", facts["0011"])):
        down(new_url, revision=revision)
        for column in ("amount", *guarded):
            with pytest.raises(psycopg2.errors.RestrictViolation, match="UPDATE refused"):
                rows(new_url, f"UPDATE transactions SET {column} = NULL")
        rows(new_url, "UPDATE transactions SET status = 'FAILED'")
    down(new_url, revision="0010")
    with pytest.raises(psycopg2.errors.RestrictViolation, match="UPDATE refused"):
        rows(new_url, "UPDATE transactions SET amount = NULL")


OWNER = "upgrades_owner"


@pytest.fixture
def owners_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of a role that is no superuser."""
    name = f"upgrades_{next(NUMBERS)}"
    url = postgres.create_database(name)
    parts = psycopg2.extensions.parse_dsn(url)
    parameter = "PARAMETER session_replication_role"
    rows(
        url,
        f"CREATE ROLE {OWNER} LOGIN PASSWORD '{parts['password']}'; "
        f"ALTER DATABASE {name} OWNER TO {OWNER}; GRANT ALL ON SCHEMA public TO {OWNER}; "
        f"GRANT SET ON {parameter} TO {OWNER}",
    )
    yield url.replace(f"//{parts['user']}:", f"//{OWNER}:")
    rows(postgres.admin_url, f"REVOKE SET ON {parameter} FROM {OWNER}")
    postgres.drop_database(name)
    rows(postgres.admin_url, f"DROP ROLE {OWNER}")


def test_the_owner_may_not_rewrite_the_ledger_even_with_its_triggers_silenced(
    owners_url: str,
) -> None:
    up(owners_url, HARDENED)
    forbidden = [
        f"{verb} {table}{rest}"
        for table in ("ledger_entries", "transactions")
        for verb, rest in (("DELETE FROM", ""), ("TRUNCATE", " CASCADE"))
    ]
    for statement in [*forbidden, "UPDATE ledger_entries SET amount = 1"]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(owners_url, f"SET session_replication_role = replica; {statement}")
    with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only: UPDATE refused"):
        rows(owners_url, "UPDATE transactions SET amount = 1")
    rows(owners_url, "UPDATE transactions SET status = 'FAILED'")
    # An explorer puts it back all the same, and leaves no privilege behind.
    with closing(Checkpoint(owners_url)) as checkpoint:
        rows(owners_url, "INSERT INTO users (username) VALUES ('somebody')")
        checkpoint.restore()
    assert rows(owners_url, "SELECT count(*) FROM users WHERE role = 'user'") == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows(owners_url, forbidden[0])
    down(owners_url, revision=BEFORE_LIMITS)
    rows(owners_url, forbidden[0])
