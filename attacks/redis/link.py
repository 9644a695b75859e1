"""The wire to Redis, which can be cut: a TCP relay between the service and its Redis.

Open, it passes bytes both ways. `answer_late` holds back the replies to some commands. `refuse`
resets every connection and takes no new one, as a dead host does; `swallow` keeps connections open
and answers nothing, as a lost network does.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Collection

CHUNK_BYTES = 65_536
LOOPBACK = "127.0.0.1"


class Link:
    """Listens on a loopback port of its own. One thread a direction and connection."""

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._swallowing = False
        self._refusing = False
        self._late_s = 0.0
        self._late_commands: tuple[bytes, ...] = ()
        self.requests = 0
        """Chunks that the service has sent so far: whether it uses Redis at all, and when."""
        self.late_replies = 0
        """Replies held back so far."""
        self._listener = self._listen(0)
        self.host = LOOPBACK
        self.port = int(self._listener.getsockname()[1])

    def refuse(self) -> None:
        """Nobody is there: connections are reset, new ones refused."""
        self._refusing = True
        self._close_listener()
        self._drop_connections()

    def swallow(self) -> None:
        """The network is gone: connections stay, new ones open, and nothing comes back."""
        self._swallowing = True

    def answer_late(self, delay_s: float, commands: Collection[str]) -> None:
        """Redis does what it is asked at once, but the replies to these commands come late."""
        self._late_commands = tuple(f"\r\n{c.upper()}\r\n".encode() for c in commands)
        self._late_s = delay_s

    def restore(self) -> None:
        """As new: what was swallowed is lost, so the connections that lost it are reset."""
        self._late_s = 0.0
        self._refusing = False
        was_swallowing, self._swallowing = self._swallowing, False
        if was_swallowing:
            self._drop_connections()
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        self.refuse()

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
        try:
            server = socket.create_connection(self._upstream, timeout=2)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self._lock:
            self._sockets.update(pair)
        if self._refusing:
            # Accepted just before `refuse`, registered after it has dropped what it knew.
            _end(*pair)
        for end in pair:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = _Asked()
        back = threading.Thread(target=self._replies, args=(server, client, asked), daemon=True)
        back.start()
        self._requests(client, server, asked)
        back.join()
        with self._lock:
            self._sockets.difference_update(pair)
        for end in pair:
            end.close()

    def _requests(self, client: socket.socket, server: socket.socket, asked: "_Asked") -> None:
        with contextlib.suppress(OSError):
            while chunk := client.recv(CHUNK_BYTES):
                self.requests += 1
                upper = chunk.upper()
                asked.for_late_reply = any(name in upper for name in self._late_commands)
                if not self._loses(asked):
                    server.sendall(chunk)
        _end(client, server)

    def _replies(self, server: socket.socket, client: socket.socket, asked: "_Asked") -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(CHUNK_BYTES):
                if self._late_s and asked.for_late_reply:
                    self.late_replies += 1
                    time.sleep(self._late_s)  # The fault itself.
                if not self._loses(asked):
                    client.sendall(chunk)
        _end(client, server)

    def _loses(self, asked: "_Asked") -> bool:
        """A connection that has lost something stays silent: the next reply would be for it."""
        asked.has_lost = asked.has_lost or self._swallowing
        return asked.has_lost

    def _drop_connections(self) -> None:
        with self._lock:
            sockets = tuple(self._sockets)
        _end(*sockets)


class _Asked:
    """What the two directions of one connection share."""

    for_late_reply = False
    has_lost = False


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
