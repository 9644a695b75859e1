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

import time
from concurrent.futures import Future
from threading import Event as Flag

from attacks.http.sender import in_thread
from scenarios.invariants import money_is_conserved, no_stale_read
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.outage.faults import outages_that_keep_data
from scenarios.requirements import struck

ROUNDS = 6
READERS = 4
LATE_BY_S = 0.15
WRITE_COMMANDS = ("DEL", "UNLINK", "SET", "SETEX", "EVAL", "EVALSHA")
READ_AGAIN_FOR_S = 1.0


def attack(lab: Lab) -> None:
    races = lab.rounds(ROUNDS)
    for number in races:
        _race_with_readers(lab, number)
    for offset, outage in enumerate(outages_that_keep_data(lab), start=1):
        number = len(races) + offset
        payer, payee = lab.wallets(100_00, 0, round=number)
        lab.sender.send(payee.read(), round=number)
        outage.begin(lab, number)
        try:
            lab.sender.send(payer.pays(payee, 10_00), round=number)
        finally:
            outage.end(lab, number)
        _read_for_a_while(lab, payee, number)


def _race_with_readers(lab: Lab, number: int) -> None:
    payer, payee = lab.wallets(100_00, 0, round=number)
    lab.link.answer_late(LATE_BY_S, WRITE_COMMANDS)
    lab.recorder.event("late", "Redis answers write commands late", round=number)
    done = Flag()
    readers = [_reader(lab, payee, f"R{r + 1}", done, number) for r in range(READERS)]
    lab.sender.send(payer.pays(payee, 10_00), round=number)
    done.set()
    for reader in readers:
        reader.result()
    lab.link.restore()
    lab.sender.send(payee.read(), round=number)


def _reader(lab: Lab, wallet: Wallet, actor: str, done: Flag, number: int) -> "Future[None]":
    def read() -> None:
        while not done.is_set():
            lab.sender.send(wallet.read(), actor=actor, round=number)

    return in_thread(read)


def _read_for_a_while(lab: Lab, wallet: Wallet, number: int) -> None:
    until_s = time.monotonic() + READ_AGAIN_FOR_S
    while time.monotonic() < until_s:
        lab.sender.send(wallet.read(), round=number)
        time.sleep(0.05)  # Paces the reads; nothing waits for it.


SCENARIO = Scenario(
    name="stale-cache",
    suite="Redis outage",
    claim="No balance older than the last acknowledged movement is served.",
    story=__doc__,
    attack=attack,
    invariants=(no_stale_read, money_is_conserved),
    holds_when=switch("balance_cache", "versioned", "off"),
    requires=(struck("late", "silent"),),
)
