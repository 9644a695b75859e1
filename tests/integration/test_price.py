"""A price list of one switch for real, and services whose prices must not be believed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.price import Price, read_price_list
from scenarios.pricing.filling import fill_history
from scenarios.pricing.locking import compare_locking
from scenarios.pricing.measuring import measure
from scenarios.pricing.site import Population, Site, open_site
from scenarios.pricing.subjects import Subject, subjects
from scenarios.pricing.turns import Pace
from scenarios.stand import Stand, open_stand
from tests.integration.test_cli import assay

pytestmark = pytest.mark.slow

TINY = Pace(pairs=1, slot_s=0.3, clients=2, seed=1)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with open_stand("embedded") as opened:
        yield opened


def test_one_switch_from_the_command_line(tmp_path: Path) -> None:
    words = [
        "price",
        "--only",
        "idempotency",
        "--pairs",
        "1",
        "--slot-s",
        "0.5",
        "--clients",
        "2",
        "--seed",
        "4",
        "--out",
    ]
    done = assay(*words, str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.iterdir()
    found = read_price_list((folder / "price.json").read_text())
    (price,) = found.prices
    assert price.status == "not measurable", "one pair tells nothing"
    assert price.on_side is not None
    assert price.on_side.good > 0
    driver_ms = price.on_side.driver_cpu_ms
    assert driver_ms is not None
    assert driver_ms.middle > 0
    assert found.locking is None
    assert "idempotency=claim" in (folder / "price.html").read_text()
    assert "not measurable" in (folder / "price.md").read_text()
    assert "not measurable" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--only", "nothing"), "unknown switch"),
        (("--only", "batch"), "batch has no price"),
        (("--pairs", "0"), "'--pairs'"),
        (("--slot-s", "0.01"), "'--slot-s'"),
        (("--clients", "65"), "'--clients'"),
    ],
)
def test_bad_input_is_a_matter_of_usage(words: tuple[str, ...], says: str) -> None:
    done = assay("price", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_stores_that_cannot_be_had_are_the_environments_fault(tmp_path: Path) -> None:
    words = ("price", "--stores", "external", "--out", str(tmp_path))
    done = assay(*words, ASSAY_POSTGRES_URL="", ASSAY_REDIS_URL="")
    assert done.returncode == 4
    assert "ASSAY_POSTGRES_URL" in done.stderr


@pytest.mark.parametrize("switch", ["ledger", "authentication", "treasury", "limit_lock", "money"])
def test_both_sides_of_what_changes_most_can_be_loaded(stand: Stand, switch: str) -> None:
    price = measure(stand, subjects((switch,))[0], TINY)
    assert price.status == "not measurable", price.words


def test_the_price_of_a_service_that_answers_wrongly_is_unknown(stand: Stand) -> None:
    subject = Subject(switch="money", on="minor_units", off="numeric")
    wrong = _with_closed_wallets(stand, subject)
    assert wrong.status == "unknown"
    assert "transfer 409" in wrong.words
    assert wrong.throughput is None


def _with_closed_wallets(stand: Stand, subject: Subject) -> Price:
    with pytest.MonkeyPatch.context() as patched:
        frozen = "UPDATE wallets SET status = 'frozen' WHERE NOT allow_negative"
        patched.setattr("scenarios.pricing.site.HOUSEKEEPING", frozen)
        return measure(stand, subject, TINY)


def test_books_that_do_not_add_up_are_seen(stand: Stand) -> None:
    with open_site(stand, parse_build("hardened"), Population(wallets=4)) as site:
        assert site.wrong_books() == ""
        _say(
            site,
            "UPDATE wallets SET balance = balance + 1 WHERE id = (SELECT max(id) FROM wallets)",
        )
        assert "all balances together are 1" in site.wrong_books()
    with open_site(stand, parse_build("hardened,constraints=off"), Population(wallets=4)) as site:
        _say(site, "UPDATE wallets SET balance = -1 WHERE balance > 0")
        assert site.wrong_books() == "4 wallets are overdrawn"


def _say(site: Site, sql: str) -> None:
    with site.side.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("build", ["hardened", "hardened,ledger=hash_chain"])
def test_a_filled_history_is_one(stand: Stand, build: str) -> None:
    counted: list[tuple[int, int]] = []

    def then(connection: object, filled: object) -> None:
        fill_history(connection, filled, first=1, transfers=50)  # type: ignore[arg-type]

    with open_site(stand, parse_build(build), Population(wallets=5, then=then)) as site:
        with site.side.cursor() as cursor:
            cursor.execute("SELECT count(*), count(DISTINCT transaction_id) FROM ledger_entries")
            counted = cursor.fetchall()
        assert site.wrong_books() == ""
    assert counted == [(100, 50)]


def test_strategies_side_by_side(stand: Stand) -> None:
    found = compare_locking(stand, TINY, lambda _: None, counts=(2,), names=("row", "version"))
    assert found.failed == ()
    row, version = found.strategies
    assert (row.conflicts, row.locking, version.kind) == (0.0, "row", "optimistic")
    assert row.reader_p50_ms.middle > 0
    assert found.says[0].startswith("On 2 wallets neither is measurably faster"), "one pair"


@pytest.mark.parametrize("build", ["hardened", "hardened-fast"])
def test_pgbench_runs_what_the_engine_runs(build: str) -> None:
    words = ("--quick", "--pairs", "1", "--slot-s", "1", "--clients", "2", "--build", build)
    command = [sys.executable, "-m", "benchmarks.against_pgbench", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "| pgbench, simple protocol |" in done.stdout
    assert "In the books: " in done.stdout
