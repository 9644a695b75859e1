"""The wire to Redis: open, refusing, swallowing, late, and open again."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from attacks.redis.link import Link
from engine.stores import RedisServer, free_port

SOON_S = 0.4
LATE_S = 0.15


class Echo:
    """A TCP server that sends back what it gets and remembers it."""

    def __init__(self, prefix: bytes = b"") -> None:
        self._prefix = prefix
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.got = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while chunk := connection.recv(65_536):
                self.got += chunk
                connection.sendall(self._prefix + chunk)


@pytest.fixture
def echo() -> Iterator[Echo]:
    opened = Echo()
    yield opened
    opened.close()


@pytest.fixture
def echo_link(echo: Echo) -> Iterator[Link]:
    link = Link("127.0.0.1", echo.port)
    yield link
    link.close()


@pytest.fixture
def link(redis_server: RedisServer) -> Iterator[Link]:
    opened = Link(redis_server.host, redis_server.port)
    yield opened
    opened.close()


@pytest.fixture
def client(link: Link, redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(
        host=link.host,
        port=link.port,
        password=redis_server.password or None,
        socket_timeout=SOON_S,
        socket_connect_timeout=SOON_S,
        retry=Retry(NoBackoff(), 0),
    ) as opened:
        yield opened


def _connect(link: Link) -> socket.socket:
    return socket.create_connection((link.host, link.port), timeout=SOON_S)


def _command(word: bytes) -> bytes:
    """Also a reply: what the echo sends back is framed as what it got."""
    return b"*1\r\n$%d\r\n%s\r\n" % (len(word), word)


def _said(connection: socket.socket, word: bytes) -> bytes:
    """The word that comes back; empty when the connection has ended."""
    connection.sendall(_command(word))
    reply = connection.recv(65_536)
    assert reply in (b"", _command(word))
    return word if reply else b""


def _has_ended(connection: socket.socket) -> bool:
    try:
        return _said(connection, b"still there?") == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_open_it_passes_everything_both_ways(echo_link: Link) -> None:
    payload = _command(bytes(range(256)) * 4_000)
    with _connect(echo_link) as first, _connect(echo_link) as second:
        assert _said(second, b"two") == b"two"
        sender = threading.Thread(target=first.sendall, args=(payload,))
        sender.start()
        got = b""
        while len(got) < len(payload):
            got += first.recv(65_536)
        sender.join()
    assert got == payload


def test_what_is_not_the_protocol_passes_as_it_is(echo_link: Link) -> None:
    with _connect(echo_link) as connection:
        for words in (b"*1\r\n+no command\r\n", b"HTTP/1.1", b"\x00\xff", _command(b"PING")):
            connection.sendall(words)
            got = b""
            while len(got) < len(words):
                got += connection.recv(65_536)
            assert got == words


def test_replies_that_are_none_pass_as_they_are() -> None:
    echo = Echo(prefix=b"+OK\r\nwho is there?\r\n")
    link = Link("127.0.0.1", echo.port)
    with _connect(link) as connection:
        for _ in range(2):
            connection.sendall(_command(b"PING"))
            got, expected = b"", b"+OK\r\nwho is there?\r\n" + _command(b"PING")
            while len(got) < len(expected):
                got += connection.recv(65_536)
            assert got == expected
    link.close()
    echo.close()


def test_refusing_ends_connections_and_takes_no_new_one(echo_link: Link) -> None:
    with _connect(echo_link) as connection:
        assert _said(connection, b"hello") == b"hello"
        echo_link.refuse()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        _connect(echo_link)
    echo_link.refuse()
    echo_link.restore()
    with _connect(echo_link) as connection:
        assert _said(connection, b"again") == b"again"


def test_no_connection_slips_through_while_it_begins_to_refuse(echo_link: Link) -> None:
    """Whoever is accepted in the moment of `refuse` must not keep a line to Redis."""
    for _ in range(20):
        opened: list[socket.socket] = []
        going = threading.Event()

        def connect(opened: list[socket.socket] = opened, going: threading.Event = going) -> None:
            while not going.is_set():
                with contextlib.suppress(OSError):
                    opened.append(_connect(echo_link))

        thread = threading.Thread(target=connect)
        thread.start()
        echo_link.refuse()
        going.set()
        thread.join()
        for connection in opened:
            with connection:
                assert _has_ended(connection)
        echo_link.restore()


def test_swallowing_keeps_connections_and_answers_nothing(echo: Echo, echo_link: Link) -> None:
    with _connect(echo_link) as before:
        assert _said(before, b"1") == b"1"
        echo_link.swallow()
        with _connect(echo_link) as during:
            for connection in (before, during):
                with pytest.raises(TimeoutError):
                    _said(connection, b"lost")
            echo_link.restore()
            for connection in (before, during):
                assert _has_ended(connection)
    assert echo.got == _command(b"1"), "what was swallowed came through"
    with _connect(echo_link) as after:
        assert _said(after, b"2") == b"2"


def test_a_connection_that_lost_something_never_speaks_again(
    echo_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next reply would be taken for the answer to what was lost."""
    monkeypatch.setattr(echo_link, "_drop", lambda *, lost_only: None)
    with _connect(echo_link) as connection:
        echo_link.swallow()
        with pytest.raises(TimeoutError):
            _said(connection, b"lost")
        echo_link.restore()
        with pytest.raises(TimeoutError):
            _said(connection, b"next")
        monkeypatch.undo()


def test_where_nobody_is_behind_it_connections_end(echo_link: Link) -> None:
    link = Link("127.0.0.1", free_port())
    with _connect(link) as connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    link.close()
    link.close()


def test_closed_it_is_gone(echo: Echo) -> None:
    link = Link("127.0.0.1", echo.port)
    link.close()
    with pytest.raises(ConnectionRefusedError):
        _connect(link)


def test_redis_is_reached_through_it(client: redis.Redis) -> None:
    client.set("link:kept", "1")
    assert client.get("link:kept") == b"1"


def test_redis_refused_and_back(link: Link, client: redis.Redis) -> None:
    client.set("link:refused", "1")
    link.refuse()
    with pytest.raises(redis.ConnectionError):
        client.get("link:refused")
    link.restore()
    assert client.get("link:refused") == b"1"


def test_redis_silent_and_back(link: Link, client: redis.Redis, redis_server: RedisServer) -> None:
    client.set("link:silent", "old")
    link.swallow()
    with pytest.raises(redis.TimeoutError):
        client.set("link:silent", "new")
    link.restore()
    assert client.get("link:silent") == b"old"


def test_redis_does_at_once_what_it_confirms_late(
    link: Link, client: redis.Redis, redis_server: RedisServer
) -> None:
    with redis.Redis.from_url(redis_server.url) as direct:
        direct.delete("link:late")
        link.answer_late(LATE_S, ("SET", "del"))
        assert _duration_s(lambda: client.get("link:late")) < LATE_S
        done = threading.Thread(target=client.set, args=("link:late", "1"))
        began_s = time.monotonic()
        done.start()
        while direct.get("link:late") is None:
            assert time.monotonic() - began_s < LATE_S, "the command itself came late"
        done.join()
        assert time.monotonic() - began_s >= LATE_S
        assert client.get("link:late") == b"1"
        link.restore()
        assert _duration_s(lambda: client.set("link:late", "2")) < LATE_S


def _duration_s(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s
