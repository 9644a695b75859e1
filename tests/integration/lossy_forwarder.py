"""A TCP forwarder before PostgreSQL that loses the answer to COMMIT, as a failing network does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message by which psycopg2 commits: it sends nothing else meanwhile."""
CHUNK_BYTES = 65536
GONE = OSError


@dataclass(kw_only=True)
class Forwarder:
    """Loses as many answers to COMMIT as `losses` says; each time it cuts that connection."""

    what: bytes = COMMIT
    """To what else in its place: part of a message."""
    sent: list[bytes] = field(default_factory=list)
    """What went to the database, as it came: what waits for its answer comes by itself."""

    url: str
    """The database's, through this forwarder."""
    losses: int = 0
    lost: list[bytes] = field(default_factory=list)
    """What the database had answered."""


@contextmanager
def forwarder_to(database_url: str) -> Iterator[Forwarder]:
    parts = urlsplit(database_url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        credentials = parts.netloc.rpartition("@")[0]
        place = f"{credentials}@127.0.0.1:{listener.getsockname()[1]}"
        forwarder = Forwarder(url=urlunsplit(parts._replace(netloc=place)))
        target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        threading.Thread(target=_accept, args=(listener, target, forwarder), daemon=True).start()
        yield forwarder


def _accept(listener: socket.socket, target: tuple[str, int], forwarder: Forwarder) -> None:
    with suppress(GONE):  # The listener is closed at the end.
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            committing = threading.Event()
            for pump in (_upward, _downward):
                arguments = (client, server, committing, forwarder)
                threading.Thread(target=pump, args=arguments, daemon=True).start()


def _upward(
    client: socket.socket, server: socket.socket, committing: threading.Event, forwarder: Forwarder
) -> None:
    with suppress(GONE):
        while chunk := client.recv(CHUNK_BYTES):
            forwarder.sent.append(chunk)
            if forwarder.what in chunk and forwarder.losses > 0:
                forwarder.losses -= 1
                committing.set()
            server.sendall(chunk)
    _end(server)


def _downward(
    client: socket.socket, server: socket.socket, committing: threading.Event, forwarder: Forwarder
) -> None:
    with suppress(GONE):
        while chunk := server.recv(CHUNK_BYTES):
            if committing.is_set():
                forwarder.lost.append(chunk)
                break
            client.sendall(chunk)
    _end(client)
    _end(server)


def _end(connection: socket.socket) -> None:
    """For both directions: `close` alone would leave the other thread in its `recv`."""
    with suppress(GONE):
        connection.shutdown(socket.SHUT_RDWR)
