"""The single packet: what a service sees of it, and what is known after each way to answer."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingReceived, RequestReceived, StreamEnded
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

from attacks.history import Outcome, Recorder
from attacks.http.gate import release_together
from attacks.http.gate_exchange import LONGEST_ANSWER_BYTES
from attacks.http.http2_gate import FrameSplitter, GoAway
from attacks.http.request import Request, definite
from attacks.http.sender import Batch
from tests.integration.http_gate_servers import (
    Conversation,
    Http2Peer,
    Script,
    Service,
    answering,
    serving,
)

DEADLINE_S = 5.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PING_FRAME = 0, 1, 6
END_STREAM = 1
TRANSFER = Request(
    name="transfer", text="transfer", method="POST", path="/t", json={"amount": 1}, read=definite
)
CANCEL = Request(name="cancel", text="cancel", method="DELETE", path="/t/1", read=definite)


def _release(
    service: Service,
    requests: Sequence[Request],
    recorder: Recorder | None = None,
    *,
    settle_s: float = 0.0,
    deadline_s: float = DEADLINE_S,
) -> Batch:
    return release_together(
        service.url,
        requests,
        recorder or Recorder(),
        protocol="h2",
        deadline_s=deadline_s,
        settle_s=settle_s,
    )


def _peer(on: Callable[[Http2Peer, object], None], **settings: int) -> Script:
    """Hand every event to `on`."""

    def script(conversation: Conversation) -> None:
        chosen = {SettingCodes[name]: value for name, value in settings.items()}
        peer = Http2Peer(conversation, settings=chosen)
        for event in peer.events():
            on(peer, event)

    return script


def _creates(peer: Http2Peer, event: object) -> None:
    if isinstance(event, StreamEnded):
        peer.answer(event.stream_id, 201)


def _pieces(service: Service) -> list[list[tuple[int, int]]]:
    """For each piece that the first connection received, types and flags of the frames it ended."""
    splitter, pieces = FrameSplitter(), service.log.of(0)
    pieces[0] = pieces[0].removeprefix(PREFACE)
    return [
        [(frame[3], frame[4]) for frame in splitter.split(piece) if isinstance(frame, bytes)]
        for piece in pieces
    ]


def _notes(recorder: Recorder) -> list[str]:
    return [event.text for event in recorder.history().events]


def test_all_ends_come_in_one_piece_after_the_ping() -> None:
    recorder = Recorder()
    with serving(_peer(_creates)) as service:
        batch = _release(service, [TRANSFER] * 10 + [CANCEL] * 10, recorder)
    assert [o.status for o in batch.operations] == [201] * 20
    assert {number for number, _ in service.log.pieces} == {0}
    pieces = _pieces(service)
    release = next(n for n, frames in enumerate(pieces) if (DATA, END_STREAM) in frames)
    assert [kind for kind, _ in pieces[release]] == [DATA] * 10 + [HEADERS] * 10
    assert all(flags & END_STREAM for _, flags in pieces[release])
    before = [frame for frames in pieces[:release] for frame in frames]
    assert before[-1] == (PING_FRAME, 0)
    assert not any(kind in (DATA, HEADERS) and flags & END_STREAM for kind, flags in before)
    assert len([kind for kind, _ in before if kind == HEADERS]) == 10
    assert _notes(recorder) == []


def test_ends_that_need_several_segments_are_told() -> None:
    token = {"Authorization": "Bearer " + "t" * 8000}
    long = Request(
        name="cancel", text="cancel", method="DELETE", path="/t", headers=token, read=definite
    )
    recorder = Recorder()
    with serving(_peer(_creates)) as service:
        batch = _release(service, [long] * 20, recorder)
    assert [o.status for o in batch.operations] == [201] * 20
    (note,) = _notes(recorder)
    assert note.endswith(" bytes of ends did not fit into one TCP segment")


def test_all_start_at_the_same_moment() -> None:
    with serving(_peer(_creates)) as service:
        batch = _release(service, [TRANSFER] * 5)
    assert batch.spread_s == 0
    assert len({o.started_s for o in batch.operations}) == 1


def test_more_requests_than_a_connection_may_carry_go_over_several() -> None:
    recorder = Recorder()
    with serving(_peer(_creates, MAX_CONCURRENT_STREAMS=2)) as service:
        batch = _release(service, [TRANSFER] * 5, recorder)
    assert [o.status for o in batch.operations] == [201] * 5
    assert {number for number, _ in service.log.pieces} == {0, 1, 2}
    assert _notes(recorder) == [
        "5 requests need 3 connections, and as many packets: the service allows 2 streams on one"
    ]


def test_long_bodies_wait_for_the_windows_and_keep_their_last_byte() -> None:
    long = Request(
        name="long", text="long", method="POST", path="/", content=b"x" * 200_000, read=definite
    )
    with serving(_peer(_creates, INITIAL_WINDOW_SIZE=5000)) as service:
        batch = _release(service, [long, long, TRANSFER])
    assert [o.status for o in batch.operations] == [201] * 3
    ends = [frames for frames in _pieces(service) if (DATA, END_STREAM) in frames]
    assert ends == [[(DATA, END_STREAM)] * 3]


def test_a_body_for_which_no_window_opens_is_not_released() -> None:
    def script(conversation: Conversation) -> None:
        peer = Http2Peer(
            conversation, settings={SettingCodes.INITIAL_WINDOW_SIZE: 100}, acknowledges=False
        )
        for event in peer.events():
            _creates(peer, event)

    long = Request(
        name="long", text="long", method="POST", path="/", content=b"x" * 200, read=definite
    )
    recorder = Recorder()
    with serving(script) as service:
        batch = _release(service, [long, TRANSFER, CANCEL], recorder, deadline_s=1.0)
    answers = [(o.outcome, o.answer) for o in batch.operations]
    assert answers[0] == ("unknown", "the service did not take in the whole of it")
    assert [o for o, _ in answers[1:]] == ["ok", "ok"]
    assert _notes(recorder) == ["1 of 3 requests were answered or lost before they were complete"]


def test_streams_after_a_goaway_were_not_processed_and_those_before_it_are_answered() -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, StreamEnded) and event.stream_id == 5:
            frame = (8).to_bytes(3, "big") + bytes([7, 0]) + bytes(4)
            peer.conversation.say(frame + (3).to_bytes(4, "big") + bytes(4))
            peer.answer(1, 201)
            peer.answer(3, 409)

    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER] * 3)
    assert [(o.outcome, o.status) for o in batch.operations] == [
        ("ok", 201),
        ("failed", 409),
        ("failed", None),
    ]
    assert batch.operations[2].answer == "refused by the service before any processing"


def test_after_an_early_goaway_no_new_stream_is_opened() -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, PingReceived):
            frame = (8).to_bytes(3, "big") + bytes([7, 0]) + bytes(4)
            peer.conversation.say(frame + (2**31 - 1).to_bytes(4, "big") + bytes(4))
        _creates(peer, event)

    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER, CANCEL])
    assert [(o.outcome, o.status) for o in batch.operations] == [("ok", 201), ("failed", None)]


@pytest.mark.parametrize(
    ("code", "outcome", "answer"),
    [
        (ErrorCodes.REFUSED_STREAM, "failed", "refused by the service before any processing"),
        (ErrorCodes.INTERNAL_ERROR, "unknown", "stream reset: INTERNAL_ERROR"),
        (ErrorCodes.CANCEL, "unknown", "stream reset: CANCEL"),
    ],
)
def test_a_reset_stream_disturbs_no_other(
    *, code: ErrorCodes, outcome: Outcome, answer: str
) -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, StreamEnded) and event.stream_id == 1:
            peer.engine.reset_stream(1, code)
            peer.flush()
        else:
            _creates(peer, event)

    with serving(_peer(on)) as service:
        first, second = _release(service, [TRANSFER, TRANSFER]).operations
    assert (first.outcome, first.status, first.answer) == (outcome, None, answer)
    assert second.outcome == "ok"


def test_interim_answers_and_empty_ones_are_understood() -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, StreamEnded):
            peer.engine.send_headers(event.stream_id, [(":status", "103"), ("link", "a")])
            peer.engine.send_headers(event.stream_id, [(":status", "204")], end_stream=True)

    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER, CANCEL])
    assert [(o.outcome, o.status) for o in batch.operations] == [("ok", 204)] * 2


def test_an_answer_before_the_release_is_told() -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, RequestReceived):
            peer.answer(event.stream_id, 400)

    recorder = Recorder()
    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER, TRANSFER], recorder, settle_s=60)  # Ends by itself.
    assert [(o.outcome, o.status) for o in batch.operations] == [("failed", 400)] * 2
    assert _notes(recorder) == ["2 of 2 requests were answered or lost before they were complete"]
    assert not any((DATA, END_STREAM) in frames for frames in _pieces(service))


def test_an_answer_without_end_is_bounded() -> None:
    sent: list[int] = []

    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, StreamEnded):
            peer.engine.send_headers(event.stream_id, [(":status", "200")])
            sent.append(event.stream_id)
        with suppress(StreamClosedError):
            for stream in sent:
                while (room := min(peer.engine.local_flow_control_window(stream), 16_384)) > 0:
                    peer.engine.send_data(stream, b"x" * room)

    with serving(_peer(on)) as service:
        (endless,) = _release(service, [TRANSFER], deadline_s=20).operations
    assert endless.answer == f"answer longer than {LONGEST_ANSWER_BYTES} bytes"
    assert endless.outcome == "unknown"


@pytest.mark.parametrize("at", [RequestReceived, PingReceived, DataReceived, StreamEnded])
def test_a_lost_connection_says_nothing_about_what_happened(*, at: type) -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, at):
            peer.conversation.reset()
            raise ConnectionAbortedError

    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER, TRANSFER])
    assert {(o.outcome, o.answer) for o in batch.operations} == {("unknown", "connection lost")}


def test_what_is_no_http2_any_more_is_not_understood() -> None:
    def on(peer: Http2Peer, event: object) -> None:
        if isinstance(event, StreamEnded):
            peer.conversation.say(b"HTTP/1.1 500 Oops\r\n\r\n")

    with serving(_peer(on)) as service:
        batch = _release(service, [TRANSFER, CANCEL])
    assert {o.outcome for o in batch.operations} == {"unknown"}
    answers = [o.answer for o in batch.operations]
    assert all(answer.startswith("answer not understood: ") for answer in answers), answers


def test_silence_is_waited_for_until_the_deadline() -> None:
    with serving(_peer(lambda peer, event: None)) as service:
        batch = _release(service, [TRANSFER, CANCEL], deadline_s=0.3)
    assert {(o.outcome, o.answer) for o in batch.operations} == {("unknown", "no answer in time")}
    assert all(o.duration_s >= 0.3 for o in batch.operations)


def test_a_service_without_http2_was_sent_nothing() -> None:
    with serving(answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) as service:
        batch = _release(service, [TRANSFER, TRANSFER])
    assert {(o.outcome, o.status) for o in batch.operations} == {("failed", None)}
    assert {o.answer for o in batch.operations} == {
        "not connected: the service does not speak HTTP/2"
    }


def test_a_service_that_allows_no_stream_was_sent_nothing() -> None:
    with serving(_peer(_creates, MAX_CONCURRENT_STREAMS=0)) as service:
        (sent,) = _release(service, [TRANSFER]).operations
    assert (sent.outcome, sent.answer) == ("failed", "not connected: the service allows no stream")


def test_a_goaway_is_read_apart_from_the_rest() -> None:
    frame = (9).to_bytes(3, "big") + bytes([7, 0]) + bytes(4)
    (seen,) = FrameSplitter().split(frame + b"\x80\x00\x00\x05" + b"\x00\x00\x00\x02" + b"?")
    assert seen == GoAway(last_stream=5, error=2)
