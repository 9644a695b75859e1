"""A request as a plain value, and what its answer means to whoever built it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from attacks.history import Move, Outcome


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer, read by the one who knows the service."""

    outcome: Outcome
    answer: str
    values: Mapping[str, Any] = field(default_factory=dict)


ReadReply = Callable[[httpx.Response], Reply]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request and the money that it asks to be moved."""

    name: str
    text: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    """Sent as it is when given: for bodies that no JSON library would write."""
    moves: tuple[Move, ...] = ()
    key: str | None = None
    read: ReadReply


def definite(response: httpx.Response) -> Reply:
    """2xx: done; 4xx: not done; 5xx: nobody can say."""
    status = response.status_code
    if status >= 500:
        return Reply(outcome="unknown", answer=str(status))
    return Reply(outcome="ok" if status < 400 else "failed", answer=str(status))
