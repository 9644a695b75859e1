"""Everything is restarted.

Claim    A clean restart of everything loses nothing that was acknowledged.
Attack   Deposits, withdrawals and transfers; then the service stops, PostgreSQL and Redis restart,
         and the service starts again; then every balance is read and money moves once more.
Why      What lives in a process or in Redis only is gone.
Known as Durability across a restart, persistence.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    no_stale_read,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import nothing
from scenarios.requirements import acknowledged, struck


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 1_00, round=1)
    for amount_minor in (10_00, 20_00, 5_00):
        lab.sender.send(payer.pays(payee, amount_minor), round=1)
    lab.sender.send(payer.pays_out(15_00), round=1)
    restart_everything(lab)
    for wallet in (payer, payee):
        lab.sender.send(wallet.read(), round=1)
    lab.sender.send(payee.pays(payer, 30_00), round=1)


def restart_everything(lab: Lab) -> None:
    lab.service.stop()
    lab.postgres.restart()
    if lab.redis.restartable:
        lab.redis.kill()
        lab.redis.start()
    lab.service.start()
    lab.recorder.event("restart", "service, PostgreSQL and Redis were restarted", round=1)


SCENARIO = Scenario(
    name="persistence",
    suite="atomicity",
    claim="A clean restart of everything loses nothing that was acknowledged.",
    story=__doc__,
    attack=attack,
    invariants=(
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
        no_stale_read,
    ),
    holds_when=nothing(),
    requires=(struck("restart"), acknowledged),
    strength="bounded",
    restarts=frozenset({"postgres"}),
)
