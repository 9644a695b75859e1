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
from attacks.http.sender import REQUEST_TIMEOUT_S
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
from scenarios.needs import ASKS_REDIS, all_of, switch
from scenarios.outage.faults import (
    NO_REDIS,
    Outage,
    outages,
    redis_probe,
    until_redis_is_asked,
    wait_for_request,
)
from scenarios.requirements import acknowledged, struck

BOUND_S = 2.0
EACH = 6


def attack(lab: Lab) -> None:
    probe = redis_probe(lab, 1)
    for number, outage in enumerate(outages(lab), start=1):
        until_redis_is_asked(lab, probe)
        payer, payee = lab.wallets(100_00, 0, round=number)
        # A build that fails its bound here would take minutes for the rest and say no more.
        if not _one_outage(lab, outage, payer, payee, probe, number):
            break


def _one_outage(  # noqa: PLR0913, PLR0917 - a round and what it is made of
    lab: Lab, outage: Outage, payer: Wallet, payee: Wallet, probe: Request, number: int
) -> bool:
    """Whether everything was answered within the bound; without Redis it ends where it was not."""
    before = [payer.pays(payee, 1_00) for _ in range(EACH)]
    during = [payer.pays(payee, 1_00) for _ in range(EACH)]
    after = [payer.pays(payee, 1_00) for _ in range(EACH)]
    _send_all(lab, before, number)
    # A call that came late by chance keeps the service away from Redis for a while, too.
    until_redis_is_asked(lab, probe)
    # The fault strikes when this transfer has asked Redis and is not yet answered.
    asked = lab.link.requests
    striking = lab.sender.background(payer.pays(payee, 1_00), actor="B", round=number)
    wait_for_request(lab, asked)
    outage.begin(lab, number)
    try:
        served = _send_all(lab, [*during, *before[:2], *during[:2]], number)
    finally:
        outage.end(lab, number)
    struck = striking.result()
    if served:
        _send_all(lab, [*after, *before[:2], *during[:2]], number)
    return served and struck.duration_s <= BOUND_S


def _send_all(lab: Lab, requests: list[Request], number: int) -> bool:
    """Whether all were answered within the bound; the first that was not is the last."""
    return all(lab.sender.send(request, round=number).duration_s <= BOUND_S for request in requests)


def slowdown(history: History) -> Measure:
    """Median time of a transfer that is sent for the first time, with and without Redis."""
    with_redis, without = _split(history)
    name = "median time of a transfer with Redis, and without it"
    if not with_redis or not without:
        return Measure(name=name, value="not measured")
    fast, slow = median(with_redis), median(without)
    counts = f"({len(with_redis)} and {len(without)} transfers)"
    if slow >= REQUEST_TIMEOUT_S:
        given_up = f"no answer in {REQUEST_TIMEOUT_S:g} s"
        return Measure(name=name, value=f"{fast * 1000:.1f} ms, {given_up} {counts}")
    times = f"{fast * 1000:.1f} ms, {slow * 1000:.1f} ms, ratio {slow / fast:.2f}"
    return Measure(name=name, value=f"{times} {counts}")


def _split(history: History) -> tuple[list[float], list[float]]:
    with_redis: list[float] = []
    without: list[float] = []
    sent: set[str | None] = set()
    for operation in history.operations:
        first = operation.key not in sent
        sent.add(operation.key)
        if first and operation.name == "transfer" and operation.actor == "A":
            times = without if _in_outage(history, operation) else with_redis
            times.append(operation.duration_s)
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
    holds_when=all_of(
        switch("redis_policy", "bounded"),
        switch("idempotency", "memory", "check_then_insert", "claim"),
    ),
    requires=(struck("unreachable", "silent"), acknowledged),
    measures=(slowdown,),
    applies_when=ASKS_REDIS,
    applies_not=NO_REDIS,
)
