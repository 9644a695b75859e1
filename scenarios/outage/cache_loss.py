"""Redis loses everything that it holds, at any moment.

Claim    FLUSHALL at any moment changes nothing but speed.
Attack   Everything that Redis holds is lost at each command of a payment, of its retry and of a
         read, once each; then the payment is sent again with its key and balances are read. Last, a
         reader is held at each of its commands while the balance is paid; then everything is lost
         and the command arrives.
Why      What is kept only in Redis is gone: a key that had its effect has it again. What knows of a
         newer balance only from Redis believes an older one after that.
Known as Cache loss, eviction; cold cache.
"""

import time
from threading import Event as Flag

from attacks.history import History
from attacks.http.request import Request
from attacks.redis.faults import LoseData
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    no_stale_read,
    replays_answer_alike,
)
from scenarios.lab import AttackFailed, Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import ASKS_REDIS, all_of, switch
from scenarios.outage.faults import (
    NEVER_ASKED,
    NO_REDIS,
    is_held_still,
    reached_or_answered,
    until_redis_is_asked,
)
from scenarios.requirements import acknowledged, read_in_every_round, rounds_of

PAID_MINOR = 10_00
DECIDED_WITHIN_S = 2.0
LOST = "lost"
STEPS = 3
"""A payment, its retry, a read."""


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    before = lab.link.requests
    lab.sender.send(payee.read(), round=1)
    uncached = len(lab.link.commands_since(before))
    commands = _in_turn(lab, payer, payee, number=1)
    if not sum(commands):
        raise AttackFailed(NEVER_ASKED)
    cases = [(step, at) for step in range(STEPS) for at in range(1, commands[step] + 1)]
    number = 1
    for step, at in cases:
        number += 1
        payer, payee = lab.wallets(100_00, 0, round=number)
        _in_turn(lab, payer, payee, number=number, lose=(step, at))
    for at in range(1, uncached + 1):
        number += 1
        payer, payee = lab.wallets(100_00, 0, round=number)
        _late_reader(lab, payer, payee, at, number=number)


def _in_turn(
    lab: Lab,
    payer: Wallet,
    payee: Wallet,
    *,
    number: int,
    lose: tuple[int, int] | None = None,
) -> list[int]:
    """Pay, pay again with the same key, read; the commands that each took.

    `lose`: at which command of which of them everything is lost.
    """
    lab.sender.send(payee.read(), round=number)
    payment = payer.pays(payee, PAID_MINOR)
    commands = []
    for step, request in enumerate((payment, payment, payee.read())):
        before = lab.link.requests
        if lose and lose[0] == step:
            _lose_during(lab, request, lose[1], number=number)
        else:
            lab.sender.send(request, round=number)
        commands.append(len(lab.link.commands_since(before)))
    for request in (payment, payer.read(), payee.read()):
        lab.sender.send(request, round=number)
    return commands


def _lose_during(lab: Lab, request: Request, at: int, *, number: int) -> None:
    strike = lab.link.arm(LoseData(), at=at)
    lab.sender.send(request, round=number)
    lab.link.disarm()
    if strike.struck:
        text = f"everything was lost at command {at} of: {request.text}"
        lab.recorder.event(LOST, text, round=number)


def _late_reader(lab: Lab, payer: Wallet, payee: Wallet, at: int, *, number: int) -> None:
    """A read from before the payment reaches Redis after it, and after everything was lost."""
    release, sent_s = Flag(), time.monotonic()
    strike = lab.link.arm(LoseData(), at=at, release=release, in_flight=True)
    read = lab.sender.background(payee.read(), actor="R", round=number)
    reached = reached_or_answered(strike, read)
    lab.link.disarm()
    lab.sender.send(payer.pays(payee, PAID_MINOR), round=number)
    reached = reached and is_held_still(sent_s)
    release.set()
    read.result()
    if reached and strike.felt(DECIDED_WITHIN_S):
        text = f"everything was lost before command {at} of a read, which came late"
        lab.recorder.event(LOST, text, round=number)
    lab.sender.send(payee.read(), round=number)
    until_redis_is_asked(lab, payer.read())
    for _ in range(2):
        lab.sender.send(payee.read(), round=number)


def lost_in_every_case(history: History) -> str | None:
    """Everything was lost once in each round but the first."""
    lost = {event.round for event in history.events if event.kind == LOST}
    missed = [number for number in rounds_of(history)[1:] if number not in lost]
    return f"nothing was lost in {len(missed)} rounds" if missed else None


SCENARIO = Scenario(
    name="cache-loss",
    suite="outage",
    claim="FLUSHALL at any moment changes nothing but speed.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        replays_answer_alike,
        no_stale_read,
    ),
    holds_when=all_of(
        switch("idempotency", "memory", "check_then_insert", "claim"),
        switch("balance_cache", "versioned", "off"),
    ),
    requires=(lost_in_every_case, acknowledged, read_in_every_round),
    strength="bounded",
    # A delay of ours is no outage: what the service does in one is another claim.
    settings={"REDIS_CALL_TIMEOUT_MS": "5000"},
    restarts=frozenset({"redis"}),
    applies_when=ASKS_REDIS,
    applies_not=NO_REDIS,
)
