"""JUnit agrees with the exit code, and can be read whatever the service answered."""

import xml.etree.ElementTree as ET

from reports.evidence import Evidence
from reports.junit import render_junit
from tests.unit.evidence_samples import cell_of, clean_sample, interrupted_sample, sample


def _parsed(evidence: Evidence) -> ET.Element:
    return ET.fromstring(render_junit(evidence))


def _case(root: ET.Element, build: str, claim: str) -> ET.Element:
    case = root.find(f"testsuite[@name='{build}']/testcase[@name='{claim}']")
    assert case is not None
    return case


def test_one_suite_for_each_build_and_one_case_for_each_claim() -> None:
    root = _parsed(clean_sample())
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["fragile", "hardened"]
    assert [len(suite.findall("testcase")) for suite in suites] == [17, 17]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("34", "0", "0")


def test_a_wrong_prediction_fails_and_an_unknown_is_an_error() -> None:
    root = _parsed(sample())
    counts = [root.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["34", "1", "1", "1"]
    failure = _case(root, "fragile", "rounding").find("failure")
    assert failure is not None
    assert "NOT as predicted" in (failure.get("message") or "")
    assert "assay verify --build fragile --only rounding" in (failure.text or "")
    assert _case(root, "hardened", "deadlock").find("error") is not None
    skipped = _case(root, "fragile", "persistence").find("skipped")
    assert skipped is not None
    assert "given from outside" in (skipped.get("message") or "")


def test_a_predicted_violation_passes_where_predictions_count_and_still_argues() -> None:
    case = _case(_parsed(sample()), "fragile", "double-spend")
    assert case.find("failure") is None
    assert "VIOLATED  double-spend" in (case.findtext("system-out") or "")


def test_a_violation_fails_where_verdicts_count_and_a_canary_does_not() -> None:
    root = _parsed(clean_sample().model_copy(update={"judged_by": "verdict"}))
    assert (root.get("failures"), root.get("errors")) == ("15", "0")
    failure = _case(root, "fragile", "double-spend").find("failure")
    assert failure is not None
    assert failure.get("type") == "violated"
    assert _case(root, "hardened", "canary").find("failure") is None


def test_what_an_interrupted_run_did_not_reach_is_an_error() -> None:
    root = _parsed(interrupted_sample())
    assert (root.get("tests"), root.get("errors")) == ("34", "23")


def test_characters_that_xml_forbids_are_replaced() -> None:
    cell = cell_of(sample(), "rounding", "fragile")
    cause = 'NUL \x00, escape \x1b, bell \x07, \ufffe, <b> & "quotes" and an emoji \U0001f600'
    hostile = cell.model_copy(update={"cause": cause})
    root = _parsed(sample().model_copy(update={"cells": (hostile,)}))
    failure = _case(root, "fragile", "rounding").find("failure")
    assert failure is not None
    message = failure.get("message") or ""
    assert "NUL \ufffd, escape \ufffd" in message
    assert '<b> & "quotes" and an emoji \U0001f600' in message
