"""Every page at every width: nothing sticks out, everything has a name, trouble is shown."""

import json
from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.conftest import SiteOf
from tests.browser.served_engine import PIN
from tests.browser.visitor import Visitor, arrive

pytestmark = pytest.mark.browser
PAGES = {
    "wallets": "Open another wallet",
    "wallets/{wallet}": "To wallet",
    "batches": "New batch",
    "demos": "Demos",
    "panel": "Switches",
    "account": "Username",
}

# What is to be read by nobody's eyes may stand anywhere.
STICKS_OUT = """[...document.querySelectorAll('body *')]
  .filter((e) => !e.closest('.hidden, .skip, thead'))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => `${e.tagName}.${e.className}`)"""
NAMELESS = """[
  ...[...document.querySelectorAll('input, select')]
    .filter((e) => e.labels.length !== 1 && !e.ariaLabel).map((e) => e.outerHTML),
  ...[...document.querySelectorAll('button, a, summary, caption, h1, h2')]
    .filter((e) => e.textContent.trim() === '').map((e) => e.outerHTML),
  ...[...document.querySelectorAll('[id]')].map((e) => e.id)
    .filter((id, index, all) => all.indexOf(id) !== index),
  ...[...document.querySelectorAll('[aria-describedby]')]
    .filter((e) => !document.getElementById(e.getAttribute('aria-describedby')))
    .map((e) => e.outerHTML),
]"""
# WCAG 2.2, contrast (minimum): the colour of text against what is behind it.
FAINT = """(() => {
  const channels = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const own = getComputedStyle(e).backgroundColor;
    return channels(own)[3] === 255 || !e.parentElement ? own : behind(e.parentElement);
  };
  const contrast = (e) => {
    const [one, other] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  };
  return [...document.querySelectorAll('body *')]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => e.getClientRects().length && !e.closest('.hidden, .skip, noscript, :disabled'))
    .filter((e) => contrast(e) < 4.5).map((e) => `${e.outerHTML.slice(0, 120)} ${contrast(e)}`);
})()"""


def looked_at(page: Page) -> None:
    for width, dark in ((360, True), (360, False), (768, False), (1280, True), (1280, False)):
        page.look_like(width=width, dark=dark)
        assert page.run(STICKS_OUT) == [], width
        assert page.run(FAINT) == [], dark
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), width
    assert page.run(NAMELESS) == []
    assert page.run("document.querySelectorAll('h1').length") == 1
    assert page.run("document.activeElement.id") == "main"


@pytest.mark.parametrize("build", ["fragile", "hardened"])
def test_pages_fit_and_everything_on_them_has_a_name(build: str, page: Page, site: SiteOf) -> None:
    engine = site(build)
    page.open(engine.pages)
    page.sees("Username")
    looked_at(page)
    visitor = arrive(page, engine)
    engine.deposit(visitor.wallet, 9_007_199_254_740_00)
    engine.wallet(page.run("JSON.parse(sessionStorage.getItem('assay.user')).id"), "x" * 40)
    for path, words in PAGES.items():
        page.look_like(width=1280)
        page.open(f"{engine.pages}#/{path.format(wallet=visitor.wallet)}")
        page.sees(words, "main")
        looked_at(page)


def test_the_operators_panel_fits(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    page.open(engine.pages)
    Visitor(page=page, site=engine).log_in("operator", engine.engine.operator_password)
    page.sees("Wallets", "h1")
    page.open(f"{engine.pages}#/panel")
    page.sees("balanced")
    looked_at(page)


def test_a_payment_is_made_with_the_keyboard_alone(page: Page, site: SiteOf) -> None:
    engine = site("hardened")
    visitor = arrive(page, engine)
    payee = engine.wallet(engine.user()[0])
    engine.deposit(visitor.wallet, 5_00)
    page.open(f"{engine.pages}#/wallets/{visitor.wallet}")
    page.sees("To wallet")
    page.until("document.activeElement.id === 'main'")
    for words in ("", str(payee), "5.00", PIN):
        if words:
            page.ask("Input.insertText", text=words)
        press(page, "Tab")
        if not words:  # Past the way back to all wallets.
            press(page, "Tab")
    press(page, "Enter")
    page.sees("Done: 5.00\u00a0USD")
    assert engine.balance(payee) == 5_00


def press(page: Page, key: str) -> None:
    code = {"Tab": 9, "Enter": 13}[key]
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        more = text if kind == "keyDown" else {}
        page.ask(
            "Input.dispatchKeyEvent",
            type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more,
        )  # fmt: skip


DIFFERENCE = {
    "what": "balance", "wallet_id": 77, "transaction_id": None, "expected": 100, "found": 90,
}  # fmt: skip
TROUBLE = {
    "Redis is away: money moves as before": (
        "*/health/ready", 200, {"status": "degraded", "database": "up", "redis": "away"},
    ),
    "not ready": ("*/health/ready", 503, {"status": "not ready", "database": "away"}),
    "The first row that disagrees is of wallet 77": (
        "*/ledger/reconciliation", 503,
        {"balanced": False, "wallets": 3, "first_difference": DIFFERENCE},
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", TROUBLE)
def test_the_panel_shows_trouble(words: str, page: Page, site: SiteOf) -> None:
    engine = site("correctness-first")
    address, status, body = TROUBLE[words]

    def answer(event: dict[str, Any]) -> None:
        page.answer(event, status, body, {})

    page.hold(address, answer, stage="Request")
    page.open(f"{engine.pages}#/panel")
    page.sees(words)


def test_an_engine_that_is_away_is_asked_again(page: Page, site: SiteOf) -> None:
    engine = site("hardened")

    def cut(event: dict[str, Any]) -> None:
        page.tell("Fetch.failRequest", requestId=event["requestId"], errorReason="Failed")

    page.hold("*/v1/meta", cut, stage="Request")
    page.open(engine.pages)
    page.sees("The engine cannot be reached")
    page.ask("Fetch.disable")
    page.click("Try again")
    page.sees("Sign up")
    page.complaints.clear()  # Of the connection that was cut.


def test_markup_is_not_even_made_by_mistake(page: Page, site: SiteOf) -> None:
    """The policy is heeded: neither markup from text nor a foreign script comes about."""
    page.open(site("hardened").pages)
    page.sees("Sign up")
    attempt = "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; }"
    assert page.run(f"{attempt} catch (error) {{ return error.name; }} }})()") == "TypeError"
    foreign = json.dumps("http://127.0.0.1:1/foreign.js")
    refused = page.run(
        "new Promise((done) => { const script = document.createElement('script');"
        f" try {{ script.src = {foreign}; }} catch (error) {{ done(error.name); }} }})"
    )
    assert refused == "TypeError"
    page.complaints.clear()  # Which is what the policy does.
