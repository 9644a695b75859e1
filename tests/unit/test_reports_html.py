"""The page: whole without a network, safe with any text, every link leads somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reports.evidence import Evidence
from reports.html import render_html
from tests.unit import schedule_samples
from tests.unit.evidence_samples import cell_of, clean_sample, interrupted_sample, sample
from tests.unit.exploration_samples import explored_sample

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


class Page(HTMLParser):
    """What of a page matters to these tests."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if identity := values.get("id"):
            self.ids.append(identity)
        self.links += [value for name in ("href", "src") if (value := values.get(name))]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "evidence", [sample(), clean_sample(), interrupted_sample(), explored_sample()]
)
def test_every_link_leads_to_one_place_of_the_page_or_into_the_folder(evidence: Evidence) -> None:
    page = Page(render_html(evidence))
    assert len(page.ids) == len(set(page.ids))
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= set(page.ids)
    outside = {link for link in page.links if not link.startswith("#")}
    allowed = re.compile(r"evidence\.json|data:,|histories/(fragile|hardened)/[a-z-]+\.jsonl")
    assert all(allowed.fullmatch(link) for link in outside)


def test_the_page_needs_no_network() -> None:
    text = render_html(sample())
    assert re.search(r"(?:https?|wss?|ftp)://", text) is None
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_text_of_the_evidence_is_never_markup() -> None:
    plain, hostile = Page(render_html(sample())), Page(render_html(_hostile(sample())))
    assert hostile.tags.count("script") == plain.tags.count("script") == 1
    assert "img" not in hostile.tags
    assert hostile.text.count(HOSTILE) >= 6


def test_a_history_outside_the_folder_is_not_linked() -> None:
    for file in ("javascript:alert(1)", "../../etc/passwd", "/etc/passwd", "//host/x", "", "a\\b"):
        cell = cell_of(sample(), "double-spend", "fragile").model_copy(
            update={"history_file": file}
        )
        page = Page(render_html(sample().model_copy(update={"cells": (cell,)})))
        assert all(link.startswith(("#", "evidence.json", "data:,")) for link in page.links)


def test_the_page_explains_a_cell_from_claim_to_command() -> None:
    text = " ".join(Page(render_html(sample())).text.split())
    for part in (
        "A wallet never pays out more than it held.",
        "Double spend, limit overrun; lost update (P4).",
        "Wallet 1 held 100.00 and A was paid 100.00",
        "sum of all balances 20000",
        "◀ this cannot be, while 2 was open",
        "7 more findings in this cell",
        "…and 3 more, all in evidence.json",
        "assay verify --build fragile --only double-spend --seed 20261121",
        "is below 30 % (3/10, with 95 % confidence, if rounds are alike and independent)",
        "1: a prediction did not come true",
        "skipped container: no engine answered",
    ):
        assert part in text


def test_a_search_is_shown_with_its_schedules_faults_and_commands() -> None:
    markup = render_html(explored_sample(), folder=Path("out/run"))
    text = " ".join(re.sub(r"<[^>]+>", " ", markup).split())
    for part in (
        "Held, exhausted ; as predicted. Every distinguishable order",
        "Held, bounded ; as predicted. Every order with at most 2 preemptions was tried",
        "Violated, no race needed ; as predicted.",
        "89 violated 3 tried and held 41 skipped as equivalent none uncontrolled 4.3 s in all",
        "The order that loses. Schedule 3 of 92",
        "For comparison. One after the other.",
        "One of the orders, as an example. Schedule 5 of 8",
        "waits for A and B",
        "◇ takes its snapshot",
        "✕ ERROR 40P01: deadlock detected",
        "◆ PostgreSQL chose it as the victim",
        "▶ it went wrong here",
        "33 more statements: 17 of A, 16 of B",
        "sent no statement ⇒ 200",
        "then forced lost update proven it reads wallets.balance without a lock",
        "Up to 6 faults at each of 5 statements: 26 cases, 2 violated.",
        "5 COMMIT acknowledgement lost no answer committed 201, paid twice ✕ violated",
        "The requests as the clients saw them",
        "assay replay out/run/schedules/double-spend.fragile.json",
        "Forces the losing order again; reproduced 100 of 100.",
    ):
        assert part in text


def test_a_statement_is_short_and_its_full_text_is_kept() -> None:
    text = Page(render_html(explored_sample())).text
    assert 'UPDATE "public"."Account" SET "balanceCents" = $1, "updatedAt" = $2' in text
    assert "$2 = '2026-11-21 09:14:03.120 UTC'" in text


def test_text_of_a_schedule_is_never_markup() -> None:
    page = Page(render_html(explored_sample()))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.text.count(schedule_samples.HOSTILE) >= 8


def test_a_schedule_table_is_regular() -> None:
    """Every row of a schedule has a place for each session: nothing slips into another column."""
    tables = re.findall(
        r'<table class="sessions".*?</table>', render_html(explored_sample()), re.DOTALL
    )
    assert len(tables) == 12
    for table in tables:
        columns = len(re.findall(r'<th scope="col">', table)) - 1
        for row in re.findall(r"<tr>.*?</tr>", table.split("<tbody>")[1], re.DOTALL):
            assert len(re.findall(r"<td[ >]", row)) == columns


def test_an_interrupted_run_has_a_banner() -> None:
    text = " ".join(Page(render_html(interrupted_sample())).text.split())
    assert "This run was interrupted. 11 of 34 cells ran." in text
    assert "was interrupted" not in render_html(clean_sample())


PAIRS = (
    *((text, ground) for text in ("ink", "soft", "gold", "link") for ground in ("paper", "card")),
    *((tone, f"{tone}-bg") for tone in ("pass", "fail", "unknown", "na")),
    *((tone, ground) for tone in ("pass", "fail", "unknown", "na") for ground in ("paper", "card")),
    ("ink", "shade"), ("soft", "shade"), ("ink", "fail-bg"), ("soft", "fail-bg"),
)  # fmt: skip


def test_every_text_has_the_contrast_of_aa_in_light_and_in_dark() -> None:
    palettes = re.findall(r":root \{(.*?)\}", render_html(sample()), flags=re.DOTALL)[:2]
    assert len(palettes) == 2
    for palette in palettes:
        colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", palette))
        poor = [
            (text, ground, round(ratio, 2))
            for text, ground in PAIRS
            if (ratio := _contrast(colours[text], colours[ground])) < 4.5
        ]
        assert poor == []


def _contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hostile(evidence: Evidence) -> Evidence:
    claim = evidence.claims[0].model_copy(
        update={"claim": HOSTILE, "attack": HOSTILE, "why": HOSTILE}
    )
    cell = evidence.cells[0]
    moment = cell.timeline[0].model_copy(
        update={"text": HOSTILE, "answer": HOSTILE, "actor": HOSTILE}
    )
    finding = cell.findings[0].model_copy(update={"summary": HOSTILE, "observed": HOSTILE})
    hurt = cell.model_copy(update={"cause": HOSTILE, "timeline": (moment,), "findings": (finding,)})
    return evidence.model_copy(
        update={
            "target": HOSTILE,
            "command": HOSTILE,
            "claims": (claim, *evidence.claims[1:]),
            "cells": (hurt, *evidence.cells[1:]),
        }
    )
