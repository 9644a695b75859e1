"""Every switch has a price or a reason, and a pair of builds differs in nothing else."""

import pytest

from attacks.http.pump import (
    PumpError,
    PumpPlan,
    PumpSite,
    Shot,
    Turn,
    plan_as_json,
    plan_from_json,
)
from engine.defences import DefenceError, as_dict, switches, values_of
from scenarios.pricing.subjects import NOT_PRICED, Subject, all_subjects, subjects
from scenarios.pricing.workload import Purse, Supply, clients, meeting

SUPPLY = Supply(
    purses=tuple(Purse(wallet=n, headers=n) for n in range(40)),
    operators=(40, 41),
    bare_numbers=False,
)


def test_every_switch_has_a_price_or_a_reason_for_none() -> None:
    priced = {subject.switch for subject in all_subjects()}
    assert priced | set(NOT_PRICED) == set(switches()), "price it in subjects.py, or say why not"
    assert not priced & set(NOT_PRICED)


@pytest.mark.parametrize("subject", all_subjects(), ids=lambda subject: subject.name)
def test_the_builds_of_a_pair_differ_in_one_switch(subject: Subject) -> None:
    on, off = (as_dict(build.defences) for build in subject.builds)
    differs = {name: (on[name], off[name]) for name in on if on[name] != off[name]}
    assert differs == {subject.switch: (subject.on, subject.off)}


@pytest.mark.parametrize("subject", all_subjects(), ids=lambda subject: subject.name)
def test_what_is_switched_on_is_safe(subject: Subject) -> None:
    facts = switches()[subject.switch]
    values = values_of(subject.switch)
    if subject.off not in facts.variants and subject.switch != "ledger":
        assert values.index(subject.on) >= facts.fragile_count


def test_a_price_needs_a_switch_that_has_one() -> None:
    assert {s.switch for s in subjects(("ledger", "pin"))} == {"ledger", "pin"}
    with pytest.raises(DefenceError, match="did you mean 'locking'"):
        subjects(("lockin",))
    with pytest.raises(DefenceError, match="errors has no price: only requests that are refused"):
        subjects(("errors",))


@pytest.mark.parametrize("subject", all_subjects(), ids=lambda subject: subject.name)
def test_no_two_clients_share_a_wallet_that_they_write_to(subject: Subject) -> None:
    made = clients(SUPPLY, subject.workload, 8, seed=1)
    assert len(made) == 8
    written = [
        {shot.headers for shot in client if shot.name in ("transfer", "deposit")} for client in made
    ]
    if subject.workload != "deposits":
        assert sum(map(len, written)) == len(set().union(*written))


def test_writers_meet_and_readers_only_read() -> None:
    made = meeting(SUPPLY, writers=2, readers=1, seed=1, hot=SUPPLY.purses[0])
    assert [{shot.name for shot in client} for client in made] == [
        {"transfer"},
        {"transfer"},
        {"read"},
    ]
    assert all('"to_wallet_id": 0' in shot.body for client in made[:2] for shot in client)
    assert all(409 in shot.refused for client in made[:2] for shot in client)


SHOT = Shot(name="get", method="GET", path="/")
SITE = PumpSite(host="127.0.0.1", port=1, headers=({},), clients=((SHOT,),))
TURN = Turn(site=0, warm_s=0.1, measure_s=0.1)


def test_a_plan_survives_its_journey() -> None:
    plan = PumpPlan(sites=(SITE,), turns=(TURN,), seed=3)
    assert plan_from_json(plan_as_json(plan)) == plan


@pytest.mark.parametrize(
    ("site", "turn", "says"),
    [
        (SITE, Turn(site=1, warm_s=0, measure_s=1), "turn 0 is of site 1"),
        (SITE, Turn(site=0, warm_s=0, measure_s=0), "no time"),
        (SITE, Turn(site=0, warm_s=0, measure_s=1, clients=0), "no clients"),
        (PumpSite(host="h", port=1, headers=({},), clients=()), TURN, "no client"),
        (PumpSite(host="h", port=1, headers=(), clients=((SHOT,),)), TURN, "no headers 0"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    site: PumpSite, turn: Turn, says: str
) -> None:
    with pytest.raises(PumpError, match=says):
        plan_from_json(plan_as_json(PumpPlan(sites=(site,), turns=(turn,))))
    with pytest.raises(PumpError, match="this is no plan"):
        plan_from_json('{"sites": 1}')
