"""Somebody adds up wallets while money moves between them.

Claim    A bulk read of several wallets sees a total that existed.
Attack   Three readers ask for all wallets in one request while money moves between them, one
         transfer after the other, so that the total never changes.
Why      With one SELECT a wallet each sees another moment: money that has left one wallet and not
         been read in the next is missing, or is counted twice.
Known as Read skew (A5A), inconsistent analysis.
"""

from concurrent.futures import Future
from threading import Event as Flag

from attacks.history import History, Operation
from attacks.http.sender import in_thread
from reports.evidence import Measure
from scenarios.invariants import bulk_reads_see, money_is_conserved
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import acknowledged, read_during

ROUNDS = 3
WALLETS = 6
TRANSFERS = 30
READERS = 3
OPENING_MINOR = 50_00


def attack(lab: Lab) -> None:
    for number in lab.rounds(ROUNDS):
        wallets = lab.wallets(*[OPENING_MINOR] * WALLETS, round=number)
        done = Flag()
        readers = [_reader(lab, wallets, f"R{r + 1}", done, number) for r in range(READERS)]
        try:
            _shuffle_money(lab, wallets, number)
        finally:
            done.set()
            for reader in readers:
                reader.result()


def _shuffle_money(lab: Lab, wallets: tuple[Wallet, ...], number: int) -> None:
    """One transfer at a time: nothing can be lost between two writers."""
    for turn in range(TRANSFERS):
        payer, payee = wallets[turn % WALLETS], wallets[(turn + 3) % WALLETS]
        lab.sender.send(payer.pays(payee, 10_00), actor="W", round=number)


def _reader(
    lab: Lab, wallets: tuple[Wallet, ...], actor: str, done: Flag, number: int
) -> "Future[None]":
    request = lab.target.read_balances([wallet.ref for wallet in wallets])

    def read() -> None:
        while not done.is_set():
            lab.sender.send(request, actor=actor, round=number)
            if actor == "R1":
                # Beside the bulk read, for comparison: no service could hold the sum of these.
                for wallet in wallets:
                    lab.sender.send(wallet.read(), actor="S1", round=number)

    return in_thread(read)


def separate_reads(history: History) -> Measure:
    """How often the sum of separate reads is wrong: shown, not judged."""
    passes: list[list[Operation]] = []
    for operation in history.operations:
        if operation.actor == "S1" and operation.outcome == "ok":
            if not passes or len(passes[-1]) == WALLETS:
                passes.append([])
            passes[-1].append(operation)
    whole = [one for one in passes if len(one) == WALLETS]
    wrong = sum(_sum(one) != OPENING_MINOR * WALLETS for one in whole)
    return Measure(
        name="sums of separate reads that were wrong (not judged: no service could hold them)",
        value=f"{wrong} of {len(whole)}",
    )


def _sum(reads: list[Operation]) -> int:
    return sum(int(amount) for read in reads for amount in read.values["balances"].values())


SCENARIO = Scenario(
    name="read-skew",
    suite="read skew",
    claim="A bulk read of several wallets sees a total that existed.",
    story=__doc__,
    attack=attack,
    invariants=(bulk_reads_see(OPENING_MINOR * WALLETS), money_is_conserved),
    holds_when=switch("reads", "single_statement", "snapshot"),
    requires=(read_during, acknowledged),
    measures=(separate_reads,),
)
