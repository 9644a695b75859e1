"""Waits that end: what the engine answers at each bound, and what the key tells then."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from attacks.postgres.side_session import SideSession
from engine.ownership import poll
from engine.provision import Databases
from engine.settings import Settings
from engine.stores import PostgresServer
from tests.integration.engine_client import Account, House, house_of, problem_of

SHORT_MS, LONG_MS = 200, 8_000
WITHIN_S = 10


@contextmanager
def locked(house: House, *accounts: Account) -> Iterator[SideSession]:
    with SideSession(house.database_url) as side:
        for account in accounts:
            side.hold("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (account.wallet_id,))
        yield side


def _fate(house: House, account: Account, key: str) -> httpx.Response:
    return house.get(f"/idempotency/{key}", account.headers)


@pytest.mark.parametrize(
    ("lock_timeout_ms", "statement_timeout_ms"), [(SHORT_MS, LONG_MS), (LONG_MS, SHORT_MS)]
)
def test_a_lock_or_a_statement_over_its_bound_has_committed_nothing(
    databases: Databases, postgres: PostgresServer, lock_timeout_ms: int, statement_timeout_ms: int
) -> None:
    bounds = {"lock_timeout_ms": lock_timeout_ms, "statement_timeout_ms": statement_timeout_ms}
    with house_of("hardened", databases, postgres, "", **bounds) as house:
        payer, payee = house.account(10_00), house.account()
        before = house.money_and_keys()
        with locked(house, payer):
            answer = house.pay(payer, payee, 1_00, key="slow")
        assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
        assert (answer.json()["retriable"], answer.json()["retry_with_same_key"]) == (True, True)
        assert answer.headers["Retry-After"] == "1"
        assert house.money_and_keys() == before
        assert problem_of(_fate(house, payer, "slow")) == "not-found"
        assert house.pay(payer, payee, 1_00, key="slow").status_code == 201
        assert house.balance(payer) == 9_00


def test_after_the_deadline_the_key_tells_what_became_of_it(
    databases: Databases, postgres: PostgresServer
) -> None:
    """504 while the work goes on; its key is in flight, then settled, then replayed."""
    with house_of("hardened", databases, postgres, "", request_deadline_s=2) as house:
        payer, payee = house.account(10_00), house.account()
        with locked(house, payer):
            answer = house.pay(payer, payee, 1_00, key="late")
            assert (problem_of(answer), answer.status_code) == ("outcome-unknown", 504)
            assert (answer.json()["retriable"], answer.json()["retry_with_same_key"]) == (
                False,
                True,
            )
            fate = _fate(house, payer, "late")
            assert (problem_of(fate), fate.status_code) == ("idempotency-key-in-flight", 409)
            assert fate.headers["Retry-After"] == "1"
            # Asking takes no lock, and nobody else's key is in flight.
            twin = house.pay(payer, payee, 1_00, key="late")
            assert problem_of(twin) == "idempotency-key-in-flight"
            assert problem_of(_fate(house, payee, "late")) == "not-found"
            assert problem_of(_fate(house, payer, "later")) == "not-found"
        assert poll(lambda: _fate(house, payer, "late").status_code == 200, WITHIN_S)
        settled = _fate(house, payer, "late").json()
        again = house.pay(payer, payee, 1_00, key="late")
        assert (settled["status"], settled["body"]) == (201, again.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        assert house.balance(payer) == 9_00


def test_a_stored_refusal_is_told_too(databases: Databases, postgres: PostgresServer) -> None:
    with house_of("hardened", databases, postgres, "") as house:
        payer, payee = house.account(1_00), house.account()
        refusal = house.pay(payer, payee, 5_00, key="poor")
        settled = _fate(house, payer, "poor").json()
        assert settled == {"key": "poor", "status": 402, "body": refusal.json()}


def test_the_pool_is_waited_for_no_longer_than_its_bound(
    databases: Databases, postgres: PostgresServer
) -> None:
    given = {"engine_pool_size": 2, "pool_timeout_s": 0.2}
    with house_of("hardened", databases, postgres, "", **given) as house:
        payer, other, payee = house.account(10_00), house.account(10_00), house.account()
        before = house.money_and_keys()
        with locked(house, payer, other) as side, ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(house.pay, who, payee, 1_00) for who in (payer, other)]
            assert side.wait_for_waiters(2)
            answer = threads.submit(house.pay, payer, payee, 1_00, key="crowded").result()
            assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
            assert house.money_and_keys() == before
            side.release()
            assert [task.result().status_code for task in waiting] == [201, 201]
        assert problem_of(_fate(house, payer, "crowded")) == "not-found"


def test_without_bounds_nothing_ends_by_itself(
    databases: Databases, postgres: PostgresServer
) -> None:
    bounds = {"lock_timeout_ms": 1, "statement_timeout_ms": 1, "request_deadline_s": 0.001}
    with house_of("hardened,timeouts=off", databases, postgres, "", **bounds) as house:
        assert house.services.deadline_s is None
        with house.services.database.connect() as connection:
            shown = connection.exec_driver_sql("SELECT current_setting('lock_timeout')")
            assert shown.scalar_one() == "0"


@pytest.mark.parametrize("execution", ["core", "orm"])
def test_a_half_done_chain_is_unsettled(
    databases: Databases, postgres: PostgresServer, execution: str
) -> None:
    """The key was committed with the first movement, and nobody will ever write its answer."""
    build = f"hardened,unit_of_work=per_movement,execution={execution}"
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(10_00), house.account()
        house.pay(payer, payee, 1_00, key="half")
        house.rows("UPDATE idempotency_keys SET response_status = NULL WHERE key = 'half'")
        assert problem_of(_fate(house, payer, "half")) == "idempotency-key-in-flight"


def test_a_bound_of_nothing_is_refused() -> None:
    for name in ("lock_timeout_ms", "statement_timeout_ms", "request_deadline_s", "pool_timeout_s"):
        with pytest.raises(ValueError, match="greater than"):
            Settings.model_validate({"database_url": "postgresql://somewhere", name: 0})
