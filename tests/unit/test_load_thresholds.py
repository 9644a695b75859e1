"""Thresholds: what is one, what holds, and how it is shown; both ways for every comparison."""

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.load.thresholds import (
    Threshold,
    ThresholdError,
    Verdict,
    exit_code,
    judge,
    junit,
    parse,
    parse_lines,
    table,
)


@pytest.mark.parametrize(
    ("text", "key", "comparison", "value"),
    [
        ("tps>=200", "tps", ">=", 200),
        (" rps > 10.5 ", "rps", ">", 10.5),
        ("p95<50ms", "p95", "<", 50),
        ("p99.9<=1.5s", "p99.9", "<=", 1500),
        ("max<900us", "max", "<", 0.9),
        ("errors<0.1%", "errors", "<", 0.001),
        ("errors==0", "errors", "==", 0),
        ("violations==0", "violations", "==", 0),
        ("violations!=0", "violations", "!=", 0),
        ("transfer.p95<50ms", "transfer.p95", "<", 50),
        ("transfer.p99.9 < 50 ms", "transfer.p99.9", "<", 50),
        ("/v1/wallets/{id}.tps.p50<1s", "/v1/wallets/{id}.tps.p50", "<", 1000),
        ("read the list.errors<1%", "read the list.errors", "<", 0.01),
        ("max.max<1s", "max.max", "<", 1000),
        ("requests>=1", "requests", ">=", 1),
    ],
)
def test_what_is_a_threshold(text: str, key: str, comparison: str, value: float) -> None:
    threshold = parse(text)
    assert (threshold.key, threshold.comparison) == (key, comparison)
    assert threshold.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no threshold"),
        ("fast", "is no threshold"),
        ("p95", "is no threshold"),
        ("p95<", "is no threshold"),
        ("p95=50ms", "is no threshold"),
        ("p95<-1ms", "is no threshold"),
        ("p95<50m", "is no threshold"),
        ("p100<1s", "is no threshold"),
        ("latency<1s", "is no threshold"),
        (".p95<1s", "is no threshold"),
        ("p95<50ms p99<1s", "is no threshold"),
        ("p95<1e3ms", "is no threshold"),
        ("p95<50", "p95 takes ms, s or us, not nothing"),
        ("p95<50%", "not %"),
        ("errors<1", "errors takes %, not nothing"),
        ("errors<1ms", "not ms"),
        ("tps>200ms", "a number without a unit"),
        ("violations==0%", "a number without a unit"),
        ("transfer.violations==0", "those of the whole load"),
    ],
)
def test_what_is_none_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ThresholdError, match=says) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_threshold_or_an_error(text: str) -> None:
    try:
        threshold = parse(text)
    except ThresholdError:
        return
    assert threshold.text == text.strip()
    assert math.isfinite(threshold.value)


def test_a_file_has_one_a_line_and_comments() -> None:
    text = "# SLO\n\ntps>=200  # each second\n  p95<50ms\n/page#top.p50<1s\n"
    keys = [threshold.key for threshold in parse_lines(text, "slo.txt")]
    assert keys == ["tps", "p95", "/page#top.p50"]


def test_a_bad_line_is_named() -> None:
    with pytest.raises(ThresholdError, match=r"^slo\.txt:3: 'p95<50' p95|^slo\.txt:3: 'p95<50': "):
        parse_lines("tps>1\n\np95<50\n", "slo.txt")


def test_a_file_without_any_is_a_mistake() -> None:
    with pytest.raises(ThresholdError, match="no threshold in it"):
        parse_lines("# later\n", "slo.txt")


HOLDS = [
    (">=", 200, (200, 201), (199.9,)),
    ("<=", 200, (200, 199), (200.1,)),
    (">", 200, (200.1,), (200, 0)),
    ("<", 200, (199.9, 0), (200, 500)),
    ("==", 0, (0,), (1, 0.1)),
    ("!=", 0, (1, 0.1), (0,)),
]


@pytest.mark.parametrize(("comparison", "value", "passes", "fails"), HOLDS)
def test_comparisons_both_ways(
    comparison: str, value: float, passes: tuple[float, ...], fails: tuple[float, ...]
) -> None:
    threshold = parse(f"tps{comparison}{value}")
    for measured, verdict in [
        *((one, Verdict.PASSED) for one in passes),
        *((one, Verdict.FAILED) for one in fails),
    ]:
        (result,) = judge([threshold], {"tps": measured})
        assert (result.verdict, result.value) == (verdict, measured)


@pytest.mark.parametrize("metrics", [{}, {"violations": None}, {"violations": math.nan}])
def test_what_nobody_measured_is_no_pass(metrics: dict[str, float | None]) -> None:
    (result,) = judge([parse("violations==0")], metrics)
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "not measured")
    (result,) = judge([parse("violations==0")], metrics, {"violations": "no audit"})
    assert result.reason == "no audit"


def test_one_request_s_figures_are_not_another_s() -> None:
    thresholds = [parse("transfer.p95<50ms"), parse("p95<50ms")]
    results = judge(thresholds, {"p95": 10, "transfer.p95": 60})
    assert [result.verdict for result in results] == [Verdict.FAILED, Verdict.PASSED]
    (result,) = judge(thresholds[:1], {"p95": 10})
    assert result.verdict is Verdict.UNKNOWN


def results_of(*texts: str) -> tuple[Threshold, ...]:
    return tuple(parse(text) for text in texts)


MIXED = judge(
    results_of("tps>=200", "p95<50ms", "errors<0.1%", "violations==0"),
    {"tps": 210.456789, "p95": 83, "errors": 0.0},
)


@pytest.mark.parametrize(("results", "code"), [(MIXED, 1), (MIXED[:1], 0), (MIXED[2:], 3), ((), 0)])
def test_exit_codes_say_the_worst(results: tuple[object, ...], code: int) -> None:
    assert exit_code(results) == code  # type: ignore[arg-type]  # slices of MIXED


def test_the_table_has_a_line_each() -> None:
    lines = table(MIXED).splitlines()
    assert lines[0].split() == ["threshold", "measured", "verdict"]
    assert lines[1].split() == ["tps>=200", "210.457", "PASSED"]
    assert lines[2].split() == ["p95<50ms", "83", "ms", "FAILED"]
    assert lines[3].split() == ["errors<0.1%", "0", "%", "PASSED"]
    assert lines[4].split() == ["violations==0", "not", "measured", "UNKNOWN"]
    assert table(()) == ""


def test_junit_counts_and_names_each() -> None:
    root = ET.fromstring(junit(MIXED, suite="load"))
    (suite,) = root
    assert suite.attrib == {"name": "load", "tests": "4", "failures": "1", "errors": "1"}
    cases = {case.get("name"): case for case in suite}
    assert [child.tag for child in cases["p95<50ms"]] == ["failure"]
    assert cases["p95<50ms"][0].get("message") == "p95<50ms: measured 83 ms"
    assert [child.tag for child in cases["violations==0"]] == ["error"]
    assert [child.tag for child in cases["tps>=200"]] == ["system-out"]


def test_junit_survives_any_name() -> None:
    threshold = parse('a<"b\x01>&.p50<1s')
    assert ET.fromstring(junit(judge([threshold], {})))[0][0].get("name") == 'a<"b?>&.p50<1s'
