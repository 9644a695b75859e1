"""Connections of the proxy: who is there, how they end, and what is said when there is none."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
import psycopg2
import pytest

from attacks.postgres import wire
from attacks.postgres.gate import Reset
from attacks.postgres.proxy import Proxy
from attacks.postgres.trace import Recorded
from engine.stores import PostgresServer, free_port
from tests.integration.proxy_gates import WAIT_S, Orders, Parking, Place, proxied

DATABASE = "proxy_sessions"


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with psycopg.connect(created) as connection:
        connection.execute("CREATE TABLE coins AS SELECT 1 AS id, 100 AS value")
    yield created
    postgres.drop_database(DATABASE)


def eventually(condition: Callable[[], Any]) -> None:
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        if condition():
            return
    raise AssertionError("it did not come about")


def test_who_is_there(url: str) -> None:
    with proxied(url) as place:
        assert place.proxy.host == "127.0.0.1"
        assert place.proxy.sessions() == ()
        options = "-c default_transaction_isolation=serializable"
        first = psycopg2.connect(place.url, application_name="wallet", options=options)
        second = psycopg2.connect(place.url)
        one, two = place.proxy.sessions()
        assert (one.number, one.pid) == (1, first.info.backend_pid)
        assert (one.user, one.database, one.application_name) == ("assay", DATABASE, "wallet")
        assert one.settings["options"] == options
        assert (two.number, two.pid) == (2, second.info.backend_pid)
        first.close()
        eventually(lambda: place.proxy.sessions() == (two,))
        second.close()


def test_a_gate_is_told_of_every_session_once(url: str) -> None:
    gate = Orders()
    with proxied(url, gate) as place:
        for number in range(1, 4):
            psycopg2.connect(place.url).close()
            eventually(partial(gate.calls.count, ("closed", number)))
    expected = [(kind, n) for n in (1, 2, 3) for kind in ("opened", "closed")]
    assert gate.calls == expected


def test_a_gate_that_comes_later_gets_the_next_step(url: str) -> None:
    gate = Orders()
    with proxied(url) as place, psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("SELECT %s", (1,), prepare=True)
        place.proxy.set_gate(gate)
        assert connection.execute("SELECT %s", (2,), prepare=True).fetchone() == (2,)
        place.proxy.set_gate(None)
        assert connection.execute("SELECT %s", (3,), prepare=True).fetchone() == (3,)
        place.proxy.set_gate(gate)
        connection.execute("SELECT 4")
        assert [(s.number, s.sql, s.parameters) for s in gate.steps] == [
            (3, "SELECT $1", ("2",)),
            (5, "SELECT 4", ()),
        ]
        kinds = ["prepare", "execute", "execute", "execute", "query"]
        assert [one.step.kind for one in place.recorded] == kinds
        assert [one.step.number for one in place.recorded] == [1, 2, 3, 4, 5]
        assert ("opened", 1) not in gate.calls


def test_a_gate_that_comes_while_an_answer_is_outstanding() -> None:
    """The next step waits for that answer, which no gate is asked about."""
    greeting = wire.typed(wire.AUTHENTICATION, b"\0\0\0\0") + wire.ready_for_query("I")
    answer = wire.typed(wire.COMMAND_COMPLETE, b"SELECT 0\0") + wire.ready_for_query("I")
    for _ in range(20):
        gate = Orders()
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            proxy = Proxy(*listener.getsockname())
            with socket.create_connection((proxy.host, proxy.port), timeout=WAIT_S) as client:
                client.sendall(wire.startup({"user": "assay"}))
                server, _ = listener.accept()
                with server:
                    server.settimeout(WAIT_S)
                    server.recv(4096)
                    server.sendall(greeting)
                    client.recv(4096)
                    client.sendall(wire.query("SELECT 1"))
                    assert server.recv(4096) == wire.query("SELECT 1")
                    proxy.set_gate(gate)
                    client.sendall(wire.query("SELECT 2"))
                    server.sendall(answer)
                    assert server.recv(4096) == wire.query("SELECT 2")
            proxy.close()
        assert [kind for kind, _ in gate.calls] == ["arrived", "closed"]


def test_bytes_that_are_no_messages_end_the_session(url: str) -> None:
    with proxied(url) as place:
        connection = psycopg.connect(place.url)
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.sendall(b"Q\0\0\0\1")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
        eventually(lambda: place.proxy.sessions() == ())
        (problem,) = place.proxy.problems
        assert problem == "session 1 was closed: the client sent message 'Q' says it has 1 bytes"


def test_a_client_hangs_up_while_it_is_parked(url: str) -> None:
    gate = Parking("UPDATE")
    with proxied(url, gate) as place:
        script = "import psycopg2, sys; psycopg2.connect(sys.argv[1]).cursor().execute(sys.argv[2])"
        command = [sys.executable, "-c", script, place.url, "UPDATE coins SET value = 0"]
        with subprocess.Popen(command) as client:
            assert gate.parked.wait(WAIT_S)
            client.kill()
        assert gate.ended.wait(WAIT_S)
        eventually(lambda: place.proxy.sessions() == ())
        assert gate.calls.count(("closed", 1)) == 1
    assert _value(url) == 100


def test_a_client_hangs_up_while_its_reply_is_held(url: str) -> None:
    gate = Parking("UPDATE", replies=True)
    with proxied(url, gate) as place:
        script = """if True:
            import psycopg2, sys
            connection = psycopg2.connect(sys.argv[1])
            connection.autocommit = True
            connection.cursor().execute("UPDATE coins SET value = value + 1")
        """
        with subprocess.Popen([sys.executable, "-c", script, place.url]) as client:
            assert gate.parked.wait(WAIT_S)
            client.kill()
        assert gate.ended.wait(WAIT_S)
        eventually(lambda: [one for one in place.recorded if one.reply.tag == "UPDATE 1"])
        assert gate.calls.count(("closed", 1)) == 1
    assert _value(url) == 101
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE coins SET value = 100")


def _value(url: str) -> int:
    with psycopg.connect(url) as connection:
        (value,) = connection.execute("SELECT value FROM coins").fetchone() or (0,)
    return int(value)


@pytest.mark.parametrize("gate", [None, Orders()])
def test_the_database_ends_a_session_that_waits_for_its_answer(
    url: str, gate: Orders | None
) -> None:
    with proxied(url, gate) as place, closing(psycopg.connect(place.url)) as connection:
        pid = connection.info.backend_pid
        killer = threading.Thread(target=_terminate_when_asleep, args=(url, pid))
        killer.start()
        with pytest.raises(psycopg.OperationalError, match="administrator command"):
            connection.execute("SELECT pg_sleep(60)")
        killer.join()
        eventually(lambda: place.recorded and place.recorded[-1].reply.sqlstate == "57P01")


def _terminate_when_asleep(url: str, pid: int) -> None:
    asking = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid = %s AND wait_event = 'PgSleep'"
    )
    with psycopg.connect(url, autocommit=True) as watcher:
        eventually(lambda: watcher.execute(asking, (pid,)).fetchone())


def test_the_database_ends_a_parked_session(url: str) -> None:
    """Such as by idle_in_transaction_session_timeout."""
    gate = Parking("SELECT 2")
    with proxied(url, gate) as place, closing(psycopg.connect(place.url)) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            connection.execute("SELECT 2")
        assert gate.ended.wait(WAIT_S)
        assert gate.calls.count(("closed", 1)) == 1


def test_the_database_dies_without_a_word() -> None:
    """A statement is known to be lost, and the gate is not asked about its reply."""
    gate = Orders()
    answers = wire.typed(wire.AUTHENTICATION, b"\0\0\0\0") + wire.ready_for_query("I")
    with _fake_server(answers, b"") as place:
        place.proxy.set_gate(gate)
        with closing(_connected(place.proxy.port)) as client:
            client.sendall(wire.query("UPDATE coins SET value = 0"))
            while client.recv(4096):
                pass
        eventually(lambda: gate.calls.count(("closed", 1)) == 1)
        assert [kind for kind, _ in gate.calls] == ["opened", "arrived", "closed"]
        (lost,) = place.recorded
        assert (lost.reply.lost, lost.reply.tag, lost.reply.status) == (True, None, None)


class _fake_server:  # noqa: N801 - a context manager, used as a function
    """Answers a start-up packet and one message, then closes."""

    def __init__(self, greeting: bytes, answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._bytes = (greeting, answer)
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> Place:
        recorded: list[Recorded] = []
        self._proxy = Proxy(*self._listener.getsockname(), record=recorded.append)
        return Place(proxy=self._proxy, direct_url="", url="", noted=recorded)

    def __exit__(self, *_: object) -> None:
        self._proxy.close()
        self._listener.close()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            for data in self._bytes:
                connection.recv(65_536)
                connection.sendall(data)


def _connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    client.sendall(wire.startup({"user": "assay"}))
    client.recv(4096)
    return client


def test_closing_ends_everything_also_what_is_parked(url: str) -> None:
    gate = Parking("SELECT 2")
    before = threading.active_count()
    with proxied(url, gate) as place:
        connection = psycopg2.connect(place.url)
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                connection.cursor().execute("SELECT 2")
            except psycopg2.OperationalError as error:
                failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        assert gate.parked.wait(WAIT_S)
        place.proxy.close()
        place.proxy.close()
        asking.join(WAIT_S)
        assert failed
        assert gate.calls.count(("closed", 1)) == 1
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            psycopg2.connect(place.url)
    eventually(lambda: threading.active_count() == before)


def test_a_reset_in_the_middle_leaves_nothing_behind(url: str) -> None:
    gate = Orders(on_arrival={"SELECT 2": Reset()})
    before = threading.active_count()
    with proxied(url, gate) as place:
        for _ in range(20):
            connection = psycopg2.connect(place.url)
            with pytest.raises(psycopg2.OperationalError):
                connection.cursor().execute("SELECT 2")
        eventually(lambda: place.proxy.sessions() == ())
    eventually(lambda: threading.active_count() == before)


def test_a_client_that_insists_on_tls(url: str) -> None:
    with proxied(url) as place:
        with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
            psycopg2.connect(place.url, sslmode="require")
        eventually(lambda: place.proxy.problems)
        (problem,) = place.proxy.problems
        assert "sslmode=disable" in problem
        psycopg2.connect(place.url, sslmode="prefer").close()
        assert place.proxy.problems == (problem,)


def test_a_client_that_begins_with_tls(url: str) -> None:
    with proxied(url) as place:
        raw = socket.create_connection((place.proxy.host, place.proxy.port))
        with raw, pytest.raises((ssl.SSLError, ConnectionError)):
            ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")
        (problem,) = place.proxy.problems
        assert "sslmode=disable" in problem


def test_encryption_is_refused_both_ways(url: str) -> None:
    with proxied(url) as place:
        raw = socket.create_connection((place.proxy.host, place.proxy.port), timeout=WAIT_S)
        with raw:
            for request in (wire.gssenc_request(), wire.ssl_request()):
                raw.sendall(request)
                assert raw.recv(10) == b"N"
            raw.sendall(wire.startup({"user": "nobody", "database": "nothing"}))
            assert raw.recv(1) in (b"R", b"E")


def test_a_client_that_insists_on_channel_binding(url: str) -> None:
    with proxied(url) as place:
        with pytest.raises(psycopg2.OperationalError, match="channel binding"):
            psycopg2.connect(place.url, channel_binding="require")
        eventually(lambda: place.proxy.problems)
        (problem,) = place.proxy.problems
        assert "channel_binding=disable" in problem


def test_a_database_that_insists_on_tls() -> None:
    text = 'no pg_hba.conf entry for host "::1", user "assay", database "assay", no encryption'
    fields = {"S": "FATAL", "V": "FATAL", "C": "28000", "M": text}
    with _fake_server(wire.error_response(fields), b"") as place:
        with pytest.raises(psycopg2.OperationalError, match="no encryption"):
            psycopg2.connect(host=place.proxy.host, port=place.proxy.port, user="assay")
        (problem,) = place.proxy.problems
        assert "pg_hba.conf" in problem


def test_a_database_that_is_not_there() -> None:
    proxy = Proxy("127.0.0.1", free_port())
    try:
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(host=proxy.host, port=proxy.port, user="assay", dbname="assay")
        (problem,) = proxy.problems
        assert "cannot be reached" in problem
    finally:
        proxy.close()
