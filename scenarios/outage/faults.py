"""The ways in which Redis goes away and comes back."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from attacks.history import Operation
from attacks.http.request import Request
from attacks.process import kill, pause, resume, start
from attacks.redis.link import HELD_AT_MOST_S, Strike
from scenarios.lab import AttackFailed, Lab, Wallet

ASKS_WITHIN_S = 2.0
BACK_WITHIN_S = 10.0
POLL_S = 0.001
NEVER_ASKED = "the service does not ask Redis: there is nothing to take away"

NO_REDIS = "this build never asks Redis"


@dataclass(frozen=True, kw_only=True)
class Outage:
    """How Redis goes away, and how it returns."""

    name: str
    begin: Callable[[Lab, int], None]
    end: Callable[[Lab, int], None]
    needs_own_redis: bool


def _unreachable(lab: Lab, number: int) -> None:
    lab.link.refuse()
    lab.recorder.event("unreachable", "Redis is unreachable (connections refused)", round=number)


def _silent(lab: Lab, number: int) -> None:
    lab.link.swallow()
    lab.recorder.event("silent", "Redis is unreachable (packets are lost)", round=number)


def _restored(lab: Lab, number: int) -> None:
    lab.link.restore()
    lab.recorder.event("restored", "Redis is reachable again", round=number)


KILLED = Outage(
    name="killed",
    begin=lambda lab, number: kill(lab.recorder, lab.redis, "Redis", round=number),
    end=lambda lab, number: start(lab.recorder, lab.redis, "Redis", round=number),
    needs_own_redis=True,
)
STOPPED = Outage(
    name="stopped",
    begin=lambda lab, number: pause(lab.recorder, lab.redis, "Redis", round=number),
    end=lambda lab, number: resume(lab.recorder, lab.redis, "Redis", round=number),
    needs_own_redis=True,
)
UNREACHABLE = Outage(name="unreachable", begin=_unreachable, end=_restored, needs_own_redis=False)
SILENT = Outage(name="silent", begin=_silent, end=_restored, needs_own_redis=False)


def outages(lab: Lab) -> tuple[Outage, ...]:
    """Those that this lab can bring about: a Redis that is not ours is cut off, never killed."""
    known = (KILLED, STOPPED, UNREACHABLE, SILENT)
    return tuple(o for o in known if lab.redis.restartable or not o.needs_own_redis)


def outages_that_keep_data(lab: Lab) -> tuple[Outage, ...]:
    """Redis returns with everything that it had: what was cached before is still there."""
    return tuple(outage for outage in outages(lab) if outage in (STOPPED, UNREACHABLE))


def redis_probe(lab: Lab, number: int) -> Request:
    """A request that asks Redis each time: a read, or where none is cached a payment sent again.

    Raises AttackFailed when neither does.
    """
    payer, payee = lab.wallets(100_00, 0, round=number)
    for request in (payer.read(), payer.pays(payee, 1_00)):
        seen = lab.link.requests
        lab.sender.send(request, round=number)
        if lab.link.requests > seen:
            return request
    raise AttackFailed(NEVER_ASKED)


def read_until_redis_is_asked(lab: Lab, wallet: Wallet, number: int) -> None:
    """A careful service stays away from Redis for a while after an outage: wait until it is back.

    Raises AttackFailed when it never asks: then there is nothing to take away.
    """
    until_s = time.monotonic() + BACK_WITHIN_S
    seen = lab.link.requests
    while lab.link.requests <= seen:
        if time.monotonic() > until_s:
            raise AttackFailed(NEVER_ASKED)
        lab.sender.send(wallet.read(), round=number)
        time.sleep(POLL_S)


def until_redis_is_asked(lab: Lab, request: Request) -> None:
    """The same with any request, sent again and again; nothing of it is recorded."""
    until_s = time.monotonic() + BACK_WITHIN_S
    seen = lab.link.requests
    while lab.link.requests <= seen:
        if time.monotonic() > until_s:
            raise AttackFailed(NEVER_ASKED)
        lab.sender.ask(request)
        time.sleep(POLL_S)


def wait_for_request(lab: Lab, seen: int) -> None:
    """Return when the service has asked Redis since `seen` requests. Raises AttackFailed."""
    until_s = time.monotonic() + ASKS_WITHIN_S
    while lab.link.requests <= seen:
        if time.monotonic() > until_s:
            raise AttackFailed(NEVER_ASKED)
        time.sleep(POLL_S)


def is_held_still(sent_s: float) -> bool:
    """Whether a command of what was sent at that moment, if it was held, has to be held yet."""
    return time.monotonic() - sent_s < HELD_AT_MOST_S


def reached_or_answered(strike: Strike, answer: "Future[Operation]") -> bool:
    """Wait until the request is held at the command of the strike; False when it never came."""
    while not strike.reached(POLL_S):
        if answer.done():
            return strike.reached(0)
    return True
