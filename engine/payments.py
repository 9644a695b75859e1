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
from engine.funding import Funding
from engine.idempotency import KeyedRequest, Keys, keep
from engine.identity import Permissions, Principal
from engine.locking import Locking, LockOrder
from engine.refusals import Refused
from engine.replay_cache import ReplayCache
from engine.unit_of_work import UnitOfWork, commit
from engine.wallets import Answer, Movement, Posting, Settlement, WalletState, Write

Present = Callable[[Sequence[Posting], Mapping[int, str]], dict[str, Any]]
"""Makes the answer's body from the postings and each wallet's asset code."""
PresentRefusal = Callable[[Refused], Answer]
Run = Callable[[Callable[[], "Done"]], "Done"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request to move money."""

    principal: Principal
    request: KeyedRequest
    movements: tuple[Movement, ...]
    present: Present
    present_refusal: PresentRefusal


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
    funding: Funding
    strict: bool


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
        cached_before = parts.cache.begin()
        done = parts.retry(lambda: self._once(open_session, order))
        # Redis only now: never while a row lock or a connection is held.
        parts.cache.after_commit(done.changed, cached_before)
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
        answer = order.present_refusal(refusal)
        kept = self._parts.keys.kept(order.request, answer)
        if kept is None or not refusal.problem.stored_under_key:
            raise refusal
        session.execute(keep(kept))
        commit(session)
        return Done(answer=answer)

    def _move(self, session: Session, order: Order) -> Done:
        parts = self._parts
        funded = [parts.funding.complete(session, movement) for movement in order.movements]
        postings: list[Posting] = []
        seen: dict[int, WalletState] = {}
        changed: dict[int, WalletState] = {}
        answer: Answer | None = None
        for group in parts.work.groups(funded):
            wallets = self._read(session, group)
            seen.update(wallets)
            # A chain is judged as a whole up to here: what it paid out before, it may pay in now.
            so_far = order.movements[: len(postings) + len(group)]
            parts.permissions.to_move(order.principal, so_far, seen)
            codes = self._asset_codes(session, seen)
            decision = decide(
                group,
                wallets,
                asset_codes=codes,
                idempotency_key=order.request.key,
                strict=parts.strict,
            )
            postings += decision.postings
            changed.update({wallet.id: wallet for wallet in decision.after})
            if len(postings) == len(funded):
                answer = Answer(status=201, body=order.present(postings, codes))
            self._settle(session, order, decision, answer)
        assert answer is not None, "an order has at least one movement"
        return Done(answer=answer, changed=tuple(changed.values()))

    def _read(self, session: Session, movements: Sequence[Movement]) -> dict[int, WalletState]:
        books = self._parts.books(session)
        wallet_ids = [i for movement in movements for i in movement.wallet_ids]
        wallets: dict[int, WalletState] = {}
        for ids in self._parts.lock_order(wallet_ids):
            for wallet in books.read(ids, lock=self._parts.locking.locks_rows):
                wallets[wallet.id] = wallet
        return wallets

    def _asset_codes(self, session: Session, wallets: Mapping[int, WalletState]) -> dict[int, str]:
        by_id = self._parts.assets.by_id
        return {w.id: by_id(session, w.asset_type_id).code for w in wallets.values()}

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
