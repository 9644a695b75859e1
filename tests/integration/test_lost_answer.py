"""The answer is lost: the service got the request, has begun to answer, and nobody reads it."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from attacks.history import Recorder
from attacks.http.lost_answer import send_and_lose_answer
from attacks.http.request import Request, definite
from engine.stores import free_port
from tests.unit.histories.scripted_server import ScriptedServer, scripted_server
from tests.unit.histories.small import move


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as opened:
        yield opened


def _request(path: str, content: bytes | None = None) -> Request:
    return Request(
        name="transfer",
        text="transfer 0.01",
        method="POST",
        path=path,
        json={"amount": 1},
        content=content,
        headers={"Idempotency-Key": "key-1"},
        moves=(move("a", "b", 1),),
        key="key-1",
        read=definite,
    )


def test_the_service_did_it_and_the_client_does_not_know(server: ScriptedServer) -> None:
    recorder = Recorder()
    sent = send_and_lose_answer(server.url, _request("/201"), recorder, actor="C", round=4)
    assert (sent.outcome, sent.status) == ("unknown", None)
    assert (sent.actor, sent.round, sent.key) == ("C", 4, "key-1")
    assert server.came[-1] == "/201"
    assert json.loads(server.bodies[-1]) == {"amount": 1}
    assert server.headers[-1]["idempotency-key"] == "key-1"
    (event,) = recorder.history().events
    assert (event.kind, event.round) == ("lost-answer", 4)
    assert recorder.history().operations == (sent,)


def test_a_body_is_sent_as_it_is(server: ScriptedServer) -> None:
    send_and_lose_answer(server.url, _request("/400", b"NaN"), Recorder())
    assert server.bodies[-1] == b"NaN"


@pytest.mark.parametrize("path", ["/slow", "/reset", "/hang-up"])
def test_an_answer_that_never_began_was_not_lost_on_its_way(
    server: ScriptedServer, path: str
) -> None:
    """The fault has not struck: a claim that rests on it must not be believed."""
    recorder = Recorder()
    sent = send_and_lose_answer(server.url, _request(path), recorder, deadline_s=0.2)
    assert (sent.outcome, sent.answer) == ("unknown", "no answer in time")
    assert recorder.history().events == ()


def test_the_connection_is_reset_and_not_ended() -> None:
    """A polite end would let a service believe that its answer was read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends: list[str] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 201 Created\r\n")
                try:
                    ends.append("ended" if connection.recv(1) == b"" else "more")
                except ConnectionResetError:
                    ends.append("reset")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        send_and_lose_answer(f"http://127.0.0.1:{port}", _request("/x"), Recorder())
        thread.join(timeout=5)
    assert ends == ["reset"]


def test_where_nobody_listens_the_attack_cannot_be_made() -> None:
    with pytest.raises(OSError, match="refused"):
        send_and_lose_answer(f"http://127.0.0.1:{free_port()}", _request("/x"), Recorder())
