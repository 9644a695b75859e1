"""Last-byte release: what a service sees of it, and what is known after each way to answer."""

import threading
import time
from collections.abc import Sequence

import httpx
import pytest

from attacks.history import Outcome, Recorder
from attacks.http.gate import SETTLE_S, release_together
from attacks.http.gate_exchange import LONGEST_ANSWER_BYTES, exchange_for
from attacks.http.gate_line import let_go, watch
from attacks.http.gate_link import address_of
from attacks.http.http1_gate import Http1Line, Serialised
from attacks.http.request import Reply, Request, definite
from attacks.http.sender import Batch, actor_name
from engine.stores import free_port
from tests.integration.http_gate_servers import (
    Conversation,
    Script,
    Service,
    answering,
    is_complete,
    serving,
)
from tests.unit.histories.small import move

DEADLINE_S = 0.5
SEEN_S = 1.0
"""Time in which a service on the same machine has read what arrived, however busy the machine."""
CREATED = b'HTTP/1.1 201 Created\r\nContent-Length: 15\r\n\r\n{"amount": "1"}'


def _amount(response: httpx.Response) -> Reply:
    reply = definite(response)
    return Reply(outcome=reply.outcome, answer=reply.answer, values=response.json())


TRANSFER = Request(
    name="transfer",
    text="transfer 1",
    method="POST",
    path="/transfers",
    json={"amount": 1},
    headers={"Authorization": "Bearer secret"},
    moves=(move("a", "b", 1),),
    key="key-1",
    read=_amount,
)
CANCEL = Request(name="cancel", text="cancel", method="DELETE", path="/transfers/1", read=definite)
HEAD = Request(name="head", text="head", method="HEAD", path="/", read=definite)


def _release(
    service: Service,
    requests: Sequence[Request],
    recorder: Recorder | None = None,
    *,
    settle_s: float = SETTLE_S,
) -> Batch:
    return release_together(
        service.url,
        requests,
        recorder or Recorder(),
        round=3,
        protocol="http/1.1",
        deadline_s=DEADLINE_S,
        settle_s=settle_s,
    )


def _notes(recorder: Recorder) -> list[str]:
    return [event.text for event in recorder.history().events]


def test_nothing_is_complete_before_all_the_rest_is_there() -> None:
    recorder = Recorder()
    with serving(answering(CREATED)) as service:
        batch = _release(service, [TRANSFER, CANCEL] * 4, recorder, settle_s=SEEN_S)
    assert [o.status for o in batch.operations] == [201] * 8
    assert [o.actor for o in batch.operations] == [actor_name(n) for n in range(8)]
    ends = [piece for _, piece in service.log.pieces[-8:]]
    assert sorted(ends) == [b"\n"] * 4 + [b"}"] * 4
    for number in range(8):
        *beginnings, _ = service.log.of(number)
        assert beginnings
        assert not is_complete(b"".join(beginnings))
    assert _notes(recorder) == []


def test_operations_are_recorded_as_they_were_asked_for() -> None:
    recorder = Recorder()
    with serving(answering(CREATED)) as service:
        first, second = _release(service, [TRANSFER, TRANSFER], recorder).operations
    assert recorder.history().operations == (first, second)
    assert (first.name, first.round, first.key, first.moves) == (
        "transfer",
        3,
        "key-1",
        (move("a", "b", 1),),
    )
    assert (first.outcome, first.answer, first.values) == ("ok", "201", {"amount": "1"})
    assert first.started_s <= first.ended_s
    assert "secret" not in repr(recorder.history())


def test_the_spread_is_from_the_first_write_to_the_last() -> None:
    with serving(answering(CREATED)) as service:
        batch = _release(service, [TRANSFER] * 5)
    starts = [o.started_s for o in batch.operations]
    assert batch.spread_s == pytest.approx(max(starts) - min(starts))
    assert batch.spread_s > 0


def test_a_base_path_and_the_body_arrive_as_a_client_would_send_them() -> None:
    with serving(answering(CREATED)) as service:
        release_together(
            f"{service.url}/v1/", [TRANSFER], Recorder(), protocol="http/1.1", deadline_s=DEADLINE_S
        )
    data = b"".join(service.log.of(0))
    assert data.startswith(b"POST /v1/transfers HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in data
    assert data.endswith(b'\r\n\r\n{"amount":1}')


@pytest.mark.parametrize(
    ("request_", "answer", "outcome", "status", "text"),
    [
        (TRANSFER, b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}", "failed", 409, "409"),
        (TRANSFER, b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", "unknown", 500, "500"),
        (TRANSFER, b"HTTP/1.1 100 Continue\r\n\r\n" + CREATED, "ok", 201, "201"),
        (TRANSFER, b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + CREATED, "ok", 201, "201"),
        (
            TRANSFER,
            b"HTTP/1.1 201 C\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            "ok",
            201,
            "201",
        ),
        (TRANSFER, b"HTTP/1.1 201 Created\r\n\r\n{}", "ok", 201, "201"),
        (CANCEL, b"HTTP/1.1 204 No Content\r\n\r\n", "ok", 204, "204"),
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "ok", 200, "200"),
        (TRANSFER, b"HTTP/1.1 201 C\r\nContent-Length: 9\r\n\r\n{}", "unknown", None, "connection"),
        (TRANSFER, b"HTTP/1.1 201 Crea", "unknown", None, "connection lost"),
        (TRANSFER, b"", "unknown", None, "connection lost"),
        (TRANSFER, b"220 smtp ready\r\n\r\n", "unknown", None, "answer not understood: "),
        (TRANSFER, b"HTTP/1.1 101 Switch\r\n\r\n", "unknown", None, "answer not understood: "),
        (
            TRANSFER,
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "unknown",
            200,
            "200, not understood: ",
        ),
        (
            TRANSFER,
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno",
            "unknown",
            None,
            "answer not understood: ",
        ),
        (
            CANCEL,
            b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LONGEST_ANSWER_BYTES + 1),
            "unknown",
            None,
            "answer longer than ",
        ),
    ],
)
def test_every_answer_is_read(
    *, request_: Request, answer: bytes, outcome: Outcome, status: int | None, text: str
) -> None:
    with serving(answering(answer)) as service:
        batch = _release(service, [request_, request_])
    for sent in batch.operations:
        assert (sent.outcome, sent.status) == (outcome, status)
        assert sent.answer.startswith(text)


def _early_400(conversation: Conversation) -> None:
    conversation.hear_head()
    conversation.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")
    conversation.hear()


def _early_close(conversation: Conversation) -> None:
    conversation.hear_head()


def _early_reset(conversation: Conversation) -> None:
    conversation.hear_head()
    conversation.reset()


def _first_only(script: Script) -> Script:
    """The first connection is treated so; the others are served."""

    def choose(conversation: Conversation) -> None:
        (script if conversation.number == 0 else answering(CREATED))(conversation)

    return choose


@pytest.mark.parametrize(
    ("script", "outcome", "status", "answer"),
    [
        (_early_400, "failed", 400, "400"),
        (_early_close, "unknown", None, "connection lost"),
        (_early_reset, "unknown", None, "connection lost"),
    ],
)
def test_what_ends_before_the_release_is_not_completed(
    *, script: Script, outcome: Outcome, status: int | None, answer: str
) -> None:
    recorder = Recorder()
    with serving(script) as service:
        batch = _release(service, [TRANSFER], recorder, settle_s=60)  # It ends sooner by itself.
    (early,) = batch.operations
    assert (early.outcome, early.status, early.answer) == (outcome, status, answer)
    assert not is_complete(b"".join(service.log.of(0)))
    assert _notes(recorder) == ["1 of 1 requests were answered or lost before they were complete"]
    assert batch.spread_s == 0


def test_an_early_answer_does_not_disturb_the_others() -> None:
    recorder = Recorder()
    with serving(_first_only(_early_400)) as service:
        batch = _release(service, [TRANSFER] * 3, recorder, settle_s=SEEN_S)
    early, *others = sorted(batch.operations, key=lambda o: o.outcome == "ok")
    assert (early.outcome, early.status) == ("failed", 400)
    assert [o.outcome for o in others] == ["ok", "ok"]
    assert early.started_s <= early.ended_s <= min(o.started_s for o in others)
    assert _notes(recorder) == ["1 of 3 requests were answered or lost before they were complete"]


def test_an_answer_that_began_early_makes_the_operation_begin_early() -> None:
    """The service acted on the head alone: the release did not hold it back."""
    whole_s: list[float] = []
    recorder = Recorder()

    def script(conversation: Conversation) -> None:
        conversation.hear_head()
        conversation.say(CREATED[:-1])
        conversation.hear_request()
        whole_s.append(recorder.now_s())
        conversation.say(CREATED[-1:])

    with serving(_first_only(script)) as service:
        batch = _release(service, [TRANSFER, TRANSFER], recorder, settle_s=SEEN_S)
    assert {o.outcome for o in batch.operations} == {"ok"}
    early, held = sorted(batch.operations, key=lambda o: o.started_s)
    assert early.started_s < held.started_s
    assert early.started_s < whole_s[0] < early.ended_s
    assert _notes(recorder) == ["1 of 2 requests were answered or lost before they were complete"]


def test_a_service_that_stays_silent_is_waited_for_until_the_deadline() -> None:
    with serving(_until_closed) as service:
        batch = _release(service, [TRANSFER, TRANSFER])
    for sent in batch.operations:
        assert (sent.outcome, sent.status, sent.answer) == ("unknown", None, "no answer in time")
        assert sent.duration_s >= DEADLINE_S


def _until_closed(conversation: Conversation) -> None:
    while conversation.hear():
        pass


def test_a_reset_after_the_release_says_nothing_about_what_happened() -> None:
    def script(conversation: Conversation) -> None:
        conversation.hear_request()
        conversation.reset()

    with serving(script) as service:
        batch = _release(service, [TRANSFER, TRANSFER])
    assert {(o.outcome, o.answer) for o in batch.operations} == {("unknown", "connection lost")}


def test_a_body_that_is_not_taken_in_is_not_released() -> None:
    """The service reads nothing: a long body fills the connection and stays."""
    long = Request(
        name="long", text="long", method="POST", path="/", content=b"x" * 2**24, read=definite
    )
    with serving(_wait_unread) as service:
        (sent,) = _release(service, [long]).operations
    assert (sent.outcome, sent.answer) == ("unknown", "the service did not take in the whole of it")


def _wait_unread(conversation: Conversation) -> None:
    conversation.closing.wait(20)


def test_what_did_not_leave_at_once_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that is longer than what a connection takes at once."""
    left, arrived = threading.Event(), threading.Event()

    def script(conversation: Conversation) -> None:
        left.wait(20)
        _until_closed(conversation)
        arrived.set()

    with serving(script) as service:
        link = address_of(service.url).open((), deadline_s=5)
        line = Http1Line(link, Serialised.of(exchange_for(service.url, CANCEL)))
        monkeypatch.setattr(line, "ends", lambda: b"x" * 2**24)
        (departure,) = let_go([line])
        assert not departure.in_one_segment
        assert link.unsent
        left.set()
        watch([line], time.monotonic, until=lambda: not link.unsent, deadline_s=20)
        link.close()
        assert arrived.wait(20)
    assert sum(map(len, service.log.of(0))) == departure.size_bytes == 2**24


def test_nothing_can_have_happened_where_nobody_listens() -> None:
    recorder = Recorder()
    batch = release_together(
        f"http://127.0.0.1:{free_port()}", [TRANSFER, TRANSFER], recorder, deadline_s=DEADLINE_S
    )
    assert {(o.outcome, o.status, o.answer) for o in batch.operations} == {
        ("failed", None, "connection refused")
    }
    assert batch.spread_s == 0
    assert len(recorder.history().operations) == 2
