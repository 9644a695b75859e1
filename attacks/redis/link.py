"""The wire to Redis, which can be cut: a proxy between the service and its Redis.

Open, it passes commands and replies and keeps a record of the commands. `refuse` resets every
connection and takes no new one, as a dead host does; `swallow` keeps connections open and answers
nothing, as a lost network does; `answer_late` holds back the replies to some commands; `arm` lets
one fault strike at one command.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from attacks.redis.commands import Seen, seen
from attacks.redis.connection import Connection
from attacks.redis.faults import AnswerLate, Fault, FaultFailed, Wire
from attacks.redis.resp import Command

LOOPBACK = "127.0.0.1"
MOST_REMEMBERED = 100_000
HELD_AT_MOST_S = 4.0
"""A command that nobody releases goes on after that."""


class _Released(Protocol):
    def wait(self, timeout: float) -> bool: ...


class Strike:
    """One fault that waits for its command; a fault itself for the connection that carries it."""

    def __init__(
        self, fault: Fault, *, at: int, release: _Released | None, in_flight: bool
    ) -> None:
        self.fault = fault
        self.at = at
        self.command: Seen | None = None
        """The one it met; None before."""
        self.struck = False
        """Whether somebody was there to feel it."""
        self.failure: str | None = None
        """Why the fault could not be brought about."""
        self._release = release
        self._in_flight = in_flight
        self._reached = threading.Event()
        self._decided = threading.Event()

    @property
    def text(self) -> str:
        return self.fault.text

    def reached(self, timeout_s: float) -> bool:
        """Wait until its command has come."""
        return self._reached.wait(timeout_s)

    def felt(self, timeout_s: float) -> bool:
        """Whether it struck; waits until that is decided."""
        return self._decided.wait(timeout_s) and self.struck

    def meets(self, command: Seen) -> None:
        self.command = command

    def strike(self, wire: Wire) -> None:
        self._reached.set()
        if self._release is not None:
            self._release.wait(HELD_AT_MOST_S)
        self.struck = self._in_flight or not wire.client_is_gone
        try:
            if self.struck:
                self.fault.strike(wire)
        except FaultFailed as error:
            self.struck, self.failure = False, str(error)
        if not self.struck:
            wire.reset()
        self._decided.set()


class Link:
    """Listens on a loopback port of its own. One thread a direction and connection."""

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._refusing = False
        self._late: _LateReplies | None = None
        self._armed: Strike | None = None
        self._until_armed = 0
        self._record: deque[Seen] = deque(maxlen=MOST_REMEMBERED)
        self._opened = 0
        self.swallowing = False
        self.requests = 0
        """Commands that the service has sent so far: whether it uses Redis at all, and when."""
        self.late_replies = 0
        """Replies that `answer_late` has held back so far."""
        self._listener = self._listen(0)
        self.host = LOOPBACK
        self.port = int(self._listener.getsockname()[1])

    def arm(
        self,
        fault: Fault,
        *,
        at: int = 1,
        release: _Released | None = None,
        in_flight: bool = False,
    ) -> Strike:
        """Let the fault strike once, at the `at`-th command from now on, counted from 1.

        With `release` the command is held until that is set, for a moment at most. Commands of a
        connection (HELLO, AUTH, …) are not counted. Whatever was armed before is disarmed.
        A command that was held does not arrive when the service has given up on it meanwhile,
        unless it is `in_flight`: then it comes late, as what is on its way already does.
        """
        strike = Strike(fault, at=at, release=release, in_flight=in_flight)
        with self._lock:
            self._armed, self._until_armed = strike, at
        return strike

    def disarm(self) -> None:
        with self._lock:
            self._armed = None

    def commands_since(self, requests: int) -> tuple[Seen, ...]:
        """Those after the first `requests`, without those of a connection."""
        with self._lock:
            late = list(takewhile(lambda one: one.number > requests, reversed(self._record)))
        return tuple(one for one in reversed(late) if not one.of_the_connection)

    def refuse(self) -> None:
        """Nobody is there: connections are reset, new ones refused."""
        self.refuse_new()
        self._drop(lost_only=False)

    def refuse_new(self) -> None:
        """Connections that are open stay."""
        self._refusing = True
        self._close_listener()

    def swallow(self) -> None:
        """The network is gone: connections stay, new ones open, and nothing comes back."""
        self.swallowing = True

    def answer_late(self, delay_s: float, commands: Collection[str]) -> None:
        """Redis does what it is asked at once, but the replies to these commands come late."""
        names = frozenset(name.upper() for name in commands)
        self._late = _LateReplies(self, AnswerLate(delay_s), names)

    def restore(self) -> None:
        """As new: what was swallowed is lost, so the connections that lost it are reset."""
        self.disarm()
        self._late = None
        self.swallowing = False
        self._refusing = False
        self._drop(lost_only=True)
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        self.refuse()

    def arrived(self, connection: Connection, command: Command) -> Fault | None:
        """What is to become of this command, if it is not just to be forwarded."""
        with self._lock:
            self.requests += 1
            passing = seen(command, number=self.requests, connection=connection.number)
            self._record.append(passing)
            if self.swallowing or not command.words:
                return None
            strike = self._due(passing, connection)
        if strike is not None:
            strike.meets(passing)
            return strike
        late = self._late
        return late if late is not None and command.name in late.names else None

    def _due(self, passing: Seen, connection: Connection) -> Strike | None:
        if self._armed is None or passing.of_the_connection or not connection.is_framed:
            return None
        self._until_armed -= 1
        if self._until_armed > 0:
            return None
        strike, self._armed = self._armed, None
        return strike

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _close_listener(self) -> None:
        # shutdown() wakes the thread that waits in accept(); close() alone would leave it there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._opened += 1
            number = self._opened
        try:
            connection = Connection(number, client, self._upstream, self)
        except OSError:
            client.close()
            return
        with self._lock:
            self._connections.add(connection)
        if self._refusing:
            # Accepted just before `refuse`, registered after it has dropped what it knew.
            connection.end()
        connection.serve()
        with self._lock:
            self._connections.discard(connection)

    def _drop(self, *, lost_only: bool) -> None:
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            if connection.has_lost or not lost_only:
                connection.end()


@dataclass(frozen=True)
class _LateReplies:
    """A fault at every command of these names, counted."""

    link: Link
    fault: AnswerLate
    names: frozenset[str]

    @property
    def text(self) -> str:
        return self.fault.text

    def strike(self, wire: Wire) -> None:
        self.link.late_replies += 1
        self.fault.strike(wire)
