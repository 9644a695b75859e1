"""Requests over real connections: what is known after each way in which an answer is missing."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from decimal import Decimal

import httpx
import pytest

from attacks.history import Operation, Outcome, Recorder
from attacks.http import sender as sender_module
from attacks.http.request import Reply, Request, definite
from attacks.http.sender import Sender, actor_name, in_thread
from engine.stores import free_port
from tests.unit.histories.scripted_server import ScriptedServer, scripted_server
from tests.unit.histories.small import move

TIMEOUT_S = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as opened:
        yield opened


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def sender(server: ScriptedServer, recorder: Recorder) -> Iterator[Sender]:
    opened = Sender(server.url, recorder, timeout_s=TIMEOUT_S)
    yield opened
    opened.close()


def _amount(response: httpx.Response) -> Reply:
    reply = definite(response)
    amount = Decimal(str(response.json()["amount"]))
    return Reply(outcome=reply.outcome, answer=reply.answer, values={"amount": str(amount)})


def _request(path: str) -> Request:
    return Request(
        name="transfer",
        text=f"transfer by {path}",
        method="POST",
        path=path,
        json={"amount": 1},
        headers={"Authorization": "Bearer secret"},
        moves=(move("a", "b", 1),),
        key="key-1",
        read=_amount,
    )


@pytest.mark.parametrize(
    ("path", "outcome", "status", "answer"),
    [
        ("/201", "ok", 201, "201"),
        ("/409", "failed", 409, "409"),
        ("/500", "unknown", 500, "500"),
        ("/slow", "unknown", None, "no answer in time"),
        ("/reset", "unknown", None, "connection lost"),
        ("/hang-up", "unknown", None, "connection lost"),
        ("/zip", "unknown", None, "answer not understood: "),
        ("/html", "unknown", 200, "200, not understood: "),
        ("/none", "unknown", 200, "200, not understood: "),
    ],
)
def test_every_end_of_a_request_is_recorded(
    sender: Sender, *, path: str, outcome: Outcome, status: int | None, answer: str
) -> None:
    sent = sender.send(_request(path), actor="B", round=3)
    assert (sent.outcome, sent.status) == (outcome, status)
    assert sent.answer.startswith(answer)
    assert (sent.actor, sent.round, sent.key, sent.moves) == ("B", 3, "key-1", (move("a", "b", 1),))


def test_what_authenticates_is_not_recorded(sender: Sender, recorder: Recorder) -> None:
    sent = sender.send(_request("/201"))
    assert recorder.history().operations == (sent,)
    assert "secret" not in repr(recorder.history())


def test_nothing_can_have_happened_where_nobody_listens(recorder: Recorder) -> None:
    sender = Sender(f"http://127.0.0.1:{free_port()}", recorder, timeout_s=TIMEOUT_S)
    sent = sender.send(_request("/201"))
    assert (sent.outcome, sent.status, sent.answer) == ("failed", None, "connection refused")
    sender.connect("A")
    batch = sender.together([_request("/201"), _request("/201")], round=1)
    assert {o.outcome for o in batch.operations} == {"failed"}
    sender.close()


def test_a_time_out_is_waited_for_and_no_longer(sender: Sender) -> None:
    sent = sender.send(_request("/slow"))
    assert TIMEOUT_S <= sent.duration_s < TIMEOUT_S + 1


def test_a_client_goes_on_after_its_connection_was_lost(sender: Sender) -> None:
    assert sender.send(_request("/reset")).outcome == "unknown"
    assert sender.send(_request("/201")).outcome == "ok"


def test_what_is_asked_in_preparation_is_not_recorded(sender: Sender, recorder: Recorder) -> None:
    assert sender.ask(_request("/201")).values == {"amount": "1"}
    assert recorder.history().operations == ()


def test_bodies_that_no_library_would_write_are_sent_as_they_are(
    server: ScriptedServer, sender: Sender
) -> None:
    raw = Request(
        name="bad", text="NaN", method="POST", path="/400", content=b'{"amount":NaN}', read=definite
    )
    assert sender.send(raw).outcome == "failed"
    assert server.bodies[-1] == b'{"amount":NaN}'
    assert server.headers[-1]["content-type"] == "application/json"


def test_all_are_released_together(sender: Sender, recorder: Recorder) -> None:
    requests = [_request("/201") for _ in range(20)]
    spreads = []
    for number in range(1, 4):
        batch = sender.together(requests, round=number)
        assert [o.actor for o in batch.operations] == [actor_name(n) for n in range(20)]
        assert {o.outcome for o in batch.operations} == {"ok"}
        starts = [o.started_s for o in batch.operations]
        assert batch.spread_s == pytest.approx(max(starts) - min(starts))
        spreads.append(batch.spread_s)
    assert min(spreads) < 0.1, f"twenty requests did not start within 100 ms: {spreads}"
    assert len(recorder.history().operations) == 60


def test_the_first_waits_for_the_last(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that come up one after the other are released together all the same."""

    def one_after_the_other(work: Callable[[], Operation]) -> "Future[Operation]":
        started = in_thread(work)
        time.sleep(0.05)
        return started

    monkeypatch.setattr(sender_module, "in_thread", one_after_the_other)
    spreads = [sender.together([_request("/201")] * 5, round=n).spread_s for n in (1, 2, 3)]
    assert min(spreads) < 4 * 0.05, f"each went off when it had come up: {spreads}"


def test_one_request_runs_beside_the_test(server: ScriptedServer, sender: Sender) -> None:
    pending = sender.background(_request("/slow"), actor="B", round=2)
    assert sender.send(_request("/201")).outcome == "ok"
    assert not pending.done()
    assert pending.result(timeout=5).outcome == "unknown"


def test_actors_are_letters_and_then_letters_with_numbers() -> None:
    assert [actor_name(n) for n in (0, 1, 25, 26, 52)] == ["A", "B", "Z", "A1", "A2"]


def test_an_error_in_a_thread_reaches_who_asks_for_the_result() -> None:
    def fails() -> None:
        raise ZeroDivisionError(threading.current_thread().name)

    with pytest.raises(ZeroDivisionError):
        in_thread(fails).result(timeout=5)
