"""How much one caller may ask (switch `rate_limit`), asked before the database.

A caller is the principal of a token, the name that somebody wants to log in with, or, where nobody
has to say who they are, the address that the connection comes from: never what a header says.
"""

import math
from collections.abc import Callable
from typing import Protocol

from engine.defences import Defences
from engine.local_window import LocalWindow, RateLimit
from engine.redis_client import RedisAccess
from engine.refusals import RATE_LIMITED, Refused
from engine.settings import Settings

US_PER_S = 1_000_000
ADMIT = """
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = redis.call('LINDEX', KEYS[1], 0)
if newest then now = math.max(now, tonumber(newest)) end  -- The clock may have been set back.
local nth = redis.call('LINDEX', KEYS[1], limit - 1)
if nth and tonumber(nth) + window > now then return tonumber(nth) + window - now end
redis.call('LPUSH', KEYS[1], string.format('%.0f', now))
redis.call('LTRIM', KEYS[1], 0, limit - 1)
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
return 0
"""
"""The times of the last requests that were let through, newest first: as many as the limit says.
When the oldest of them has left the window there is room for one more. Times are Redis's own, in
microseconds, so that processes on several machines agree."""


class Windows(Protocol):
    def take(self, caller: str) -> float:
        """0 when the caller may go on; otherwise how many seconds to wait."""


class Unlimited:
    def take(self, caller: str) -> float:  # noqa: ARG002
        return 0.0


class FixedWindow:
    """GET, INCR, EXPIRE: the count of a window that begins with its first request.

    Two that read before either counts both pass; so do twice as many where two windows meet. When
    EXPIRE does not arrive the window never ends. Without Redis nobody counts.
    """

    def __init__(self, redis: RedisAccess, limit: RateLimit, key: Callable[[str], str]) -> None:
        self._redis = redis
        self._limit = limit
        self._key = key

    def take(self, caller: str) -> float:
        key, window_s = self._key(caller), self._limit.window_s
        count = self._redis.call(lambda client: client.get(key))
        if count is not None and int(count) >= self._limit.requests:
            return float(window_s)
        count = self._redis.call(lambda client: client.incr(key))
        if count == 1:
            self._redis.call(lambda client: client.expire(key, window_s))
        return 0.0


class SlidingWindow:
    """One script decides for all processes; each also keeps to the limit by itself.

    So without Redis, or when it has lost its data, a process still lets no more than the limit
    through, counting what it let through before: k processes together at most k times as much.
    """

    def __init__(self, redis: RedisAccess, limit: RateLimit, key: Callable[[str], str]) -> None:
        self._redis = redis
        self._limit = limit
        self._key = key
        self._here = LocalWindow(limit)

    def take(self, caller: str) -> float:
        place = self._here.take(caller)
        if place.taken_s is None:
            return place.wait_s
        limit, key = self._limit, self._key(caller)
        window_us = limit.window_s * US_PER_S
        wait_us = self._redis.call(
            lambda client: client.eval(ADMIT, 1, key, limit.requests, window_us), otherwise=0
        )
        if wait_us:
            self._here.give_back(place)
        return float(wait_us) / US_PER_S


class RateLimits:
    """The two classes of requests; both refuse with 429.

    `told` hears of each decision: which limit, and `admitted` or `refused`.
    """

    def __init__(
        self,
        defences: Defences,
        redis: RedisAccess,
        settings: Settings,
        told: Callable[[str, str], None] = lambda _limit, _decision: None,
    ) -> None:
        self._told = told
        value = defences.rate_limit
        self.asks = value != "off"

        def windows(limit: RateLimit) -> Windows:
            if value == "off":
                return Unlimited()
            kind = SlidingWindow if value == "sliding" else FixedWindow
            prefix = f"{settings.redis_namespace}:limit:{limit.name}:"
            return kind(redis, limit, lambda caller: prefix + caller)

        self._all = windows(
            RateLimit(
                name="all",
                requests=settings.rate_limit_requests,
                window_s=settings.rate_limit_window_s,
            )
        )
        self._sensitive = windows(
            RateLimit(
                name="sensitive",
                requests=settings.rate_limit_sensitive_requests,
                window_s=settings.rate_limit_sensitive_window_s,
            )
        )

    def admit(self, caller: str) -> None:
        """Any request. Raises Refused (429)."""
        self._decide("all", self._all.take(caller))

    def admit_guess(self, caller: str) -> None:
        """A request whose answer says whether a password was right. Raises Refused.

        To be asked before the secret is looked at.
        """
        self._decide("sensitive", self._sensitive.take(caller))

    def _decide(self, limit: str, wait_s: float) -> None:
        if self.asks:
            self._told(limit, "refused" if wait_s > 0 else "admitted")
        if wait_s > 0:
            raise Refused(
                RATE_LIMITED,
                "too many requests: wait as long as Retry-After says",
                retry_after_s=math.ceil(wait_s),
            )
