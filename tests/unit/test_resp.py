"""The framing of Redis's protocol: the same frames however the bytes arrive, and nothing lost."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.redis.resp import MOST_DEPTH, Answer, Answers, Command, Commands, RespError

WORD = st.binary(max_size=20)
LINE = st.binary(max_size=12).filter(lambda text: b"\r" not in text and b"\n" not in text)


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word)


def _command(words: list[bytes]) -> bytes:
    return b"*%d\r\n%s" % (len(words), b"".join(map(_bulk, words)))


SCALARS = st.one_of(
    st.builds(lambda text: b"+" + text + b"\r\n", LINE),
    st.builds(lambda text: b"-ERR " + text + b"\r\n", LINE),
    st.integers().map(lambda number: b":%d\r\n" % number),
    st.floats().map(lambda number: f",{number!r}\r\n".encode()),
    st.sampled_from([b"_\r\n", b"#t\r\n", b"#f\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"%0\r\n"]),
    st.integers(min_value=2**64).map(lambda number: b"(%d\r\n" % number),
    WORD.map(_bulk),
    WORD.map(lambda word: b"=%d\r\ntxt:%s\r\n" % (len(word) + 4, word)),
    WORD.map(lambda word: b"!%d\r\n%s\r\n" % (len(word), word)),
    st.lists(st.binary(min_size=1, max_size=5), max_size=3).map(
        lambda parts: (
            b"$?\r\n" + b"".join(b";%d\r\n%s\r\n" % (len(p), p) for p in parts) + b";0\r\n"
        )
    ),
)


def _nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    values = st.lists(inner, max_size=4)
    pairs = st.lists(st.tuples(inner, inner), max_size=3)
    joined = pairs.map(lambda many: (len(many), b"".join(a + b for a, b in many)))
    return st.one_of(
        values.map(lambda many: b"*%d\r\n%s" % (len(many), b"".join(many))),
        values.map(lambda many: b"~%d\r\n%s" % (len(many), b"".join(many))),
        values.map(lambda many: b"*?\r\n%s.\r\n" % b"".join(many)),
        joined.map(lambda found: b"%%%d\r\n%s" % found),
        joined.map(lambda found: b"%%?\r\n%s.\r\n" % found[1]),
        st.tuples(joined, inner).map(lambda both: b"|%d\r\n%s%s" % (*both[0], both[1])),
    )


REPLIES = st.recursive(SCALARS, _nested, max_leaves=8)
PUSHES = st.lists(SCALARS, min_size=1, max_size=3).map(
    lambda many: b">%d\r\n%s" % (len(many), b"".join(many))
)
COMMANDS = st.one_of(
    st.lists(WORD, min_size=1, max_size=4).map(_command),
    st.sampled_from([b"PING\r\n", b"set a 1\n", b"\r\n", b"*0\r\n", b"*-1\r\n", b" get  a \r\n"]),
)


@st.composite
def chunked(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Frames, and their bytes cut anywhere."""
    whole = draw(st.lists(frames, max_size=5))
    stream = b"".join(whole)
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return whole, [stream[a:b] for a, b in pairwise(edges)]


def _answers(chunks: list[bytes]) -> Iterator[Answer]:
    framer = Answers()
    for chunk in chunks:
        yield from framer.feed(chunk)
    assert framer.rest == b""


def _commands(chunks: list[bytes]) -> Iterator[Command]:
    framer = Commands()
    for chunk in chunks:
        yield from framer.feed(chunk)
    assert framer.rest == b""


@given(chunked(REPLIES | PUSHES))
def test_replies_are_cut_alike_however_they_arrive(sent: tuple[list[bytes], list[bytes]]) -> None:
    frames, chunks = sent
    assert [answer.raw for answer in _answers(chunks)] == frames


@given(chunked(COMMANDS))
def test_commands_are_cut_alike_however_they_arrive(sent: tuple[list[bytes], list[bytes]]) -> None:
    frames, chunks = sent
    assert [command.raw for command in _commands(chunks)] == frames


@given(st.lists(st.lists(WORD, min_size=1, max_size=4), max_size=4))
def test_commands_keep_their_words(sent: list[list[bytes]]) -> None:
    found = list(_commands([b"".join(map(_command, sent))]))
    assert [list(command.words) for command in found] == sent


LIKELY = st.lists(
    st.one_of(
        st.sampled_from(
            [b"*", b"$", b"%", b"|", b";", b".", b">", b"?", b"\r\n", b"-", b"1", b"2", b"+", b"~"]
        ),
        st.binary(max_size=3),
    ),
    max_size=30,
).map(b"".join)


@given(LIKELY | st.binary(max_size=60), st.integers(1, 7), st.sampled_from([Answers, Commands]))
def test_any_bytes_are_framed_or_refused_and_never_lost(
    stream: bytes, size: int, kind: type[Answers] | type[Commands]
) -> None:
    framer = kind(1_000)
    kept = b""
    given_ = b""
    for start in range(0, len(stream), size):
        chunk = stream[start : start + size]
        given_ += chunk
        try:
            for frame in framer.feed(chunk):
                kept += frame.raw
        except RespError:
            break
    assert kept + framer.rest == given_


@given(LIKELY, st.sampled_from([Answers, Commands]))
def test_any_bytes_are_cut_alike_in_one_piece_and_byte_by_byte(
    stream: bytes, kind: type[Answers] | type[Commands]
) -> None:
    def cut(chunks: list[bytes]) -> tuple[list[bytes], bool]:
        framer, frames = kind(1_000), []
        try:
            for chunk in chunks:
                frames.extend([frame.raw for frame in framer.feed(chunk)])
        except RespError:
            return [], True
        return frames, False

    assert cut([stream]) == cut([stream[i : i + 1] for i in range(len(stream))])


@pytest.mark.parametrize(
    ("stream", "kinds"),
    [
        (b">2\r\n+message\r\n:1\r\n+OK\r\n", [b">", b"+"]),
        (b"|1\r\n+ttl\r\n:1\r\n*1\r\n|1\r\n+a\r\n+b\r\n:5\r\n", [b"*"]),
        (b"|0\r\n+OK\r\n-LOADING no\r\n", [b"+", b"-"]),
        (b"*2\r\n*1\r\n$1\r\na\r\n$-1\r\n+QUEUED\r\n", [b"*", b"+"]),
        (b"%1\r\n+a\r\n*?\r\n:1\r\n.\r\n_\r\n", [b"%", b"_"]),
    ],
)
def test_the_type_is_that_of_the_reply_itself(stream: bytes, kinds: list[bytes]) -> None:
    found = list(_answers([stream]))
    assert [answer.kind for answer in found] == kinds
    assert [answer.is_push for answer in found] == [kind == b">" for kind in kinds]


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b"*1\r\n$4\r\nping\r\nset a 1\r\n", ["PING", "SET"]),
        (b"\r\n*0\r\n", ["", ""]),
        (
            _command([b"MULTI"]) + _command([b"get", b"a"]) + _command([b"exec"]),
            ["MULTI", "GET", "EXEC"],
        ),
    ],
)
def test_a_pipeline_is_its_commands(sent: bytes, names: list[str]) -> None:
    assert [command.name for command in _commands([sent])] == names


@pytest.mark.parametrize(
    "wrong",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"$3\r\nabcd\r\n",
        b"*x\r\n",
        b"$\r\n",
        b"*99999999999\r\n",
        b".\r\n",
        b";1\r\na\r\n",
        b"$?\r\n+OK\r\n",
        b"*1\r\n.\r\n",
        b"\r\n",
        b"*1\r\n" * (MOST_DEPTH + 1),
        b"+" + b"a" * 2_000,
        b"*99\r\n" + b"+aaaaaaaaaaaaaaa\r\n" * 80,
    ],
)
def test_what_is_no_reply_is_refused(wrong: bytes) -> None:
    with pytest.raises(RespError):
        list(Answers(1_000).feed(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        b"*1\r\n+OK\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$1\r\nabc",
        b"*1\r\n$1e3\r\n",
        b"*--1\r\n",
        b"a" * 70_000,
        b"*2\r\n$900\r\n" + b"a" * 900 + b"\r\n$900\r\n" + b"a" * 400,
    ],
)
def test_what_is_no_command_is_refused(wrong: bytes) -> None:
    with pytest.raises(RespError):
        list(Commands(1_000).feed(wrong))


def test_commands_before_a_mistake_are_kept() -> None:
    framer = Commands()
    found = list(framer.feed(b"PING\r\n*1\r\n+"))
    with pytest.raises(RespError):
        found.extend(framer.feed(b"no\r\n"))
    assert [command.name for command in found] == ["PING"]
    assert framer.rest == b"*1\r\n+no\r\n"
