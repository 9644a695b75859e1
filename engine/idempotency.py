"""Idempotency keys: one key, one effect, one answer (`idempotency` and the `key_*` switches).

The durable way claims the key in the database transaction that moves the money and stores the
answer there, so that key, money and answer are committed together or not at all.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.defences import DefenceError, Defences
from engine.direct import Direct
from engine.redis_client import RedisAccess
from engine.refusals import KEY_IN_FLIGHT, KEY_REUSED, Refused
from engine.schema import IdempotencyKey
from engine.wallets import Answer, KeptAnswer

LOCK_CLASS = "assay-key"
"""Prefix of the text whose 64-bit hash is the advisory lock: 32 bits would collide."""
REDIS_ONLY_LIFETIME_S = 86_400

# Made once: building them for each request costs more than running them.
KEYS: Any = IdempotencyKey.__table__
THIS_KEY = (KEYS.c.scope == sa.bindparam("scope")) & (KEYS.c.key == sa.bindparam("key"))
LOCK = Direct(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"))
TRY_LOCK = Direct(sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"))
# Looks and takes nothing: a lock tried here would be in the way of the request itself.
IS_LOCKED = sa.text(
    "WITH key AS (SELECT hashtextextended(:name, 0) AS hash) SELECT EXISTS (SELECT FROM pg_locks, "
    "key WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = (SELECT oid FROM "
    "pg_database WHERE datname = current_database()) AND objid::bigint = hash & 4294967295 AND "
    "classid::bigint = (hash >> 32) & 4294967295)"
)
INSERT = insert(KEYS)
CLAIM = Direct(
    insert(KEYS).on_conflict_do_nothing().returning(KEYS.c.key), ("scope", "key", "fingerprint")
)
EXISTS = sa.select(KEYS.c.key).where(THIS_KEY)
FIND = sa.select(KEYS.c.fingerprint, KEYS.c.response_status, KEYS.c.response_body).where(THIS_KEY)


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """What a request is recognised by."""

    scope: str
    key: str | None
    fingerprint: str


class Keys(Protocol):
    required: bool

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:
        """Claim the key; an answer means that the work was done before.

        Raises Refused for a key in flight or one that was used with another payload.
        """

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:
        """What a settlement has to store with the money."""

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None: ...

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:
        """The answer that is kept under the key; None when nothing became of it.

        Raises Refused while its request is being processed, as far as that can be seen.
        """


@dataclass(frozen=True, kw_only=True)
class KeyRules:
    """The four `key_*` switches, each read here once."""

    check_fingerprint: bool
    scoped: bool
    in_flight: str
    store_refusals: bool
    locks_keys: bool = False
    """Whoever waits for a twin waits for the lock of the key, and not for its row."""

    @classmethod
    def of(cls, defences: Defences, *, locks_keys: bool = False) -> "KeyRules":
        return cls(
            check_fingerprint=defences.key_fingerprint == "on",
            scoped=defences.key_scope == "caller_and_route",
            in_flight=defences.key_in_flight,
            store_refusals=defences.key_failures == "terminal_4xx",
            locks_keys=locks_keys,
        )

    def scope(self, caller: str, route: str) -> str:
        return f"{caller} {route}" if self.scoped else ""

    def refuse_other_payload(self, kept: str, sent: str) -> None:
        if self.check_fingerprint and kept != sent:
            raise Refused(KEY_REUSED, "this Idempotency-Key was used with another payload")


def fingerprint_of(payload: Any) -> str:
    """The same for the same payload, whatever the order of its keys or its white space."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class KeysIgnored:
    required = False

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:  # noqa: ARG002
        return None

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:  # noqa: ARG002
        return None

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None:
        pass

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:  # noqa: ARG002
        return None


class KeysInRedis:
    """Looked up before, written after: two at once both find nothing, and an eviction forgets."""

    required = True

    def __init__(self, redis: RedisAccess, namespace: str, rules: KeyRules) -> None:
        self._redis = redis
        self._namespace = namespace
        self._rules = rules

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:  # noqa: ARG002
        kept = self._kept(request.scope, request.key)
        if kept is None:
            return None
        self._rules.refuse_other_payload(kept["fingerprint"], request.fingerprint)
        return Answer(status=kept["status"], body=kept["body"], replayed=True)

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:  # noqa: ARG002
        return None

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None:
        text = json.dumps(
            {
                "fingerprint": request.fingerprint,
                "status": answer.status,
                "body": answer.body,
            }
        )
        name = self._name(request.scope, request.key)
        self._redis.call(lambda client: client.set(name, text, ex=REDIS_ONLY_LIFETIME_S))

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:  # noqa: ARG002
        kept = self._kept(scope, key)
        return kept and Answer(status=kept["status"], body=kept["body"], replayed=True)

    def _kept(self, scope: str, key: str | None) -> Any:
        text = self._redis.call(lambda client: client.get(self._name(scope, key)))
        return json.loads(text) if text else None

    def _name(self, scope: str, key: str | None) -> str:
        return f"{self._namespace}:key:{scope}:{key}"


class KeysInMemory:
    """Looked up before, kept after: gone with the process, and unknown to any other."""

    required = True

    def __init__(self, rules: KeyRules) -> None:
        self._rules = rules
        self._answers: dict[tuple[str, str | None], tuple[str, Answer]] = {}

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:  # noqa: ARG002
        kept = self._answers.get((request.scope, request.key))
        if kept is None:
            return None
        fingerprint, answer = kept
        self._rules.refuse_other_payload(fingerprint, request.fingerprint)
        return replace(answer, replayed=True)

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:  # noqa: ARG002
        return None

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None:
        self._answers[request.scope, request.key] = (request.fingerprint, answer)

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:  # noqa: ARG002
        kept = self._answers.get((scope, key))
        return kept and replace(kept[1], replayed=True)


class KeysInsertedLast:
    """Looked up before the locks and inserted with the money, unless it is there by then.

    Two at once both find nothing, and the second one's key is not inserted: its money is moved.
    """

    required = True

    def __init__(self, rules: KeyRules) -> None:
        self._rules = rules

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:
        kept = session.execute(FIND, {"scope": request.scope, "key": request.key}).first()
        if kept is None:
            return None
        self._rules.refuse_other_payload(kept.fingerprint, request.fingerprint)
        return Answer(status=kept.response_status, body=kept.response_body, replayed=True)

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:
        if answer.status >= 400 and not self._rules.store_refusals:
            return None
        return KeptAnswer(
            scope=request.scope,
            key=request.key or "",
            answer=answer,
            fingerprint=request.fingerprint,
        )

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None:
        pass

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:
        row = session.execute(FIND, {"scope": scope, "key": key}).first()
        if row is None:
            return None
        return Answer(status=row.response_status, body=row.response_body, replayed=True)


class KeysClaimed:
    """The key is a row, claimed first and answered last in the money's database transaction."""

    required = True

    def __init__(self, rules: KeyRules) -> None:
        self._rules = rules

    def find(self, session: Session, request: KeyedRequest) -> Answer | None:
        if self._rules.in_flight == "conflict":
            self._refuse_twin(session, request)
        elif self._rules.in_flight == "wait" and self._rules.locks_keys:
            LOCK.rows(session, {"name": _lock_name(request.scope, request.key)})
        if self._claim(session, request):
            return None
        kept = session.execute(FIND, {"scope": request.scope, "key": request.key}).one()
        self._rules.refuse_other_payload(kept.fingerprint, request.fingerprint)
        if kept.response_status is None:
            raise Refused(
                KEY_IN_FLIGHT, "a request with this Idempotency-Key has not been answered"
            )
        return Answer(status=kept.response_status, body=kept.response_body, replayed=True)

    def kept(self, request: KeyedRequest, answer: Answer) -> KeptAnswer | None:
        if answer.status >= 400 and not self._rules.store_refusals:
            return None
        return KeptAnswer(scope=request.scope, key=request.key or "", answer=answer)

    def after_commit(self, request: KeyedRequest, answer: Answer) -> None:
        pass

    def fate(self, session: Session, scope: str, key: str) -> Answer | None:
        """With `key_in_flight=wait` its owner holds no lock of the key, as a rule: not seen."""
        # First the lock, then the row: a lock is let go when its work can be seen already.
        locked = session.execute(IS_LOCKED, {"name": _lock_name(scope, key)}).scalar_one()
        row = session.execute(FIND, {"scope": scope, "key": key}).first()
        if row is not None and row.response_status is not None:
            return Answer(status=row.response_status, body=row.response_body, replayed=True)
        if locked or row is not None:
            raise Refused(KEY_IN_FLIGHT, "the request with this key has not been answered yet")
        return None

    def _refuse_twin(self, session: Session, request: KeyedRequest) -> None:
        """Without this ON CONFLICT would wait for the twin to end (`key_in_flight=wait`)."""
        name = _lock_name(request.scope, request.key)
        [(locked,)] = TRY_LOCK.rows(session, {"name": name})
        if not locked:
            raise Refused(KEY_IN_FLIGHT, "the same request is being processed: ask again shortly")

    def _claim(self, session: Session, request: KeyedRequest) -> bool:
        names = {"scope": request.scope, "key": request.key}
        row = {**names, "fingerprint": request.fingerprint}
        if self._rules.in_flight == "error":
            if session.execute(EXISTS, names).first():
                return False
            session.execute(INSERT, row)
            return True
        return bool(CLAIM.rows(session, row))


def _lock_name(scope: str, key: str | None) -> str:
    return f"{LOCK_CLASS} {scope} {key}"


def keep(kept: KeptAnswer) -> Any:
    """The statement that stores an answer under its key, which is claimed or inserted now."""
    answer = {"response_status": kept.answer.status, "response_body": kept.answer.body}
    if kept.fingerprint is not None:
        row = {"scope": kept.scope, "key": kept.key, "fingerprint": kept.fingerprint, **answer}
        return insert(KEYS).values(**row).on_conflict_do_nothing()
    return (
        sa.update(IdempotencyKey)
        .where(IdempotencyKey.scope == kept.scope, IdempotencyKey.key == kept.key)
        .values(**answer)
        .execution_options(synchronize_session=False)
    )


def keys_of(defences: Defences, redis: RedisAccess, namespace: str, rules: KeyRules) -> Keys:
    value = defences.idempotency
    if value == "off":
        return KeysIgnored()
    if value == "redis_only" and redis.state() == "none":
        raise DefenceError(
            "idempotency=redis_only keeps its keys in Redis: set REDIS_URL, or choose another value"
        )
    if value == "redis_only":
        return KeysInRedis(redis, namespace, rules)
    ways: dict[str, Callable[[KeyRules], Keys]] = {
        "memory": KeysInMemory,
        "check_then_insert": KeysInsertedLast,
        "claim": KeysClaimed,
    }
    return ways[value](rules)
