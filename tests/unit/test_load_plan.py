"""The plan of a load: read as it was written, and refused in one line where it is none."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from attacks.load.plan import (
    Operator,
    Plan,
    PlanError,
    Wallet,
    document_of,
    money_of,
    plan_of,
    read_plan,
    write_plan,
)
from tests.unit.test_load_requests import THEIRS

TWO = [{"id": "1"}, {"id": "2"}]
WALLETS = (Wallet(id="1", token="t", pin="0000"), Wallet(id="2"))
PLAN = Plan(money="float", seed=5, wallets=WALLETS, merchant=1, operator=Operator(token="o"))


@pytest.mark.parametrize(
    "plan", [PLAN, Plan(money="minor_units", wallets=WALLETS, asset="EUR", requests=THEIRS)]
)
def test_a_plan_is_read_as_it_was_written(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "plan.json"
    write_plan(path, plan)
    assert read_plan(path) == plan
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.touch(mode=0o644)
    write_plan(path, PLAN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_master_sends_is_a_plan() -> None:
    sent = json.loads(json.dumps(document_of(PLAN)))
    assert plan_of(sent, "the master's plan") == PLAN


def test_nobody_reads_tokens_in_a_log() -> None:
    shown = repr(Plan(money="float", wallets=(Wallet(id="1", token="secret", pin="secret"),)))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not a plan"),
        ("[]", "is not a plan"),
        ('{"money": "float"}', "is not a plan"),
        (json.dumps({"money": "euro", "wallets": TWO}), "money is 'euro'"),
        (json.dumps({"money": "float", "wallets": TWO[:1]}), "two wallets or more, each once"),
        (json.dumps({"money": "float", "wallets": [*TWO, {"id": 2}]}), "each once"),
        (json.dumps({"money": "float", "wallets": [{}, *TWO]}), "is not a plan"),
        (json.dumps({"money": "float", "wallets": TWO, "merchant": 2}), "no wallet 2"),
        (json.dumps({"money": "float", "wallets": TWO, "requests": {}}), "these are no requests"),
        (json.dumps({"money": "float", "wallets": TWO, "operator": "x"}), "is not a plan"),
    ],
)
def test_what_is_no_plan_is_said_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=says) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot be read: No such file"):
        read_plan(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("money", "wire"), [("float", 3.05), ("minor_units", {"amount": 305, "asset": "USD"})]
)
def test_an_amount_is_written_as_the_service_writes_it(money: Any, wire: Any) -> None:
    amount = Plan(money=money, wallets=WALLETS).amount(305)
    assert amount == {
        "amount": wire,
        "amount_minor": 305,
        "amount_major": "3.05",
        "asset": "USD",
    }


@pytest.mark.parametrize(
    ("switch", "written"),
    [
        ("minor_units", {"amount": 305, "asset": "USD"}),
        ("numeric", 3.05),
        ("float", 3.05),
    ],
)
def test_amounts_are_written_as_the_build_reads_them(switch: str, written: object) -> None:
    assert Plan(money=money_of(switch), wallets=()).amount(305)["amount"] == written
