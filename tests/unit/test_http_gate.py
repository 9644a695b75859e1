"""The gate's bytes: what of a request is held back, and how answers and frames are read."""

import gzip
import json

import httpx
import pytest
from h2.exceptions import FrameTooLargeError
from hypothesis import given
from hypothesis import strategies as st

from attacks.history import Recorder
from attacks.http.gate import release_together
from attacks.http.gate_exchange import LONGEST_ANSWER_BYTES, Exchange, exchange_for
from attacks.http.gate_link import address_of
from attacks.http.http1_gate import Serialised
from attacks.http.http2_gate import FrameSplitter, GoAway, check_headers, header_fields
from attacks.http.request import Reply, Request, definite

BASE = "http://service.test:8080/api"


def _request(
    method: str = "POST",
    path: str = "/transfers?dry=1",
    *,
    headers: dict[str, str] | None = None,
    json: object = None,
    content: bytes | None = None,
) -> Request:
    return Request(
        name="transfer",
        text="transfer 1",
        method=method,
        path=path,
        headers=headers or {},
        json=json,
        content=content,
        read=lambda response: Reply(
            outcome=definite(response).outcome, answer=str(response.json())
        ),
    )


def _answered(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Exchange:
    exchange = exchange_for(BASE, _request(json={}))
    exchange.answer_begins(status, headers)
    exchange.more(body, 1.0)
    exchange.answered(2.0)
    return exchange


@pytest.mark.parametrize(
    ("request_", "last"),
    [
        (_request(json={"amount": 1}), b"}"),
        (_request(content=b"raw!"), b"!"),
        (_request(), b"\n"),
        (_request("GET"), b"\n"),
        (_request(content=b"ab", headers={"Transfer-Encoding": "chunked"}), b"\n"),
    ],
)
def test_a_request_over_http1_is_whole_with_its_last_byte(
    *, request_: Request, last: bytes
) -> None:
    wire = Serialised.of(exchange_for(BASE, request_)).wire
    assert wire.startswith(f"{request_.method} /api/transfers?dry=1 HTTP/1.1\r\n".encode())
    assert b"\r\nhost: service.test:8080\r\n" in wire.lower()
    assert wire[-1:] == last
    assert wire.count(b"\r\n\r\n") == 1 + (b"chunked" in wire)


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("http://a", "/x", b"/x"),
        ("http://a/", "x", b"/x"),
        ("http://a/v1/", "/x/y?z=%20", b"/v1/x/y?z=%20"),
    ],
)
def test_paths_are_joined_as_a_client_joins_them(*, base: str, path: str, target: bytes) -> None:
    assert exchange_for(base, _request("GET", path)).encoded.url.raw_path == target
    with httpx.Client(base_url=base) as client:
        assert client.build_request("GET", path).url.raw_path == target


def test_bodies_and_their_types_are_those_of_a_client() -> None:
    sent = exchange_for(BASE, _request(json={"amount": "1.00"})).encoded
    assert json.loads(sent.content) == {"amount": "1.00"}
    assert sent.headers["Content-Type"] == "application/json"
    assert exchange_for(BASE, _request(content=b"{")).encoded.headers["Content-Type"]
    typed = _request(content=b"{", headers={"content-type": "text/plain"})
    assert exchange_for(BASE, typed).encoded.headers["Content-Type"] == "text/plain"


def test_header_fields_of_http2_have_no_trace_of_http1() -> None:
    headers = {"Connection": "close", "Transfer-Encoding": "chunked", "X-Key": "1", "Host": "h"}
    fields = header_fields(exchange_for(BASE, _request(headers=headers, content=b"a")))
    assert fields[:4] == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"h"),
        (b":path", b"/api/transfers?dry=1"),
    ]
    assert {name for name, _ in fields[4:]} == {
        b"accept",
        b"accept-encoding",
        b"x-key",
        b"content-type",
        b"content-length",
    }


def test_what_cannot_be_sent_is_an_error_of_whoever_asks() -> None:
    elsewhere = _request(path="http://other.test/x")
    with pytest.raises(ValueError, match="is no path of"):
        exchange_for(BASE, elsewhere)
    for url in ("service.test", "ftp://service.test", "http://"):
        with pytest.raises(ValueError, match="is not an address of a service"):
            address_of(url)
    with pytest.raises(ValueError, match="nothing to release"):
        release_together(BASE, [], Recorder())
    bad = exchange_for(BASE, _request(headers={"bad name": "x"}))
    with pytest.raises(ValueError, match="transfer 1: "):
        Serialised.of(bad)
    pseudo = exchange_for(BASE, _request(headers={":path": "/"}))
    with pytest.raises(ValueError, match="transfer 1: "):
        check_headers([pseudo])


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(b'{"a": 1}')
    exchange = _answered(200, [(b"Content-Encoding", b"gzip")], body)
    assert exchange.read() == (200, Reply(outcome="ok", answer="{'a': 1}"))


def test_an_answer_that_swells_is_not_read() -> None:
    body = gzip.compress(b"x" * (LONGEST_ANSWER_BYTES + 1))
    status, reply = _answered(200, [(b"content-encoding", b"gzip")], body).read()
    assert (status, reply.outcome) == (None, "unknown")
    assert "longer than" in reply.answer


def test_the_first_end_of_an_exchange_stays() -> None:
    exchange = _answered(200, [], b"{}")
    exchange.lose("connection lost", 3.0)
    exchange.more(b"late", 3.0)
    assert exchange.ended_s == 2.0
    assert exchange.read()[1].outcome == "ok"
    lost = exchange_for(BASE, _request())
    lost.lose("connection lost", 1.0)
    lost.answered(2.0)
    assert (lost.ended_s, lost.read()) == (
        1.0,
        (None, Reply(outcome="unknown", answer="connection lost")),
    )


@pytest.mark.parametrize(
    ("sent_s", "released_s", "early", "started_s"),
    [
        (1.0, 2.0, False, 2.0),
        (1.0, 2.0, True, 1.0),
        (1.0, None, False, 1.0),
        (None, None, False, 9),
    ],
)
def test_an_operation_starts_when_it_could_first_have_an_effect(
    *, sent_s: float | None, released_s: float | None, early: bool, started_s: float
) -> None:
    exchange = exchange_for(BASE, _request())
    exchange.sent_s, exchange.released_s, exchange.early = sent_s, released_s, early
    assert exchange.started_s(9) == started_s


FRAMES = st.lists(
    st.tuples(st.integers(0, 6), st.binary(max_size=40)).map(
        lambda frame: len(frame[1]).to_bytes(3, "big") + bytes([frame[0], 0, 0, 0, 0, 1]) + frame[1]
    )
)
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x80\x00\x00\x05\x00\x00\x00\x02"


@given(before=FRAMES, after=FRAMES, size=st.integers(1, 60))
def test_frames_are_found_however_they_are_cut(
    *, before: list[bytes], after: list[bytes], size: int
) -> None:
    data = b"".join([*before, GOAWAY, *after])
    splitter = FrameSplitter()
    found = [
        frame
        for start in range(0, len(data), size)
        for frame in splitter.split(data[start : start + size])
    ]
    assert found == [*before, GoAway(last_stream=5, error=2), *after]


def test_a_frame_that_is_too_long_is_refused_before_it_is_there() -> None:
    with pytest.raises(FrameTooLargeError):
        list(FrameSplitter().split(b"HTTP/1.1 400 Bad Request\r\n"))
