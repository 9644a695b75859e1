"""What is drawn from a load's document: the page, JUnit, Markdown, the schema."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from reports.document import EvidenceError
from reports.evidence import Verdict
from reports.line_chart import MOST_POINTS, TimeAxis, Values, line_of, scale_of, thinned
from reports.load import LoadDocument
from reports.load_junit import render_load_junit
from reports.load_markdown import render_load_markdown
from reports.load_page import render_load_html
from reports.load_store import DOCUMENT, read_load, write_load
from reports.load_words import felt_in_words, missing_money, so_far_in_words
from reports.schema import LOAD_SCHEMA_FILE, load_schema_text
from tests.unit.load_samples import document, held_run, lossy_run
from tests.unit.test_reports_html import HOSTILE, Page

EMPTY = held_run().model_copy(
    update={
        "series": held_run().series.__class__(),
        "samples": held_run().samples.__class__(),
        "rows": (),
        "checks": (),
        "faults": (),
        "so_far": (),
        "doubts": ("Locust sent nothing",),
        "verdict": Verdict.UNKNOWN,
    }
)
DOCUMENTS = [
    document(),
    document(held_run(), lossy_run()),
    document(EMPTY, verdict=Verdict.UNKNOWN),
    document().model_copy(update={"runs": (), "status": "interrupted"}),
]


@pytest.mark.parametrize("left", DOCUMENTS)
def test_the_page_is_whole_without_a_network(left: LoadDocument) -> None:
    text = render_load_html(left)
    assert re.search(r"(?:https?|wss?|ftp)://", text) is None
    assert "url(" not in text
    assert "<script" not in text
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= {*page.ids, "run-0"}
    outside = {link for link in page.links if not link.startswith("#")}
    allowed = re.compile(r"load\.json|data:,|histories/(fragile|hardened)/locust\.html")
    assert all(allowed.fullmatch(link) for link in outside)


def test_the_page_says_what_happened() -> None:
    text = " ".join(Page(render_load_html(document(held_run(), lossy_run()))).text.split())
    for part in (
        "hardened kept every cent",
        "1,234.56 more in wallets than was ever paid in",
        "17 acknowledged payments without a record",
        "redis-down@3s+2s",
        "200 to 50 a second (25%), silent for 0.4 s, back 1.5 s after it was mended",
        "Latency from the intended start",
        "p95<50ms",
        "own report",
    ):
        assert part in text, part


def test_both_builds_are_drawn_on_the_same_scale() -> None:
    slow = lossy_run()
    slower = slow.series.model_copy(update={"answered": tuple(500 for _ in slow.series.at_s)})
    text = render_load_html(document(held_run(), slow.model_copy(update={"series": slower})))
    assert text.count("<span>600</span>") == 2


def test_text_of_the_document_is_never_markup() -> None:
    hostile = held_run().model_copy(
        update={
            "doubts": (HOSTILE,),
            "build": held_run().build.model_copy(update={"name": HOSTILE}),
        }
    )
    page = Page(render_load_html(document(hostile)))
    assert "img" not in page.tags
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_a_gap_in_what_is_known_is_a_gap_in_the_line() -> None:
    axis, scale = TimeAxis(first_s=0, last_s=3), scale_of([Values(name="n", values=(4.0,))])
    line = line_of(Values(name="n", values=(4.0, None, 2.0, 0.0)), (0, 1, 2, 3), axis, scale)
    assert line.path == "M0.0 0.0M666.7 50.0L1000.0 100.0"


def test_what_was_seen_before_or_after_the_axis_is_not_drawn_at_its_edges() -> None:
    axis, scale = TimeAxis(first_s=0, last_s=2), scale_of([Values(name="n", values=(4.0,))])
    line = line_of(Values(name="n", values=(4.0, 1.0, 2.0, 3.0)), (-1, 0, 2, 2.5), axis, scale)
    assert line.path == "M0.0 75.0L1000.0 50.0"


def test_a_long_load_is_thinned_and_its_worst_moments_stay() -> None:
    values = [1.0] * 3000
    values[1234] = 99.0
    kept = thinned(list(range(3000)), values)
    assert len(kept) <= MOST_POINTS
    assert max(value or 0 for _, value in kept) == 99.0


def test_widely_spread_values_get_a_logarithmic_scale_where_they_may() -> None:
    lines = [Values(name="p99", values=(5.0, 4000.0))]
    assert scale_of(lines, may_be_logarithmic=True).logarithmic
    assert not scale_of(lines).logarithmic
    assert [tick.label for tick in scale_of(lines, may_be_logarithmic=True).ticks] == [
        "1", "10", "100", "1,000", "10,000",
    ]  # fmt: skip


def test_junit_counts_what_was_not_held() -> None:
    missed = held_run().model_copy(
        update={
            "thresholds": tuple(
                t.model_copy(update={"met": met})
                for t in held_run().thresholds
                for met in (False, None)
            )
        }
    )
    suite = ET.fromstring(render_load_junit(document(missed)))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "1")


def test_in_junit_the_compared_build_passes_by_losing_money() -> None:
    suites = ET.fromstring(render_load_junit(document(held_run(), lossy_run())))
    assert suites[1].get("errors") == "0"
    suites = ET.fromstring(render_load_junit(document(held_run(), held_run("fragile"))))
    assert suites[1].get("errors") == "1"


def test_a_character_that_xml_forbids_does_not_break_junit() -> None:
    odd = held_run().model_copy(update={"doubts": ("an answer of \x00\x1b[31m",)})
    assert ET.fromstring(render_load_junit(document(odd)))[0].get("errors") == "1"


def test_markdown_is_a_table_with_the_verdict_first() -> None:
    text = render_load_markdown(document(lossy_run(), verdict=Verdict.VIOLATED))
    assert text.startswith("# ❌ Assay load: FAIL")
    assert "| transfer | 1,000 |" in text
    assert "❌ money is conserved: 1234.56 came from nowhere" in text


@pytest.mark.parametrize("left", DOCUMENTS)
def test_a_document_obeys_its_schema_and_is_read_again(left: LoadDocument, tmp_path: Path) -> None:
    write_load(tmp_path, left)
    schema = json.loads(LOAD_SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads((tmp_path / DOCUMENT).read_text()))
    assert read_load(tmp_path) == left
    assert {path.name for path in tmp_path.iterdir()} == {
        "load.json", "report.html", "junit.xml", "summary.md", "SHA256SUMS",
    }  # fmt: skip


def test_the_schema_file_is_up_to_date() -> None:
    stale = f"{LOAD_SCHEMA_FILE.name} is stale: run `python -m reports.schema`"
    assert LOAD_SCHEMA_FILE.read_text(encoding="utf-8") == load_schema_text(), stale


@pytest.mark.parametrize(
    ("text", "complaint"),
    [('{"version": "9"}', "has version '9'"), ("{", "is not JSON"), ('{"version": "1"}', "run:")],
)
def test_what_is_no_document_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / DOCUMENT).write_text(text)
    with pytest.raises(EvidenceError, match=complaint):
        read_load(tmp_path)


def test_a_service_that_did_not_recover_is_no_pass() -> None:
    fault = held_run().faults[0].model_copy(update={"recovered_in_s": None})
    assert fault.is_not_back
    text = render_load_junit(document(held_run().model_copy(update={"faults": (fault,)})))
    (case,) = ET.fromstring(text).findall(".//testcase[@classname='faults']")
    assert [child.tag for child in case] == ["error"]
    unknown = fault.model_copy(update={"before_per_s": None})
    assert unknown.is_not_back, "nobody saw that it recovered"


def test_what_nobody_has_checked_yet_is_no_mark() -> None:
    early = held_run().so_far[0].model_copy(update={"checked": 0})
    assert so_far_in_words(early) == "nothing checked yet"
    marks = [
        render_load_html(document(held_run().model_copy(update={"so_far": seen}))).count(
            '<i style="'
        )
        for seen in ((early,), (early, *held_run().so_far))
    ]
    assert marks[1] == marks[0] + 1
    over = render_load_html(document(held_run().model_copy(update={"so_far": (early,)})))
    assert "nothing was checked before the load was over" in over
    assert "nothing checked yet" not in over


def test_figures_in_words() -> None:
    assert missing_money(held_run().losses) == ""
    fault = held_run().faults[0]
    assert "not back before the end" in felt_in_words(
        fault.model_copy(update={"recovered_in_s": None})
    )
    assert felt_in_words(fault.model_copy(update={"problem": "it did not strike"})) == (
        "it did not strike"
    )
