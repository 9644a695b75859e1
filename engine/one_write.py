"""An answer leaves in one write: its head waits for the first bytes of its body.

uvicorn writes both apart, which is another system call, another packet and another waking of the
client for every answer.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD, CONTINUE = b"HTTP/1.1 ", b"HTTP/1.1 100"


class Joined:
    """A transport that keeps the head of an answer until something comes after it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if data.startswith(HEAD) and not self._head and not data.startswith(CONTINUE):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's own, over such a transport."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Joined(transport))  # type: ignore[arg-type]
