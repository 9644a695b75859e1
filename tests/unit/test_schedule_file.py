"""A schedule file: read back as it was written, or refused in one clear line."""

import json
from pathlib import Path
from typing import Any

import pytest

from scenarios.schedule_file import (
    SCHEDULE_VERSION,
    TARGET,
    ScheduleError,
    ScheduleFile,
    order_in_words,
    read_schedule,
)

SCHEDULE = ScheduleFile(
    assay_schedule=SCHEDULE_VERSION,
    target=TARGET,
    build="hardened,locking=none",
    claim="double-spend",
    race="two payments",
    seed=7,
    requests=("A: transfer", "B: transfer"),
    order=(0, 1, 0),
    violated=("money is conserved",),
    trace=(("A", "SELECT v", ("1", None), "SELECT 1", (("5", None),)),),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "schedule.json"


def written(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(SCHEDULE.model_dump(mode="json") | changes))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ScheduleError) as caught:
        read_schedule(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_what_was_written_is_read_back(path: Path) -> None:
    assert read_schedule(written(path)) == SCHEDULE


def test_an_order_in_words() -> None:
    assert order_in_words((0, 0, 1, 2)) == "AABC"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"assay_schedule": "2"}, "was written by another version of Assay (this one reads"),
        ({"target": "a shop"}, "belongs to another service (a shop)"),
        ({"order": []}, "is no schedule of Assay: order: "),
        ({"order": [0, "next"]}, "is no schedule of Assay: order.1: "),
        ({"order": [0, 2]}, "names a request that it does not have"),
        ({"order": [-1]}, "names a request that it does not have"),
        ({"seed": None}, "is no schedule of Assay: seed: "),
        ({"extra": 1}, "is no schedule of Assay: extra: "),
    ],
)
def test_what_cannot_be_replayed_is_refused(path: Path, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(written(path, **changes))


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", "null", '{"order": [0]}'])
def test_what_is_no_schedule_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    refusal(path)


def test_what_cannot_be_read_is_refused(path: Path, tmp_path: Path) -> None:
    assert refusal(path).endswith("cannot be read: No such file or directory")
    assert "cannot be read" in refusal(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(path).endswith("cannot be read: it is no text")
