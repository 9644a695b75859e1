"""The page in a real browser: drawn without an error, without a network, at any width."""

import html
import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from reports.evidence import Evidence
from reports.html import render_html
from tests.browser.chromium import installed_chromium
from tests.unit.evidence_samples import cell_of, sample
from tests.unit.exploration_samples import explored_sample
from tests.unit.test_reports_ablation import ablated

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)

# Opens everything, then tells the frame around it how wide the content became, and what is too
# wide. What scrolls within its own box may be as wide as it likes.
MEASURE = """<script>addEventListener("load", function () {
  document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  var root = document.documentElement, wide = [];
  document.querySelectorAll("body *").forEach(function (e) {
    if (!e.closest(".scroll, .chart, .skip") && e.getBoundingClientRect().right > innerWidth + 1) {
      wide.push(e.tagName + "." + e.className);
    }
  });
  parent.postMessage({asked: innerWidth, got: root.scrollWidth, wide: wide.slice(0, 9)}, "*");
});</script></body>"""

# What a reader of a schedule sees: where each session's statements stand, how long a wait's bar is,
# what is behind the step that went wrong.
LOOK = """<script>addEventListener("load", function () {
  document.querySelectorAll("details.cell").forEach(function (d) { d.open = true; });
  var seen = [];
  document.querySelectorAll(".sessions").forEach(function (table) {
    var cells = [].slice.call(table.querySelectorAll("td.own, td.waiting"));
    seen.push({
      title: table.closest("figure").querySelector("figcaption").textContent,
      columns: [].slice.call(table.querySelectorAll("thead .who")).map(function (e) {
        return e.closest("th").getBoundingClientRect().left; }),
      cells: cells.map(function (e) { var style = getComputedStyle(e, "::before"); return {
        kind: e.className, left: e.getBoundingClientRect().left, text: e.textContent.trim(),
        top: e.getBoundingClientRect().top, bottom: e.getBoundingClientRect().bottom,
        bar: style.content === "none" ? 0 : parseFloat(style.height),
        ground: getComputedStyle(e).backgroundColor }; })
    });
  });
  var pre = document.createElement("pre");
  pre.id = "seen"; pre.textContent = JSON.stringify(seen); document.body.appendChild(pre);
});</script></body>"""

FRAMES = """<!doctype html><body><pre id="sizes"></pre><script>
  addEventListener("message", function (event) {
    document.getElementById("sizes").textContent += JSON.stringify(event.data) + "\\n";
  });
</script>%s</body>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    return installed_chromium()


def _dom(chromium: str, url: str, profile: Path, *, width: int = 1500) -> tuple[str, str]:
    """What the page became, and what the browser complained about."""
    # Chromium has no sandbox for root, which is who runs in most containers.
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    size = f"--window-size={width},1200"
    command = [chromium, *FLAGS, size, *sandbox, f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(complaints)


def _text(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def test_the_matrix_is_drawn_and_nothing_is_complained_about(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(sample()), encoding="utf-8")
    dom, complaints = _dom(chromium, page.as_uri(), tmp_path / "profile")
    assert complaints == ""
    matrix = _text(dom.split('<table class="matrix">')[1].split("</table>")[0])
    for row in (
        "Double spend ✕ FAIL as predicted ✓ PASS as predicted",
        "Deadlock ✕ FAIL as predicted ? UNKNOWN NOT as predicted",
        "rounding N parts of x add up to x, exactly. ✓ PASS NOT as predicted",
        "canary A wallet that is robbed by the harness itself stays whole. ✕ FAIL as predicted",
    ):
        assert row in matrix


def test_a_console_error_would_have_been_seen(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<script>undefinedFunction()</script>", encoding="utf-8")
    assert "undefinedFunction" in _dom(chromium, page.as_uri(), tmp_path / "profile")[1]


def test_a_link_opens_the_cell_that_it_leads_to(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(sample()), encoding="utf-8")
    anchor = "cell-lost-update--hardened"
    before, _ = _dom(chromium, page.as_uri(), tmp_path / "one")
    after, _ = _dom(chromium, f"{page.as_uri()}#{anchor}", tmp_path / "two")
    assert 'class="cell">' in _details_around(before, anchor)
    assert 'class="cell" open="">' in _details_around(after, anchor)


def test_a_schedule_is_drawn_in_columns_with_bars_and_its_culprit(
    chromium: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(explored_sample()).replace("</body>", LOOK), encoding="utf-8")
    dom, complaints = _dom(chromium, page.as_uri(), tmp_path / "profile")
    assert complaints == ""
    seen = json.loads(html.unescape(dom.split('<pre id="seen">')[1].split("</pre>")[0]))
    deadlock = next(table for table in seen if "each holds what" in table["title"])
    assert len(deadlock["columns"]) == 2
    # Every statement stands below the head of one session.
    assert {cell["left"] for cell in deadlock["cells"]} == set(deadlock["columns"])
    # The bar of A's wait goes without a gap from where it began to where it went on.
    wait = [c for c in deadlock["cells"] if c["bar"] and c["left"] == deadlock["columns"][0]]
    assert [cell["kind"].split()[-1] for cell in wait] == ["begins", "waiting", "waiting", "ends"]
    assert all(one["bottom"] == other["top"] for one, other in pairwise(wait))
    assert all(cell["bar"] > cell["bottom"] - cell["top"] for cell in wait[1:3])
    assert "waits for B" in wait[0]["text"]
    culprits = [cell for cell in deadlock["cells"] if "culprit" in cell["kind"]]
    assert "it went wrong here" in culprits[-1]["text"]
    assert culprits[-1]["ground"] not in {c["ground"] for c in wait}


def test_a_losing_order_and_the_serial_one_stand_side_by_side_where_there_is_room(
    chromium: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(explored_sample()).replace("</body>", LOOK), encoding="utf-8")
    sides = {}
    for width in (700, 1400):
        dom, _ = _dom(chromium, page.as_uri(), tmp_path / f"profile-{width}", width=width)
        seen = json.loads(html.unescape(dom.split('<pre id="seen">')[1].split("</pre>")[0]))
        losing, serial = seen[0]["columns"], seen[1]["columns"]
        sides[width] = serial[0] > losing[-1]
    assert sides == {700: False, 1400: True}


@pytest.mark.parametrize("words", ["usual", "endless", "searched", "ablated"])
def test_the_page_never_scrolls_sideways(chromium: str, tmp_path: Path, words: str) -> None:
    others = {"searched": explored_sample, "ablated": ablated}
    evidence = others.get(words, sample)()
    if words == "endless":
        evidence = _with_endless_words(evidence)
    page, frames = tmp_path / "report.html", tmp_path / "frames.html"
    page.write_text(render_html(evidence).replace("</body>", MEASURE), encoding="utf-8")
    markup = "".join(
        f'<iframe src="report.html" style="border:0;height:900px;width:{width}px"></iframe>'
        for width in (390, 768, 1400)
    )
    frames.write_text(FRAMES % markup, encoding="utf-8")
    dom, _ = _dom(chromium, frames.as_uri(), tmp_path / "profile")
    lines = dom.split('<pre id="sizes">')[1].split("</pre>")[0].splitlines()
    sizes = [json.loads(line) for line in lines]
    assert sorted(size["asked"] for size in sizes) == [390, 768, 1400]
    for size in sizes:
        assert size["got"] <= size["asked"], size
        assert size["wide"] == [], size


def _with_endless_words(evidence: Evidence) -> Evidence:
    """Every text that comes from a target or a path, as one word without a place to break."""
    endless = "x" * 240
    cell = cell_of(evidence, "redis-outage", "fragile")
    texts = {"actor": endless, "text": endless, "answer": endless}
    finding = {"summary": endless, "expected": endless, "observed": endless, "invariant": endless}
    hurt = cell.model_copy(
        update={
            "cause": endless,
            "reasons": (endless,),
            "reproduce": endless,
            "history_file": endless,
            "findings": tuple(f.model_copy(update=finding) for f in cell.findings * 3),
            "timeline": tuple(moment.model_copy(update=texts) for moment in cell.timeline),
            "measures": tuple(m.model_copy(update={"value": endless}) for m in cell.measures),
            "switches": {endless: endless},
        }
    )
    cells = tuple(hurt if other is cell else other for other in evidence.cells)
    target = {"target": endless, "command": endless, "run": endless, "cells": cells}
    return evidence.model_copy(update=target)


def _details_around(dom: str, anchor: str) -> str:
    before = dom.split(f'id="{anchor}"', maxsplit=1)[0]
    return before[before.rindex("<details") :]
