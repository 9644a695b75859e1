"""What each value of `ledger` keeps of a movement, and what can be proved from it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import psycopg2
import pytest

from engine.defences import parse_build
from engine.migrations import MigrationError, Shape, down, up
from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import Account, House, house_in, house_of, problem_of
from tests.integration.test_engine_migrations import new_url, rows, tables
from tests.integration.test_reconciliation import UNGUARDED, difference

__all__ = ["new_url"]

CHAINED = "hardened,ledger=hash_chain"
UNRECORDED = "hardened,ledger=none"
BEFORE_SHAPES = "0012"
REWRITE_AMOUNT = """
UPDATE ledger_entries SET amount = amount - 100 WHERE transaction_id = %(id)s::uuid;
UPDATE transactions SET amount = amount - 100 WHERE id = %(id)s::uuid;
UPDATE ledger_entries e SET balance_after = e.balance_after + 100 * sign.of
FROM (SELECT wallet_id, wallet_version, CASE entry_type WHEN 'DEBIT' THEN 1 ELSE -1 END AS of
      FROM ledger_entries WHERE transaction_id = %(id)s::uuid) sign
WHERE e.wallet_id = sign.wallet_id AND e.wallet_version >= sign.wallet_version;
UPDATE wallets w SET balance = (SELECT balance_after FROM ledger_entries e
    WHERE e.wallet_id = w.id ORDER BY wallet_version DESC LIMIT 1)
WHERE id IN (SELECT wallet_id FROM ledger_entries WHERE transaction_id = %(id)s::uuid)
"""
"""A payment of a dollar less, consistent everywhere: only who has seen the old rows can tell."""


@contextmanager
def opened(build: str, databases: Databases, postgres: PostgresServer) -> Iterator[House]:
    with house_of(build, databases, postgres, "") as house:
        yield house


def rewrite(house: House, transaction: str) -> None:
    with house.side.cursor() as cursor:
        cursor.execute(UNGUARDED)
        cursor.execute(REWRITE_AMOUNT, {"id": transaction})


def three_payments(house: House) -> tuple[Account, list[str]]:
    """A payer, and the ids of its payments to two others."""
    payer, shop, mall = house.account(100_00), house.account(), house.account()
    answers = [house.pay(payer, payee, 10_00) for payee in (shop, mall, shop)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    return payer, [answer.json()["id"] for answer in answers]


def pay_until(house: House, payer: Account, enough: Event) -> list[int]:
    """Pay again and again, to somebody who pays back. Returns what was answered."""
    other = house.account(10_00)
    answered: list[int] = []
    while not enough.is_set() or len(answered) < 10:
        answered += [
            house.pay(one, two, 1_00).status_code for one, two in ((payer, other), (other, payer))
        ]
    return answered


def entry_of(house: House, transaction: str, wallet_id: int) -> int:
    ((entry,),) = house.rows(
        "SELECT id FROM ledger_entries WHERE transaction_id = %s::uuid AND wallet_id = %s",
        transaction,
        wallet_id,
    )
    return int(entry)


def test_a_consistent_rewrite_is_found_where_entries_are_chained(
    databases: Databases, postgres: PostgresServer
) -> None:
    with opened(CHAINED, databases, postgres) as house:
        payer, (_, second, third) = three_payments(house)
        assert difference(house) is None
        rewrite(house, second)
        found = difference(house)
        assert found is not None
        assert (found["what"], found["wallet_id"]) == ("hash", payer.wallet_id)
        assert found["entry_id"] == entry_of(house, second, payer.wallet_id)
        assert found["transaction_id"] == second
        # Who mends that row's hash as well is found out at the next one.
        house.rows(
            "UPDATE ledger_hashes SET hash = decode(%s, 'hex') WHERE entry_id = %s",
            found["expected"],
            found["entry_id"],
        )
        found = difference(house)
        assert found is not None
        assert (found["what"], found["transaction_id"]) == ("hash", third)


def test_a_consistent_rewrite_is_not_found_by_legs_alone(
    databases: Databases, postgres: PostgresServer
) -> None:
    with opened("hardened", databases, postgres) as house:
        payer, (_, second, _) = three_payments(house)
        rewrite(house, second)
        assert difference(house) is None
        assert house.balance(payer) == 71_00


def test_a_hash_that_is_gone_or_belongs_to_nothing_is_found(
    databases: Databases, postgres: PostgresServer
) -> None:
    with opened(CHAINED, databases, postgres) as house:
        payer, (_, second, _) = three_payments(house)
        house.rows(UNGUARDED)
        house.rows("INSERT INTO ledger_hashes (entry_id, hash) VALUES (1000, '')")
        found = difference(house)
        assert found is not None
        assert (found["what"], found["entry_id"]) == ("entry", 1000)
        entry = entry_of(house, second, payer.wallet_id)
        house.rows("DELETE FROM ledger_hashes WHERE entry_id = %s", entry)
        found = difference(house)
        assert found is not None
        assert (found["what"], found["entry_id"], found["found"]) == ("hash", entry, None)


@pytest.mark.parametrize("execution", ["core", "orm"])
@pytest.mark.parametrize("locking", ["row", "version", "conditional", "serializable"])
def test_whatever_is_posted_continues_the_chain(
    databases: Databases, postgres: PostgresServer, locking: str, execution: str
) -> None:
    build = f"{CHAINED},locking={locking},execution={execution}"
    with opened(build, databases, postgres) as house:
        payer, _ = three_payments(house)
        # Several entries of one wallet in one settlement.
        parts = [("WITHDRAWAL", 5_00), ("DEPOSIT", 2_00), ("WITHDRAWAL", 1_00)]
        movements = [
            {"type": kind, "wallet_id": payer.wallet_id, "amount": house.money(minor)}
            for kind, minor in parts
        ]
        answer = house.post("/chains", {"movements": movements}, payer.headers)
        assert answer.status_code == 201, answer.text
        assert difference(house) is None
        ((entries, hashes),) = house.rows(
            "SELECT (SELECT count(*) FROM ledger_entries), (SELECT count(*) FROM ledger_hashes)"
        )
        assert entries == hashes > 10


def test_hashes_are_append_only_as_the_entries_are(
    databases: Databases, postgres: PostgresServer
) -> None:
    with opened(CHAINED, databases, postgres) as house:
        three_payments(house)
        for statement in ("UPDATE ledger_hashes SET hash = ''", "DELETE FROM ledger_hashes",
                          "TRUNCATE ledger_hashes"):  # fmt: skip
            with pytest.raises(psycopg2.errors.RestrictViolation, match="append-only"):
                house.rows(statement)


def test_a_ledger_in_use_is_chained_by_its_upgrade(
    databases: Databases, postgres: PostgresServer
) -> None:
    """At revision 0012 there was no difference: what has legs may become either."""
    with opened("hardened", databases, postgres) as house:
        payer, (first, *_) = three_payments(house)
        shape = Shape.of(parse_build(CHAINED).defences)
        with pytest.raises(MigrationError, match="minor_units-constrained-chain"):
            up(house.database_url, shape)
        url = house.database_url
        down(url, revision=BEFORE_SHAPES)
        upgraded = Event()
        with ThreadPoolExecutor(1) as threads:
            paying = threads.submit(pay_until, house, payer, upgraded)
            try:
                up(url, shape)
            finally:
                upgraded.set()
            assert set(paying.result()) == {201}
        with house_in(url, CHAINED, "", pin_pepper=house.services.settings.pin_pepper) as chained:
            assert difference(chained) is None
            chained.account(5_00)
            assert difference(chained) is None
            rewrite(chained, first)
            found = difference(chained)
            assert found is not None
            assert (found["what"], found["wallet_id"]) == ("hash", payer.wallet_id)


def test_entries_that_came_while_the_ledger_was_being_chained_are_chained_too(
    new_url: Callable[[], str],
) -> None:
    """The trigger leaves alone what follows an entry without a hash; the upgrade comes by again."""
    url = new_url()
    shape = Shape.of(parse_build(CHAINED).defences)
    up(url, shape, revision=BEFORE_SHAPES)
    entry = (
        "INSERT INTO transactions (id, type, to_wallet_id, amount, status, timestamp) "
        "SELECT gen_random_uuid(), 'DEPOSIT', 1, 1, 'COMPLETED', now(); "
        "INSERT INTO ledger_entries (transaction_id, wallet_id, entry_type, amount, "
        "balance_after, wallet_version) SELECT (SELECT id FROM transactions LIMIT 1), 1, "
        "'CREDIT', 1, n, n FROM generate_series({}, {}) n"
    )
    rows(url, entry.format(1, 3))
    up(url, shape)
    rows(url, entry.format(4, 5))
    unhashed = (
        "SELECT count(*) FROM ledger_entries e LEFT JOIN ledger_hashes h ON h.entry_id = e.id "
        "WHERE h.hash IS NULL"
    )
    assert rows(url, unhashed) == [(0,)]
    rows(url, f"{UNGUARDED}; DELETE FROM ledger_hashes")
    rows(url, entry.format(6, 7))
    assert rows(url, unhashed) == [(7,)]
    down(url, revision="0012")
    assert "ledger_hashes" not in tables(url)
    up(url, shape)
    assert rows(url, unhashed) == [(0,)]


@pytest.mark.parametrize("execution", ["core", "orm"])
def test_without_a_ledger_money_moves_and_nobody_can_say_why(
    databases: Databases, postgres: PostgresServer, execution: str
) -> None:
    with opened(f"{UNRECORDED},execution={execution}", databases, postgres) as house:
        payer, payee = house.account(20_00), house.account()
        answer = house.pay(payer, payee, 5_00, key="once")
        assert answer.status_code == 201
        replay = house.pay(payer, payee, 5_00, key="once")
        assert (replay.json(), replay.headers["idempotent-replayed"]) == (answer.json(), "true")
        assert (house.balance(payer), house.balance(payee)) == (15_00, 5_00)
        assert house.rows("SELECT count(*) FROM transactions") == [(0,)]
        assert "ledger_entries" not in tables(house.database_url)
        movement = f"/transfers/{answer.json()['id']}"
        assert problem_of(house.get(movement, house.operator)) == "not-found"
        reversal = house.post(f"{movement}/reversals", None, house.operator)
        assert problem_of(reversal) == "not-found"
        entries = house.get(f"/wallets/{payer.wallet_id}/entries", payer.headers)
        assert (entries.status_code, entries.json()["entries"]) == (200, [])
        found = difference(house)
        assert found is not None
        assert (found["what"], found["expected"]) == ("balance", 0)


def test_without_a_ledger_holds_are_their_own_records_and_a_bonus_is_granted_again(
    databases: Databases, postgres: PostgresServer
) -> None:
    with opened(UNRECORDED, databases, postgres) as house:
        payer, payee = house.account(20_00), house.account()
        body = {
            "from_wallet_id": payer.wallet_id,
            "to_wallet_id": payee.wallet_id,
            "amount": house.money(5_00),
        }
        hold = house.post("/holds", body, payer.headers).json()["id"]
        capture = f"/holds/{hold}/capture"
        assert house.post(capture, None, house.operator).status_code == 200
        assert problem_of(house.post(capture, None, house.operator)) == "hold-settled"
        bonus = {"amount": house.money(1_00), "campaign": "WELCOME"}
        for _ in range(2):
            path = f"/wallets/{payee.wallet_id}/bonuses"
            assert house.post(path, bonus, house.operator).status_code == 201
        assert (house.balance(payer), house.balance(payee)) == (15_00, 7_00)
        down(house.database_url, revision=BEFORE_SHAPES)
        up(house.database_url, Shape.of(house.services.build.defences))
        again = replace(house, operator=house.operator_headers())
        assert again.post("/holds", body, payer.headers).status_code == 201
