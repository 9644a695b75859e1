"""Redis goes away: before, during and after transfers.

Claim    Without Redis money is right, requests end within 2 s, and replays have one effect.
Attack   Redis is killed, stopped (SIGSTOP), unreachable (refused) and silent (packets lost). Each
         time there are transfers before, while it goes, without it, and after its return, and keys
         are sent again without it and once more after.
Why      A cache that has to answer before money may move is no cache. The client's defaults wait
         and try again for seconds, with a database transaction open.
Known as Dependency outage, cascading failure; fail-open and fail-closed.
"""

from statistics import median

from attacks.history import History, Operation
from attacks.http.request import Request
from reports.evidence import Measure
from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    money_is_conserved,
    replays_answer_alike,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.outage.faults import Outage, outages
from scenarios.requirements import struck

BOUND_S = 2.0
EACH = 6


def attack(lab: Lab) -> None:
    for number, outage in enumerate(outages(lab), start=1):
        payer, payee = lab.wallets(100_00, 0, round=number)
        _one_outage(lab, outage, payer, payee, number)


def _one_outage(lab: Lab, outage: Outage, payer: Wallet, payee: Wallet, number: int) -> None:
    before = [payer.pays(payee, 1_00) for _ in range(EACH)]
    during = [payer.pays(payee, 1_00) for _ in range(EACH)]
    after = [payer.pays(payee, 1_00) for _ in range(EACH)]
    _send_all(lab, before, number)
    striking = lab.sender.background(payer.pays(payee, 1_00), actor="B", round=number)
    outage.begin(lab, number)
    try:
        # A build that fails its bound here would take minutes for the rest and say no more.
        served = _send_all(lab, [*during, *before[:2], *during[:2], payer.read()], number)
    finally:
        outage.end(lab, number)
    striking.result()
    if served:
        _send_all(lab, [*after, *before[:2], *during[:2], payer.read()], number)


def _send_all(lab: Lab, requests: list[Request], number: int) -> bool:
    """Whether all were answered within the bound; the first that was not is the last."""
    return all(lab.sender.send(request, round=number).duration_s <= BOUND_S for request in requests)


def slowdown(history: History) -> Measure:
    """Median time of a transfer with and without Redis."""
    with_redis, without = _split(history)
    if not with_redis or not without:
        return Measure(name="slowdown without Redis", value="not measured")
    fast, slow = median(with_redis), median(without)
    return Measure(
        name="median transfer with Redis, without it, ratio",
        value=f"{fast * 1000:.1f} ms, {slow * 1000:.1f} ms, {slow / fast:.2f}",
    )


def _split(history: History) -> tuple[list[float], list[float]]:
    with_redis: list[float] = []
    without: list[float] = []
    for operation in history.operations:
        if operation.name == "transfer" and operation.actor == "A" and operation.round is not None:
            (without if _in_outage(history, operation) else with_redis).append(operation.duration_s)
    return with_redis, without


def _in_outage(history: History, operation: Operation) -> bool:
    away = False
    for event in history.events:
        if event.round == operation.round and event.at_s <= operation.started_s:
            away = event.kind in ("kill", "pause", "unreachable", "silent")
    return away


SCENARIO = Scenario(
    name="redis-outage",
    suite="Redis outage",
    claim="Without Redis money is right, requests end within 2 s, and replays have one effect.",
    story=__doc__,
    attack=attack,
    invariants=(
        answered_within(BOUND_S),
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        replays_answer_alike,
    ),
    holds_when=all_of(switch("redis_policy", "bounded"), switch("idempotency", "claim")),
    requires=(struck("unreachable", "silent"),),
    measures=(slowdown,),
)
