"""The list of movements: page by page, each movement once, nobody else's."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa

from engine import movement_lists
from engine.provision import Databases
from engine.stores import PostgresServer
from tests.integration.engine_client import Account, House, house_of, problem_of


@pytest.fixture(scope="module", params=["fragile,redis_policy=bounded", "hardened"])
def house(
    request: pytest.FixtureRequest, databases: Databases, postgres: PostgresServer
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, "") as opened:
        yield opened


@pytest.fixture(scope="module")
def hardened(databases: Databases, postgres: PostgresServer) -> Iterator[House]:
    with house_of("hardened", databases, postgres, "") as opened:
        yield opened


def listed(house: House, headers: Mapping[str, str], **query: Any) -> list[dict[str, Any]]:
    """All pages in their order."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        given = {**query, "after": after} if after else query
        answer = house.http.get("/v1/transfers", params=given, headers=dict(headers))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["transfers"]) <= query.get("limit", 100)
        assert page["transfers"] or not after, "a page that is announced has something"
        found += page["transfers"]
        after = page["next_after"]
    return found


def paid(house: House, payer: Account, payee: Account, times: int) -> list[str]:
    """The ids, newest first."""
    ids = [str(house.pay(payer, payee, 1_00).json()["id"]) for _ in range(times)]
    return ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_every_page_goes_on_where_the_one_before_ended(house: House, limit: int) -> None:
    payer, payee = house.account(10_00), house.account()
    ids = paid(house, payer, payee, 5)
    pages = listed(house, payer.headers, limit=limit, wallet_id=payer.wallet_id)
    assert [m["id"] for m in pages[:5]] == ids
    assert [m["type"] for m in pages] == ["TRANSFER"] * 5 + ["DEPOSIT"]
    assert pages[0] == house.get(f"/transfers/{ids[0]}", payer.headers).json()


def test_pages_stay_as_they_are_while_money_moves(hardened: House) -> None:
    payer, payee = hardened.account(20_00), hardened.account()
    ids = paid(hardened, payer, payee, 4)
    first = hardened.get("/transfers?limit=2", payer.headers).json()
    paid(hardened, payer, payee, 3)
    second = hardened.get(f"/transfers?limit=2&after={first['next_after']}", payer.headers).json()
    assert [m["id"] for m in first["transfers"] + second["transfers"]] == ids


def test_movements_of_one_moment_are_told_apart(hardened: House) -> None:
    payer, payee = hardened.account(10_00), hardened.account()
    ids = paid(hardened, payer, payee, 5)
    hardened.rows("SET session_replication_role = replica")
    hardened.rows(
        "UPDATE transactions SET timestamp = now() WHERE from_wallet_id = %s", payer.wallet_id
    )
    hardened.rows("SET session_replication_role = origin")
    pages = listed(hardened, payer.headers, limit=2)
    assert [m["id"] for m in pages[:5]] == sorted(ids, reverse=True)
    assert len(pages) == 6


def test_the_callers_are_those_of_all_their_wallets_each_once(hardened: House) -> None:
    main, other = hardened.account(10_00), hardened.account()
    body = {"user_id": main.user_id, "asset": "USD", "label": "savings"}
    savings = hardened.post("/wallets", body, hardened.operator).json()["id"]
    gold = hardened.wallet_for(main.user_id, "GOLD")
    hardened.deposit(gold, 3_00, "GOLD")
    within = hardened.pay(main, Account(user_id=0, wallet_id=savings, headers={}), 2_00)
    out = hardened.pay(main, other, 1_00)
    back = hardened.pay(other, main, 50)
    mine = listed(hardened, main.headers, limit=2)
    assert [m["id"] for m in mine[:3]] == [a.json()["id"] for a in (back, out, within)]
    assert [(m["type"], m["amount"]["asset"]) for m in mine[3:]] == [
        ("DEPOSIT", "GOLD"),
        ("DEPOSIT", "USD"),
    ]
    assert [m["id"] for m in listed(hardened, other.headers)] == [m["id"] for m in mine[:2]]
    assert [m["id"] for m in listed(hardened, main.headers, wallet_id=savings)] == [mine[2]["id"]]
    assert listed(hardened, hardened.account().headers) == []


def test_an_operator_sees_everybodys_or_one_wallets(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    ids = paid(house, payer, payee, 3)
    everybodys = listed(house, house.operator, limit=7)
    ((count,),) = house.rows("SELECT count(*) FROM transactions")
    assert len({m["id"] for m in everybodys}) == len(everybodys) == count
    moments = [m["timestamp"] for m in everybodys]
    assert moments == sorted(moments, reverse=True)
    assert [m["id"] for m in listed(house, house.operator, wallet_id=payee.wallet_id)] == ids


def test_other_peoples_wallets_look_like_none(hardened: House) -> None:
    payer, other = hardened.account(1_00), hardened.account()
    for wallet_id in (payer.wallet_id, 2**40):
        answer = hardened.get(f"/transfers?wallet_id={wallet_id}", other.headers)
        assert (answer.status_code, problem_of(answer)) == (403, "forbidden")
    answer = hardened.get(f"/transfers?wallet_id={2**40}", hardened.operator)
    assert (answer.status_code, problem_of(answer)) == (404, "not-found")
    assert hardened.http.get("/v1/transfers").status_code == 401


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=" + "!" * 32, "after=f" + "_" * 31, "limit=0", "limit=1001", "wallet_id=0"],
)
def test_a_place_that_no_page_names_is_refused(hardened: House, query: str) -> None:
    answer = hardened.get(f"/transfers?{query}", hardened.operator)
    assert (answer.status_code, problem_of(answer)) == (422, "invalid-request"), answer.text
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_a_page_is_read_by_an_index(hardened: House) -> None:
    """Neither sorts all there is: forced, because a small table is read whole all the same."""
    values = {**movement_lists.NEWEST, "limit": 2, "user_id": 1, "wallet_id": 1}
    with hardened.services.database.connect() as connection:
        for other in ("seqscan", "bitmapscan"):
            connection.execute(sa.text(f"SET LOCAL enable_{other} = off"))
        for query, indexes in (
            (movement_lists.OF_ALL, {"transactions_pkey"}),
            (movement_lists.OF_USER, {"transactions_from", "transactions_to"}),
            (movement_lists.OF_WALLET, {"transactions_from", "transactions_to"}),
        ):
            plan = connection.execute(sa.text(f"EXPLAIN {query.text}"), values).scalars()
            text = "\n".join(plan)
            for index in indexes:
                assert f"Scan Backward using {index} on" in text, text


def test_the_list_looks_as_described(house: House) -> None:
    document = house.http.get("/openapi.json").json()
    described = document["paths"]["/v1/transfers"]["get"]
    assert {p["name"] for p in described["parameters"]} == {"wallet_id", "after", "limit"}
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    payer = house.account(10_00)
    paid(house, payer, house.account(), 2)
    answer = house.get("/transfers?limit=1", payer.headers).json()
    assert answer["next_after"]
    jsonschema.validate(answer, schema | {"components": document["components"]})
