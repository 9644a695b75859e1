"""Somebody reads a balance while it changes, and while Redis comes and goes.

Claim    No balance older than the last acknowledged movement is served, also after Redis was away.
Attack   Redis answers every write command late. Four readers ask for one wallet while it is paid;
         after each acknowledgement the balance is read once more. Then Redis goes away, a payment
         is made without it, Redis returns, and the balance is read until the cache has long
         answered again.
Why      A cache that is emptied before the commit is filled again with the old balance by the next
         reader, and stays so for its time to live. What was cached before an outage knows nothing
         of what happened in it.
Known as Stale read, cache invalidation race; read-your-writes.
"""

from concurrent.futures import Future
from threading import Event as Flag

from attacks.history import History
from attacks.http.sender import in_thread
from scenarios.invariants import money_is_conserved, no_stale_read
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch, unless
from scenarios.outage.faults import outages_that_keep_data, read_until_redis_is_asked
from scenarios.requirements import rounds_of, struck

ROUNDS = 6
READERS = 4
LATE_BY_S = 0.03
"""Later than any commit, and well within the time that the service gives Redis here."""
WRITE_COMMANDS = ("DEL", "UNLINK", "SET", "SETEX", "EVAL", "EVALSHA")
READS_AGAIN = 20
PAID_MINOR = 10_00


def attack(lab: Lab) -> None:
    races = lab.rounds(ROUNDS)
    fresh = [_race_with_readers(lab, number) for number in races]
    if not all(fresh):
        return  # An old balance was served while Redis was there: outages would say no more.
    for offset, outage in enumerate(outages_that_keep_data(lab), start=1):
        number = len(races) + offset
        payer, payee = lab.wallets(100_00, 0, round=number)
        read_until_redis_is_asked(lab, payee, number)
        outage.begin(lab, number)
        try:
            lab.sender.send(payer.pays(payee, PAID_MINOR), round=number)
        finally:
            outage.end(lab, number)
        read_until_redis_is_asked(lab, payee, number)
        for _ in range(READS_AGAIN):
            lab.sender.send(payee.read(), round=number)


def _race_with_readers(lab: Lab, number: int) -> bool:
    """Whether no balance is seen to be old in the end."""
    payer, payee = lab.wallets(100_00, 0, round=number)
    read_until_redis_is_asked(lab, payee, number)
    late_before = lab.link.late_replies
    lab.link.answer_late(LATE_BY_S, WRITE_COMMANDS)
    done = Flag()
    readers = [_reader(lab, payee, f"R{r + 1}", done, number) for r in range(READERS)]
    paid = lab.sender.send(payer.pays(payee, PAID_MINOR), round=number)
    done.set()
    for reader in readers:
        reader.result()
    lab.link.restore()
    if late := lab.link.late_replies - late_before:
        text = f"Redis answered {late} write commands late"
        lab.recorder.event("late", text, round=number)
    read = lab.sender.send(payee.read(), round=number)
    known = paid.outcome == read.outcome == "ok"
    return not known or read.values["balances"] == {payee.id: PAID_MINOR}


def _reader(lab: Lab, wallet: Wallet, actor: str, done: Flag, number: int) -> "Future[None]":
    def read() -> None:
        while not done.is_set():
            lab.sender.send(wallet.read(), actor=actor, round=number)

    return in_thread(read)


def late_in_most_races(history: History) -> str | None:
    """Replies of Redis really were late while the wallet was paid and read."""
    races = [number for number in rounds_of(history) if number <= ROUNDS]
    late = {event.round for event in history.events if event.kind == "late"}
    if races and len(late) * 2 >= len(races):
        return None
    return f"Redis answered late in only {len(late)} of {len(races)} races"


SCENARIO = Scenario(
    name="stale-cache",
    suite="Redis outage",
    claim="No balance older than the last acknowledged movement is served.",
    story=__doc__,
    attack=attack,
    invariants=(no_stale_read, money_is_conserved),
    holds_when=switch("balance_cache", "versioned", "off"),
    requires=(late_in_most_races, struck("unreachable")),
    applies_when=unless("balance_cache", "off"),
    applies_not="this build caches no balances",
    # A delay of ours, or of a busy machine, is no outage.
    settings={"REDIS_CALL_TIMEOUT_MS": "500"},
)
