"""Somebody goes on guessing while Redis, which counts the guesses, is away.

Claim    Without Redis a process lets no more than the limit through in any window, nobody is locked
         out for ever, and requests end within 2 s without a server error.
Attack   Redis is killed, stopped (SIGSTOP), unreachable (refused) and silent (packets lost). Each
         time a caller with one log-in left tries more while it is away, and when it is back. Then
         Redis loses its data at each command of a log-in, once each, and once the connection is
         reset there. When the window is over every caller logs in once more.
Why      A limiter that lets everybody pass when its store is away is switched off by whoever takes
         the store away. One that had counted and could not set the end of the window never forgets.
Known as Fail-open rate limiter; lost TTL, permanent lock-out.
"""

import time

from attacks.http.request import Request
from attacks.redis.faults import Fault, LoseData, Reset
from scenarios.invariants import answered_within, at_most, no_server_error, refused_only_above
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.outage.faults import POLL_S, Outage, outages, until_redis_is_asked
from scenarios.requirements import asked_above, struck, struck_in_every_round

BOUND_S = 2.0
LIMIT = 4
WINDOW_S = 4
"""More than all log-ins of one round take."""
CLEAR_S = 0.2
STRUCK = "struck"


def attack(lab: Lab) -> None:
    (wallet,) = lab.wallets(0, round=None)
    commands = _commands(lab)
    if not commands:
        # Nobody counts in Redis: its absence changes nothing.
        _log_in(lab, lab.target.log_in(lab.sender.ask), LIMIT + 1, number=1)
        return
    callers: dict[int, Request] = {}
    known = outages(lab)
    for number, outage in enumerate(known, start=1):
        until_redis_is_asked(lab, wallet.read())
        callers[number] = lab.target.log_in(lab.sender.ask)
        # A build that fails its bound here would take minutes for the rest and say no more.
        if not _in_outage(lab, outage, callers[number], number):
            return
    # What is lost first cannot be lost later: a window without an end has to stay.
    faults: list[Fault] = [*([LoseData()] if lab.redis.restartable else []), Reset()]
    cases = [(fault, at) for fault in faults for at in range(1, commands + 1)]
    for number, (fault, at) in enumerate(cases, start=len(known) + 1):
        until_redis_is_asked(lab, wallet.read())
        callers[number] = lab.target.log_in(lab.sender.ask)
        _struck(lab, fault, at, callers[number], number)
        until_redis_is_asked(lab, wallet.read())
        _log_in(lab, callers[number], LIMIT + 1, number)
    _let_in_again(lab, callers)


def _commands(lab: Lab) -> int:
    """How many commands a log-in takes; 0 where nobody counts log-ins in Redis."""
    log_in = lab.target.log_in(lab.sender.ask)
    before = lab.link.requests
    lab.sender.ask(log_in)
    return len(lab.link.commands_since(before))


def _in_outage(lab: Lab, outage: Outage, log_in: Request, number: int) -> bool:
    """Whether all were answered within the bound."""
    _log_in(lab, log_in, LIMIT - 1, number)
    outage.begin(lab, number)
    try:
        served = _log_in(lab, log_in, LIMIT, number)
    finally:
        outage.end(lab, number)
    return served and _log_in(lab, log_in, 1, number)


def _struck(lab: Lab, fault: Fault, at: int, log_in: Request, number: int) -> None:
    strike = lab.link.arm(fault, at=at)
    _log_in(lab, log_in, 1, number)
    lab.link.disarm()
    if strike.struck:
        lab.recorder.event(STRUCK, f"command {at} of a log-in: {fault.text}", round=number)


def _let_in_again(lab: Lab, callers: dict[int, Request]) -> None:
    """When the window is over."""
    until_s = time.monotonic() + WINDOW_S + CLEAR_S
    while time.monotonic() < until_s:
        time.sleep(POLL_S)
    for number, log_in in callers.items():
        _log_in(lab, log_in, 1, number)


def _log_in(lab: Lab, log_in: Request, times: int, number: int) -> bool:
    """Whether all were answered within the bound; the first that was not is the last."""
    sent = (lab.sender.send(log_in, round=number) for _ in range(times))
    return all(operation.duration_s <= BOUND_S for operation in sent)


SCENARIO = Scenario(
    name="rate-limit-outage",
    suite="outage",
    claim="Without Redis no more than the limit pass in any window, and nobody is locked out.",
    story=__doc__,
    attack=attack,
    invariants=(
        at_most(LIMIT, WINDOW_S, of="log-in"),
        refused_only_above(LIMIT, WINDOW_S, of="log-in"),
        no_server_error,
        answered_within(BOUND_S),
    ),
    holds_when=all_of(switch("rate_limit", "sliding"), switch("redis_policy", "bounded")),
    requires=(
        struck("unreachable", "silent"),
        struck_in_every_round("kill", "pause", "unreachable", "silent", STRUCK),
        asked_above(LIMIT, WINDOW_S, of="log-in"),
    ),
    strength="bounded",
    settings={
        "RATE_LIMIT_SENSITIVE_REQUESTS": str(LIMIT),
        "RATE_LIMIT_SENSITIVE_WINDOW_S": str(WINDOW_S),
    },
)
