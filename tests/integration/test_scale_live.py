"""Invariants so far, beside a service that is at work: nothing in flight is accused, and what is
wrong is seen while it goes on."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import duckdb
import psycopg2
import pytest

from attacks.history import PREPARATION, Move, Operation, Outcome
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from scenarios.scale import ArchiveError, LiveAudit
from scenarios.scale.live import NAME
from scenarios.targets.engine_wallet import EngineWallet
from tests.integration.engine_client import Account, House, house_of

UNGUARDED = "SET session_replication_role = replica"


@pytest.fixture(params=["fragile", "hardened"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        opened.rows(UNGUARDED)
        yield opened


@pytest.fixture
def live(house: House, tmp_path: Path) -> Iterator[LiveAudit]:
    target = EngineWallet(house.http.get("/v1/meta").json(), "")
    place = tmp_path / "place"
    place.mkdir()
    with LiveAudit(house.database_url, target, tmp_path, place=place) as opened:
        yield opened
    assert list(place.iterdir()) == []


def line(
    number: int, payer: Account | None, payee: Account, amount_minor: int, key: str,
    *, outcome: Outcome = "ok",
) -> str:  # fmt: skip
    move = Move(
        payer=str(payer.wallet_id) if payer else None,
        payee=str(payee.wallet_id),
        amount_minor=amount_minor,
    )
    operation = Operation(
        id=number,
        actor="user 1" if payer else PREPARATION,
        name="transfer" if payer else "deposit",
        text="",
        round=None,
        moves=(move,),
        key=key,
        started_s=1,
        ended_s=2,
        outcome=outcome,
        status=None,
        answer=outcome,
    )
    return json.dumps({"operation": asdict(operation)}) + "\n"


def append(folder: Path, *lines: str, name: str = "load.1.jsonl") -> None:
    with (folder / name).open("a") as file:
        file.writelines(lines)


def opened(house: House, folder: Path) -> tuple[Account, Account]:
    payer, payee = house.account(100_00), house.account(50)
    append(folder, line(1, None, payer, 100_00, "a"), line(2, None, payee, 50, "b"),
           name="preparation.jsonl")  # fmt: skip
    return payer, payee


def test_what_is_right_is_not_accused_whatever_is_under_way(
    house: House, live: LiveAudit, tmp_path: Path
) -> None:
    assert live.step().violations == ()
    payer, payee = opened(house, tmp_path)
    # Recorded, and its answer is still on its way to the history.
    house.pay(payer, payee, 10, key="one")
    assert live.step().violations == ()
    late = line(1, payer, payee, 10, "one")
    append(tmp_path, late[:30])
    assert live.step().violations == ()
    note = '{"event": {"kind": "note", "text": "x", "round": null, "at_s": 1, "until_s": null}}\n'
    append(tmp_path, late[30:], note, line(2, payer, payee, 99, "lost", outcome="unknown"))
    seen = live.step()
    assert (seen.violations, seen.acknowledged, seen.trouble) == ((), 1, "")
    house.pay(payer, payee, 20, key="two")
    append(tmp_path, line(3, payer, payee, 20, "two"), line(4, payer, payee, 20, "two"))
    live.step()
    seen = live.step()
    assert (seen.violations, seen.acknowledged, seen.checked) == ((), 2, 6)


def test_a_row_that_commits_late_is_not_missed(
    house: House, live: LiveAudit, tmp_path: Path
) -> None:
    """Its id and its timestamp are older than those of rows that were read before."""
    payer, payee = opened(house, tmp_path)
    with closing(psycopg2.connect(house.database_url)) as late, late.cursor() as cursor:
        # What a payment does, begun before another and committed after it.
        cursor.execute(UNGUARDED)
        cursor.execute("SELECT txid_current()")
        house.pay(payer, payee, 10, key="one")
        append(tmp_path, line(1, payer, payee, 10, "one"))
        assert live.step().violations == ()
        cursor.execute(
            "INSERT INTO transactions (id, type, from_wallet_id, to_wallet_id, amount, status, "
            "idempotency_key, timestamp) SELECT '00000000-0000-0000-0000-000000000001', type, "
            "NULL, NULL, amount, status, 'late', timestamp - interval '1 hour' "
            "FROM transactions LIMIT 1"
        )
        cursor.execute(
            "UPDATE transactions SET from_wallet_id = %s, to_wallet_id = %s WHERE id = "
            "'00000000-0000-0000-0000-000000000001'",
            (payer.wallet_id, payee.wallet_id),
        )
        assert live.step().violations == ()
        late.commit()
    seen = live.step()
    assert any("recorded movements" in violation for violation in seen.violations)


def test_an_acknowledgement_without_its_record_is_seen_at_the_second_look(
    house: House, live: LiveAudit, tmp_path: Path
) -> None:
    payer, payee = opened(house, tmp_path)
    house.pay(payer, payee, 10, key="one")
    append(tmp_path, line(1, payer, payee, 10, "one"), line(2, payer, payee, 10, "two"))
    assert live.step().violations == ()
    (violation,) = live.step().violations
    assert violation.startswith("2 times 0.10 from wallet")
    assert violation.endswith("was acknowledged, 1 times it is recorded.")
    house.pay(payer, payee, 10, key="two")
    assert live.step().violations[0] == violation, "once seen it stays"


def test_a_second_effect_of_a_key_is_seen(house: House, live: LiveAudit, tmp_path: Path) -> None:
    payer, payee = opened(house, tmp_path)
    house.pay(payer, payee, 10, key="one")
    append(tmp_path, line(1, payer, payee, 10, "one"))
    assert live.step().violations == ()
    house.rows(
        "INSERT INTO transactions (id, type, from_wallet_id, to_wallet_id, amount, status, "
        "idempotency_key, timestamp) SELECT gen_random_uuid(), type, from_wallet_id, "
        "to_wallet_id, amount, status, idempotency_key, timestamp FROM transactions "
        "WHERE from_wallet_id = %s",
        payer.wallet_id,
    )
    seen = live.step()
    (recorded,) = {v for v in seen.violations if "recorded movements" in v}
    if house.services.double_entry:  # `fragile` keeps no keys.
        assert [v for v in seen.violations if "happened 2 times" in v]
    # With time for every answer that may still come.
    at_rest = live.step(at_rest=True).violations
    assert recorded in at_rest
    assert [v for v in at_rest if "at most 1 times and is recorded 2 times" in v]


def test_what_nobody_asked_for_is_seen_once_every_answer_had_its_time(
    house: House, live: LiveAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer, payee = opened(house, tmp_path)
    house.pay(payer, payee, 10, key="one")
    assert live.step().violations == (), "its line may still come"
    monkeypatch.setattr("scenarios.scale.live.TOLD_WITHIN_S", 0.0)
    (violation,) = live.step().violations
    assert violation.startswith("A movement that nobody asked for is recorded: 0.10 from wallet")


def test_what_may_have_happened_was_asked_for(
    house: House, live: LiveAudit, tmp_path: Path
) -> None:
    payer, payee = opened(house, tmp_path)
    house.pay(payer, payee, 10, key="one")
    append(tmp_path, line(1, payer, payee, 10, "one", outcome="unknown"))
    append(tmp_path, line(2, payer, payee, 10, "one"), line(3, payer, payee, 99, "two",
           outcome="unknown"))  # fmt: skip
    live.step(at_rest=True)
    assert live.step(at_rest=True).violations == ()
    house.pay(payer, payee, 20, key="three")
    append(tmp_path, line(4, payer, payee, 20, "three", outcome="failed"))
    (violation,) = live.step(at_rest=True).violations
    assert violation.startswith("A movement that nobody asked for is recorded: 0.20 from wallet")


def test_balances_that_are_wrong_are_seen(house: House, live: LiveAudit, tmp_path: Path) -> None:
    payer, _ = opened(house, tmp_path)
    stranger = house.account(100)
    house.rows("UPDATE wallets SET balance = balance + 1 WHERE id = %s", stranger.wallet_id)
    assert live.step().violations == (), "nobody named it"
    house.rows("ALTER TABLE wallets DROP CONSTRAINT IF EXISTS wallets_balance_not_negative")
    for (name,) in house.rows(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'wallets'::regclass"
    ):
        house.rows(f"ALTER TABLE wallets DROP CONSTRAINT {name}")
    house.rows("UPDATE wallets SET balance = -1 WHERE id = %s", payer.wallet_id)
    overdrawn, unexplained, *_ = live.step().violations
    assert overdrawn.startswith(f"Wallet {payer.wallet_id} holds -")
    assert "should hold 100.00" in unexplained


@pytest.mark.parametrize("house", ["hardened"], indirect=True)
def test_a_spoilt_ledger_is_seen(house: House, live: LiveAudit, tmp_path: Path) -> None:
    payer, payee = opened(house, tmp_path)
    house.pay(payer, payee, 10, key="one")
    assert live.step().violations == ()
    house.rows(
        "UPDATE ledger_entries SET balance_after = 7 WHERE wallet_id = %s AND wallet_version = 1",
        payer.wallet_id,
    )
    (violation,) = live.step().violations
    assert "the ledger says 0.07" in violation


def test_a_database_that_goes_away_is_trouble_and_no_violation(
    house: House, live: LiveAudit, tmp_path: Path
) -> None:
    payer, payee = opened(house, tmp_path)
    live.step()
    house.pay(payer, payee, 10, key="one")
    append(tmp_path, line(1, payer, payee, 10, "one"))
    house.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
        "AND datname = current_database()",
        NAME,
    )
    away = live.step()
    assert away.trouble.startswith("the database could not be read: ")
    assert "\n" not in away.trouble
    live.step()
    seen = live.step()
    assert (seen.trouble, seen.violations, seen.checked) == ("", (), 3)


def test_a_line_that_is_none_of_a_history_is_said(live: LiveAudit, tmp_path: Path) -> None:
    append(tmp_path, "nonsense\n")
    with pytest.raises(ArchiveError, match=r"load\.1\.jsonl:1 is not a line of a history"):
        live.step()


def test_a_place_that_is_gone_is_one_line(house: House, live: LiveAudit, tmp_path: Path) -> None:
    opened(house, tmp_path)
    shutil.rmtree(next((tmp_path / "place").iterdir()))
    with pytest.raises(ArchiveError) as caught:
        live.step()
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_one_line(
    live: LiveAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("scenarios.scale.live_tables.acknowledged", full)
    with pytest.raises(ArchiveError, match="cannot be judged: No space left on device"):
        live.step()
