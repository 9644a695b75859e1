"""Keys and races on the pages; a form that settles what it sends, also when answers get lost."""

from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.conftest import SiteOf
from tests.browser.served_engine import PIN, Site
from tests.browser.visitor import Visitor, arrive

pytestmark = pytest.mark.browser
BUILDS = ("fragile", "g-wallet", "correctness-first", "dino", "hardened")
REPLAY = ".page > .card:nth-of-type(1)"
RACE = ".page > .card:nth-of-type(2)"
STEPS = "[...document.querySelectorAll('.steps li')].map((step) => step.textContent)"


def with_two_wallets(page: Page, site: Site, cents: int = 10_00) -> Visitor:
    visitor = arrive(page, site)
    site.deposit(visitor.wallet, cents)
    page.click("Demos", "nav")
    page.click("Open a second USD wallet")
    page.sees("Send twice with one key")
    return visitor


def table_of(page: Page, within: str, number: int = 1) -> list[list[str]]:
    table = f"[...document.querySelectorAll({within!r} + ' table')][{number - 1}]"
    rows: list[list[str]] = page.run(
        f"[...{table}.tBodies[0].rows].map((row) => "
        "[...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return rows


@pytest.mark.parametrize("build", BUILDS)
def test_one_key_has_one_effect_where_keys_are_kept(build: str, page: Page, site: SiteOf) -> None:
    engine = site(build)
    visitor = with_two_wallets(page, engine)
    if engine.identity:
        page.type("PIN", PIN, REPLAY)
    page.click("Send twice with one key")
    if build == "fragile":
        page.sees("Violated. Two requests, 2 payments.", REPLAY)
        assert engine.balance(visitor.wallet) == 8_00
        return
    page.sees("Held. Two requests, one payment: the second answer is the stored one.", REPLAY)
    first, again, other = table_of(page, REPLAY)
    assert (first[1], again[1], other[1]) == ("201", "201", "422")
    assert first[2] == again[2]
    assert "true" in again[3]
    assert "true" not in first[3]
    assert engine.balance(visitor.wallet) == 9_00


@pytest.mark.parametrize("build", ["g-wallet", "correctness-first", "dino", "hardened"])
def test_a_race_never_makes_or_loses_money(build: str, page: Page, site: SiteOf) -> None:
    engine = site(build)
    visitor = with_two_wallets(page, engine)
    page.type("Amount", "3.00", RACE)
    if engine.identity:
        page.type("PIN", PIN, RACE)
    page.click("Send them all")
    page.sees("Held.", RACE)
    counted = {row[0]: int(row[2]) for row in table_of(page, RACE)}
    assert sum(counted.values()) >= 12
    left = engine.balance(visitor.wallet)
    assert left == 10_00 - 3_00 * counted["201"]
    assert left >= 0


def test_one_key_for_a_whole_race_is_one_payment(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor = with_two_wallets(page, engine)
    page.choose("Keys", "one", RACE)
    page.type("PIN", PIN, RACE)
    page.click("Send them all")
    page.sees("Held. 1 payment acknowledged", RACE)
    assert engine.balance(visitor.wallet) == 9_00


def paying(page: Page, site: Site) -> tuple[Visitor, int]:
    visitor = arrive(page, site)
    payee = site.wallet(site.user()[0])
    site.deposit(visitor.wallet, 10_00)
    page.open(f"{site.pages}#/wallets/{visitor.wallet}")
    page.sees("10.00", ".balance")
    return visitor, payee


def key_of(event: dict[str, Any]) -> str:
    sent = {name.lower(): value for name, value in event["request"]["headers"].items()}
    return str(sent["idempotency-key"])


@pytest.mark.parametrize("build", ["g-wallet", "correctness-first", "dino", "hardened"])
def test_a_lost_answer_is_asked_for_and_never_paid_twice(
    build: str, page: Page, site: SiteOf
) -> None:
    engine = site(build)
    visitor, payee = paying(page, engine)
    lost: list[str] = []

    def lose(event: dict[str, Any]) -> None:
        lost.append(key_of(event))
        page.tell("Fetch.failRequest", requestId=event["requestId"], errorReason="ConnectionReset")

    page.hold("*/v1/transfers", lose)
    visitor.pay(payee, "4.00")
    page.sees("It happened once: this is the answer of the first time.")
    assert len(lost) == 1
    assert page.run(STEPS)[-2:] == [
        "Asked what became of the key.",
        "It had been done: this is its answer.",
    ]
    assert engine.balance(payee) == 4_00
    page.complaints.clear()  # Of the connection that was cut.


def test_a_lost_refusal_is_found_as_well(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor, payee = paying(page, engine)

    def lose(event: dict[str, Any]) -> None:
        page.tell("Fetch.failRequest", requestId=event["requestId"], errorReason="ConnectionReset")

    page.hold("*/v1/transfers", lose)
    visitor.pay(payee, "10.01")
    page.sees("Insufficient funds", "[role=alert]")
    assert page.run(STEPS)[-1] == "Asked what became of the key."
    assert page.run("sessionStorage.getItem('assay.pending')") is None
    page.complaints.clear()


def test_without_keys_a_lost_answer_is_not_repeated(page: Page, site: SiteOf) -> None:
    engine = site("fragile")
    visitor, payee = paying(page, engine)

    def lose(event: dict[str, Any]) -> None:
        page.tell("Fetch.failRequest", requestId=event["requestId"], errorReason="ConnectionReset")

    page.hold("*/v1/transfers", lose)
    visitor.pay(payee, "4.00")
    page.sees("this build keeps no keys to ask for")
    assert engine.balance(payee) == 4_00
    page.complaints.clear()


def test_a_busy_engine_is_asked_again_with_the_same_key(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor, payee = paying(page, engine)
    keys: list[str] = []

    def refuse_twice(event: dict[str, Any]) -> None:
        keys.append(key_of(event))
        if len(keys) > 2:
            page.tell("Fetch.continueRequest", requestId=event["requestId"])
            return
        page.answer(
            event,
            503 if len(keys) == 1 else 409,
            {"title": "Busy", "status": 503, "retriable": True},
            {"Retry-After": "0"},
        )

    page.hold("*/v1/transfers", refuse_twice, stage="Request")
    visitor.pay(payee, "4.00")
    page.sees("It took 3 attempts with one key.")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert engine.balance(payee) == 4_00
    waits = [step for step in page.run(STEPS) if step.startswith("Waits")]
    assert len(waits) == 2


def test_a_form_sends_one_request_at_a_time(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor, payee = paying(page, engine)
    held: list[dict[str, Any]] = []
    page.hold("*/v1/transfers", held.append, stage="Request")
    visitor.pay(payee, "4.00")
    page.until("document.querySelector('form').getAttribute('aria-busy') === 'true'")
    page.run("document.querySelector('form').requestSubmit()")
    page.run("document.querySelector('form button').click()")
    page.until("document.querySelector('form fieldset').disabled")
    assert len(held) == 1
    page.ask("Fetch.continueRequest", requestId=held[0]["requestId"])
    page.sees("Done: 4.00")
    assert len(held) == 1
    assert engine.balance(payee) == 4_00


def test_a_reload_remembers_what_was_not_answered(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor, payee = paying(page, engine)
    held: list[dict[str, Any]] = []
    page.hold("*/v1/transfers", held.append)
    visitor.pay(payee, "4.00")
    page.until("document.querySelector('form').getAttribute('aria-busy') === 'true'")
    while not held:
        page.run("0")
    page.open(f"{engine.pages}#/wallets")
    page.sees("No answer was seen to: 4.00\u00a0USD")
    page.click("Ask what became of it")
    page.sees("It was done: 4.00\u00a0USD", "#notices")
    assert engine.balance(payee) == 4_00


def test_amounts_are_read_without_binary_fractions(page: Page, site: SiteOf) -> None:
    page.open(site("hardened").pages)
    read = page.run(
        "import('/ui/money.js').then(({parseAmount, decimalOf, Money}) => {"
        " const cents = new Money({minorUnits: true, assets: [{code: 'BTC', decimals: 8}]});"
        " const plain = new Money({minorUnits: false, assets: []});"
        " return [String(parseAmount('90071992547409.91', 2)), decimalOf(-5n, 2), decimalOf(7n, 0),"
        " cents.read('0.00000001', 'BTC').amount, cents.read('0.29', 'USD').amount,"
        " plain.read('0.29', 'USD'), plain.show(0.1 + 0.2), plain.show(1234.5),"
        " cents.show({amount: -123456, asset: 'USD'}), plain.show('nan')]; })"
    )
    assert read == [
        "9007199254740991", "-0.05", "7", 1, 29, 0.29, "0.30000000000000004", "1,234.50",
        "\u22121,234.56\u00a0USD", "nan",
    ]  # fmt: skip
