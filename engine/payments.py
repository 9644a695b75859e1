"""Moving money: the one use case behind transfers, deposits, withdrawals and chains.

Written once; every switch that it depends on is a part handed to it (`Parts`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from engine.limits import LimitCheck
from engine.locking import Locking, LockOrder
from engine.refusals import OUTCOME_UNKNOWN, Refused
from engine.replay_cache import ReplayCache
from engine.retry import Retry
from engine.service_wallets import refuse_service_wallets
from engine.subjects import Subject, once_only
from engine.unit_of_work import UnitOfWork, commit
from engine.wallets import Answer, Mark, Movement, Posting, Settlement, WalletState, Write

Present = Callable[[Sequence[Posting], Mapping[int, str]], dict[str, Any]]
"""Makes the answer's body from the postings and each wallet's asset code."""
PresentRefusal = Callable[[Refused], Answer]
MarkOf = Callable[[Sequence[Posting]], Mark]
"""What has to change in the movements' database transaction, and stops them where it does not."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request to move money."""

    principal: Principal
    request: KeyedRequest
    movements: tuple[Movement, ...]
    present: Present
    present_refusal: PresentRefusal
    mark: MarkOf | None = None
    subject: Subject | None = None
    """What the movements are about, where they follow from something recorded before."""
    success: int = 201
    """HTTP status of the answer."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one run of the unit of work came to."""

    answer: Answer
    changed: tuple[WalletState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What was decided for one group of movements, not yet written."""

    decision: Decision
    answer: Answer | None
    """The whole order's, with its last group."""


@dataclass(kw_only=True)
class Progress:
    """How far an order has come, group by group."""

    drafts: list[Draft] = field(default_factory=list)
    settled: int = 0
    """How many of the drafts are written and committed."""

    @property
    def postings(self) -> list[Posting]:
        return [posting for draft in self.drafts for posting in draft.decision.postings]

    @property
    def seen(self) -> dict[int, WalletState]:
        """Every wallet as it was last read."""
        return {id_: w for draft in self.drafts for id_, w in draft.decision.before.items()}

    @property
    def changed(self) -> tuple[WalletState, ...]:
        """Every wallet that a draft touches, as it leaves it."""
        wallets = {w.id: w for draft in self.drafts for w in draft.decision.after}
        return tuple(wallets.values())


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The strategies that the build's switches chose."""

    keys: Keys
    replays: ReplayCache
    locking: Locking
    lock_order: LockOrder
    books: OpenBooks
    work: UnitOfWork
    retry: Retry
    permissions: Permissions
    cache: BalanceCache
    assets: Assets
    funding: Funding
    limits: LimitCheck
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
        first = Progress()
        goes_on = parts.retry.goes_on
        done = parts.retry.run(
            lambda: self._attempt(open_session, order, first if goes_on else Progress())
        )
        # Redis only now: never while a row lock or a connection is held.
        parts.cache.after_commit(done.changed, cached_before)
        if not done.answer.replayed:
            parts.keys.after_commit(order.request, done.answer)
        parts.replays.remember(order.request, done.answer)
        return done.answer

    def _attempt(self, open_session: OpenSession, order: Order, progress: Progress) -> Done:
        try:
            return self._once(open_session, order, progress)
        except Refused as refusal:
            if refusal.problem is OUTCOME_UNKNOWN:
                # Perhaps they have changed: what is cached of them is not to be believed.
                for wallet in progress.changed:
                    self._parts.cache.forget(wallet.id)
            raise

    def _once(self, open_session: OpenSession, order: Order, progress: Progress) -> Done:
        with open_session() as session, self._parts.locking.around(session):
            self._parts.locking.begin(session)
            if known := self._parts.keys.find(session, order.request):
                return Done(answer=known)
            try:
                return self._move(session, self._resolved(session, order), progress)
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

    def _resolved(self, session: Session, order: Order) -> Order:
        if order.subject is None:
            return order
        return replace(order, movements=order.subject.movements(session, self._parts.locking))

    def _move(self, session: Session, order: Order, progress: Progress) -> Done:
        """Settle group after group. What has a draft is not read and decided again."""
        parts = self._parts
        groups = parts.work.groups(order.movements)
        for number, group in enumerate(groups):
            parts.locking.begin(session)
            if number == len(progress.drafts):
                progress.drafts.append(self._draft(session, order, group, progress))
            if number == progress.settled:
                progress.drafts[number] = self._settle(session, order, progress.drafts[number])
                progress.settled += 1
        answer = progress.drafts[-1].answer
        assert answer is not None, "the last group has the answer"
        return Done(answer=answer, changed=progress.changed)

    def _draft(
        self, session: Session, order: Order, group: Sequence[Movement], progress: Progress
    ) -> Draft:
        parts = self._parts
        funded = [parts.funding.complete(session, movement) for movement in group]
        wallets = self._read(session, funded)
        seen = progress.seen | wallets
        postings = progress.postings
        # A chain is judged as a whole up to here: what it paid out before, it may pay in now.
        so_far = order.movements[: len(postings) + len(group)]
        parts.permissions.to_move(order.principal, so_far, seen)
        assets = {w.id: parts.assets.by_id(session, w.asset_type_id) for w in seen.values()}
        refuse_service_wallets(group, seen, assets)
        if order.subject:
            # After the wallets were read, so that whoever locks them sees the last word.
            order.subject.check(session)
        codes = {wallet_id: asset.code for wallet_id, asset in assets.items()}
        decision = decide(
            funded,
            wallets,
            asset_codes=codes,
            idempotency_key=order.request.key,
            strict=parts.strict,
            shown=lambda wallet: parts.permissions.sees(order.principal, wallet.user_id),
        )
        parts.limits(session, decision)
        postings += decision.postings
        last = len(postings) == len(order.movements)
        answer = Answer(status=order.success, body=order.present(postings, codes)) if last else None
        return Draft(decision=decision, answer=answer)

    def _read(self, session: Session, movements: Sequence[Movement]) -> dict[int, WalletState]:
        books = self._parts.books(session)
        wallet_ids = [i for movement in movements for i in movement.wallet_ids]
        wallets: dict[int, WalletState] = {}
        for ids in self._parts.lock_order(wallet_ids):
            for wallet in self._parts.locking.read(session, books, ids):
                wallets[wallet.id] = wallet
        return wallets

    def _settle(self, session: Session, order: Order, draft: Draft) -> Draft:
        """Write and commit. Returns the draft as it came out."""
        parts, decision = self._parts, draft.decision
        # Writes in the order in which the wallets were read: a sorted build stays sorted.
        after = {wallet.id: wallet for wallet in decision.after}
        ordered = [i for ids in parts.lock_order(after) for i in ids]
        settlement = Settlement(
            writes=tuple(self._write(after[i], decision) for i in ordered),
            postings=decision.postings,
            kept=parts.keys.kept(order.request, draft.answer) if draft.answer else None,
            records=order.subject.records(decision.postings) if order.subject else (),
            mark=order.mark(decision.postings) if order.mark and draft.answer else None,
        )
        with once_only(), parts.work.writing(session):
            for write in parts.books(session).settle(settlement, parts.work.checkpoint(session)):
                wallet = after[write.wallet_id]
                after[wallet.id] = replace(wallet, balance=write.balance, version=write.version)
        parts.cache.before_commit(after)
        commit(session)
        return replace(draft, decision=replace(decision, after=tuple(after.values())))

    def _write(self, wallet: WalletState, decision: Decision) -> Write:
        before = decision.before[wallet.id]
        return Write(
            wallet_id=wallet.id,
            balance=wallet.balance,
            version=wallet.version,
            expected_version=self._parts.locking.expected_version(before),
            insists=self._parts.locking.insists,
            change=self._parts.locking.change(before, wallet, decision.postings),
        )
