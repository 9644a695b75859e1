"""Answers of settled keys in Redis: a replay need not reach the database (`replay_cache`)."""

import json
from typing import Protocol

from engine.defences import Defences
from engine.idempotency import KeyedRequest, KeyRules
from engine.redis_client import RedisAccess
from engine.wallets import Answer

LIFETIME_S = 3600


class ReplayCache(Protocol):
    def find(self, request: KeyedRequest) -> Answer | None: ...

    def remember(self, request: KeyedRequest, answer: Answer) -> None: ...


class NoReplayCache:
    def find(self, request: KeyedRequest) -> Answer | None:  # noqa: ARG002
        return None

    def remember(self, request: KeyedRequest, answer: Answer) -> None:
        pass


class RedisReplayCache:
    """Written after commit. `scoped` names caller, route and payload; unscoped the bare key."""

    def __init__(
        self, redis: RedisAccess, namespace: str, rules: KeyRules, *, scoped: bool
    ) -> None:
        self._redis = redis
        self._namespace = namespace
        self._rules = rules
        self._scoped = scoped

    def find(self, request: KeyedRequest) -> Answer | None:
        if not request.key:
            return None
        text = self._redis.call(lambda client: client.get(self._name(request)))
        try:
            kept = json.loads(text or "null")
            fingerprint, status, body = kept["fingerprint"], kept["status"], kept["body"]
        except (ValueError, TypeError, KeyError):
            return None  # Nothing, or nothing that this engine wrote: the database knows.
        if self._scoped:
            self._rules.refuse_other_payload(fingerprint, request.fingerprint)
        return Answer(status=status, body=body, replayed=True)

    def remember(self, request: KeyedRequest, answer: Answer) -> None:
        if not request.key:
            return
        text = json.dumps(
            {
                "fingerprint": request.fingerprint,
                "status": answer.status,
                "body": answer.body,
            }
        )
        self._redis.call(lambda client: client.set(self._name(request), text, ex=LIFETIME_S))

    def _name(self, request: KeyedRequest) -> str:
        scope = f"{request.scope}:" if self._scoped else ""
        return f"{self._namespace}:replay:{scope}{request.key}"


def replay_cache(
    defences: Defences, redis: RedisAccess, namespace: str, rules: KeyRules
) -> ReplayCache:
    value = defences.replay_cache
    if value == "off":
        return NoReplayCache()
    return RedisReplayCache(redis, namespace, rules, scoped=value == "scoped")
