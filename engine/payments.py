"""Moving money: the one use case behind transfers, deposits, withdrawals and chains.

Written once; every switch that it depends on is a part handed to it (`Parts`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from engine.assets import Assets
from engine.balance_cache import BalanceCache
from engine.books import OpenBooks
from engine.database import OpenSession
from engine.decisions import Decision, decide
from engine.defences import Defences
from engine.idempotency import KeyedRequest, Keys, keep
from engine.identity import Permissions, Principal
from engine.locking import Locking, LockOrder
from engine.money import DEFAULT_ASSET
from engine.refusals import Refused
from engine.replay_cache import ReplayCache
from engine.unit_of_work import UnitOfWork, commit
from engine.wallets import Answer, Movement, Posting, Settlement, WalletState, Write

Present = Callable[[Sequence[Posting], Mapping[int, str]], dict[str, Any]]
"""Makes the answer's body from the postings and each wallet's asset code."""
RenderRefusal = Callable[[Refused], dict[str, Any]]
Run = Callable[[Callable[[], "Done"]], "Done"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request to move money."""

    principal: Principal
    request: KeyedRequest
    movements: tuple[Movement, ...]
    present: Present
    render_refusal: RenderRefusal


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one run of the unit of work came to."""

    answer: Answer
    changed: tuple[WalletState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The strategies that the build's switches chose."""

    keys: Keys
    replays: ReplayCache
    locking: Locking
    lock_order: LockOrder
    books: OpenBooks
    work: UnitOfWork
    retry: Run
    permissions: Permissions
    cache: BalanceCache
    assets: Assets
    fund: Callable[[Movement, int], Movement]
    limited: bool


def self_funded(movement: Movement, _: int) -> Movement:
    """Deposits create money and withdrawals destroy it."""
    return movement


def system_funded(movement: Movement, system_wallet_id: int) -> Movement:
    """The side that lies outside is a system wallet, so that everything sums to zero."""
    return Movement(
        kind=movement.kind,
        from_wallet_id=movement.from_wallet_id or system_wallet_id,
        to_wallet_id=movement.to_wallet_id or system_wallet_id,
        amount=movement.amount,
        asset=movement.asset,
    )


def funding_of(defences: Defences) -> Callable[[Movement, int], Movement]:
    return system_funded if defences.funding == "system" else self_funded


class Payments:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def execute(self, open_session: OpenSession, order: Order) -> Answer:
        """Move the money, or repeat the answer of the same key.

        Raises Refused, StaleVersion's refusal, or the database's error when nothing was stored.
        """
        parts = self._parts
        if known := parts.replays.find(order.request):
            return known
        done = parts.retry(lambda: self._once(open_session, order))
        # Redis only now: never while a row lock or a connection is held.
        parts.cache.after_commit(done.changed)
        if not done.answer.replayed:
            parts.keys.after_commit(order.request, done.answer)
        parts.replays.remember(order.request, done.answer)
        return done.answer

    def _once(self, open_session: OpenSession, order: Order) -> Done:
        with open_session() as session:
            if known := self._parts.keys.find(session, order.request):
                return Done(answer=known)
            try:
                return self._move(session, order)
            except Refused as refusal:
                return self._refuse(session, order, refusal)

    def _refuse(self, session: Session, order: Order, refusal: Refused) -> Done:
        """Store a final refusal with its key. Nothing else was written: deciding comes first."""
        body = order.render_refusal(refusal)
        answer = Answer(status=refusal.problem.status, body=body)
        kept = self._parts.keys.kept(order.request, answer)
        if kept is None or not refusal.problem.stored_under_key:
            raise refusal
        session.execute(keep(kept))
        commit(session)
        return Done(answer=answer)

    def _move(self, session: Session, order: Order) -> Done:
        groups = self._parts.work.groups(order.movements)
        postings: list[Posting] = []
        changed: dict[int, WalletState] = {}
        codes: dict[int, str] = {}
        answer = Answer(status=201, body={})
        for group in groups:
            decision, names = self._decide(session, order, group)
            postings += decision.postings
            codes.update(names)
            if group is groups[-1]:
                answer = Answer(status=201, body=order.present(postings, codes))
            self._settle(session, order, decision, answer if group is groups[-1] else None)
            changed.update({wallet.id: wallet for wallet in decision.after})
        return Done(answer=answer, changed=tuple(changed.values()))

    def _decide(
        self, session: Session, order: Order, group: Sequence[Movement]
    ) -> tuple[Decision, Mapping[int, str]]:
        parts = self._parts
        funded = [parts.fund(m, self._system_wallet(session, m)) for m in group]
        wallets = self._read(session, [i for movement in funded for i in movement.wallet_ids])
        parts.permissions.to_move(order.principal, group, wallets)
        names = {
            wallet.id: parts.assets.by_id(session, wallet.asset_type_id).code
            for wallet in wallets.values()
        }
        key = order.request.key
        decision = decide(
            funded, wallets, asset_codes=names, idempotency_key=key, limited=parts.limited
        )
        return decision, names

    def _system_wallet(self, session: Session, movement: Movement) -> int:
        code = movement.asset or DEFAULT_ASSET
        return self._parts.assets.by_code(session, code).system_wallet_id

    def _read(self, session: Session, wallet_ids: Sequence[int]) -> dict[int, WalletState]:
        books = self._parts.books(session)
        wallets: dict[int, WalletState] = {}
        for ids in self._parts.lock_order(wallet_ids):
            for wallet in books.read(ids, lock=self._parts.locking.locks_rows):
                wallets[wallet.id] = wallet
        return wallets

    def _settle(
        self, session: Session, order: Order, decision: Decision, answer: Answer | None
    ) -> None:
        parts = self._parts
        # Writes in the order in which the wallets were read: a sorted build stays sorted.
        after = {wallet.id: wallet for wallet in decision.after}
        ordered = [i for ids in parts.lock_order(after) for i in ids]
        settlement = Settlement(
            writes=tuple(self._write(after[i], decision) for i in ordered),
            postings=decision.postings,
            kept=parts.keys.kept(order.request, answer) if answer else None,
        )
        parts.books(session).settle(settlement, parts.work.checkpoint(session))
        parts.cache.before_commit(after)
        commit(session)

    def _write(self, wallet: WalletState, decision: Decision) -> Write:
        return Write(
            wallet_id=wallet.id,
            balance=wallet.balance,
            version=wallet.version,
            expected_version=self._parts.locking.expected_version(decision.before[wallet.id]),
        )
