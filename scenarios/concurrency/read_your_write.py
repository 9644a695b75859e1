"""Somebody else reads a balance while it is being paid; then the payer looks.

Claim    After an acknowledgement no older balance is read.
Attack   A balance is read, paid and read again. Then it is paid once for each command that a
         payment sends to Redis: the reply to that command is held back, somebody else reads the
         balance from beginning to end, and the reply is let go. After the acknowledgement both
         wallets are read, and once more when the service has asked Redis again.
Why      A cache that nobody empties goes on with what it has. One that is emptied before the commit
         is filled with the old balance by whoever reads between the two.
Known as Read-your-writes; cache invalidation race.
"""

import time
from threading import Event as Flag

from attacks.history import History
from attacks.redis.faults import AnswerWhen
from scenarios.invariants import money_is_conserved, no_stale_read
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.outage.faults import POLL_S, is_held_still, redis_probe, until_redis_is_asked
from scenarios.requirements import acknowledged, read_in_every_round, rounds_of

PAID_MINOR = 10_00
COUNTED = "counted"
HELD = "held"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    _read(lab, payer, payee, number=1)
    before = lab.link.requests
    lab.sender.send(payer.pays(payee, PAID_MINOR), round=1)
    commands = len(lab.link.commands_since(before))
    lab.recorder.event(COUNTED, f"commands to Redis: {commands} a payment", round=1)
    _read(lab, payer, payee, number=1)
    probe = redis_probe(lab, 1) if commands else payee.read()
    for at in range(1, commands + 1):
        payer, payee = lab.wallets(100_00, 0, round=1 + at)
        _read(lab, payer, payee, number=1 + at)
        _read_beside(lab, payer, payee, at, number=1 + at)
        _read(lab, payer, payee, number=1 + at)
        until_redis_is_asked(lab, probe)
        _read(lab, payer, payee, number=1 + at)


def _read_beside(lab: Lab, payer: Wallet, payee: Wallet, at: int, *, number: int) -> None:
    """Pay; both are read by somebody else while the reply to this command is on its way."""
    executed, release = Flag(), Flag()
    sent_s = time.monotonic()
    lab.link.arm(AnswerWhen(executed, release), at=at)
    paid = lab.sender.background(payer.pays(payee, PAID_MINOR), actor="A", round=number)
    while not executed.wait(POLL_S) and not paid.done():
        continue
    lab.link.disarm()
    _read(lab, payer, payee, number=number, actor="B")
    held = executed.is_set() and is_held_still(sent_s)
    release.set()
    paid.result()
    if held:
        text = f"the reply to command {at} of a payment was held back while others read"
        lab.recorder.event(HELD, text, round=number)


def _read(lab: Lab, *wallets: Wallet, number: int, actor: str = "A") -> None:
    for wallet in wallets:
        lab.sender.send(wallet.read(), actor=actor, round=number)


def held_at_every_command(history: History) -> str | None:
    """Each command of a payment was held once while somebody else read."""
    if not any(event.kind == COUNTED for event in history.events):
        return "commands to Redis were never counted"
    held = {event.round for event in history.events if event.kind == HELD}
    missed = [number for number in rounds_of(history)[1:] if number not in held]
    return f"no reply was held back in {len(missed)} rounds" if missed else None


SCENARIO = Scenario(
    name="read-your-write",
    suite="concurrency",
    claim="After an acknowledgement no older balance is read.",
    story=__doc__,
    attack=attack,
    invariants=(no_stale_read, money_is_conserved),
    holds_when=switch("balance_cache", "after_commit", "versioned", "off"),
    requires=(held_at_every_command, acknowledged, read_in_every_round),
    strength="bounded",
    # A delay of ours is no outage: what the service does in one is another claim.
    settings={"REDIS_CALL_TIMEOUT_MS": "5000"},
)
