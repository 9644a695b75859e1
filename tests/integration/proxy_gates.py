"""Gates for the tests of the proxy, and the place where they stand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from attacks.postgres.gate import (
    Forward,
    ForwardOrder,
    Gate,
    Relay,
    RelayOrder,
    Reset,
)
from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded, Reply, SessionInfo, Step

WAIT_S = 10.0
_Order = TypeVar("_Order")


@dataclass
class Orders:
    """A gate that forwards and relays everything but what it is told; notes every call."""

    on_arrival: dict[str, ForwardOrder] = field(default_factory=dict)
    """By a part of the SQL."""
    on_reply: dict[str, RelayOrder] = field(default_factory=dict)
    calls: list[tuple[str, int]] = field(default_factory=list)
    """What was called and the session's number."""
    steps: list[Step] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def opened(self, session: SessionInfo) -> None:
        self.calls.append(("opened", session.number))

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder:
        self.calls.append(("arrived", session.number))
        self.steps.append(step)
        return _first(self.on_arrival, step.sql) or Forward()

    def replied(self, session: SessionInfo, step: Step, reply: Reply) -> RelayOrder:
        self.calls.append(("replied", session.number))
        self.replies.append(reply)
        return _first(self.on_reply, step.sql) or Relay()

    def closed(self, session: SessionInfo) -> None:
        self.calls.append(("closed", session.number))


class Parking(Orders):
    """Parks the steps whose SQL has the word in it, until `release`."""

    def __init__(self, word: str, *, replies: bool = False) -> None:
        super().__init__()
        self.parked = threading.Event()
        self.ended = threading.Event()
        self._word = word
        self._replies = replies
        self._released = threading.Event()
        self._order: ForwardOrder = Forward()

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder:
        super().arrived(session, step)
        if not self._replies and self._word in step.sql:
            return self._park()
        return Forward()

    def replied(self, session: SessionInfo, step: Step, reply: Reply) -> RelayOrder:
        super().replied(session, step, reply)
        if self._replies and self._word in step.sql:
            order = self._park()
            return order if isinstance(order, Reset) else Relay()
        return Relay()

    def closed(self, session: SessionInfo) -> None:
        super().closed(session)
        self._released.set()
        self.ended.set()

    def release(self, order: ForwardOrder | None = None) -> None:
        self._order = order or Forward()
        self._released.set()

    def _park(self) -> ForwardOrder:
        self.parked.set()
        assert self._released.wait(WAIT_S)
        return self._order


def _first(orders: dict[str, _Order], sql: str) -> _Order | None:
    return next((order for part, order in orders.items() if part in sql), None)


@dataclass
class Place:
    """A proxy before a database."""

    proxy: Proxy
    direct_url: str
    url: str
    noted: list[Recorded]

    @property
    def recorded(self) -> list[Recorded]:
        self.proxy.catch_up()
        return self.noted

    def steps(self) -> list[tuple[str, str]]:
        return [(one.step.kind, one.step.sql) for one in self.recorded]


@contextmanager
def proxied(url: str, gate: Gate | None = None) -> Iterator[Place]:
    at = urlsplit(url)
    noted: list[Recorded] = []
    proxy = Proxy(at.hostname or "", at.port or 0, gate=gate, record=noted.append)
    netloc = at.netloc.replace(f":{at.port}", f":{proxy.port}")
    try:
        yield Place(
            proxy=proxy,
            direct_url=url,
            url=at._replace(netloc=netloc).geturl(),
            noted=noted,
        )
    finally:
        proxy.close()
