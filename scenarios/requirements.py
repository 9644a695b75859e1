"""What it takes to believe a history without findings: the window opened, the fault struck."""

from collections.abc import Sequence

from attacks.history import SETUP, History, Operation
from scenarios.invariants.rates import CLOCKS_DIFFER_S
from scenarios.model import Requirement


def overlapped(history: History) -> str | None:
    """In at least half of the rounds two requests were under way at the same moment."""
    rounds = rounds_of(history)
    hits = [number for number in rounds if overlaps(_moving(history, number))]
    if rounds and len(hits) * 2 >= len(rounds):
        return None
    return f"requests overlapped in only {len(hits)} of {len(rounds)} rounds: no race took place"


def struck(*kinds: str) -> Requirement:
    """Each of these faults struck at least once."""

    def missing(history: History) -> str | None:
        seen = {event.kind for event in history.events}
        absent = [kind for kind in kinds if kind not in seen]
        return f"these faults never struck: {', '.join(absent)}" if absent else None

    return missing


def answered(name: str) -> Requirement:
    """Every request of this name got an answer: without one nobody knows what it was."""

    def missing(history: History) -> str | None:
        asked = [o for o in history.operations if o.name == name]
        silent = [o for o in asked if o.status is None]
        return f"{len(silent)} of {len(asked)} requests got no answer" if silent else None

    return missing


def any_compared(history: History) -> str | None:
    """Some guess was compared: otherwise the service may have said no to everything."""
    guesses = [o for o in history.operations if o.name == "guess"]
    if any(o.values.get("compared") for o in guesses):
        return None
    return f"none of {len(guesses)} guesses was compared with anything"


def read_in_every_round(history: History) -> str | None:
    """In each round some balance was read: of a service that lets nobody read nothing is known."""
    reads = [o for o in history.operations if o.name == "read-balance" and o.outcome == "ok"]
    rounds, seen = rounds_of(history), {o.round for o in reads}
    return _missed([number for number in rounds if number not in seen], rounds, "nothing was read")


def asked_above(limit: int, window_s: float, *, of: str) -> Requirement:
    """In each round more than `limit` requests of this name were made within one window."""

    def missing(history: History) -> str | None:
        rounds = rounds_of(history)
        slow = [n for n in rounds if not _above(_named(history, n, of), limit, window_s)]
        return _missed(slow, rounds, f"no more than {limit} {of}s were made in one window")

    return missing


def _named(history: History, number: int, name: str) -> list[Operation]:
    return [o for o in history.operations if o.round == number and o.name == name]


def _above(asked: Sequence[Operation], limit: int, window_s: float) -> bool:
    for first in asked:
        until_s = first.started_s + window_s - CLOCKS_DIFFER_S
        within = [o for o in asked if o.started_s >= first.started_s and o.ended_s < until_s]
        if len(within) > limit:
            return True
    return False


def acknowledged(history: History) -> str | None:
    """In every round some movement of the attack was acknowledged: the service was at work."""
    rounds = rounds_of(history)
    idle = [n for n in rounds if not any(o.outcome == "ok" for o in _moving(history, n) if o.moves)]
    return _missed(idle, rounds, "nothing was acknowledged")


def never(kind: str) -> Requirement:
    """No event of this kind: it says that a round missed its moment."""

    def seen(history: History) -> str | None:
        events = [event for event in history.events if event.kind == kind]
        return f"{len(events)} rounds missed their moment: {events[0].text}" if events else None

    return seen


def struck_in_every_round(*kinds: str) -> Requirement:
    """One of these faults struck in each round."""

    def missing(history: History) -> str | None:
        rounds = rounds_of(history)
        hit = {event.round for event in history.events if event.kind in kinds}
        missed = [number for number in rounds if number not in hit]
        return _missed(missed, rounds, f"{' or '.join(kinds)} did not strike")

    return missing


def _missed(missed: Sequence[int], rounds: Sequence[int], what: str) -> str | None:
    """The doubt that some rounds leave; no round at all leaves it, too."""
    if rounds and not missed:
        return None
    return f"{what} in {len(missed)} of {len(rounds)} rounds"


def rounds_of(history: History) -> Sequence[int]:
    return sorted({o.round for o in history.operations if o.round is not None})


def overlapped_rounds(history: History) -> int:
    return sum(overlaps(_moving(history, number)) for number in rounds_of(history))


def overlaps(operations: Sequence[Operation]) -> bool:
    """Whether any two of them were under way at the same moment."""
    latest_end_s = float("-inf")
    for operation in sorted(operations, key=lambda o: o.started_s):
        if operation.started_s < latest_end_s:
            return True
        latest_end_s = max(latest_end_s, operation.ended_s)
    return False


def _moving(history: History, number: int) -> list[Operation]:
    return [o for o in history.operations if o.round == number and o.actor != SETUP]
