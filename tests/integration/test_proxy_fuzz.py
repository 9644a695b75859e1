"""Arbitrary bytes from either side: nothing hangs, nothing is raised, the next is served."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg2
import pytest

from attacks.postgres import wire
from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded
from engine.ownership import poll
from engine.stores import PostgresServer
from tests.integration.proxy_gates import WAIT_S, Orders, Place, proxied

DATABASE = "proxy_fuzz"
SEED = 20_261_121
ROUNDS = 60
GREETING = wire.typed(wire.AUTHENTICATION, b"\0\0\0\0") + wire.typed(
    wire.BACKEND_KEY_DATA, b"\0\0\0\x07abcd"
)


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    yield postgres.create_database(DATABASE)
    postgres.drop_database(DATABASE)


@pytest.fixture(params=["recording", "gated"])
def place(request: pytest.FixtureRequest, url: str) -> Iterator[Place]:
    with proxied(url, Orders() if request.param == "gated" else None) as opened:
        yield opened


def noise(chance: random.Random) -> bytes:
    """Bytes, messages with arbitrary bodies, good messages in a bad order, and pieces of all."""
    kinds = b"QPBDEHSCFXdcfpGWZTtnCI123sERKvNA\0\xff"
    parts: list[bytes] = []
    for _ in range(chance.randint(1, 6)):
        body = chance.randbytes(chance.randint(0, 30))
        good = (
            wire.query("SELECT 1"),
            wire.parse("", "SELECT $1::int"),
            wire.bind("", "", [b"1"]),
            wire.execute(""),
            wire.sync(),
            wire.flush(),
            wire.ready_for_query("I"),
            wire.error_response({"S": "ERROR", "V": "ERROR", "C": "XX000", "M": "x"}),
            wire.typed(wire.COPY_IN, b"\0\0\0"),
        )
        parts.append(
            chance.choice(
                [body, wire.typed(chance.choice(kinds), body), *chance.choices(good, k=3)]
            )
        )
    whole = b"".join(parts)
    return whole[: chance.randint(1, len(whole))] if whole else b"\0"


def send_and_leave(port: int, data: bytes, chance: random.Random) -> None:
    """In two pieces; then read what there is, or hang up without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
        cut = chance.randint(0, len(data))
        with suppress(OSError):
            client.sendall(data[:cut])
            client.sendall(data[cut:])
            client.shutdown(socket.SHUT_WR)
            while chance.random() < 0.9 and client.recv(65_536):
                pass


def _works(place: Place) -> None:
    with closing(psycopg2.connect(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_arbitrary_bytes_instead_of_a_start_up_packet(place: Place) -> None:
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        send_and_leave(place.proxy.port, chance.randbytes(chance.randint(1, 60)), chance)
    for _ in range(ROUNDS):
        send_and_leave(place.proxy.port, wire.startup({"user": "x"}) + noise(chance), chance)
    _works(place)
    _until_idle()


@pytest.mark.parametrize("gated", [False, True])
def test_arbitrary_bytes_of_a_client_that_was_let_in(gated: bool) -> None:
    chance = random.Random(SEED + 1)
    with FakeServer(GREETING + wire.ready_for_query("I"), echo=True) as server:
        gate = Orders()
        proxy = Proxy("127.0.0.1", server.port, gate=gate if gated else None, record=_look_at)
        for _ in range(ROUNDS):
            send_and_leave(proxy.port, wire.startup({"user": "x"}) + noise(chance), chance)
        _until_idle()
        proxy.close()
        _told_once(gate)


@pytest.mark.parametrize("gated", [False, True])
def test_arbitrary_bytes_of_a_server(gated: bool, url: str) -> None:
    chance = random.Random(SEED + 2)
    gate = Orders()
    for number in range(ROUNDS):
        greeting = GREETING + (wire.ready_for_query("I") if number % 3 else b"") + noise(chance)
        with FakeServer(greeting) as server:
            proxy = Proxy("127.0.0.1", server.port, gate=gate if gated else None, record=_look_at)
            asked = wire.startup({"user": "x"}) + wire.query("SELECT 1") + wire.query("SELECT 2")
            send_and_leave(proxy.port, asked, chance)
            proxy.close()
            assert proxy.sessions() == ()
    _told_once(gate)


def _look_at(one: Recorded) -> None:
    assert one.arrived_s <= one.replied_s


def _told_once(gate: Orders) -> None:
    opened = sum(kind == "opened" for kind, _ in gate.calls)
    assert opened == sum(kind == "closed" for kind, _ in gate.calls)


def _until_idle() -> None:
    """All threads of the connections end by themselves."""
    names = ("assay-client", "assay-server")

    def none_left() -> bool:
        return not any(thread.name.startswith(names) for thread in threading.enumerate())

    assert poll(none_left, WAIT_S)


class FakeServer:
    """Says its piece to everyone; with `echo`, says again what it hears."""

    def __init__(self, greeting: bytes, *, echo: bool = False) -> None:
        self._greeting = greeting
        self._echo = echo
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "FakeServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(self._greeting)
            while self._echo and (data := connection.recv(65_536)):
                connection.sendall(data)
