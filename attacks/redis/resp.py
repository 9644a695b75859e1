"""Where commands and replies begin and end in Redis's protocol (RESP2 and RESP3), and no more.

Pure functions over bytes: what goes in comes out, cut into frames, however it was chunked. After
the RESP specification (redis.io/docs/latest/develop/reference/protocol-spec).
"""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_FRAME_BYTES = 64 * 1024 * 1024
MOST_INLINE_BYTES = 64 * 1024
"""Redis's own limit to a line without an end."""
MOST_DEPTH = 128
END = b"\r\n"
SCALARS = b"+-:,#(_"
BLOBS = b"$=!"
AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
"""How many values each of the counted parts has."""
ATTRIBUTE, PUSH, CHUNK, CLOSE, STREAMED = b"|", b">", b";", b".", b"?"
STREAMABLE = b"*~%"
OPEN_ENDED, OPEN_ENDED_STRING = -1, -2


class RespError(Exception):
    """These bytes are not the protocol of Redis, or a frame is larger than is kept. One line."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a client asks. Without words it is one that Redis passes over without an answer."""

    words: tuple[bytes, ...]
    raw: bytes

    @property
    def name(self) -> str:
        """In capitals; empty without words."""
        return self.words[0].decode("latin-1").upper() if self.words else ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One whole reply with everything nested in it, or one push message."""

    raw: bytes
    kind: bytes
    """The type's byte, past any attributes."""

    @property
    def is_push(self) -> bool:
        """Out of band: it answers no command."""
        return self.kind == PUSH


class _Cut:
    """Bytes that arrive in pieces. `rest` is what no frame has been made of yet."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = bytearray()
        self._at = 0
        """Start of what has not been looked at; everything before it belongs to the frame."""

    @property
    def rest(self) -> bytes:
        return bytes(self._held)

    def _line(self, most_bytes: int, end: bytes = END) -> bytes | None:
        """The next line without its end; None while it is not complete. Raises RespError."""
        found = self._held.find(end, self._at)
        length = (found if found >= 0 else len(self._held)) - self._at
        if length > most_bytes:
            raise RespError(f"a line of more than {most_bytes} bytes")
        if found < 0:
            return None
        line = bytes(self._held[self._at : found])
        self._at = found + len(end)
        return line

    def _pass(self, length: int) -> bool:
        """Pass over a bulk string of this length; False while it is not complete."""
        stop = self._at + length
        if len(self._held) < stop + len(END):
            return False
        if self._held[stop : stop + len(END)] != END:
            raise RespError("a bulk string does not end where it says")
        self._at = stop + len(END)
        return True

    def _frame(self) -> bytes:
        raw = bytes(self._held[: self._at])
        del self._held[: self._at]
        self._at = 0
        return raw

    def _bound(self) -> None:
        if len(self._held) > self._most_bytes:
            raise RespError(f"a frame of more than {self._most_bytes} bytes")


class Commands(_Cut):
    """Cuts what a client sends: arrays of bulk strings, and inline commands."""

    def __init__(self, most_bytes: int = MOST_FRAME_BYTES) -> None:
        super().__init__(most_bytes)
        self._words: list[bytes] = []
        self._missing = 0

    def feed(self, chunk: bytes) -> Iterator[Command]:
        """Every command that is complete now. Raises RespError after those before the mistake."""
        self._held += chunk
        while self._held:
            words = self._next()
            if words is None:
                break
            yield Command(words=words, raw=self._frame())
        self._bound()

    def _next(self) -> tuple[bytes, ...] | None:
        if self._at == 0:
            if self._held[:1] != b"*":
                # Redis ends an inline command at \n and takes a \r before it for space.
                line = self._line(MOST_INLINE_BYTES, b"\n")
                return None if line is None else tuple(line.split())
            header = self._line(MOST_INLINE_BYTES)
            if header is None:
                return None
            self._missing = max(0, _number(header[1:], self._most_bytes))
            self._words = []
        while self._missing:
            word = self._word()
            if word is None:
                return None
            self._words.append(word)
            self._missing -= 1
        return tuple(self._words)

    def _word(self) -> bytes | None:
        start = self._at
        header = self._line(MOST_INLINE_BYTES)
        if header is None:
            return None
        if header[:1] != b"$":
            raise RespError("a command has a part that is no bulk string")
        length = _number(header[1:], self._most_bytes)
        if length < 0:
            raise RespError("a command has a part of negative length")
        begin = self._at
        if not self._pass(length):
            self._at = start
            return None
        return bytes(self._held[begin : begin + length])


class Answers(_Cut):
    """Cuts what Redis sends: replies of every type, nested ones, attributes, push messages."""

    def __init__(self, most_bytes: int = MOST_FRAME_BYTES) -> None:
        super().__init__(most_bytes)
        self._open: list[int] = []
        """How many values are missing, of the frame itself and of each aggregate that is open."""
        self._kind = b""

    def feed(self, chunk: bytes) -> Iterator[Answer]:
        """Every answer that is complete now. Raises RespError after those before the mistake."""
        self._held += chunk
        while self._held and self._step():
            if not self._open:
                yield Answer(raw=self._frame(), kind=self._kind)
        self._bound()

    def _step(self) -> bool:
        """Pass over one header, with its bytes if it is a string's; False while incomplete."""
        start = self._at
        header = self._line(self._most_bytes)
        if header is None:
            return False
        kind, count = header[:1], header[1:]
        length = self._length(kind, count)
        if length >= 0 and not self._pass(length):
            self._at = start
            return False
        self._open = self._open or [1]
        if len(self._open) == 1 and kind != ATTRIBUTE:
            self._kind = kind
        self._note(kind, count)
        return True

    def _length(self, kind: bytes, count: bytes) -> int:
        """Of the string that follows a header; negative where none does. Raises RespError."""
        if not kind or (kind == b"$" and count == STREAMED):
            return -1
        if kind in BLOBS:
            return _number(count, self._most_bytes)
        if kind == CHUNK:
            return _number(count, self._most_bytes) or -1
        return -1

    def _note(self, kind: bytes, count: bytes) -> None:
        """Count the value whose header was read, or open it. Raises RespError."""
        inside = self._open[-1]
        if (inside == OPEN_ENDED_STRING) != (kind == CHUNK):
            raise RespError("a chunk of a string outside of one, or something else inside")
        if kind == CHUNK:
            if int(count) == 0:
                self._closed()
        elif kind == CLOSE:
            if inside != OPEN_ENDED:
                raise RespError("the end of what was never begun")
            self._closed()
        elif count == STREAMED and kind and kind in b"$" + STREAMABLE:
            self._opened(OPEN_ENDED_STRING if kind == b"$" else OPEN_ENDED)
        elif kind in AGGREGATES:
            self._aggregate(kind, _number(count, self._most_bytes))
        elif kind and kind in SCALARS + BLOBS:
            self._whole()
        else:
            raise RespError(f"no reply begins with {kind!r}")

    def _aggregate(self, kind: bytes, count: int) -> None:
        if kind == ATTRIBUTE and self._open[-1] > 0:
            self._open[-1] += 1  # It stands before a value and is none.
        if count > 0:
            self._opened(count * AGGREGATES[kind])
        elif kind != ATTRIBUTE or self._open[-1] > 0:
            self._whole()

    def _opened(self, parts: int) -> None:
        if len(self._open) >= MOST_DEPTH:
            raise RespError(f"a reply that is nested deeper than {MOST_DEPTH}")
        self._open.append(parts)

    def _closed(self) -> None:
        self._open.pop()
        self._whole()

    def _whole(self) -> None:
        """A value is complete, and with it, perhaps, those around it."""
        while self._open and self._open[-1] >= 0:
            self._open[-1] -= 1
            if self._open[-1] > 0:
                return
            self._open.pop()


def _number(digits: bytes, most: int) -> int:
    """Raises RespError for what is no number or larger than any frame."""
    if len(digits) > 20 or not digits.removeprefix(b"-").isdigit():
        raise RespError("a length that is no number")
    value = int(digits)
    if value > most:
        raise RespError(f"a length of more than {most}")
    return value
