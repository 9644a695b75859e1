"""Batch payouts on the pages: a wrong file, paying, going on after a crash, taking rows back."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Page
from tests.browser.conftest import SiteOf
from tests.browser.served_engine import PIN, Site
from tests.browser.visitor import Visitor, arrive

pytestmark = pytest.mark.browser


def upload(page: Page, site: Site, tmp_path: Path, *lines: str) -> None:
    file = tmp_path / f"rows-{len(list(tmp_path.iterdir()))}.csv"
    file.write_text("\n".join(["recipient_id,amount", *lines, ""]))
    page.give("CSV file", file)
    page.click("Upload")


def with_money(page: Page, site: Site, cents: int = 100_00) -> tuple[Visitor, int, int]:
    visitor = arrive(page, site)
    site.deposit(visitor.wallet, cents)
    page.open(f"{site.pages}#/batches")
    page.sees("New batch")
    payees = [site.wallet(site.user()[0]) for _ in range(2)]
    return visitor, payees[0], payees[1]


def with_two_rows(page: Page, site: Site, tmp_path: Path) -> tuple[Visitor, str]:
    """Who pays, and the id of the batch: 3.00 of their 100.00, not paid yet."""
    visitor, one, other = with_money(page, site)
    upload(page, site, tmp_path, f"{one},1.00", f"{other},2.00")
    page.sees("0 of 2", ".state")
    return visitor, page.run("location.hash").rpartition("/")[2]


def pay_out(page: Page, site: Site) -> None:
    if site.identity:
        page.type("PIN", PIN, ".card:has([name=pin])")
    page.click("Pay all rows")


@pytest.mark.parametrize("build", ["g-wallet", "hardened"])
def test_wrong_lines_are_listed_and_nothing_is_stored(
    build: str, page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site(build)
    _, one, other = with_money(page, engine)
    upload(page, engine, tmp_path, f"{one},5.00", f"{other},five", "999999999,1.00")
    page.sees("nothing was stored", "[role=alert]")
    listed = page.run(
        "[...document.querySelectorAll('[role=alert] tbody tr')].map((row) => "
        "[...row.cells].map((cell) => cell.innerText.trim()))"
    )
    assert [line for line, _ in listed] == ["3", "4"]
    assert listed[1][1] == "the wallet cannot be paid in this asset"
    # The corrected file goes into the same batch.
    upload(page, engine, tmp_path, f"{one},5.00", f"{other},2.50")
    page.sees("Pay out")
    page.sees("0 of 2", ".state")
    page.click("Batches", "nav")
    page.until("document.querySelectorAll('.table tbody tr').length === 1")


@pytest.mark.parametrize("build", ["fragile", "g-wallet", "correctness-first", "dino", "hardened"])
def test_a_batch_is_paid_and_each_row_tells_what_became_of_it(
    build: str, page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site(build)
    visitor, one, other = with_money(page, engine)
    upload(page, engine, tmp_path, f"{one},60.00", f"{other},70.00", f"{other},0.05")
    page.sees("0 of 3", ".state")
    pay_out(page, engine)
    page.sees("partially failed", ".state")
    page.sees("3 of 3", ".state")
    rows = page.until(
        "(() => { const rows = [...document.querySelectorAll('.table tbody tr')].map((row) => "
        "[...row.cells].at(-2).innerText.trim());"
        " return !rows.join().includes('pending') && rows; })()"
    )
    assert [row.split()[-1] for row in rows] == ["paid", "refused", "paid"]
    assert engine.balance(visitor.wallet) == 39_95


def test_doubles_are_paid_when_they_are_meant(page: Page, site: SiteOf, tmp_path: Path) -> None:
    engine = site("hardened")
    visitor, one, _ = with_money(page, engine)
    upload(page, engine, tmp_path, f"{one},1.00", f"{one},1.00")
    page.sees("the same recipient and amount as in line 2", "[role=alert]")
    page.click("These are meant: pay them all")
    page.sees("0 of 2", ".state")
    pay_out(page, engine)
    page.sees("completed", ".state")
    assert engine.balance(visitor.wallet) == 98_00


def test_a_large_batch_is_followed_until_it_has_ended(
    page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site("hardened")
    visitor, one, _ = with_money(page, engine, 200_00)
    hundred_and_one = [f"{one},{1 + row / 100:.2f}" for row in range(101)]
    upload(page, engine, tmp_path, *hundred_and_one)
    page.sees("0 of 101", ".state")
    pay_out(page, engine)
    page.sees("101 of 101", ".state")
    page.sees("completed", ".state")
    page.click("Later rows")
    page.until("document.querySelectorAll('.table tbody tr').length === 1")
    page.sees("2.00", ".table")
    assert engine.balance(visitor.wallet) == 200_00 - 101_00 - 50_50


def test_a_batch_that_a_crash_stopped_is_gone_on_with(
    page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site("correctness-first")
    visitor, batch = with_two_rows(page, engine, tmp_path)
    # As a kill -9 leaves it: under way, by nobody.
    stopped(engine, batch)
    page.open(f"{engine.pages}#/batches/{batch}")
    page.sees("It stopped after row 0.")
    page.click("Go on", "form")
    page.sees("completed", ".state")
    assert engine.balance(visitor.wallet) == 97_00


def test_the_page_lives_through_a_crash(page: Page, site: SiteOf, tmp_path: Path) -> None:
    # An engine of its own: what is said twice is the same build by another name.
    engine = site("hardened,batch=resumable")
    visitor, one, _ = with_money(page, engine, 2000_00)
    upload(page, engine, tmp_path, *(f"{one},{cents / 100:.2f}" for cents in range(1, 200)))
    page.sees("0 of 199", ".state")
    pay_out(page, engine)
    page.until("document.querySelector('progress').value > 0")
    engine.engine.kill()
    before = page.run("document.querySelector('progress').value")
    assert before < 199
    engine.engine.start()
    page.sees("199 of 199", ".state")
    page.sees("completed", ".state")
    assert engine.balance(one) == sum(range(1, 200))
    assert engine.balance(visitor.wallet) == 2000_00 - sum(range(1, 200))


def test_an_engine_that_dies_right_after_its_answer_is_asked_again(
    page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site("hardened")
    visitor, batch = with_two_rows(page, engine, tmp_path)
    pending = page.run(f"import('/ui/api.js').then((api) => api.get('/batches/{batch}'))")
    looks: list[dict[str, Any]] = []

    def cross(event: dict[str, Any]) -> None:
        """The first look is answered last, and as it was before; the second one fails."""
        looks.append(event)
        if len(looks) == 2:
            page.tell("Fetch.failRequest", requestId=event["requestId"], errorReason="Failed")
            page.answer(looks[0], 200, pending, {"Content-Type": "application/json"})
        elif len(looks) > 2:
            page.tell("Fetch.continueRequest", requestId=event["requestId"])

    page.hold(f"*/v1/batches/{batch}", cross, stage="Request")
    pay_out(page, engine)
    page.sees("completed", ".state")
    assert len(looks) > 2
    assert engine.balance(visitor.wallet) == 97_00


def stopped(site: Site, batch: str) -> None:
    site.sql(f"UPDATE batches SET status = 'PROCESSING' WHERE id = {int(batch)}")


@pytest.mark.parametrize("build", ["hardened", "dino"])
def test_chosen_rows_are_taken_back_once(
    build: str, page: Page, site: SiteOf, tmp_path: Path
) -> None:
    engine = site(build)
    visitor, one, other = with_money(page, engine)
    upload(page, engine, tmp_path, f"{one},10.00", f"{other},20.00")
    page.sees("0 of 2", ".state")
    pay_out(page, engine)
    page.sees("completed", ".state")
    batch = page.run("location.hash").rpartition("/")[2]
    if engine.identity:
        page.sees("takes the operator's role")
        engine.operator()
        page.click("Log out")
        page.sees("Log in")
        visitor.log_in("operator", engine.engine.operator_password)
        page.sees("Wallets", "h1")
    page.open(f"{engine.pages}#/batches/{batch}")
    page.until("!!document.querySelector('[aria-label=\"Choose row 2\"]')")
    page.run("document.querySelector('[aria-label=\"Choose row 2\"]').click()")
    if engine.identity:
        page.type("PIN", PIN)
    page.click("Take chosen rows back")
    page.sees("1 of 1 row taken back.", "#notices")
    page.sees("compensated", ".table")
    assert engine.balance(visitor.wallet) == 90_00
    assert engine.balance(other) == 0
