"""Somebody else has the same key.

Claim    A key belongs to its caller and route: nobody gets another's answer, nobody is blocked.
Attack   B pays with the key that A has paid with, then sends A's own request once more in B's name;
         A uses the key on another route; and A and B pay with one key in every order that their
         statements can take.
Why      Clients choose their keys, and counters, dates and "1" are chosen by many. Where all share
         one namespace, a key that is known or guessed reads the answer that was somebody else's.
Known as Key collision, cross-tenant replay; information disclosure.
"""

from dataclasses import replace

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.invariants.keys import acknowledged_all, nobody_gets_anothers_answer
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import RETRIED, all_of, any_of, switch
from scenarios.requirements import acknowledged

STOLEN = "stolen-transfer"


def attack(lab: Lab) -> None:
    ours, theirs, payee = lab.wallets(100_00, 100_00, 0, round=1)
    first = ours.pays(payee, 10_00, key=lab.new_key())
    lab.sender.send(first, actor="A", round=1)
    lab.sender.send(theirs.pays(payee, 20_00, key=first.key), actor="B", round=1)
    lab.sender.send(ours.pays_out(5_00, key=first.key), actor="A", round=1)
    ours, theirs, payee = lab.wallets(100_00, 100_00, 0, round=2)
    first = ours.pays(payee, 10_00, key=lab.new_key())
    lab.sender.send(first, actor="A", round=2)
    # With B's own name: work of its own, if it is done at all.
    stolen = _as(ours, theirs).pays(payee, 10_00, key=first.key)
    lab.sender.send(replace(stolen, name=STOLEN, key=None), actor="B", round=2)
    ours, theirs, payee, other = lab.wallets(100_00, 100_00, 0, 0, round=3)
    key = lab.new_key()
    lab.explore(
        "two callers with one key",
        ours.pays(payee, 10_00, key=key),
        theirs.pays(other, 20_00, key=key),
        round=3,
    )


def _as(wallet: Wallet, thief: Wallet) -> Wallet:
    """The wallet, in the hands of the other's owner."""
    return replace(wallet, ref=replace(wallet.ref, token=thief.ref.token, pin=thief.ref.pin))


SCENARIO = Scenario(
    name="key-scope",
    suite="replay",
    claim="A key belongs to its caller and route: nobody gets another's answer, nobody is blocked.",
    story=__doc__,
    attack=attack,
    invariants=(
        nobody_gets_anothers_answer,
        acknowledged_all("transfer", "withdrawal"),
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
    ),
    holds_when=all_of(
        any_of(
            switch("idempotency", "off"),
            all_of(
                switch("key_scope", "caller_and_route"),
                switch("replay_cache", "scoped", "off"),
                switch("authentication", "weak", "jwt"),
            ),
        ),
        RETRIED,
    ),
    requires=(acknowledged,),
)
