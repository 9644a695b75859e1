"""One connection of the service to Redis, command by command, and what can be done to it."""

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from attacks.redis.commands import CONNECTION_COMMANDS, streams
from attacks.redis.faults import Fault, FaultFailed
from attacks.redis.resp import Answer, Answers, Command, Commands, RespError

CHUNK_BYTES = 65_536
UPSTREAM_WITHIN_S = 2.0
LINGER_ZERO = struct.pack("ii", 1, 0)
"""Closing sends a RST instead of a FIN."""
UNKNOWN = b"*1\r\n$12\r\nASSAY.FAILED\r\n"
DISCARD = b"*1\r\n$7\r\nDISCARD\r\n"
Take = Callable[[bytes], None]


class Orders(Protocol):
    """What the link wants of its connections."""

    @property
    def swallowing(self) -> bool: ...

    def arrived(self, connection: "Connection", command: Command) -> Fault | None:
        """Asked for each command before it is forwarded."""

    def refuse_new(self) -> None:
        """Take no new connection."""


@dataclass
class _Due:
    """The next thing that the client is to hear."""

    take: Take
    """Gets Redis's reply."""
    canned: bytes | None = None
    """Said in Redis's place: nothing will come for it."""


class Connection:
    """A thread a direction. See `faults.Wire` for what a fault can do."""

    def __init__(
        self, number: int, client: socket.socket, upstream: tuple[str, int], orders: Orders
    ) -> None:
        """Raises OSError when Redis cannot be reached."""
        self.number = number
        self._client = client
        self._upstream = upstream
        self._orders = orders
        self._server = socket.create_connection(upstream, timeout=UPSTREAM_WITHIN_S)
        self._server.settimeout(None)
        for end in (client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lock = threading.Lock()
        self._due: deque[_Due] = deque()
        self._greetings: list[bytes] = []
        """How this connection was set up: a second one for the proxy itself begins alike."""
        self._command = Command(words=(), raw=b"")
        self._in_transaction = False
        self._foreign = False
        """Something else than Redis's protocol came; it is not for us to judge: it passes."""
        self._streaming = False
        self._deaf = False
        self._mute = False
        self._ended = threading.Event()

    @property
    def has_lost(self) -> bool:
        """It lost something: its next reply would be taken for the answer to that."""
        return self._deaf or self._mute

    @property
    def is_framed(self) -> bool:
        """Its replies can be told apart and belong to its commands one by one."""
        return not (self._foreign or self._streaming)

    @property
    def client_is_gone(self) -> bool:
        try:
            return self._client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def serve(self) -> None:
        """Return when both directions have ended."""
        back = threading.Thread(target=self._replies, daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            self._requests()
        self.end()
        back.join()
        self._client.close()
        self._server.close()

    def end(self) -> None:
        """Let go of both sides, with a FIN to the client unless it was reset before."""
        how = socket.SHUT_RD if self._ended.is_set() else socket.SHUT_RDWR
        for connection, direction in ((self._client, how), (self._server, socket.SHUT_RDWR)):
            with contextlib.suppress(OSError):
                connection.shutdown(direction)

    def forward(self, take: Take | None = None) -> None:
        command = self._command
        if command.name in CONNECTION_COMMANDS:
            self._greetings.append(command.raw)
        if command.name == "MULTI":
            self._in_transaction = True
        elif command.name in ("EXEC", "DISCARD", "RESET"):
            self._in_transaction = False
        self._streaming = self._streaming or streams(command)
        answered = bool(command.words) and not self._streaming
        self._send(command.raw, take or self.say, answered=answered)

    def say(self, data: bytes) -> None:
        if not (self._mute or self._ended.is_set()):
            with contextlib.suppress(OSError):
                self._client.sendall(data)

    def answer(self, reply: bytes) -> None:
        if self._in_transaction:
            # Redis has to fail as well, or it would execute the rest of the transaction.
            ends = self._command.name in ("EXEC", "DISCARD")
            self._in_transaction = not ends
            self._send(DISCARD if ends else UNKNOWN, lambda _: self.say(reply))
            return
        with self._lock:
            waits = bool(self._due)
            if waits:
                self._due.append(_Due(take=self.say, canned=reply))
        if not waits:
            self.say(reply)

    def do_first(self, command: bytes) -> None:
        greeting = [*self._greetings, command]
        answers: list[bytes] = []
        framer = Answers()
        try:
            with socket.create_connection(self._upstream, timeout=UPSTREAM_WITHIN_S) as own:
                own.sendall(b"".join(greeting))
                while len(answers) < len(greeting) and (chunk := own.recv(CHUNK_BYTES)):
                    answers += [answer.raw for answer in framer.feed(chunk)]
        except (OSError, RespError) as error:
            raise FaultFailed(f"Redis did not do what the proxy asked: {error}") from error
        if len(answers) < len(greeting) or answers[-1].startswith(b"-"):
            raise FaultFailed(f"Redis answered the proxy {answers[-1:]!r}")

    def fall_silent(self) -> None:
        self._deaf = True

    def reset(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.end()

    def refuse(self) -> None:
        self._orders.refuse_new()

    def _requests(self) -> None:
        framer = Commands()
        while not self._ended.is_set() and (chunk := self._client.recv(CHUNK_BYTES)):
            if self._foreign:
                self._pass_on(chunk)
                continue
            try:
                for command in framer.feed(chunk):
                    self._ask(command)
                    if self._ended.is_set():
                        return
            except RespError:
                self._foreign = True
                self._pass_on(framer.rest)

    def _ask(self, command: Command) -> None:
        self._command = command
        fault = self._orders.arrived(self, command)
        if self._loses():
            return
        if fault is None:
            self.forward()
        else:
            fault.strike(self)

    def _pass_on(self, data: bytes) -> None:
        if not self._loses():
            self._server.sendall(data)

    def _loses(self) -> bool:
        if self._orders.swallowing:
            self._deaf = self._mute = True
        return self._deaf

    def _send(self, data: bytes, take: Take, *, answered: bool = True) -> None:
        if answered:
            with self._lock:
                self._due.append(_Due(take=take))
        self._server.sendall(data)

    def _replies(self) -> None:
        framer = Answers()
        passing = False
        with contextlib.suppress(OSError):
            while not self._ended.is_set() and (chunk := self._server.recv(CHUNK_BYTES)):
                self._loses()
                if passing:
                    self.say(chunk)
                else:
                    passing = not self._framed(framer, chunk)
        self.end()

    def _framed(self, framer: Answers, chunk: bytes) -> bool:
        """Whether the replies can still be told apart; if not, what is left has been said."""
        if self._foreign:
            self.say(framer.rest + chunk)
            return False
        try:
            for answer in framer.feed(chunk):
                self._hear(answer)
        except RespError:
            self._foreign = True
            self.say(framer.rest)
            return False
        return True

    def _hear(self, answer: Answer) -> None:
        """Give the reply to whom it is due, then what was to come after it."""
        if answer.is_push or not self._due:
            self.say(answer.raw)
            return
        self._due[0].take(answer.raw)
        while canned := self._after_this():
            self.say(canned)

    def _after_this(self) -> bytes | None:
        with self._lock:
            self._due.popleft()
            return self._due[0].canned if self._due else None
