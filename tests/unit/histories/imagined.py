"""Random services that are right: what they answer, and what is in their database afterwards.

A `Plan` is one piece of work as a client means it, delivered once or several times with one key.
`imagine` lets a flawless wallet execute the plans in the order of their moments, while the requests
overlap, lose their answers or come too late, and returns what an invariant would look at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hypothesis import strategies as st

from attacks.history import Move, Operation, Outcome
from scenarios.invariants import Observed
from scenarios.truth import Balance, Effect, GroundTruth, Leg

WALLETS = ("1", "2", "3")
OPENING_MINOR = 500
STEP_MINOR = 10
"""All amounts are multiples of it: one minor unit more or less can never be right."""

Kind = Literal["transfer", "deposit", "withdrawal", "chain", "read-balance", "bad-transfer"]
Fate = Literal["answered", "lost", "lost-in-vain"]
"""The client gets the answer; it does not, and it was done; it does not, and it was not done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    kind: Kind
    payer: str
    payee: str
    amount_minor: int
    fates: tuple[Fate, ...]
    """One a delivery, all with one key."""
    lead_s: float
    lag_s: float
    """How long the request was under way before and after it was executed; one comes a second."""


def plans(*, answered: bool = False, closed: bool = False) -> st.SearchStrategy[Plan]:
    """`answered`: no outcome is unknown. `closed`: nothing comes in or goes out."""
    kinds: tuple[Kind, ...] = ("transfer", "chain", "read-balance", "bad-transfer")
    fates: st.SearchStrategy[Fate] = st.sampled_from(
        ("answered",) if answered else ("answered", "answered", "lost", "lost-in-vain")
    )
    span = st.floats(0, 3, allow_nan=False, width=16)
    return st.builds(
        Plan,
        kind=st.sampled_from(kinds if closed else (*kinds, "deposit", "withdrawal")),
        payer=st.sampled_from(WALLETS),
        payee=st.sampled_from(WALLETS),
        amount_minor=st.integers(1, 40).map(lambda n: n * STEP_MINOR),
        fates=st.lists(fates, min_size=1, max_size=3).map(tuple),
        lead_s=span,
        lag_s=span,
    )


def services(*, answered: bool = False, closed: bool = False) -> st.SearchStrategy[Observed]:
    """Where everything is answered, one of everything happens first, so that it can be broken."""
    first = one_of_everything() if answered else ()
    chosen = st.lists(plans(answered=answered, closed=closed), max_size=6)
    return chosen.map(lambda drawn: imagine([*first, *drawn], bulk_reads=closed))


def one_of_everything() -> tuple[Plan, ...]:
    def plan(kind: Kind, amount_minor: int, *fates: Fate) -> Plan:
        return Plan(
            kind=kind,
            payer="1",
            payee="2",
            amount_minor=amount_minor,
            fates=fates,
            lead_s=0.25,
            lag_s=0.25,
        )

    return (
        plan("transfer", 2 * STEP_MINOR, "answered", "answered"),
        plan("withdrawal", 100 * OPENING_MINOR, "answered"),
        plan("read-balance", 0, "answered"),
        plan("bad-transfer", 0, "answered"),
    )


def imagine(chosen: Sequence[Plan], *, bulk_reads: bool = False) -> Observed:
    wallet_house = _House()
    for wallet in WALLETS:
        wallet_house.opening(wallet)
    for number, plan in enumerate(chosen):
        for delivery, fate in enumerate(plan.fates):
            wallet_house.deliver(plan, f"key-{number}", fate, repeated=delivery > 0)
        if bulk_reads:
            wallet_house.bulk_read()
    return wallet_house.observed()


@dataclass
class _House:
    """A wallet without a flaw. One request is executed a second."""

    now_s: float = 0.0
    balances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WALLETS, 0))
    operations: list[Operation] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    decided: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    """By key: what was decided, and the answer's body."""

    def opening(self, wallet: str) -> None:
        plan = Plan(
            kind="deposit",
            payer=wallet,
            payee=wallet,
            amount_minor=OPENING_MINOR,
            fates=("answered",),
            lead_s=0.25,
            lag_s=0.25,
        )
        self.deliver(plan, f"opening-{wallet}", "answered", repeated=False)

    def deliver(self, plan: Plan, key: str, fate: Fate, *, repeated: bool) -> None:
        self.now_s += 1.0
        if plan.kind == "read-balance":
            self._read(plan, "read-balance", (plan.payer,))
            return
        moves = _moves(plan)
        outcome: Outcome = "unknown"
        body = ""
        if fate != "lost-in-vain":
            if key not in self.decided:
                self.decided[key] = self._execute(plan, moves)
            if fate == "answered":
                outcome, body = self.decided[key]
        self._record(plan, outcome, moves, key=key, body=body, patience_s=plan.lag_s)

    def bulk_read(self) -> None:
        self.now_s += 1.0
        plan = Plan(
            kind="read-balance",
            payer="1",
            payee="1",
            amount_minor=0,
            fates=(),
            lead_s=0.5,
            lag_s=0.5,
        )
        self._read(plan, "read-balances", WALLETS)

    def observed(self) -> Observed:
        return Observed(
            round=1,
            operations=tuple(sorted(self.operations, key=lambda o: (o.started_s, o.id))),
            events=(),
            truth=GroundTruth(
                balances={
                    wallet: Balance(wallet=wallet, asset="USD", amount_minor=Decimal(amount))
                    for wallet, amount in self.balances.items()
                },
                effects=tuple(self.effects),
                legs=tuple(self.legs),
            ),
        )

    def _execute(self, plan: Plan, moves: tuple[Move, ...]) -> tuple[Outcome, str]:
        after = dict(self.balances)
        for move in moves:
            for wallet, change in (
                (move.payer, -move.amount_minor),
                (move.payee, move.amount_minor),
            ):
                if wallet is not None:
                    after[wallet] += change
        aliased = plan.kind in ("transfer", "chain") and plan.payer == plan.payee
        if plan.kind == "bad-transfer" or aliased or min(after.values()) < 0:
            return "failed", "refused"
        for move in moves:
            self._write(move)
        return "ok", f"movement {len(self.effects)}"

    def _write(self, move: Move) -> None:
        effect = f"e{len(self.effects) + 1}"
        amount = Decimal(move.amount_minor)
        self.effects.append(
            Effect(id=effect, payer=move.payer, payee=move.payee, amount_minor=amount)
        )
        for wallet, change in ((move.payer, -move.amount_minor), (move.payee, move.amount_minor)):
            if wallet is None:
                continue
            self.balances[wallet] += change
            self.legs.append(
                Leg(
                    effect=effect,
                    wallet=wallet,
                    amount_minor=Decimal(change),
                    balance_after_minor=Decimal(self.balances[wallet]),
                    position=sum(leg.wallet == wallet for leg in self.legs) + 1,
                )
            )

    def _read(self, plan: Plan, name: str, wallets: tuple[str, ...]) -> None:
        values = {"balances": {wallet: self.balances[wallet] for wallet in wallets}}
        self._record(plan, "ok", (), name=name, values=values, patience_s=plan.lag_s)

    def _record(  # what an operation is made of
        self,
        plan: Plan,
        outcome: Outcome,
        moves: tuple[Move, ...],
        *,
        patience_s: float,
        name: str | None = None,
        key: str | None = None,
        body: str = "",
        values: Mapping[str, object] | None = None,
    ) -> None:
        # Who gives up may do so before the work is done.
        gives_up_early = outcome == "unknown" and patience_s > 1.5
        started_s = self.now_s - plan.lead_s
        ended_s = started_s if gives_up_early else self.now_s + patience_s
        statuses: dict[Outcome, int | None] = {"ok": 201, "failed": 409, "unknown": None}
        self.operations.append(
            Operation(
                id=len(self.operations) + 1,
                actor="A",
                name=name or plan.kind,
                text=f"{name or plan.kind} {plan.amount_minor}",
                round=1,
                moves=moves,
                key=key,
                started_s=started_s,
                ended_s=ended_s,
                outcome=outcome,
                status=statuses[outcome],
                answer=str(statuses[outcome]),
                values={"body": body} if values is None else values,
            )
        )


def _moves(plan: Plan) -> tuple[Move, ...]:
    amount = plan.amount_minor
    out = Move(payer=plan.payer, payee=None, amount_minor=amount)
    into = Move(payer=None, payee=plan.payee, amount_minor=amount)
    shapes: dict[Kind, tuple[Move, ...]] = {
        "transfer": (Move(payer=plan.payer, payee=plan.payee, amount_minor=amount),),
        "deposit": (into,),
        "withdrawal": (out,),
        "chain": (out, into),
    }
    return shapes.get(plan.kind, ())
