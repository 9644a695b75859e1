"""Assets, top-ups, spends and bonuses over HTTP, and wallets that end."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.engine_client import House, problem_of


def test_top_up_spend_and_bonus(house: House) -> None:
    account = house.account()
    path = f"/wallets/{account.wallet_id}"
    steps = (
        ("top-ups", "TOP_UP", 50_00, house.operator),
        ("bonuses", "BONUS", 5_00, house.operator),
        ("spends", "SPEND", 20_00, account.headers),
    )
    for name, kind, amount_minor, headers in steps:
        answer = house.post(f"{path}/{name}", {"amount": house.money(amount_minor)}, headers)
        assert (answer.status_code, answer.json()["type"]) == (201, kind), answer.text
    assert house.balance(account) == 35_00
    lines = house.get(f"{path}/entries", account.headers).json()["entries"]
    assert [line["type"] for line in lines] == ["SPEND", "BONUS", "TOP_UP"]
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_minting_takes_the_operator_and_spending_the_owner(hardened: House) -> None:
    account, other = hardened.account(10_00), hardened.account()
    body = {"amount": hardened.money(1_00)}
    before = hardened.money_and_keys()
    for name in ("top-ups", "bonuses"):
        path = f"/wallets/{account.wallet_id}/{name}"
        assert problem_of(hardened.post(path, body, account.headers)) == "forbidden"
    path = f"/wallets/{account.wallet_id}/spends"
    assert problem_of(hardened.post(path, body, other.headers)) == "forbidden"
    assert hardened.money_and_keys() == before
    body = {"code": "SILVER", "name": "Silver Coins"}
    assert problem_of(hardened.post("/assets", body, account.headers)) == "forbidden"


def test_a_new_asset_can_be_paid_in_held_and_spent(house: House) -> None:
    body = {"code": "SILVER", "name": "Silver Coins", "decimals": 0}
    assert house.post("/assets", body, house.operator).status_code == 201
    again = house.post("/assets", body, house.operator)
    assert again.status_code == (400 if house.services.build.name == "fragile" else 409)
    listed = house.get("/assets").json()["assets"]
    assert [asset for asset in listed if asset["code"] == "SILVER"] == [body]
    payer, payee = house.account(10, "SILVER"), house.account(0, "SILVER")
    sides = {"from_wallet_id": payer.wallet_id, "to_wallet_id": payee.wallet_id}
    held = house.post("/holds", sides | {"amount": house.money(4, "SILVER")}, payer.headers)
    assert held.status_code == 201, held.text
    captured = house.post(f"/holds/{held.json()['id']}/capture", None, payee.headers)
    assert captured.status_code == 200, captured.text
    assert (house.balance(payer), house.balance(payee)) == (6, 4)


def bonus(house: House, wallet_id: int, campaign: str, asset: str = "USD") -> int:
    body = {"amount": house.money(5_00, asset), "campaign": campaign}
    status: int = house.post(f"/wallets/{wallet_id}/bonuses", body, house.operator).status_code
    return status


def test_a_campaign_gives_each_user_one_bonus(house: House) -> None:
    first, second = house.account(), house.account()
    gold = house.wallet_for(first.user_id, "GOLD")
    refused = 400 if house.services.build.name == "fragile" else 409
    assert bonus(house, first.wallet_id, "WELCOME") == 201
    assert bonus(house, first.wallet_id, "WELCOME") == refused
    assert bonus(house, gold, "WELCOME", "GOLD") == refused
    assert bonus(house, second.wallet_id, "WELCOME") == 201
    assert bonus(house, first.wallet_id, "SUMMER") == 201
    assert bonus(house, 2**40, "SUMMER") == 404
    assert (house.balance(first), house.balance(second)) == (10_00, 5_00)


def test_ten_at_once_in_two_wallets_are_one_bonus(hardened: House) -> None:
    account = hardened.account()
    gold = hardened.wallet_for(account.user_id, "GOLD")
    wallets = [(account.wallet_id, "USD"), (gold, "GOLD")] * 5
    with ThreadPoolExecutor(10) as threads:
        waiting = [threads.submit(bonus, hardened, w, "RACE", asset) for w, asset in wallets]
        statuses = sorted(future.result() for future in waiting)
    assert statuses == [201] + [409] * 9


def test_a_wallet_that_holds_money_cannot_be_closed(house: House) -> None:
    account = house.account(1)
    path = f"/v1/wallets/{account.wallet_id}"
    answer = house.http.patch(path, json={"status": "closed"}, headers=house.operator)
    assert answer.status_code == (400 if house.services.build.name == "fragile" else 409)
    spent = house.post(
        f"/wallets/{account.wallet_id}/spends", {"amount": house.money(1)}, account.headers
    )
    assert spent.status_code == 201
    answer = house.http.patch(path, json={"status": "closed"}, headers=house.operator)
    assert answer.json()["status"] == "closed"
    refused = house.post(
        f"/wallets/{account.wallet_id}/top-ups", {"amount": house.money(1)}, house.operator
    )
    assert 400 <= refused.status_code < 500
