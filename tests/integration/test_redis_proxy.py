"""One fault at one command: what the client is told, and what Redis has done."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from attacks.http.sender import in_thread
from attacks.redis.faults import (
    FAULTS,
    LOADING,
    READONLY,
    AnswerLate,
    AnswerWhen,
    Delay,
    DropReply,
    Fault,
    HalfAnswer,
    Hang,
    LoseData,
    Refuse,
    Reset,
)
from attacks.redis.link import Link
from engine.ownership import poll
from engine.stores import RedisServer

SOON_S = 0.4


@pytest.fixture
def link(redis_server: RedisServer) -> Iterator[Link]:
    opened = Link(redis_server.host, redis_server.port)
    yield opened
    opened.close()


@pytest.fixture
def direct(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as opened:
        opened.flushall()
        yield opened


@pytest.fixture(params=[2, 3])
def client(
    link: Link, direct: redis.Redis, request: pytest.FixtureRequest
) -> Iterator[redis.Redis]:
    with redis.Redis(
        host=link.host,
        port=link.port,
        protocol=request.param,
        socket_timeout=SOON_S,
        socket_connect_timeout=SOON_S,
        retry=Retry(NoBackoff(), 0),
    ) as opened:
        opened.set("proxy:kept", "1")
        yield opened


@dataclass(frozen=True, kw_only=True)
class Case:
    fault: Fault
    told: type[Exception]
    executed: bool


CASES = (
    Case(fault=Reset(), told=redis.ConnectionError, executed=False),
    Case(fault=Refuse(), told=redis.ConnectionError, executed=False),
    Case(fault=Hang(), told=redis.TimeoutError, executed=False),
    Case(fault=AnswerLate(2 * SOON_S), told=redis.TimeoutError, executed=True),
    Case(fault=LOADING, told=redis.exceptions.BusyLoadingError, executed=False),
    Case(fault=READONLY, told=redis.ReadOnlyError, executed=False),
    Case(fault=DropReply(), told=redis.ConnectionError, executed=True),
    Case(fault=HalfAnswer(), told=redis.ConnectionError, executed=True),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault.text)
def test_a_fault_strikes_at_its_command_only(
    link: Link, client: redis.Redis, direct: redis.Redis, case: Case
) -> None:
    strike = link.arm(case.fault, at=2)
    client.set("proxy:first", "1")
    assert not strike.struck
    with pytest.raises(case.told):
        client.set("proxy:second", "1")
    assert strike.felt(SOON_S)
    assert strike.command is not None
    assert (strike.command.name, strike.command.key) == ("SET", "proxy:second")
    assert direct.exists("proxy:second") == case.executed
    link.restore()
    client.set("proxy:third", "1")
    assert client.get("proxy:third") == b"1"


def test_lost_data_is_gone_and_the_command_is_executed(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    strike = link.arm(LoseData())
    client.set("proxy:new", "1")
    assert strike.felt(SOON_S)
    assert direct.keys() == [b"proxy:new"]


def test_a_redis_that_forbids_the_fault_was_not_struck(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    direct.acl_setuser("default", enabled=True, commands=["-flushall"])
    try:
        strike = link.arm(LoseData())
        with pytest.raises(redis.ConnectionError):
            client.get("proxy:kept")
        assert not strike.felt(SOON_S)
        assert strike.failure is not None
        assert "NOPERM" in strike.failure
    finally:
        direct.acl_setuser("default", enabled=True, commands=["+flushall"])
    assert client.get("proxy:kept") == b"1"


def test_reset_is_a_reset_and_half_an_answer_is_half(link: Link, direct: redis.Redis) -> None:
    direct.set("proxy:kept", "0123456789")
    asked = b"*2\r\n$3\r\nGET\r\n$10\r\nproxy:kept\r\n"
    for fault, expected in ((Reset(), b""), (HalfAnswer(), b"$10\r\n012"), (DropReply(), b"")):
        with _connected(link) as connection:
            link.arm(fault)
            connection.sendall(asked)
            assert _until_reset(connection) == expected


def test_others_stay_connected_while_new_ones_are_refused(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    with _connected(link) as other:
        assert _ask(other, b"PING\r\n") == b"+PONG\r\n"
        link.arm(Refuse())
        with pytest.raises(redis.ConnectionError):
            client.get("proxy:kept")
        with pytest.raises(redis.ConnectionError):
            client.get("proxy:kept")
        assert _ask(other, b"PING\r\n") == b"+PONG\r\n"
        link.restore()
        assert _ask(other, b"PING\r\n") == b"+PONG\r\n"
        assert client.get("proxy:kept") == b"1"


def test_an_answer_in_a_pipeline_keeps_its_place(link: Link, client: redis.Redis) -> None:
    link.arm(READONLY, at=2)
    pipeline = client.pipeline(transaction=False)
    pipeline.get("proxy:kept")
    pipeline.set("proxy:a", "1")
    pipeline.set("proxy:b", "2")
    pipeline.get("proxy:a")
    first, second, third, fourth = pipeline.execute(raise_on_error=False)
    assert (first, third, fourth) == (b"1", True, None)
    assert isinstance(second, redis.ReadOnlyError)


@pytest.mark.parametrize(
    ("fault", "at"),
    # A MULTI that is answered with an error opens no transaction: what follows is done at once.
    [(fault, at) for fault in (Reset(), Hang()) for at in (1, 2, 3, 4)]
    + [(fault, at) for fault in (LOADING, READONLY) for at in (2, 3, 4)],
    ids=lambda value: getattr(value, "text", value),
)
def test_a_transaction_that_a_fault_strikes_does_nothing(
    link: Link, client: redis.Redis, direct: redis.Redis, fault: Fault, at: int
) -> None:
    pipeline = client.pipeline()
    pipeline.set("proxy:a", "1")
    pipeline.set("proxy:b", "2")
    strike = link.arm(fault, at=at)
    with pytest.raises(redis.RedisError):
        pipeline.execute()
    assert strike.felt(SOON_S)
    link.restore()
    assert direct.mget("proxy:a", "proxy:b") == [None, None]
    client.set("proxy:c", "3")
    assert client.get("proxy:c") == b"3"


def test_data_is_lost_inside_a_transaction_too(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    link.arm(LoseData(), at=2)
    pipeline = client.pipeline()
    pipeline.get("proxy:kept")
    pipeline.set("proxy:new", "1")
    assert pipeline.execute() == [None, True]
    assert direct.keys() == [b"proxy:new"]


def test_commands_are_held_until_released_and_strike_together(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    release = threading.Event()
    told: list[str] = []

    def ask(key: str) -> None:
        try:
            client.set(key, "1")
        except redis.RedisError as error:
            told.append(type(error).__name__)

    threads, strikes = [], []
    faults: tuple[Fault, ...] = (READONLY, Reset(), DropReply())
    for number, fault in enumerate(faults):
        strikes.append(link.arm(fault, release=release))
        threads.append(threading.Thread(target=ask, args=(f"proxy:{number}",)))
        threads[-1].start()
        assert strikes[-1].reached(SOON_S)
    assert not any(strike.struck for strike in strikes)
    release.set()
    for thread in threads:
        thread.join()
    assert all(strike.struck for strike in strikes)
    assert sorted(told) == ["ConnectionError", "ConnectionError", "ReadOnlyError"]
    assert direct.exists("proxy:0", "proxy:1", "proxy:2") == 1


def test_commands_are_counted_over_all_connections(link: Link, client: redis.Redis) -> None:
    strike = link.arm(READONLY, at=3)
    client.get("proxy:kept")
    client.connection_pool.disconnect()
    client.get("proxy:kept")
    with pytest.raises(redis.ReadOnlyError):
        client.get("proxy:kept")
    assert strike.felt(SOON_S)


def test_what_is_disarmed_or_replaced_never_strikes(link: Link, client: redis.Redis) -> None:
    first = link.arm(Reset())
    second = link.arm(READONLY, at=2)
    client.get("proxy:kept")
    link.disarm()
    client.get("proxy:kept")
    third = link.arm(Reset())
    link.restore()
    client.get("proxy:kept")
    assert not any(strike.reached(0) for strike in (first, second, third))


def test_a_client_that_gave_up_while_it_was_held_was_not_struck(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    release = threading.Event()
    strike = link.arm(DropReply(), release=release)
    with pytest.raises(redis.TimeoutError):
        client.set("proxy:late", "1")
    release.set()
    assert not strike.felt(2)
    assert strike.reached(0)
    assert not direct.exists("proxy:late")


def test_what_is_in_flight_arrives_though_the_client_gave_up(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    release = threading.Event()
    strike = link.arm(Delay(), release=release, in_flight=True)
    with pytest.raises(redis.TimeoutError):
        client.set("proxy:late", "1")
    assert not direct.exists("proxy:late")
    release.set()
    assert strike.felt(2)
    poll(lambda: bool(direct.exists("proxy:late")), 2)
    assert direct.get("proxy:late") == b"1"


def test_a_reply_is_heard_when_it_is_let_go(
    link: Link, client: redis.Redis, direct: redis.Redis
) -> None:
    executed, release = threading.Event(), threading.Event()
    link.arm(AnswerWhen(executed, release), at=2)
    client.set("proxy:first", "1")
    setting = in_thread(lambda: client.set("proxy:held", "1"))
    assert executed.wait(2)
    assert direct.get("proxy:held") == b"1"
    assert not setting.done()
    release.set()
    assert setting.result(timeout=2)


def test_the_record_names_commands_and_keys_and_keeps_no_value(
    link: Link, client: redis.Redis
) -> None:
    before = link.requests
    client.set("proxy:secret", "hidden", ex=60)
    client.eval("return redis.call('GET', KEYS[1])", 1, "proxy:secret", "argument")
    client.ping()
    found = link.commands_since(before)
    assert [(one.name, one.key) for one in found] == [
        ("SET", "proxy:secret"),
        ("EVAL", "proxy:secret"),
        ("PING", ""),
    ]
    assert found[0].masked == ("<6 bytes>", "<2 bytes>", "<2 bytes>")
    assert "hidden" not in repr(found)
    assert link.commands_since(link.requests) == ()
    everything = link.commands_since(0)
    assert not [one for one in everything if one.name in ("HELLO", "CLIENT")]
    assert everything[-1].number > len(everything), "commands of the connection are counted too"


def test_messages_of_subscribers_pass(link: Link, client: redis.Redis) -> None:
    listening: Any
    with PubSub(client.connection_pool) as listening:
        listening.subscribe("proxy:channel")
        heard = [listening.get_message(timeout=SOON_S)]
        client.publish("proxy:channel", "hello")
        heard.append(listening.get_message(timeout=SOON_S))
        listening.unsubscribe()
        heard.append(listening.get_message(timeout=SOON_S))
    kinds = [message["type"] for message in heard if message]
    assert kinds == ["subscribe", "message", "unsubscribe"]


def test_invalidations_are_out_of_band(link: Link, direct: redis.Redis) -> None:
    with _connected(link) as connection:
        assert _ask(connection, b"HELLO 3\r\n").startswith(b"%")
        assert _ask(connection, b"CLIENT TRACKING on\r\n") == b"+OK\r\n"
        assert _ask(connection, b"GET proxy:kept\r\n").startswith((b"_", b"$"))
        direct.set("proxy:kept", "2")
        assert connection.recv(100).startswith(b">2\r\n$10\r\ninvalidate\r\n")
        link.arm(LOADING)
        assert _ask(connection, b"GET proxy:kept\r\n").startswith(b"-LOADING ")
        assert _ask(connection, b"GET proxy:kept\r\n") == b"$1\r\n2\r\n"


def test_every_fault_says_what_it_is() -> None:
    texts = [fault.text for fault in FAULTS]
    assert len(set(texts)) == len(FAULTS) == 9


def _connected(link: Link) -> contextlib.closing[socket.socket]:
    return contextlib.closing(socket.create_connection((link.host, link.port), timeout=SOON_S))


def _until_reset(connection: socket.socket) -> bytes:
    """What came before the RST; a connection that ends in another way fails."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(100):
            got += chunk
        pytest.fail("the connection was closed, not reset")
    return got


def _ask(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(65_536)
