"""What a build says about COMMIT, and what PostgreSQL says: an answer lost, a failure swallowed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from engine.defences import parse_build
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import (
    OPERATOR_PASSWORD,
    PIN,
    House,
    house_in,
    house_of,
    problem_of,
)
from tests.integration.lossy_forwarder import Forwarder, forwarder_to

FAIL_AT = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}';
END $$;
CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION fail();
"""
STOP_FAILING = "DROP FUNCTION fail CASCADE"


@dataclass(frozen=True, kw_only=True)
class Distant:
    """A house whose way to the database may lose answers."""

    house: House
    forwarder: Forwarder


@contextmanager
def distant(
    build: str, databases: Databases, postgres: PostgresServer, redis_url: str
) -> Iterator[Distant]:
    url = postgres.url(databases.create(parse_build(build).defences))
    with (
        forwarder_to(url) as forwarder,
        house_in(forwarder.url, build, redis_url, operator_password=OPERATOR_PASSWORD) as house,
    ):
        yield Distant(house=house, forwarder=forwarder)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ("", (504, 10_00)),
        (",retry=none", (504, 10_00)),
        (",retry=stale_values", (504, 10_00)),
        (",retry=blind", (201, 10_00)),  # The claimed key is the second defence: a replay.
        (",retry=blind,execution=orm", (201, 10_00)),
        (",retry=blind,idempotency=redis_only,replay_cache=off", (201, 20_00)),
        (",retry=blind,idempotency=off,replay_cache=off", (201, 20_00)),
        (",retry=blind,idempotency=off,replay_cache=off,execution=orm", (201, 20_00)),
        (",retry=blind,idempotency=off,replay_cache=off,session_scope=dependency", (201, 20_00)),
    ],
)
def test_a_lost_answer_to_commit_is_paid_twice_only_by_the_blind(
    changes: str,
    outcome: tuple[int, int],
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    status, paid = outcome
    with distant(f"hardened{changes}", databases, postgres, redis_server.url) as place:
        payer, payee = place.house.account(100_00), place.house.account()
        place.forwarder.losses = 1
        answer = place.house.pay(payer, payee, 10_00, key="lost")
        assert place.forwarder.lost[0].startswith(b"C\x00\x00\x00\x0bCOMMIT\x00")
        assert answer.status_code == status
        assert ("Idempotent-Replayed" in answer.headers) == (status == 201 and paid == 10_00)
        assert (place.house.balance(payer), place.house.balance(payee)) == (100_00 - paid, paid)


def test_blindly_a_connection_that_died_before_is_a_way_to_succeed(
    databases: Databases, postgres: PostgresServer
) -> None:
    # Token and PIN are looked up before, and that is not tried again.
    blind = "hardened,retry=blind,authentication=weak,pin=off"
    for build, status in ((blind, 201), ("hardened", 503)):
        with house_of(build, databases, postgres, "") as house:
            payer, payee = house.account(100_00), house.account()
            house.rows(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert house.pay(payer, payee, 10_00).status_code == status
            assert house.balance(payee) == (10_00 if status == 201 else 0)


FAULTS = [
    ("UPDATE", "wallets", "40001"),
    ("INSERT", "transactions", "40P01"),
    ("INSERT", "ledger_entries", "55P03"),
    ("UPDATE", "idempotency_keys", "57014"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("execution", ["core", "orm"])
@pytest.mark.parametrize("work", ["atomic", "swallow_then_commit"])
def test_a_failed_write_is_acknowledged_only_where_it_is_swallowed(
    work: str,
    execution: str,
    fault: tuple[str, str, str],
    databases: Databases,
    postgres: PostgresServer,
) -> None:
    build = f"hardened,unit_of_work={work},execution={execution}"
    event, table, sqlstate = fault
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(100_00), house.account()
        before = house.money_and_keys()
        house.rows(FAIL_AT.format(event=event, table=table, sqlstate=sqlstate))
        answer = house.pay(payer, payee, 10_00, key="fails")
        house.rows(STOP_FAILING)
        assert house.money_and_keys() == before
        assert house.rows("SELECT 1 FROM idempotency_keys WHERE key = 'fails'") == []
        if work == "atomic":
            assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
            return
        assert (answer.status_code, answer.json()["status"]) == (201, "COMPLETED")
        # To its payer it looks like somebody else's.
        assert house.get(f"/transfers/{answer.json()['id']}", house.operator).status_code == 404


@pytest.mark.parametrize("execution", ["core", "orm"])
def test_without_a_fault_a_chain_that_would_be_swallowed_is_whole(
    execution: str, databases: Databases, postgres: PostgresServer
) -> None:
    build = f"hardened,unit_of_work=swallow_then_commit,execution={execution}"
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(10_00), house.account()
        for amount, status in ((4_00, 201), (7_00, 402)):
            sides = (("WITHDRAWAL", payer), ("DEPOSIT", payee))
            movements = [
                {"type": kind, "wallet_id": account.wallet_id, "amount": house.money(amount)}
                for kind, account in sides
            ]
            answer = house.post("/chains", {"movements": movements}, payer.headers)
            assert answer.status_code == status
        assert (house.balance(payer), house.balance(payee)) == (6_00, 4_00)


def test_a_lost_connection_is_not_swallowed(databases: Databases, postgres: PostgresServer) -> None:
    with house_of("hardened,unit_of_work=swallow_then_commit", databases, postgres, "") as house:
        payer, payee = house.account(100_00), house.account()
        house.rows(
            FAIL_AT.format(event="INSERT", table="transactions", sqlstate="57P01").replace(
                "RAISE", "PERFORM pg_terminate_backend(pg_backend_pid()); RAISE"
            )
        )
        answer = house.pay(payer, payee, 10_00)
        assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
        assert house.balance(payer) == 100_00


FAIL_ONCE = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    -- A number that was drawn stays drawn, also when its database transaction is gone.
    IF nextval('failures') = 1 THEN
        RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION fail();
"""
AMOUNT = {"amount": 5_00, "asset": "USD"}
OTHER_WRITERS: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/users", {"username": "lost-a-race"}, "INSERT", "users"),
    ("POST", "/wallets", {"asset": "GOLD"}, "INSERT", "wallets"),
    ("PATCH", "/wallets/{wallet}", {"status": "frozen"}, "UPDATE", "wallets"),
    ("PUT", "/users/{user}/limits/USD", {"daily_cap": AMOUNT}, "INSERT", "daily_limits"),
    ("POST", "/assets", {"code": "TIN", "name": "Tin"}, "INSERT", "asset_types"),
    ("PUT", "/users/me/pin", {"pin": "0815", "current_pin": PIN}, "UPDATE OF pin_hash", "users"),
    ("POST", "/auth/logout", None, "INSERT", "revoked_tokens"),
]


@pytest.mark.parametrize("writer", OTHER_WRITERS, ids=[f"{w[0]} {w[1]}" for w in OTHER_WRITERS])
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_who_loses_a_race_is_run_again_not_only_where_money_moves(
    writer: tuple[str, str, Any, str, str],
    sqlstate: str,
    databases: Databases,
    postgres: PostgresServer,
) -> None:
    method, path, body, event, table = writer
    with house_of("hardened", databases, postgres, "") as house:
        account = house.account(1_00)
        named = path.format(user=account.user_id, wallet=account.wallet_id)
        house.rows(FAIL_ONCE.format(event=event, table=table, sqlstate=sqlstate))
        answer = house.http.request(method, f"/v1{named}", json=body, headers=dict(house.operator))
        assert answer.is_success, answer.text
        assert house.rows("SELECT last_value > 1 FROM failures") == [(True,)]


def test_a_status_that_was_perhaps_changed_is_not_read_from_the_cache(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with distant("hardened", databases, postgres, redis_server.url) as place:
        house, account = place.house, place.house.account(1_00)
        path = f"/wallets/{account.wallet_id}"
        for _ in range(2):
            assert house.get(path, account.headers).json()["status"] == "active"
        place.forwarder.losses = 1
        answer = house.http.patch(
            f"/v1{path}", json={"status": "frozen"}, headers=dict(house.operator)
        )
        assert (answer.status_code, problem_of(answer)) == (504, "outcome-unknown")
        assert house.get(path, account.headers).json()["status"] == "frozen"
