"""The pages as a person uses them, in a real browser against a served engine."""

import pytest

from tests.browser.chromium import Page
from tests.browser.conftest import SiteOf
from tests.browser.served_engine import PIN
from tests.browser.visitor import Visitor, arrive

pytestmark = pytest.mark.browser
BUILDS = ("fragile", "g-wallet", "correctness-first", "dino", "hardened")


@pytest.mark.parametrize("build", BUILDS)
def test_signing_up_and_paying_changes_the_balance(build: str, page: Page, site: SiteOf) -> None:
    engine = site(build)
    visitor = arrive(page, engine)
    payee = engine.wallet(engine.user()[0])
    engine.deposit(visitor.wallet, 1_234_50)
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    page.sees("1,234.50\u00a0USD", ".balance")
    visitor.pay(payee, "12.05")
    page.sees("Done: 12.05\u00a0USD to wallet")
    page.sees("1,222.45\u00a0USD", ".balance")
    page.sees("\u221212.05\u00a0USD", ".table")
    assert engine.balance(payee) == 12_05


def test_a_refusal_is_shown_in_the_engines_words(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor = arrive(page, engine)
    payee = engine.wallet(engine.user()[0])
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    visitor.pay(payee, "5.00")
    page.sees("Insufficient funds", "[role=alert]")
    page.sees("(402)", "[role=alert]")


@pytest.mark.parametrize("typed", ["1.005", "-1", "1e3", "0", "abc", "90071992547409.92"])
def test_an_amount_that_is_none_is_never_sent(typed: str, page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor = arrive(page, engine)
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    visitor.pay(1, typed)
    page.until("document.querySelector('.wrong input') === document.activeElement")
    assert not [address for address in page.requests if address.endswith("/v1/transfers")]


def test_a_wrong_pin_pays_nothing(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor = arrive(page, engine)
    engine.deposit(visitor.wallet, 10_00)
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    visitor.pay(engine.wallet(engine.user()[0]), "1.00", pin="0000")
    page.sees("The PIN is wrong", "[role=alert]")
    assert engine.balance(visitor.wallet) == 10_00


def test_logging_out_ends_the_token_and_leaves_nothing(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    arrive(page, engine)
    token = page.run("sessionStorage.getItem('assay.token')")
    assert token not in page.run("location.href")
    page.click("Log out", ".who")
    page.sees("Log in")
    assert page.run("sessionStorage.length + localStorage.length + document.cookie.length") == 0
    headers = {"Authorization": f"Bearer {token}"}
    assert engine.http.get("/v1/users/me", headers=headers).status_code == 401


def test_a_taken_name_is_refused_and_can_be_corrected(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    _, taken = engine.user()
    page.open(engine.pages)
    page.sees("Sign up")
    visitor = Visitor(page=page, site=engine)
    visitor.sign_up(taken)
    page.sees("Already exists", "[role=alert]")
    visitor.sign_up(f"{taken}-2")
    page.sees("Wallets", "h1")


def test_what_people_call_themselves_is_shown_as_text(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    nasty = (
        "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    )
    engine.user(email=nasty)
    code = f"X{engine.user()[0]}"
    engine.ask("POST", "/assets", {"code": code, "name": nasty}, engine.operator())
    visitor = Visitor(page=page, site=engine)
    page.open(engine.pages)
    visitor.log_in("operator", engine.engine.operator_password)
    page.sees("Wallets", "h1")
    assert page.run(
        f"[...document.querySelectorAll('option')].some((e) => e.textContent === '{code}' || "
        f"e.textContent.includes('<script>'))"
    )
    page.open(f"{engine.pages}#/panel")
    page.click("List users")
    page.sees("<script>")
    assert page.run("document.title") == "Control panel · Assay wallet"
    assert page.run("document.querySelectorAll('main script, main img').length") == 0


def test_an_operator_pays_in_freezes_and_proves_the_books(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    wallet = engine.wallet(engine.user()[0])
    engine.operator()
    visitor = Visitor(page=page, site=engine)
    page.open(engine.pages)
    visitor.log_in("operator", engine.engine.operator_password)
    page.click("Control panel", "nav")
    page.sees("balanced")
    page.sees("ready")
    pay_in = ".card:has([name=kind])"
    page.type("Wallet", str(wallet), pay_in)
    page.type("Amount", "75.25", pay_in)
    page.type("PIN", PIN, pay_in)
    page.click("Book it")
    page.sees("Done: deposit of 75.25\u00a0USD", pay_in)
    assert engine.balance(wallet) == 75_25
    freezing = ".columns > .card:nth-child(2):has([name=wallet])"
    page.type("Wallet", str(wallet), freezing)
    page.click("Look it up")
    page.click("Freeze")
    page.sees("frozen", freezing)
    read = engine.ask("GET", f"/wallets/{wallet}", headers=engine.operator())
    assert read["status"] == "frozen"


@pytest.mark.parametrize("build", BUILDS)
def test_the_panel_tells_which_defences_there_are(build: str, page: Page, site: SiteOf) -> None:
    engine = site(build)
    page.open(f"{engine.pages}#/panel")
    page.sees("PostgreSQL")
    meta = engine.ask("GET", "/meta")
    fragile = sum(each["stands_for"] == "fragile" for each in meta["switches"])
    words = f"{fragile} of {len(meta['switches'])} are fragile." if fragile else "None of them"
    page.sees(words)
    rows = page.run(
        "[...document.querySelectorAll('.page > .card:last-child tbody tr')].map((row) => "
        "[...row.cells].slice(0, 3).map((cell) => cell.innerText.trim()))"
    )
    assert [row[:2] for row in rows] == [list(pair) for pair in meta["defences"].items()]
    assert sum("fragile" in row[2] for row in rows) == fragile


def test_the_pin_is_changed(page: Page, site: SiteOf) -> None:
    engine = site("g-wallet")
    visitor = arrive(page, engine)
    page.open(f"{engine.pages}#/account")
    page.type("Current PIN", PIN)
    page.type("New PIN", "2468")
    page.type("New PIN again", "2469")
    page.click("Set PIN")
    page.sees("The two are not the same.")
    page.type("New PIN again", "2468")
    page.click("Set PIN")
    page.sees("The PIN is set.")
    engine.deposit(visitor.wallet, 1_00)
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    visitor.pay(engine.wallet(engine.user()[0]), "1.00", pin="2468")
    page.sees("Done: 1.00\u00a0USD")


def test_an_ended_session_asks_for_a_new_one(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    arrive(page, engine)
    page.run("sessionStorage.setItem('assay.token', 'worthless')")
    page.click("Batches", "nav")
    page.sees("Log in")
    assert page.run("sessionStorage.length") == 0
