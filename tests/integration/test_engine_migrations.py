"""Up, down, status, new: on real databases, with data, and two at once."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from engine import migrations
from engine.defences import parse_build, values_of
from engine.migrations import MigrationError, Shape, create_revision, down, status, up
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of

SHAPES = [
    Shape(money=money, constraints=constraints, ledger=ledger)
    for money in ("float", "numeric", "minor_units")
    for constraints in (False, True)
    for ledger in values_of("ledger")
]
HARDENED = Shape.of(parse_build("hardened").defences)
FRAGILE = Shape.of(parse_build("fragile").defences)
NUMBERS = count()
FILES = sorted((Path(migrations.__file__).parent / "versions").glob("*.py"))
COUNT, LAST = len(FILES), FILES[-1].name.partition("_")[0]


@pytest.fixture
def new_url(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    names: list[str] = []

    def create() -> str:
        names.append(f"migrations_{next(NUMBERS)}")
        return postgres.create_database(names[-1])

    yield create
    for name in names:
        postgres.drop_database(name)


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def tables(url: str) -> set[str]:
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    return {name for (name,) in rows(url, sql)}


def applied(url: str) -> list[bool]:
    return [done for _, _, done in status(url)]


PROCEDURES = (
    "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'p'"
)


def procedures_of(shape: Shape) -> list[tuple[str]]:
    """Whole transfers are where a build may ask for them."""
    fast = Shape.of(parse_build("hardened-fast").defences)
    return [("whole_transfer",)] if shape in {fast, replace(fast, ledger="hash_chain")} else []


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.label)
def test_up_down_and_up_again(new_url: Callable[[], str], shape: Shape) -> None:
    url = new_url()
    assert not any(applied(url))
    up(url, shape)
    assert all(applied(url))
    assert ("ledger_entries" in tables(url)) == shape.double_entry
    assert rows(url, "SELECT count(*) FROM wallets WHERE allow_negative") == [(2,)]
    assert rows(url, PROCEDURES) == procedures_of(shape)
    up(url, shape)
    down(url)
    assert applied(url) == [True] * (COUNT - 1) + [False]
    assert rows(url, PROCEDURES) == []
    up(url, shape)
    assert rows(url, "SELECT count(*) FROM wallets WHERE allow_negative") == [(2,)]
    down(url, revision="base")
    assert not any(applied(url))
    assert tables(url) == {"alembic_version"}


def test_whole_transfers_go_on_when_their_procedure_has_come_back(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened-fast", databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        assert house.pay(payer, payee, 1_00, key="before").status_code == 201
        before = house.money_and_keys()
        down(house.database_url, revision="0013")
        assert house.pay(payer, payee, 1_00).status_code == 500  # Refused at the next start.
        up(house.database_url, Shape.of(house.services.build.defences))
        assert house.money_and_keys() == before
        again = house.pay(payer, payee, 1_00, key="before")
        assert again.headers["Idempotent-Replayed"] == "true"
        assert house.pay(payer, payee, 1_00).status_code == 201
        assert (house.balance(payer), house.balance(payee)) == (8_00, 2_00)


def test_nobody_waits_for_the_procedure_and_it_waits_for_nobody(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened-fast", databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        down(house.database_url, revision="0013")
        with closing(psycopg2.connect(house.database_url)) as writer:
            # A movement under way, with its locks of every table.
            cursor = writer.cursor()
            tables = "wallets, users, transactions, ledger_entries, idempotency_keys"
            cursor.execute(f"LOCK TABLE {tables} IN ROW EXCLUSIVE MODE")
            up(house.database_url, Shape.of(house.services.build.defences))
        assert house.pay(payer, payee, 1_00).status_code == 201


def test_a_revision_can_be_named(new_url: Callable[[], str]) -> None:
    url = new_url()
    up(url, HARDENED, revision="0003")
    assert applied(url) == [True] * 3 + [False] * (COUNT - 3)
    up(url, HARDENED)
    assert all(applied(url))


@pytest.mark.parametrize("text", ["fragile", "hardened", "hardened,ledger=hash_chain"])
def test_down_and_up_with_data_loses_no_money(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, text: str
) -> None:
    with house_of(text, databases, postgres, redis_server.url) as house:
        account = house.account(12_34)
        held = "SELECT * FROM wallets WHERE balance <> 0 ORDER BY id"
        before = house.rows(held), house.rows("SELECT * FROM transactions")
        down(house.database_url, revision="0003")
        up(house.database_url, Shape.of(house.services.build.defences))
        assert (house.rows(held), house.rows("SELECT * FROM transactions")) == before
        assert house.balance(account) == 12_34
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200
        # What a migration brought went with it, PINs included.
        replace(house, operator=house.operator_headers()).deposit(account.wallet_id, 1_00)


@pytest.mark.parametrize("text", ["fragile", "hardened", "hardened,ledger=hash_chain"])
def test_nobody_undoes_holds_while_money_waits_in_one(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, text: str
) -> None:
    with house_of(text, databases, postgres, redis_server.url) as house:
        payer, payee = house.account(100_00), house.account()
        held = [_held(house, payer, payee) for _ in range(2)]
        capture = f"/holds/{held[0]}/capture"
        assert house.post(capture, None, house.operator).status_code == 200
        with pytest.raises(MigrationError, match=r"holds are active \(1\)") as caught:
            down(house.database_url, revision="0011")
        assert "\n" not in str(caught.value)
        up(house.database_url, Shape.of(house.services.build.defences))
        # Nothing of it is lost: it ends as any other hold does.
        release = f"/holds/{held[1]}/release"
        assert house.post(release, None, house.operator).status_code == 200
        assert (house.balance(payer), house.balance(payee)) == (80_00, 20_00)
        _goes_down_and_up(house, "0005", payer, payee)


@pytest.mark.parametrize("text", ["fragile", "hardened"])
@pytest.mark.parametrize("mark", ["reversal", "campaign"])
def test_nobody_undoes_the_marks_of_what_may_be_done_once(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, text: str, mark: str
) -> None:
    with house_of(text, databases, postgres, redis_server.url) as house:
        payer, payee = house.account(100_00), house.account()
        paid = house.pay(payer, payee, 10_00).json()["id"]
        once = {
            "reversal": (f"/transfers/{paid}/reversals", None),
            "campaign": (
                f"/wallets/{payee.wallet_id}/bonuses",
                {"amount": house.money(1_00), "campaign": "spring"},
            ),
        }
        assert house.post(*once[mark], house.operator).status_code == 201
        with pytest.raises(MigrationError, match="movements are marked") as caught:
            down(house.database_url, revision="0010")
        assert "\n" not in str(caught.value)
        assert applied(house.database_url)[:11] == [True] * 11
        up(house.database_url, Shape.of(house.services.build.defences))
        again = house.post(*once[mark], house.operator)
        assert again.status_code == (400 if text == "fragile" else 409), again.text


def _held(house: House, payer: Account, payee: Account) -> Any:
    body = {
        "from_wallet_id": payer.wallet_id,
        "to_wallet_id": payee.wallet_id,
        "amount": house.money(20_00),
    }
    return house.post("/holds", body, payer.headers).json()["id"]


def _goes_down_and_up(house: House, revision: str, payer: Account, payee: Account) -> None:
    """What the migrations brought goes; the money and its records stay."""
    balances = "SELECT id, balance, version FROM wallets ORDER BY id"
    before = house.rows(balances)
    down(house.database_url, revision=revision)
    assert "holds" not in tables(house.database_url)
    up(house.database_url, Shape.of(house.services.build.defences))
    kept = {row[0]: row for row in house.rows(balances)}
    assert [kept[row[0]] for row in before if row[1]] == [row for row in before if row[1]]
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200
    payer = _with_pin_again(house, payer)
    assert house.pay(payer, payee, 1_00).status_code == 201


def test_another_shape_is_refused(new_url: Callable[[], str]) -> None:
    url = new_url()
    up(url, FRAGILE)
    with pytest.raises(MigrationError) as caught:
        up(url, HARDENED)
    assert "float-unconstrained-single" in str(caught.value)
    assert "minor_units-constrained-double" in str(caught.value)
    assert all(applied(url))


def test_two_migrations_at_once_wait_for_each_other(new_url: Callable[[], str]) -> None:
    url = new_url()
    with ThreadPoolExecutor(4) as threads:
        for task in [threads.submit(up, url, HARDENED) for _ in range(4)]:
            task.result()
    assert all(applied(url))
    assert rows(url, "SELECT count(*) FROM wallets WHERE allow_negative") == [(2,)]


def test_what_cannot_be_undone_is_said_in_one_line(new_url: Callable[[], str]) -> None:
    url = new_url()
    with pytest.raises(MigrationError, match="nothing to undo"):
        down(url)
    rows(url, "CREATE TABLE users (mine int)")
    with pytest.raises(MigrationError, match=r"already exists.*nothing was changed"):
        up(url, HARDENED)
    assert tables(url) == {"users"}
    with pytest.raises(MigrationError, match="nothing was changed"):
        status("postgresql://nobody@127.0.0.1:1/none")


def test_an_unknown_revision_is_refused(new_url: Callable[[], str]) -> None:
    url = new_url()
    up(url, HARDENED)
    rows(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="9999"):
        status(url)


def test_a_new_revision_follows_the_last(tmp_path: Path) -> None:
    own = Path(migrations.__file__).parent
    before = sorted(own.rglob("*.py"))
    folder = tmp_path / "migrations"
    shutil.copytree(own, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = create_revision("daily limits", folder=folder)
    assert (file.parent, file.name) == (folder / "versions", f"{int(LAST) + 1:04}_daily_limits.py")
    text = file.read_text()
    assert f'down_revision = "{LAST}"' in text or f"down_revision = '{LAST}'" in text
    compile(text, str(file), "exec")
    assert sorted(own.rglob("*.py")) == before


@pytest.mark.parametrize("text", ["fragile", "hardened"])
def test_batches_go_with_their_migration_and_the_money_stays(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, text: str
) -> None:
    with house_of(text, databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        paid = _paid_batch(house, payer, payee)
        assert paid["status"] == "COMPLETED"
        shape = Shape.of(house.services.build.defences)
        down(house.database_url, revision="0007")
        assert not {"batches", "batch_rows"} & tables(house.database_url)
        up(house.database_url, shape)
        assert house.balance(payee) == 2_00
        payer = _with_pin_again(house, payer)
        assert _paid_batch(house, payer, payee)["status"] == "COMPLETED"
        assert (house.balance(payer), house.balance(payee)) == (6_00, 4_00)


def _with_pin_again(house: House, account: Account) -> Account:
    """PINs go with their migration."""
    return replace(account, headers=house.set_pin(house.token(account.user_id)))


def _paid_batch(house: House, payer: Account, payee: Account) -> Any:
    body = {"source_wallet_id": payer.wallet_id}
    batch = house.post("/batches", body, payer.headers).json()["id"]
    house.http.put(
        f"/v1/batches/{batch}/rows",
        content=f"recipient_id,amount\n{payee.wallet_id},2.00\n",
        headers={**payer.headers, "Content-Type": "text/csv"},
    )
    return house.post(f"/batches/{batch}/executions", None, payer.headers).json()
