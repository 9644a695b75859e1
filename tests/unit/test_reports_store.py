"""The run's folder: nothing half written, nothing read that is not evidence."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.document import EvidenceError
from reports.store import RunFolder, read_evidence, write_evidence, write_reports
from tests.unit.evidence_samples import clean_sample, sample


def test_evidence_comes_back_as_it_was_written(tmp_path: Path) -> None:
    evidence = sample()
    write_evidence(tmp_path / "run", evidence)
    assert read_evidence(tmp_path / "run") == evidence
    assert read_evidence(tmp_path / "run" / "evidence.json") == evidence


def test_a_write_that_fails_leaves_the_old_evidence_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_evidence(tmp_path, clean_sample())

    def full_disk(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_evidence(tmp_path, sample())
    assert read_evidence(tmp_path) == clean_sample()
    assert [path.name for path in tmp_path.iterdir()] == ["evidence.json"]


def _changed(change: Callable[[dict[str, object]], object]) -> str:
    document = json.loads(sample().model_dump_json())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "version None"),
        (_changed(lambda d: d.update(version="2")), "version '2'; this Assay reads '1'"),
        (_changed(lambda d: d.pop("seed")), "seed: Field required"),
        (_changed(lambda d: d.update(surprise=1)), "surprise: Extra inputs"),
        (_changed(lambda d: d.update(cells=[{"build": 1}])), "cells.0.scenario: Field required"),
    ],
)
def test_what_is_no_evidence_is_refused_in_one_line(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "evidence.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(EvidenceError) as error:
        read_evidence(tmp_path)
    assert message in str(error.value)
    assert "evidence.json" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"evidence\.json does not exist"):
        read_evidence(tmp_path)


def test_reports_stand_beside_the_evidence(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path / "run")
    write_evidence(run.path, sample())
    write_reports(run.path, sample())
    for file in (run.evidence, run.junit, run.summary, run.page, run.checksums):
        assert file.stat().st_size > 0


def test_checksums_cover_every_file_and_are_right(tmp_path: Path) -> None:
    run = _run_with_histories(tmp_path)
    names = [line.split("  ", 1)[1] for line in run.checksums.read_text().splitlines()]
    assert names == sorted(names)
    assert "histories/fragile/double-spend.jsonl" in names
    assert {"evidence.json", "junit.xml", "report.html", "summary.md"} <= set(names)
    assert "SHA256SUMS" not in names


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum (coreutils)")
def test_sha256sum_accepts_the_checksums_until_something_changes(tmp_path: Path) -> None:
    run = _run_with_histories(tmp_path)
    assert _sha256sum(run.path) == 0
    run.page.write_text("other", encoding="utf-8")
    assert _sha256sum(run.path) != 0


def _run_with_histories(folder: Path) -> RunFolder:
    run = RunFolder(path=folder)
    history = run.histories / "fragile" / "double-spend.jsonl"
    history.parent.mkdir(parents=True)
    history.write_text("{}\n", encoding="utf-8")
    (run.histories / "a name\nof two lines").write_text("x", encoding="utf-8")
    write_evidence(folder, sample())
    write_reports(folder, sample())
    return run


def _sha256sum(folder: Path) -> int:
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode
