"""One caller asks more often than is allowed, of several processes at once.

Claim    No more than the limit of one caller's requests pass in any window, over all processes.
Attack   Two processes, a limit of four log-ins in two seconds. With one log-in left, one is held at
         each of its commands to Redis in turn while another process answers one more. Then three
         are sent where a fixed window would end and four right after it. Every request names
         another client in its X-Forwarded-For header.
Why      Between reading a counter and raising it others read it, too. Where two fixed windows meet
         twice as many pass. Who is recognised by a header is somebody else each time.
Known as Limit overrun, race condition in quotas; fixed-window burst; header spoofing.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Event as Flag

from attacks.history import History
from attacks.http.request import Request
from attacks.redis.faults import Delay
from scenarios.invariants import at_most, refused_only_above
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.outage.faults import is_held_still, reached_or_answered
from scenarios.requirements import asked_above, rounds_of

LIMIT = 4
WINDOW_S = 2
LATE_IN_WINDOW = 0.7
"""Of the window: the first burst; the second comes when the window is over."""
AFTER_WINDOW_S = 0.1
COUNTED = "counted"
HELD = "held"


def attack(lab: Lab) -> None:
    commands = _counted(lab)
    for at in range(1, commands + 1):
        _overtaken(lab, at, number=1 + at)
    _at_the_edge(lab, number=commands + 2)


def _counted(lab: Lab) -> int:
    """Alone, the processes in turn: how many commands a log-in takes."""
    log_in = lab.target.log_in(lab.sender.ask)
    before = lab.link.requests
    _send(lab, log_in, 0, number=1)
    commands = len(lab.link.commands_since(before))
    for process in range(1, LIMIT + len(lab.senders)):
        _send(lab, log_in, process, number=1)
    lab.recorder.event(COUNTED, f"commands to Redis: {commands} a log-in", round=1)
    return commands


def _overtaken(lab: Lab, at: int, *, number: int) -> None:
    """The last but one is held at this command until another process has answered the last."""
    log_in = lab.target.log_in(lab.sender.ask)
    for _ in range(LIMIT - 1):
        _send(lab, log_in, 0, number=number)
    release = Flag()
    sent_s = time.monotonic()
    strike = lab.link.arm(Delay(), at=at, release=release)
    held = lab.sender.background(_from_elsewhere(log_in, 0), actor="B", round=number)
    reached = reached_or_answered(strike, held)
    lab.link.disarm()
    _send(lab, log_in, 1, number=number)
    reached = reached and is_held_still(sent_s)
    release.set()
    held.result()
    if reached:
        text = f"a log-in was held at command {at} while another was answered"
        lab.recorder.event(HELD, text, round=number)
    for process in range(len(lab.senders)):
        _send(lab, log_in, process, number=number)


def _at_the_edge(lab: Lab, *, number: int) -> None:
    """One begins a window, three come late in it, four when it is over."""
    log_in = lab.target.log_in(lab.sender.ask)
    began_s = time.monotonic()
    _send(lab, log_in, 0, number=number)
    _wait_until(began_s + WINDOW_S * LATE_IN_WINDOW)
    for process in range(LIMIT - 1):
        _send(lab, log_in, process, number=number)
    _wait_until(began_s + WINDOW_S + AFTER_WINDOW_S)
    for process in range(LIMIT):
        _send(lab, log_in, process, number=number)


def _wait_until(at_s: float) -> None:
    while time.monotonic() < at_s:
        time.sleep(max(0.0, at_s - time.monotonic()))


def _send(lab: Lab, log_in: Request, process: int, *, number: int) -> None:
    """To this process, or the one that is next to it in a circle."""
    place = process % len(lab.senders)
    actor = "AC"[place]
    lab.senders[place].send(_from_elsewhere(log_in, process), actor=actor, round=number)


def _from_elsewhere(request: Request, client: int) -> Request:
    forged = {"X-Forwarded-For": f"192.0.2.{client + 1}", "X-Real-IP": f"192.0.2.{client + 1}"}
    return replace(request, headers={**request.headers, **forged})


def held_at_every_command(history: History) -> str | None:
    """Each command of a log-in was held once while another process answered."""
    counted = next((event for event in history.events if event.kind == COUNTED), None)
    if counted is None:
        return "commands to Redis were never counted"
    overtaken: Sequence[int] = rounds_of(history)[1:-1]
    held = {event.round for event in history.events if event.kind == HELD}
    missed = [number for number in overtaken if number not in held]
    return f"a log-in was not held in {len(missed)} of {len(overtaken)} rounds" if missed else None


SCENARIO = Scenario(
    name="rate-limit",
    suite="resources",
    claim="No more than the limit of one caller's requests pass in any window, over all processes.",
    story=__doc__,
    attack=attack,
    invariants=(
        at_most(LIMIT, WINDOW_S, of="log-in"),
        refused_only_above(LIMIT, WINDOW_S, of="log-in"),
    ),
    holds_when=switch("rate_limit", "sliding"),
    requires=(held_at_every_command, asked_above(LIMIT, WINDOW_S, of="log-in")),
    strength="bounded",
    settings={
        "RATE_LIMIT_SENSITIVE_REQUESTS": str(LIMIT),
        "RATE_LIMIT_SENSITIVE_WINDOW_S": str(WINDOW_S),
        # What a process does without Redis is another claim: no delay of ours is an outage here.
        "REDIS_CALL_TIMEOUT_MS": "5000",
    },
    processes=2,
)
