"""A batch that is paid in part is judged row by row: paid, refused, and nothing left open."""

import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg2
import pytest

from attacks.history import Recorder, read_history
from attacks.http.sender import Sender
from attacks.load.plan import Plan, Wallet, write_plan
from engine.defences import parse_build
from engine.process import EngineConfig, EngineProcess, start_engine
from scenarios.stand import Stand, became_quiet
from scenarios.targets.engine_wallet import EngineWallet
from tests.integration.locust_runs import locust
from tests.integration.test_audit_command import UNGUARDED, audited

pytestmark = pytest.mark.slow

WALLETS = 8
FUNDS_MINOR = 9_00
"""Some batches of five rows come to more than this."""


@pytest.fixture(scope="module")
def database_url(stand: Stand) -> str:
    return stand.postgres.url(stand.databases.create(parse_build("hardened").defences))


@pytest.fixture(scope="module")
def engine(stand: Stand, database_url: str) -> Iterator[EngineProcess]:
    started = start_engine(
        stand.launch,
        EngineConfig(
            build=parse_build("hardened"),
            database_url=database_url,
            redis_url=stand.redis.url,
            redis_namespace=secrets.token_hex(4),
        ),
    )
    yield started
    started.stop()


def prepared(engine: EngineProcess, folder: Path) -> Path:
    """The plan of wallets that run dry soon."""
    meta = httpx.get(f"{engine.base_url}/v1/meta").json()
    target = EngineWallet(meta, engine.operator_password)
    with (folder / "preparation.jsonl").open("w") as file:
        sender = Sender(engine.base_url, Recorder(file, since_epoch=True, keep=False))
        with closing(sender):
            wallets = [target.open_wallet(sender.ask, can_pay=True) for _ in range(WALLETS)]
            for wallet in wallets:
                deposit = target.deposit(wallet, FUNDS_MINOR, key=secrets.token_hex(12))
                assert sender.send(deposit, actor="preparation").outcome == "ok"
    plan = folder / "plan.json"
    known = tuple(Wallet(id=each.id, token=each.token, pin=each.pin) for each in wallets)
    write_plan(plan, Plan(money="minor_units", wallets=known))
    return plan


def test_each_row_of_a_batch_that_is_paid_in_part_is_judged(
    engine: EngineProcess, database_url: str, tmp_path: Path
) -> None:
    plan = prepared(engine, tmp_path)
    done = locust(
        engine.base_url,
        *("-u", "2", "-r", "2", "-t", "4s", "-s", "5", "--mix", "batches"),
        plan=plan,
        history=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert became_quiet(database_url)
    operations = read_history(tmp_path / "load.jsonl").operations
    rows = [operation for operation in operations if operation.name == "part"]
    told = Counter((row.outcome, row.answer) for row in rows)
    assert set(told) == {("ok", "PAID"), ("failed", "REFUSED")}, told
    assert not [o for o in operations if o.outcome == "unknown" and o.moves]
    judged = audited(tmp_path, database_url)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    lied = tmp_path / "lied"
    shutil.copytree(tmp_path, lied, ignore=shutil.ignore_patterns("lied"))
    history = lied / "load.jsonl"
    refused = '"outcome":"failed","status":200,"answer":"REFUSED"'
    assert refused in history.read_text()
    claimed = refused.replace("failed", "ok").replace("REFUSED", "PAID")
    history.write_text(history.read_text().replace(refused, claimed, 1))
    must_be_seen(lied, database_url)
    paid = next(row for row in rows if row.outcome == "ok")
    with closing(psycopg2.connect(database_url)) as side, side, side.cursor() as cursor:
        cursor.execute(UNGUARDED)
        cursor.execute("DELETE FROM transactions WHERE id::text = %s", (paid.values["id"],))
        assert cursor.rowcount == 1
    must_be_seen(tmp_path, database_url)


def must_be_seen(folder: Path, database_url: str) -> None:
    judged = audited(folder, database_url)
    assert judged.returncode == 1, judged.stdout + judged.stderr
    assert "FAIL    every acknowledged payment is recorded once" in judged.stdout
