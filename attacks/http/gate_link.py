"""One connection of the gate: what is to be written can be prepared to the last byte beforehand.

With TLS the record is encrypted when it is sealed, so that a release has nothing left to compute.
"""

import fcntl
import socket
import ssl
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

READ_BYTES = 65_536
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a service listens, and how it is authenticated."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    def open(self, protocols: tuple[str, ...], *, deadline_s: float) -> "Link":
        """Connect. `protocols` are offered by ALPN, the preferred one first.

        Raises OSError: refused, no answer in time, or ssl.SSLError: not to be trusted.
        """
        until_s = time.monotonic() + deadline_s
        plain = socket.create_connection((self.host, self.port), timeout=deadline_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = None
            if self.tls is not None:
                self.tls.set_alpn_protocols(list(protocols))
                tls = _Tls(self.tls, self.host)
                tls.shake_hands(plain, until_s)
            plain.setblocking(False)
        except BaseException:
            plain.close()
            raise
        return Link(plain, tls)


def address_of(base_url: str, *, ca_file: Path | None = None) -> Address:
    """The address in an http:// or https:// URL. `ca_file`: trust this authority, and no other.

    Raises ValueError for another kind of URL, OSError when `ca_file` cannot be read.
    """
    url = httpx.URL(base_url)
    if url.scheme not in PORTS or not url.host:
        raise ValueError(f"{base_url} is not an address of a service: http://… or https://…")
    tls = ssl.create_default_context(cafile=ca_file) if url.scheme == "https" else None
    return Address(host=url.host, port=url.port or PORTS[url.scheme], tls=tls)


class Link:
    """A connection that never blocks. What it could not write at once waits in `unsent`."""

    def __init__(self, plain: socket.socket, tls: "_Tls | None") -> None:
        self._tls = tls
        self.socket = plain
        self.unsent = bytearray()
        self.cut = False
        """Whether a write has failed: then an end is a loss."""
        self.ended = False
        """Whether there is nothing more to read."""

    @property
    def chosen_protocol(self) -> str | None:
        """What ALPN chose: "h2", "http/1.1", or None."""
        return self._tls.engine.selected_alpn_protocol() if self._tls else None

    @property
    def segment_bytes(self) -> int:
        """How much fits into one TCP segment."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    def write(self, data: bytes) -> None:
        """Write, or keep in `unsent` what has no room.

        A loss shows when reading: an answer may have come before it.
        """
        self.unsent += self._sealed(data)
        self.flush()

    def flush(self) -> None:
        while self.unsent:
            try:
                sent = self.socket.send(self.unsent)
            except BlockingIOError:
                return
            except OSError:
                self.cut = True
                self.unsent.clear()
                return
            del self.unsent[:sent]

    def seal(self, data: bytes) -> bytes:
        """What has to be written to the socket for `data` to arrive, after what still waits."""
        sealed = bytes(self.unsent) + self._sealed(data)
        self.unsent.clear()
        return sealed

    def read(self) -> bytes | None:
        """What has come; None when that is nothing yet, empty at the end.

        Raises OSError when the connection was lost, also by ssl.SSLError.
        """
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        if not data and self.cut:
            raise ConnectionResetError("the connection was lost while writing")
        if self._tls is None:
            return data
        opened = self._tls.open(data)
        self.write(b"")  # TLS itself may have to answer.
        return opened

    def is_taken_in(self) -> bool:
        """Whether all that was written has been acknowledged by the other side's kernel.

        Only Linux tells (SIOCOUTQ, tcp(7)); elsewhere what the kernel accepted counts.
        """
        if self.unsent:
            return False
        try:
            queued = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return True
        return queued == bytes(4)

    def close(self) -> None:
        self.socket.close()

    def _sealed(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        if data:
            self._tls.engine.write(data)
        return self._tls.outgoing.read()


class _Tls:
    """TLS between two buffers, apart from the socket."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.engine = context.wrap_bio(self._incoming, self.outgoing, server_hostname=host)

    def shake_hands(self, plain: socket.socket, until_s: float) -> None:
        while True:
            try:
                self.engine.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            finally:
                self._pass_on(plain)  # Also the alert that says why it failed.
            if done:
                return
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("no TLS handshake in time")
            plain.settimeout(left_s)
            data = plain.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError("the connection ended within the TLS handshake")
            self._incoming.write(data)

    def open(self, data: bytes) -> bytes | None:
        """Decrypt what came. Raises ssl.SSLError, also for an end that TLS did not announce."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        opened = bytearray()
        try:
            while piece := self.engine.read(READ_BYTES):
                opened += piece
        except ssl.SSLWantReadError:
            return bytes(opened) or None
        except ssl.SSLZeroReturnError:
            pass
        return bytes(opened)  # Empty: the announced end. What came with it is read first.

    def _pass_on(self, plain: socket.socket) -> None:
        if data := self.outgoing.read():
            plain.sendall(data)
