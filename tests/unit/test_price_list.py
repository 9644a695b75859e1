"""What is said of figures: in words, in tables, on the page."""

import re
from dataclasses import replace

import pytest

from reports.price import PriceError, read_price_list
from reports.price_markdown import render_price_markdown
from reports.price_page import render_price_page
from scenarios.pricing.committed import COMMITTED, prices_of
from scenarios.pricing.locking_words import verdicts
from scenarios.pricing.measuring import compared
from tests.unit.price_samples import (
    IDEMPOTENCY,
    dear,
    noise,
    price_list,
    side,
    strategy,
    unknown,
)

FAST, SLOW, SAME = [200.0] * 8, [100.0] * 8, [90.0, 110, 95, 105, 99, 101, 100, 102]


def test_a_price_is_a_sentence_with_its_spread() -> None:
    assert dear().status == "measured"
    assert dear().words == (
        "idempotency=claim costs 9 % (8 % to 10 %) of the throughput and costs 0.40 ms "
        "(0.40 to 0.40) at p50, against off"
    )


def test_a_difference_within_the_noise_is_not_claimed() -> None:
    found = noise()
    assert found.status == "not measurable"
    assert found.words.startswith("What idempotency=claim costs against off is not measurable")


def test_a_gain_is_called_one() -> None:
    words = compared(IDEMPOTENCY, side([220.0] * 8, cpu_ms=3.0), side([200.0] * 8)).words
    assert "gives 10 % (10 % to 10 %) more throughput" in words
    assert "saves 1.00 ms (1.00 to 1.00) of CPU an answer" in words


@pytest.mark.parametrize(
    ("row", "version", "says"),
    [
        (FAST, SLOW, "On 2 wallets pessimistic wins: row makes 200 payments a second"),
        (SLOW, FAST, "On 2 wallets optimistic wins: version makes 200 payments a second"),
        (SLOW, SAME, "On 2 wallets neither is measurably faster"),
    ],
)
def test_who_wins_is_computed(row: list[float], version: list[float], says: str) -> None:
    told = verdicts([strategy("row", 2, row), strategy("version", 2, version)])
    assert told[0].startswith(says)
    assert told[-1].startswith("So here: ")


def test_one_strategy_alone_wins_nothing() -> None:
    assert verdicts([strategy("row", 2, FAST), strategy("conditional", 2, SLOW)]) == ()


def test_the_page_shows_every_price_and_no_network() -> None:
    strategies = [strategy("row", 2, FAST), strategy("version", 2, SLOW)]
    found = price_list(dear(), noise(), unknown("<script>it</script>"), strategies=strategies)
    page = render_price_page(found)
    assert page.count('<details class="price">') == 3
    assert page.count("bar-of cost") == page.count("bar-of unsure") == 1
    assert page.count("bar-of rate") == 2
    assert "What could not be measured" in page
    assert "<script>" not in page
    assert "<i>CPU" not in page
    assert not re.search(r"(?:src|href)=\"?https?:", page)


@pytest.mark.parametrize(
    ("status", "says"), [("interrupted", "was interrupted"), ("running", "is not finished")]
)
def test_a_list_that_was_cut_short_says_so(status: str, says: str) -> None:
    whole = price_list(dear())
    cut = whole.model_copy(update={"status": status})
    for render in (render_price_page, render_price_markdown):
        assert f"This list {says}" in render(cut)
        assert "This list" not in render(whole)


def test_two_prices_of_one_switch_can_be_told_apart() -> None:
    load = replace(IDEMPOTENCY, workload="looks")
    assert "against off, looks is not" in compared(load, side(SAME), side(SAME)).words


def test_a_whisker_that_is_cut_looks_like_it() -> None:
    wide = compared(IDEMPOTENCY, side([100.0, 900] * 4), side([100.0] * 8))
    assert '"whisker cut-high"' in render_price_page(price_list(wide))
    assert '"whisker"' in render_price_page(price_list(dear()))


def test_bars_stay_on_the_chart() -> None:
    page = render_price_page(price_list(dear(), noise()))
    places = [float(place) for place in re.findall(r"(?:left|width):(-?[\d.]+)%", page)]
    assert places
    assert all(0 <= place <= 100 for place in places)


def test_markdown_never_shows_a_ratio_that_covers_one() -> None:
    text = render_price_markdown(price_list(dear(), noise(), unknown("a | b")))
    lines = [line for line in text.splitlines() if line.startswith("| idempotency")]
    assert "x 0.91 (0.90 to 0.92)" in lines[0]
    assert lines[1].count("not measurable") == 4
    assert "unknown" in lines[2]
    assert "a \\| b" in text


def test_a_list_survives_its_file_and_others_are_refused() -> None:
    found = price_list(dear(), noise())
    assert read_price_list(found.model_dump_json()) == found
    assert found.unknown == ()
    assert price_list(unknown("why")).unknown == ("idempotency=claim against off",)
    for text in ("", "{}", found.model_dump_json().replace('"version":1', '"version":2')):
        with pytest.raises(PriceError, match="no price list of version 1"):
            read_price_list(text)


def test_explaining_says_a_price_only_with_the_machine() -> None:
    found = price_list(dear())
    words, where = prices_of("idempotency", found)
    assert words.startswith("idempotency=claim costs 9 %")
    assert where.startswith("measured 2026-01-02 on 2 cores")
    assert not where.endswith("busy with other work")
    machine = found.machine.model_copy(update={"load_before": 9.0})
    busy = prices_of("idempotency", found.model_copy(update={"machine": machine}))
    assert busy[1].endswith("busy with other work")
    assert prices_of("errors", found) == ["not priced: only refusals differ"]
    assert prices_of("pin", found) == []
    assert prices_of("idempotency", None) == []


def test_the_list_that_is_kept_can_be_read() -> None:
    kept = read_price_list(COMMITTED.read_text())
    assert kept.prices
    assert kept.unknown == ()
