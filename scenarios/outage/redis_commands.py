"""Every fault of Redis at every command of a payment.

Claim    At every Redis command of a payment, whatever Redis answers, money is right, the request
         ends within 2 s, its retry has one effect, and no old balance is read.
Attack   One payment, its retry and a read of the balance are run alone, to count their commands.
         Then at each command of the payment, one case each, Redis loses its data, answers -READONLY
         or -LOADING, resets the connection before the command, after it or within the reply,
         answers late, dies, or hangs. The payment is sent again at once, and balances are read.
         When Redis is back, each command of the retry and of the read meets each fault, too; a loss
         of data only the first, because after it Redis knows the answer.
Why      An outage that is tried at one moment only says nothing of the other moments: between the
         commit and the cache, between the cache and the kept answer.
Known as Fault injection at every call; partial failure.
"""

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from attacks.history import SETUP, Event, History, Operation
from attacks.http.request import Request
from attacks.redis.commands import Seen
from attacks.redis.faults import FAULTS, Fault, LoseData
from attacks.redis.link import Strike
from reports.evidence import FaultCase, Measure
from reports.words import count
from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    money_is_conserved,
    no_stale_read,
    replays_answer_alike,
)
from scenarios.lab import AttackFailed, Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import ASKS_REDIS, all_of, switch
from scenarios.outage.faults import NEVER_ASKED, NO_REDIS, until_redis_is_asked
from scenarios.requirements import acknowledged, rounds_of
from scenarios.truth import GroundTruth

BOUND_S = 2.0
CALL_TIMEOUT_MS = 150
"""What the service gives Redis here: more than usual, so that more commands can be struck in one
moment, and less than a late reply is late."""
HELD_AT_MOST_S = CALL_TIMEOUT_MS / 2000
"""Together with what is under way, well below that time."""
MOST_TOGETHER = 16
MOST_ATTEMPTS = 20
DECIDED_WITHIN_S = 2.0
What = Literal["payment", "retry", "read"]
STRUCK: dict[What, str] = {
    "payment": "payment-struck",
    "retry": "retry-struck",
    "read": "read-struck",
}
LATER: tuple[What, ...] = ("retry", "read")
COUNTED = "counted"
TOLD = re.compile(r"command (?P<step>\d+) of the (?P<request>\w+) \((?P<name>.*?)\): (?P<fault>.+)")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault at one command of one payment; a round of its own."""

    number: int
    fault: Fault
    at: int
    payer: Wallet
    payee: Wallet
    payment: Request


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The command of a case that is to be struck."""

    case: Case
    what: What
    at: int
    attempts: int = 0

    @property
    def is_alone(self) -> bool:
        # What Redis has lost is lost for the others, too.
        return isinstance(self.case.fault, LoseData)

    @property
    def request(self) -> Request:
        return self.case.payee.read() if self.what == "read" else self.case.payment


@dataclass(frozen=True, kw_only=True)
class Shot:
    """An aim on its way: the fault waits at its command, or the answer is there already."""

    aim: Aim
    strike: Strike
    answer: "Future[Operation]"


@dataclass(kw_only=True)
class Attack:
    """What is known so far."""

    lab: Lab
    probe: Request
    """Asks Redis, and changes nothing."""
    commands: dict[What, int]
    bodies: dict[str | None, str] = field(default_factory=dict)
    """What each key was answered first."""
    together: int = MOST_TOGETHER
    """So many aims at once; fewer after a miss, because the machine is slow."""
    contradicted: bool = False
    """Whether a client has seen enough: the rest would take minutes and say no more."""

    def note(self, operation: Operation) -> None:
        slow = operation.duration_s > BOUND_S
        acknowledged_again = operation.outcome == "ok" and bool(operation.moves)
        if acknowledged_again:
            body = str(operation.values.get("body"))
            first = self.bodies.setdefault(operation.key, body)
            self.contradicted |= first != body
        self.contradicted |= slow


def attack(lab: Lab) -> None:
    going = _counted(lab)
    cases = _strike_all(going, _payments(lab, going.commands["payment"]))
    _read_payers(going, cases)
    for what in LATER:
        _strike_all(going, _later(cases, what, going.commands))
    if going.contradicted:
        return
    until_redis_is_asked(lab, going.probe)
    for case in cases:
        for wallet in (case.payer, case.payee):
            lab.sender.send(wallet.read(), round=case.number)


def _read_payers(going: Attack, cases: Iterable[Case]) -> None:
    """Now that Redis is back, and before it is made to lose what it has kept of the payments."""
    if not going.contradicted:
        until_redis_is_asked(going.lab, going.probe)
        for case in cases:
            going.lab.sender.send(case.payer.read(), round=case.number)


def _counted(lab: Lab) -> Attack:
    """One of each alone; the retry and the read when Redis knows nothing, if it may be emptied."""
    payer, payee = lab.wallets(100_00, 0, round=1)
    payment = payer.pays(payee, 1_00)
    asked: dict[What, tuple[Seen, ...]] = {}
    requests: dict[What, Request] = {"payment": payment, "retry": payment, "read": payee.read()}
    answers = []
    for what, request in requests.items():
        before = lab.link.requests
        if what != "payment" and lab.redis.restartable:
            strike = lab.link.arm(LoseData())
            answers.append(lab.sender.send(request, round=1))
            lab.link.disarm()
            if strike.struck:
                _tell(lab, what, 1, strike, number=1)
        else:
            answers.append(lab.sender.send(request, round=1))
        asked[what] = lab.link.commands_since(before)
    if not asked["payment"]:
        raise AttackFailed(NEVER_ASKED)
    told = ", ".join(
        f"{what} {len(seen)} ({' '.join(one.name for one in seen)})" for what, seen in asked.items()
    )
    lab.recorder.event(COUNTED, f"commands to Redis: {told}", round=1)
    probe = requests["read"] if asked["read"] else payment
    going = Attack(lab=lab, probe=probe, commands={w: len(seen) for w, seen in asked.items()})
    for answer in answers:
        going.note(answer)
    return going


def _payments(lab: Lab, commands: int) -> Iterator[Aim]:
    """Wallets are opened when their case comes up: while the service keeps away from Redis."""
    faults = [f for f in FAULTS if lab.redis.restartable or not isinstance(f, LoseData)]
    losses = [f for f in faults if isinstance(f, LoseData)]
    others = [f for f in faults if not isinstance(f, LoseData)]
    plan = [
        (fault, at) for some in (losses, others) for at in range(1, commands + 1) for fault in some
    ]
    kept = len(lab.rounds(len(plan)))
    thinned = [plan[i * len(plan) // kept] for i in range(min(kept, len(plan)))]
    for number, (fault, at) in enumerate(thinned, start=2):
        payer, payee = lab.wallets(100_00, 0, round=number)
        case = Case(
            number=number,
            fault=fault,
            at=at,
            payer=payer,
            payee=payee,
            payment=payer.pays(payee, 10_00),
        )
        yield Aim(case=case, what="payment", at=at)


def _later(cases: Sequence[Case], what: What, commands: dict[What, int]) -> Iterator[Aim]:
    """Every command of the retry, or of the read, with every fault, shared among its cases."""
    most, payments = commands[what], commands["payment"]
    aims = []
    for case in cases if most else ():
        # Once Redis has lost everything and is asked again, it knows the answer: one command.
        last = 1 if isinstance(case.fault, LoseData) else most
        places = range(case.at, last + 1, payments)
        aims += [Aim(case=case, what=what, at=at) for at in places]
    yield from sorted(aims, key=lambda aim: aim.at)


def _strike_all(going: Attack, aims: Iterable[Aim]) -> list[Case]:
    """Every aim until it has struck, several at once; the cases in the order in which they were.

    Stops when the service was seen to contradict the claim. Raises AttackFailed.
    """
    upcoming, waiting, done = iter(aims), deque[Aim](), []
    while not going.contradicted:
        waiting.extend(islice(upcoming, MOST_TOGETHER - len(waiting)))
        if not waiting:
            break
        until_redis_is_asked(going.lab, going.probe)
        _cache_balances(going.lab, waiting)
        shots = _strike_together(going, waiting)
        missed = [shot for shot in shots if not shot.strike.felt(0)]
        done += [shot.aim.case for shot in shots if shot not in missed]
        waiting.extend(_again(shot) for shot in missed)
        hits = len(shots) - len(missed)
        going.together = max(1, hits) if missed else min(MOST_TOGETHER, going.together + 1)
        going.lab.link.restore()
    return done


def _cache_balances(lab: Lab, aims: Iterable[Aim]) -> None:
    """What is cached before a payment must not be read after it."""
    for aim in aims:
        if aim.what == "payment":
            for wallet in (aim.case.payer, aim.case.payee):
                lab.sender.send(wallet.read(), round=aim.case.number)


def _strike_together(going: Attack, waiting: deque[Aim]) -> list[Shot]:
    """Hold the next few at their commands, then let all faults strike in one moment.

    A careful service stays away from Redis for a while after each fault: one by one would take
    minutes. Afterwards each payment is sent again and its payer read, before Redis returns.
    """
    release = threading.Event()
    shots: list[Shot] = []
    began_s = 0.0
    while waiting and len(shots) < going.together:
        alone = waiting[0].is_alone
        if shots and (alone or going.lab.recorder.now_s() - began_s > HELD_AT_MOST_S):
            break
        shots.append(_aimed(going.lab, waiting.popleft(), f"B{len(shots) + 1}", release))
        if alone or not shots[-1].strike.reached(0):
            break
        began_s = began_s or going.lab.recorder.now_s()
    going.lab.link.disarm()
    release.set()
    for shot in shots:
        going.note(shot.answer.result())
        if shot.strike.reached(0) and shot.strike.felt(DECIDED_WITHIN_S):
            _tell(going.lab, shot.aim.what, shot.aim.at, shot.strike, number=shot.aim.case.number)
    for shot in shots:
        case = shot.aim.case
        for request in (case.payment, case.payer.read()):
            if not going.contradicted:
                going.note(going.lab.sender.send(request, round=case.number))
    return shots


def _aimed(lab: Lab, aim: Aim, actor: str, release: threading.Event) -> Shot:
    """Send the request and wait until it is held at its command, or answered."""
    strike = lab.link.arm(aim.case.fault, at=aim.at, release=release)
    answer = lab.sender.background(aim.request, actor=actor, round=aim.case.number)
    while not strike.reached(0.001) and not answer.done():
        continue
    return Shot(aim=aim, strike=strike, answer=answer)


def _again(shot: Shot) -> Aim:
    """The service stayed away from Redis, or gave up before the fault struck: try once more."""
    aim, case = shot.aim, shot.aim.case
    where = f"command {aim.at} of the {aim.what}"
    if shot.strike.failure:
        raise AttackFailed(f"{where}: {shot.strike.failure}")
    if aim.attempts >= MOST_ATTEMPTS:
        raise AttackFailed(f"{where} was never struck ({case.fault.text})")
    if aim.what == "payment":
        case = replace(case, payment=case.payer.pays(case.payee, 10_00))
    return replace(aim, case=case, attempts=aim.attempts + 1)


def _tell(lab: Lab, what: What, at: int, strike: Strike, *, number: int) -> None:
    name = strike.command.name if strike.command else "?"
    text = f"command {at} of the {what} ({name}): {strike.text}"
    lab.recorder.event(STRUCK[what], text, round=number)


def struck_everywhere(history: History) -> str | None:
    """The payment of each case was struck, and retries and reads where they ask Redis at all."""
    counted = next((event for event in history.events if event.kind == COUNTED), None)
    if counted is None:
        return "commands to Redis were never counted"
    rounds = set(rounds_of(history)) - {counted.round}
    for what, kind in STRUCK.items():
        if f"{what} 0 " in counted.text:
            continue
        struck = rounds & {event.round for event in history.events if event.kind == kind}
        needed = rounds if what == "payment" else struck
        if not struck or needed - struck:
            return f"faults struck the {what} in only {len(struck)} of {count(len(rounds), 'case')}"
    return None


def commands(history: History) -> Measure:
    """How often a payment, its retry and a read ask Redis, and how many faults struck."""
    text = next((e.text for e in history.events if e.kind == COUNTED), "not counted")
    faults = sum(event.kind in STRUCK.values() for event in history.events)
    return Measure(name="faults at commands of Redis", value=f"{faults} struck; {text}")


def fault_cases(
    history: History, truth: GroundTruth, violated_rounds: Iterable[int | None]
) -> tuple[FaultCase, ...]:
    """A row for each fault that struck."""
    violated = frozenset(violated_rounds)
    rows = []
    for event in history.events:
        told = TOLD.fullmatch(event.text)
        if event.kind in STRUCK.values() and told:
            rows.append(_row(event, told, history, truth, event.round in violated))
    return tuple(rows)


def _row(
    event: Event, told: "re.Match[str]", history: History, truth: GroundTruth, violated: bool
) -> FaultCase:
    own = [o for o in history.operations if o.round == event.round and o.actor != SETUP]
    name = "read-balance" if told["request"] == "read" else "transfer"
    before = [o for o in own if o.name == name and o.started_s <= event.at_s]
    struck = before[-1] if before else None
    key = struck.key if struck else None
    after = [o for o in own if o.key and o.key == key and o.started_s > event.at_s]
    return FaultCase(
        round=event.round,
        request=told["request"],
        step=int(told["step"]),
        sql=told["name"],
        fault=told["fault"],
        client=struck.answer if struck else "",
        database=_recorded(own, truth) if told["request"] != "read" else "none",
        retry=after[0].answer if after else "",
        violated=violated,
    )


def _recorded(operations: Sequence[Operation], truth: GroundTruth) -> str:
    """What became of the round's payments; a round without a missed attempt has one."""
    if not truth.records_kept:
        return "not recorded"
    sides = {(move.payer, move.payee) for o in operations for move in o.moves}
    effects = sum((effect.payer, effect.payee) in sides for effect in truth.effects)
    extra = effects - len({o.key for o in operations if o.moves})
    if extra > 0:
        return f"committed {extra + 1} times"
    return "none" if extra < 0 else "committed"


SCENARIO = Scenario(
    name="redis-commands",
    suite="Redis outage",
    claim="Whatever Redis answers at any command, money is right, within 2 s, and once a key.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        replays_answer_alike,
        no_stale_read,
        answered_within(BOUND_S),
    ),
    holds_when=all_of(
        switch("redis_policy", "bounded"),
        switch("idempotency", "memory", "check_then_insert", "claim"),
        switch("balance_cache", "versioned", "off"),
    ),
    requires=(struck_everywhere, acknowledged),
    measures=(commands,),
    fault_cases=fault_cases,
    strength="bounded",
    settings={"REDIS_CALL_TIMEOUT_MS": str(CALL_TIMEOUT_MS)},
    applies_when=ASKS_REDIS,
    applies_not=NO_REDIS,
)
