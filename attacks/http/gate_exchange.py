"""One request that is held back: what is sent of it, and what has come back."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from attacks.history import Outcome
from attacks.http.request import Reply, Request

LONGEST_ANSWER_BYTES = 1_048_576
"""Of an answer's body, also after decompression."""
NO_ANSWER = "no answer in time"
LOST = "connection lost"
NOT_TAKEN = "the service did not take in the whole of it"
TOO_LONG = f"answer longer than {LONGEST_ANSWER_BYTES} bytes"
PIECE_BYTES = 512
"""Decompressed at once: a piece makes at most about a thousand times its size."""


@dataclass(kw_only=True)
class Exchange:
    """A request on its way. It has ended when `ended_s` is set."""

    request: Request
    encoded: httpx.Request
    sent_s: float | None = None
    """When its beginning was written; None while nothing of it was."""
    released_s: float | None = None
    early: bool = False
    """Whether an answer had begun when the request was to be completed."""
    ended_s: float | None = None
    status: int | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytearray = field(default_factory=bytearray)
    missing: Reply | None = None
    """Why there is no answer."""

    @property
    def ended(self) -> bool:
        return self.ended_s is not None

    def answer_begins(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, tuple(headers)

    def more(self, data: bytes, at_s: float) -> bool:
        """A part of the answer's body; whether the rest of it is wanted."""
        if self.ended:
            return True
        self.body += data
        if len(self.body) <= LONGEST_ANSWER_BYTES:
            return True
        self.lose(TOO_LONG, at_s)
        return False

    def answered(self, at_s: float) -> None:
        if self.ended_s is None:
            self.ended_s = at_s

    def lose(self, why: str, at_s: float, *, outcome: Outcome = "unknown") -> None:
        """There will be no answer. Unless somebody can say more, nobody knows what happened."""
        if self.ended_s is None:
            self.ended_s = at_s
            self.missing = Reply(outcome=outcome, answer=why)

    def started_s(self, otherwise_s: float) -> float:
        """When it could first have an effect; `otherwise_s` where nothing of it was sent."""
        for moment_s in (None if self.early else self.released_s, self.sent_s):
            if moment_s is not None:
                return moment_s
        return otherwise_s

    def read(self) -> tuple[int | None, Reply]:
        """The status and what the answer means to whoever built the request."""
        if self.missing is not None or self.status is None:
            return None, self.missing or Reply(outcome="unknown", answer=NO_ANSWER)
        try:
            response = self._response(self.status)
        except (httpx.RequestError, zlib.error, ValueError) as error:
            return None, Reply(outcome="unknown", answer=f"answer not understood: {error}")
        try:
            return self.status, self.request.read(response)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            answer = f"{self.status}, not understood: {error}"
            return self.status, Reply(outcome="unknown", answer=answer)

    def _response(self, status: int) -> httpx.Response:
        """Raises ValueError when it is too long once it is decompressed, httpx.DecodingError."""
        headers = list(self.headers)
        pieces = httpx.Response(
            status, headers=headers, stream=_Pieces(bytes(self.body)), request=self.encoded
        )
        body = bytearray()
        for piece in pieces.iter_bytes() if self.body else ():
            body += piece
            if len(body) > LONGEST_ANSWER_BYTES:
                raise ValueError(TOO_LONG)
        plain = [(name, value) for name, value in headers if name.lower() != b"content-encoding"]
        return httpx.Response(status, headers=plain, content=bytes(body), request=self.encoded)


@dataclass(frozen=True)
class _Pieces(httpx.SyncByteStream):
    """A body bit by bit, so that decompression can be stopped."""

    content: bytes

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), PIECE_BYTES):
            yield self.content[start : start + PIECE_BYTES]


def exchange_for(base_url: str, request: Request) -> Exchange:
    """The request as it goes over the wire, encoded as `Sender` would.

    Raises ValueError when its path leads to another service.
    """
    base, path = httpx.URL(base_url), httpx.URL(request.path)
    if not path.is_relative_url:
        raise ValueError(f"{request.path} is no path of {base_url}")
    url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + b"/" + path.raw_path.lstrip(b"/"))
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", **request.headers}
    if request.content is not None and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    encoded = httpx.Request(
        request.method, url, headers=headers, json=request.json, content=request.content
    )
    return Exchange(request=request, encoded=encoded)
