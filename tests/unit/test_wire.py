"""The protocol's bytes: any split frames the same, and nothing but WireError is raised."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.postgres import messages, wire
from attacks.postgres.held import Held
from attacks.postgres.wire import LARGEST_BYTES, Frame, Framer, WireError

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
OIDS = st.lists(st.integers(0, 2**32 - 1), max_size=4)
FORMATS = st.lists(st.sampled_from([0, 1]), max_size=3)
VALUES = st.lists(st.none() | st.binary(max_size=12), max_size=4)
TYPED = st.builds(wire.typed, st.integers(0, 255), st.binary(max_size=40))
STREAMS = st.lists(TYPED, max_size=8).map(b"".join)


@st.composite
def in_pieces(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A stream and the pieces in which it arrives."""
    stream = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    bounds = [0, *cuts, len(stream)]
    return stream, [stream[a:b] for a, b in pairwise(bounds)]


def framed(pieces: list[bytes], **options: Any) -> list[Frame]:
    framer = Framer(**options)
    return [frame for piece in pieces for frame in framer.feed(piece)]


@contextmanager
def only_wire_errors() -> Iterator[None]:
    """An error is one line."""
    said = "an error"
    try:
        yield
    except WireError as error:
        said = str(error)
    assert said
    assert "\n" not in said


@given(in_pieces(STREAMS))
def test_any_split_frames_the_same(split: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = split
    frames = framed(pieces)
    assert frames == framed([stream])
    assert b"".join(wire.typed(frame.kind, frame.body) for frame in frames) == stream
    assert [stream[frame.start : frame.end] for frame in frames] == [
        wire.typed(frame.kind, frame.body) for frame in frames
    ]


STARTS = st.lists(st.sampled_from([wire.ssl_request(), wire.gssenc_request()]), max_size=3)


@given(in_pieces(st.tuples(STARTS, STREAMS).map(lambda t: _started(*t))))
def test_start_up_packets_come_first(split: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = split
    frames = framed(pieces, startup=True)
    assert frames == framed([stream], startup=True)
    kinds = [frame.kind == wire.UNTYPED for frame in frames]
    assert kinds == sorted(kinds, reverse=True)
    assert frames[-1].end == len(stream)


def _started(requests: list[bytes], stream: bytes) -> bytes:
    return b"".join(requests) + wire.startup({"user": "a"}) + stream


@given(in_pieces(STREAMS), st.integers(0, 20))
def test_bodies_are_kept_up_to_a_bound(split: tuple[bytes, list[bytes]], most: int) -> None:
    stream, pieces = split
    kept = framed(pieces, keep=dict.fromkeys(range(256), most))
    whole = framed([stream])
    assert [(f.kind, f.size, f.end) for f in kept] == [(f.kind, f.size, f.end) for f in whole]
    assert [f.body for f in kept] == [f.body[:most] for f in whole]


ROWS = st.lists(
    st.one_of(st.just(wire.typed(wire.DATA_ROW, b"\0\0")), TYPED), min_size=5, max_size=30
).map(b"".join)


@given(in_pieces(ROWS))
def test_counted_messages_are_neither_lost_nor_made(split: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = split
    whole = framed([stream])
    counted = framed(pieces, counted={wire.DATA_ROW: 2})
    assert sum(frame.times for frame in counted) == len(whole)
    assert [f for f in counted if f.kind != wire.DATA_ROW] == [
        f for f in whole if f.kind != wire.DATA_ROW
    ]
    assert b"".join(stream[f.start : f.end] for f in counted) == stream


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_garbage_is_framed_or_refused(pieces: list[bytes], startup: bool) -> None:
    framer = Framer(startup=startup)
    fed = 0
    with only_wire_errors():
        for piece in pieces:
            fed += len(piece)
            for frame in framer.feed(piece):
                assert 0 <= frame.start < frame.end <= fed


@pytest.mark.parametrize("length", [0, 3, LARGEST_BYTES + 1, 0xFFFFFFFF])
def test_impossible_lengths_are_refused(length: int) -> None:
    with pytest.raises(WireError, match=f"message 'Q' says it has {length} bytes"):
        Framer().feed(b"Q" + struct.pack(">I", length))


def test_a_huge_length_is_not_allocated() -> None:
    framer = Framer()
    assert framer.feed(b"Q" + struct.pack(">I", LARGEST_BYTES) + b"x") == []
    assert (framer.partial_kind, framer.partial_start) == (wire.QUERY, 0)


@pytest.mark.parametrize("length", [0, 7, 10_001, 0x16030100])
def test_impossible_start_up_packets_are_refused(length: int) -> None:
    with pytest.raises(WireError, match=f"a start-up packet says it has {length} bytes"):
        Framer(startup=True).feed(struct.pack(">I", length))


def test_where_a_partial_message_begins() -> None:
    framer = Framer()
    framer.feed(wire.sync() + b"D\0\0\0\x0a12")
    assert (framer.partial_kind, framer.partial_start) == (wire.DATA_ROW, 5)
    framer.feed(b"3456Z")
    assert (framer.partial_kind, framer.partial_start) == (None, 16)


DECODERS: list[Callable[[bytes], Any]] = [
    messages.startup_packet,
    messages.query,
    messages.parse,
    messages.bind,
    messages.execute,
    messages.named,
    messages.function_oid,
    messages.copy_fail,
    messages.authentication_code,
    messages.row_description,
    lambda body: messages.data_row(body, len(body)),
    lambda body: messages.data_row(body, len(body) + 7),
    messages.command_tag,
    messages.fields,
    messages.transaction_status,
    messages.key_data,
    messages.parameter_status,
    messages.parameter_description,
    messages.negotiation,
    messages.copy_start,
]


@pytest.mark.parametrize("decode", DECODERS)
@given(body=st.binary(max_size=60))
def test_arbitrary_bodies_are_decoded_or_refused(
    decode: Callable[[bytes], Any], body: bytes
) -> None:
    with only_wire_errors():
        decode(body)


def only(data: bytes, kind: int) -> bytes:
    (frame,) = Framer().feed(data)
    assert frame.kind == kind
    return frame.body


@given(NAMES, NAMES, OIDS)
def test_parse_comes_back(name: str, sql: str, types: list[int]) -> None:
    found = messages.parse(only(wire.parse(name, sql, types), wire.PARSE))
    assert found == messages.Parse(name=name, sql=sql, types=tuple(types))


@given(NAMES, NAMES, VALUES, FORMATS, FORMATS)
def test_bind_comes_back(
    portal: str,
    statement: str,
    values: list[bytes | None],
    formats: list[int],
    result_formats: list[int],
) -> None:
    sent = wire.bind(portal, statement, values, formats=formats, result_formats=result_formats)
    assert messages.bind(only(sent, wire.BIND)) == messages.Bind(
        portal=portal,
        statement=statement,
        formats=tuple(formats),
        parameters=tuple(values),
        result_formats=tuple(result_formats),
    )


@given(NAMES, st.integers(0, 2**31 - 1), st.sampled_from("SP"))
def test_the_short_messages_come_back(name: str, rows: int, of: str) -> None:
    assert messages.query(only(wire.query(name), wire.QUERY)) == name
    executed = messages.execute(only(wire.execute(name, most_rows=rows), wire.EXECUTE))
    assert executed == messages.Execute(portal=name, most_rows=rows)
    named = messages.Named(of=of, name=name)
    assert messages.named(only(wire.describe(of, name), wire.DESCRIBE)) == named
    assert messages.named(only(wire.close(of, name), wire.CLOSE)) == named
    for sent, kind in ((wire.sync(), wire.SYNC), (wire.flush(), wire.FLUSH)):
        assert only(sent, kind) == b""
    assert only(wire.terminate(), wire.TERMINATE) == b""


PAIRS = st.dictionaries(NAMES.filter(bool), NAMES, max_size=4)


@given(PAIRS, st.integers(0, 2))
def test_a_start_up_message_comes_back(pairs: dict[str, str], minor: int) -> None:
    (frame,) = Framer(startup=True).feed(wire.startup(pairs, version=(3, minor)))
    found = messages.startup_packet(frame.body)
    assert found == messages.Startup(version=(3, minor), parameters=pairs)


@given(st.integers(0, 2**32 - 1), st.binary(min_size=4, max_size=256))
def test_cancel_keys_have_any_length(pid: int, key: bytes) -> None:
    (frame,) = Framer(startup=True).feed(wire.cancel_request(pid, key))
    assert messages.startup_packet(frame.body) == messages.Cancel(pid=pid, key=key)


def test_questions_about_encryption() -> None:
    frames = Framer(startup=True).feed(wire.ssl_request() + wire.gssenc_request())
    found = [messages.startup_packet(frame.body) for frame in frames]
    assert found == [messages.EncryptionRequest(gss=False), messages.EncryptionRequest(gss=True)]


def test_protocol_2_is_refused() -> None:
    with pytest.raises(WireError, match=r"protocol 2\.0"):
        messages.startup_packet(struct.pack(">I", 2 << 16))


@given(st.dictionaries(st.sampled_from("SVCMDHFLR"), NAMES))
def test_errors_come_back(fields: dict[str, str]) -> None:
    assert messages.fields(only(wire.error_response(fields), wire.ERROR)) == fields


def test_what_only_the_server_sends() -> None:
    columns = struct.pack(">H", 1) + b"id\0" + struct.pack(">IHIhiH", 5, 1, 23, 4, -1, 1)
    assert messages.row_description(columns) == (messages.Column(name="id", type_oid=23, format=1),)
    row = struct.pack(">Hi3si", 2, 3, b"abc", -1)
    assert messages.data_row(row, len(row)) == (b"abc", None)
    assert messages.data_row(row[:8], len(row)) == (b"ab", b"")
    assert messages.key_data(struct.pack(">I", 7) + b"k" * 32).key == b"k" * 32
    assert messages.parameter_status(b"client_encoding\0UTF8\0") == ("client_encoding", "UTF8")
    assert messages.parameter_description(struct.pack(">HII", 2, 20, 25)) == (20, 25)
    assert messages.negotiation(struct.pack(">II", 196608 + 2, 1) + b"_pq_.x\0") == (
        messages.Negotiation(minor=2, unknown_options=("_pq_.x",))
    )
    assert messages.copy_start(b"\1" + struct.pack(">HHH", 2, 1, 1)) == messages.CopyStart(
        binary=True, column_formats=(1, 1)
    )
    assert messages.transaction_status(only(wire.ready_for_query("E"), wire.READY_FOR_QUERY)) == "E"
    assert messages.function_oid(struct.pack(">I", 9)) == 9
    assert messages.copy_fail(b"why\0") == "why"


def test_a_string_with_a_zero_byte_cannot_be_sent() -> None:
    with pytest.raises(WireError):
        wire.query("a\0b")


def test_a_tls_handshake_is_known() -> None:
    assert wire.looks_like_tls(b"\x16\x03\x01")
    assert not wire.looks_like_tls(wire.ssl_request())
    assert not wire.looks_like_tls(b"")


@given(st.lists(st.binary(max_size=9), max_size=6), st.data())
def test_what_is_held_is_taken_once_and_in_order(pieces: list[bytes], data: st.DataObject) -> None:
    held, stream, taken = Held(), b"".join(pieces), b""
    for piece in pieces:
        held.add(piece)
        taken += held.take(data.draw(st.integers(0, len(stream))))
    assert taken + held.take() == stream
    assert len(held) == 0


@given(st.binary(min_size=9, max_size=9), st.integers(0, 4), st.integers(0, 4))
def test_a_piece_is_cut_from_the_middle(stream: bytes, length: int, skipped: int) -> None:
    held = Held()
    held.skip(skipped)
    held.add(stream)
    assert held.cut(skipped + 3, skipped + 3 + length) == stream[3 : 3 + length]
    assert held.take(skipped + 9) == stream[:3] + stream[3 + length :]
