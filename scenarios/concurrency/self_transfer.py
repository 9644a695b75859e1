"""A wallet pays itself.

Claim    Paying oneself changes nothing.
Attack   A transfer of the whole balance, and of half of it, from a wallet to the same wallet.
Why      Both balances are read before either is written; the second write wins, and it added.
Known as Self-transfer, aliasing.
"""

from scenarios.invariants import balances_are_explained, money_is_conserved, never_overdrawn
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, any_of, switch


def attack(lab: Lab) -> None:
    for number, amount_minor in enumerate((100_00, 50_00), start=1):
        (wallet,) = lab.wallets(100_00, round=number)
        lab.sender.send(wallet.pays(wallet, amount_minor), round=number)


SCENARIO = Scenario(
    name="self-transfer",
    suite="concurrency",
    claim="Paying oneself changes nothing.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, never_overdrawn),
    # The database knows, too, where its refusal of the record takes the money back as well.
    holds_when=any_of(
        switch("validation", "strict"),
        all_of(
            switch("constraints", "on"),
            switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic"),
        ),
    ),
    strength="bounded",
)
