"""Somebody rewrites history by SQL, with the service's own password.

Claim    Ledger rows cannot be changed or deleted, not even by SQL of the service's own role.
Attack   After some payments: UPDATE, DELETE and TRUNCATE of every table that the ledger is made of,
         over a connection like the service's.
Why      Whoever can write the rows that prove a balance can make any balance right.
Known as Audit tampering; append-only ledger, immutable log.
"""

import psycopg2

from attacks.history import Operation
from scenarios.invariants import legs_prove_the_balances, refused_by_the_database
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import acknowledged, answered

TAMPER = "tamper"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 5_00, round=1)
    for amount_minor in (10_00, 20_00):
        lab.sender.send(payer.pays(payee, amount_minor), round=1)
    for statement in lab.target.tampering():
        _tamper(lab, statement)


def _tamper(lab: Lab, statement: str) -> None:
    """Committed where it is let through: the ledger is to show what was done to it."""
    began_s = lab.recorder.now_s()
    refusal = _refusal(lab.database_url, statement)
    lab.recorder.operation(
        Operation(
            id=lab.recorder.new_id(),
            actor="intruder",
            name=TAMPER,
            text=statement,
            round=1,
            started_s=began_s,
            ended_s=lab.recorder.now_s(),
            outcome="failed" if refusal else "ok",
            status=403 if refusal else 200,
            answer=refusal or "done",
        )
    )


def _refusal(database_url: str, statement: str) -> str | None:
    """The database's own words; None when it did it. Raises psycopg2.OperationalError."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.IntegrityError) as error:
        return str(error).splitlines()[0]
    finally:
        connection.close()
    return None


SCENARIO = Scenario(
    name="immutable",
    suite="money",
    claim="Ledger rows cannot be changed or deleted, not even by SQL of the service's own role.",
    story=__doc__,
    attack=attack,
    invariants=(refused_by_the_database(TAMPER), legs_prove_the_balances),
    holds_when=all_of(switch("ledger", "double_entry", "hash_chain"), switch("constraints", "on")),
    requires=(acknowledged, answered(TAMPER)),
    strength="bounded",
)
