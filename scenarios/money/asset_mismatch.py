"""Gold is paid to a wallet of dollars.

Claim    Gold never becomes silver, nor dollars.
Attack   A transfer, a hold and a chain out of a user's gold, into somebody's dollars; and the
         transfer once more, called dollars. Payments within each asset go through.
Why      A number is a number: whoever looks at one of the two wallets only, or lets a client pay in
         what it paid out of another asset, changes money at one to one.
Known as Asset confusion, unit mismatch.
"""

from dataclasses import replace

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    no_asset_becomes_another,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import all_of, switch

GOLD = "GOLD"


def attack(lab: Lab) -> None:
    for number, change in enumerate((_transfer, _chain, _hold), start=1):
        dollars, payee = lab.wallets(100_00, 100_00, round=number)
        gold = Wallet(ref=lab.target.open_wallet_beside(lab.sender.ask, dollars.ref, GOLD), lab=lab)
        lab.must(gold.receives(100_00), round=number)
        change(lab, gold, payee, number)
        lab.must(dollars.pays(payee, 1_00), round=number)
        lab.must(gold.pays_out(1_00), round=number)


def _transfer(lab: Lab, gold: Wallet, payee: Wallet, number: int) -> None:
    lab.sender.send(gold.pays(payee, 60_00), round=number)
    # And the same, called dollars.
    lab.sender.send(
        replace(gold, ref=replace(gold.ref, asset=None)).pays(payee, 5_00), round=number
    )


def _chain(lab: Lab, gold: Wallet, payee: Wallet, number: int) -> None:
    lab.sender.send(gold.chains(payee, 60_00), round=number)


def _hold(lab: Lab, gold: Wallet, payee: Wallet, number: int) -> None:
    hold = lab.target.hold(gold.ref, payee.ref, 60_00, key=lab.new_key())
    lab.sender.send(hold, round=number)


SCENARIO = Scenario(
    name="asset-mismatch",
    suite="money",
    claim="Gold never becomes silver, nor dollars.",
    story=__doc__,
    attack=attack,
    invariants=(no_asset_becomes_another, balances_are_explained, acknowledged_is_recorded),
    holds_when=all_of(
        switch("validation", "strict"),
        switch("authorization", "owner"),
        switch("authentication", "weak", "jwt"),
        # Gold is paid out of a chain before its dollars are refused.
        switch("unit_of_work", "swallow_then_commit", "atomic"),
    ),
    strength="bounded",
)
