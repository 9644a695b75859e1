"""Ground truth of a real database, archived and judged: right builds and planted violations."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from attacks.history import PREPARATION, Move, Operation, Outcome, Recorder, read_history
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from reports.evidence import Verdict
from scenarios.audit import Audit, audit
from scenarios.scale import ArchiveError, archive, audit_archive
from scenarios.targets.engine_wallet import EngineWallet
from tests.integration.engine_client import Account, House, house_of

pytestmark = pytest.mark.slow

BUILDS = ("fragile", "hardened", "g-wallet", "dino", "fragile,ledger=double_entry")
UNGUARDED = "SET session_replication_role = replica"
"""As an administrator does who repairs, or spoils, a ledger."""


@dataclass
class Site:
    """A wallet service, and a client that records what it asks for, as a load does."""

    house: House
    folder: Path
    recorder: Recorder

    @property
    def target(self) -> EngineWallet:
        return EngineWallet(self.house.http.get("/v1/meta").json(), "")

    def open(self, amount_minor: int) -> Account:
        account = self.house.account(amount_minor)
        if amount_minor:
            into = Move(payer=None, payee=str(account.wallet_id), amount_minor=amount_minor)
            self.record("deposit", into, "ok", secrets.token_hex(8), {})
        return account

    def pay(self, payer: Account, payee: Account, amount_minor: int, key: str = "") -> None:
        key = key or secrets.token_hex(8)
        answer = self.house.pay(payer, payee, amount_minor, key=key)
        done = answer.status_code == 201
        move = Move(
            payer=str(payer.wallet_id), payee=str(payee.wallet_id), amount_minor=amount_minor
        )
        values = {"id": answer.json()["id"]} if done else {}
        self.record("transfer", move, "ok" if done else "failed", key, values)

    def record(
        self, name: str, move: Move, outcome: Outcome, key: str, values: dict[str, str]
    ) -> None:
        now_s = self.recorder.now_s()
        self.recorder.operation(
            Operation(
                id=self.recorder.new_id(),
                actor=PREPARATION if name == "deposit" else "user 1",
                name=name,
                text=name,
                round=None,
                moves=(move,),
                key=key,
                started_s=now_s,
                ended_s=now_s,
                outcome=outcome,
                status=None,
                answer=outcome,
                values=values,
            )
        )

    def audits(self) -> tuple[Audit, Audit]:
        """By the small judge, and by the one at scale."""
        self.recorder.event("note", "load ended")
        with closing(psycopg2.connect(self.house.database_url)) as connection:
            truth = self.target.read_truth(connection)
            archive(self.folder, connection, self.target)
        return audit(read_history(self.folder / "load.jsonl"), truth), audit_archive(self.folder)


@pytest.fixture(params=BUILDS)
def site(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> Iterator[Site]:
    with (
        house_of(request.param, databases, postgres, redis_server.url) as house,
        (tmp_path / "load.jsonl").open("w") as file,
    ):
        house.rows(UNGUARDED)
        yield Site(house=house, folder=tmp_path, recorder=Recorder(file, since_epoch=True))


def unconstrained(house: House) -> None:
    """As a build without constraints would have let it happen."""
    for table in ("wallets", "transactions"):
        found = house.rows(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
            table,
        )
        for (name,) in found:
            house.rows(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


def assert_alike(small: Audit, found: Audit) -> None:
    said = {check.claim: check.verdict for check in found.checks}
    assert {check.claim: said[check.claim] for check in small.checks} == {
        check.claim: check.verdict for check in small.checks
    }


def paid(site: Site) -> tuple[Account, Account]:
    payer, payee = site.open(100_00), site.open(50)
    site.pay(payer, payee, 12_34)
    site.pay(payer, payee, 10)
    site.pay(payer, payee, 20)
    site.pay(payee, payer, 1)
    site.pay(payee, payer, 999_00)
    return payer, payee


def test_what_was_paid_one_after_the_other_is_right(site: Site) -> None:
    paid(site)
    small, found = site.audits()
    assert_alike(small, found)
    floats = site.house.services.build.defences.money == "float"
    if not floats:
        assert found.verdict is Verdict.HELD, found
        assert all(
            check.verdict in (Verdict.HELD, Verdict.NOT_APPLICABLE) for check in found.checks
        )


PLANTED = {
    "a balance": "UPDATE wallets SET balance = balance + 1 WHERE id = {payer}",
    "an overdraft": "UPDATE wallets SET balance = -1 WHERE id = {payer}",
    "a lost record": "DELETE FROM transactions WHERE id IN (SELECT id FROM transactions WHERE "
    "from_wallet_id = {payer} ORDER BY id LIMIT 1)",
    "a double record": "INSERT INTO transactions (id, type, from_wallet_id, to_wallet_id, amount, "
    "status, idempotency_key, timestamp) SELECT gen_random_uuid(), type, from_wallet_id, "
    "to_wallet_id, amount, status, idempotency_key, timestamp FROM transactions "
    "WHERE from_wallet_id = {payer} LIMIT 1",
    "an unfinished record": "UPDATE transactions SET status = 'PENDING' "
    "WHERE from_wallet_id = {payer}",
}
LEGS_PLANTED = {
    "a balance after": "UPDATE ledger_entries SET balance_after = balance_after + 1 "
    "WHERE wallet_id = {payer} AND wallet_version = 2",
    "an amount": "UPDATE ledger_entries SET amount = amount + 1 WHERE wallet_id = {payer} "
    "AND wallet_version = 2",
    "a version": "UPDATE ledger_entries SET wallet_version = 77 WHERE wallet_id = {payer} "
    "AND wallet_version = 3",
    "a lost leg": "DELETE FROM ledger_entries WHERE wallet_id = {payer} AND wallet_version = 2",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found_as_by_the_small_judge(site: Site, name: str) -> None:
    payer, _ = paid(site)
    unconstrained(site.house)
    site.house.rows(PLANTED[name].format(payer=payer.wallet_id))
    small, found = site.audits()
    assert_alike(small, found)
    assert found.verdict is Verdict.VIOLATED, found


@pytest.mark.parametrize("name", LEGS_PLANTED)
def test_a_spoilt_ledger_is_found_as_by_the_small_judge(site: Site, name: str) -> None:
    payer, _ = paid(site)
    if site.house.services.double_entry:
        site.house.rows(LEGS_PLANTED[name].format(payer=payer.wallet_id))
    small, found = site.audits()
    assert_alike(small, found)
    legs = next(check for check in found.checks if "legs" in check.claim)
    expected = Verdict.VIOLATED if site.house.services.double_entry else Verdict.NOT_APPLICABLE
    assert legs.verdict is expected


@pytest.mark.parametrize("balance", ["'NaN'", "'Infinity'", "1e300", "1e-300", "0.1 + 0.2", "-0.0"])
def test_floats_are_read_as_python_reads_them(site: Site, balance: str) -> None:
    money = site.house.services.build.defences.money
    if money != "float":
        largest = {"minor_units": "9223372036854775807", "numeric": "9999999999999999.99"}
        balance = largest[money] if balance == "1e300" else "3"
    payer, _ = paid(site)
    unconstrained(site.house)
    site.house.rows(f"UPDATE wallets SET balance = {balance} WHERE id = %s", payer.wallet_id)
    assert_alike(*site.audits())


def test_a_double_effect_names_its_key(site: Site) -> None:
    payer, _ = paid(site)
    site.house.rows(PLANTED["a double record"].format(payer=payer.wallet_id))
    _, found = site.audits()
    keys = found.checks[-1]
    key_kept = site.house.rows("SELECT count(idempotency_key) FROM transactions") != [(0,)]
    assert keys.verdict is (Verdict.VIOLATED if key_kept else Verdict.HELD)
    assert ("is recorded 2 times under key" in keys.detail) is key_kept


def test_a_database_that_is_away_is_one_line(tmp_path: Path, site: Site) -> None:
    paid(site)
    with closing(psycopg2.connect(site.house.database_url)) as connection:
        site.house.rows("SELECT pg_terminate_backend(%s)", connection.get_backend_pid())
        with pytest.raises(ArchiveError, match=r"the database could not be read: .") as caught:
            archive(site.folder, connection, site.target)
    assert "\n" not in str(caught.value)
    assert not list(site.folder.glob(".*"))
    assert not (site.folder / "archive.json").exists()


def test_the_money_is_in_minor_units(site: Site) -> None:
    payer, payee = site.open(100_00), site.open(50)
    site.pay(payer, payee, 25)
    small, found = site.audits()
    assert small.verdict is found.verdict is Verdict.HELD
    assert Decimal(site.house.balance(payer)) == 9975
    assert replace(found, checks=()).payments == 1
