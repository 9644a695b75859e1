"""A proxy between a service and its PostgreSQL: records every step, or parks it at a gate."""

import contextlib
import socket
import threading
from collections.abc import Callable

from attacks.postgres import messages, wire
from attacks.postgres.gate import Gate
from attacks.postgres.hangups import HangUps
from attacks.postgres.link import Link, Surroundings, shut
from attacks.postgres.session import serve
from attacks.postgres.trace import Recorded, SessionInfo
from attacks.postgres.wire import Framer, WireError, looks_like_tls

LOOPBACK = "127.0.0.1"
CONNECT_S = 10.0
END_S = 5.0
PROBLEMS_KEPT = 50
CHUNK_BYTES = 65_536
RECORD_S = 0.05
_NO_TLS = (
    "the proxy speaks no TLS: set sslmode=disable in the service's database URL "
    "(asyncpg, node-postgres: ssl=false)"
)


class Proxy:
    """Listens on a loopback port of its own; two threads a connection.

    `record` gets every step with its reply, in the order of each session:
    it has to be quick and to bear being called by several threads. Without a gate it comes a little
    after the reply was passed on, `RECORD_S` at most (see `catch_up`); with one, before.
    """

    host = LOOPBACK

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        *,
        gate: Gate | None = None,
        record: Callable[[Recorded], None] | None = None,
    ) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._gate = gate
        self._lock = threading.Lock()
        self._numbers = 0
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._running: set[Link] = set()
        self._ready: dict[int, Link] = {}
        self._problems: dict[str, None] = {}
        self._closed = threading.Event()
        self._hang_ups = HangUps()
        self._surroundings = Surroundings(
            gate=lambda: self._gate,
            record=record,
            ready=self._note_ready,
            over=self._note_over,
            problem=self._note_problem,
        )
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, name="assay-proxy", daemon=True)
        self._accepting.start()
        self._recording = threading.Thread(target=self._record, name="assay-record", daemon=True)
        if record is not None:
            self._recording.start()

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong and what to change, a line each, every one once."""
        with self._lock:
            return tuple(self._problems)

    def set_gate(self, gate: Gate | None) -> None:
        """Every session asks it from its next step on; a call of the former gate goes on."""
        self._gate = gate

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The open ones that have been ready for a statement."""
        with self._lock:
            return tuple(link.info for link in self._ready.values())

    def catch_up(self) -> None:
        """Whatever a client has received from here has been recorded when this returns."""
        with self._lock:
            running = tuple(self._running)
        for link in running:
            link.catch_up()

    def close(self) -> None:
        """End every connection. A thread whose gate does not let go of it is left behind."""
        with self._lock:
            self._closed.set()
            running, connections = tuple(self._running), tuple(self._connections)
            threads = tuple(self._threads)
        shut(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        for link in running:
            link.cut()
        for connection in connections:
            shut(connection, socket.SHUT_RDWR)
        for thread in (self._accepting, self._recording, *threads):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(END_S)
        self._hang_ups.close()

    def _record(self) -> None:
        """What a session that says no more has left on its tape."""
        while not self._closed.wait(RECORD_S):
            self.catch_up()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(client,), name="assay-client", daemon=True
            )
            with self._lock:
                if self._closed.is_set():
                    client.close()
                    return
                self._connections.add(client)
                self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._receive(client)
        except OSError:
            pass
        except WireError as error:
            self._note_problem(f"a connection was closed: the client sent {error}")
        finally:
            with self._lock:
                self._connections.discard(client)
                self._threads.discard(threading.current_thread())
            client.close()

    def _receive(self, client: socket.socket) -> None:
        """Everything up to the first packet that is not a question about encryption."""
        framer = Framer(startup=True)
        received = b""
        refused = False
        while data := client.recv(CHUNK_BYTES):
            if not received and looks_like_tls(data):
                self._note_problem(_NO_TLS)
                return
            received += data
            for frame in framer.feed(data):
                packet = messages.startup_packet(frame.body)
                if isinstance(packet, messages.EncryptionRequest):
                    refused = True
                    client.sendall(b"N")
                elif isinstance(packet, messages.Cancel):
                    self._cancel(packet)
                    return
                else:
                    start = received[frame.start : frame.end]
                    self._open(client, packet, start, received[frame.end :])
                    return
        if refused:
            self._note_problem(f"a client left when it was refused encryption; {_NO_TLS}")

    def _open(
        self, client: socket.socket, packet: messages.Startup, start: bytes, early: bytes
    ) -> None:
        upstream = self._connect()
        if upstream is None:
            return
        upstream.sendall(start)
        named = dict(packet.parameters)
        with self._lock:
            self._numbers += 1
            user = named.pop("user", "")
            info = SessionInfo(
                number=self._numbers,
                user=user,
                database=named.pop("database", user),
                application_name=named.pop("application_name", ""),
                settings=named,
            )
            link = Link(info, client, upstream, self._surroundings)
            self._running.add(link)
            closed = self._closed.is_set()
        if closed:
            link.cut()
        self._hang_ups.watch(client, link.client_hung_up)
        try:
            serve(link, early)
        finally:
            self._hang_ups.forget(client)
            with self._lock:
                self._running.discard(link)

    def _connect(self) -> socket.socket | None:
        host, port = self._upstream
        try:
            upstream = socket.create_connection(self._upstream, timeout=CONNECT_S)
        except OSError as error:
            self._note_problem(f"the database at {host}:{port} cannot be reached: {error.strerror}")
            return None
        upstream.settimeout(None)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return upstream

    def _cancel(self, packet: messages.Cancel) -> None:
        """The server closes the connection when it has sent the signal; so does the proxy then."""
        with self._lock:
            links = tuple(self._ready.values())
        key = messages.KeyData(pid=packet.pid, key=packet.key)
        target = next((link for link in links if link.key == key), None)
        if target is None or not target.cancel():
            return
        upstream = self._connect()
        if upstream is None:
            return
        with upstream:
            upstream.settimeout(CONNECT_S)
            upstream.sendall(wire.cancel_request(packet.pid, packet.key))
            with contextlib.suppress(OSError):
                upstream.recv(1)

    def _note_ready(self, link: Link) -> None:
        with self._lock:
            self._ready[link.info.number] = link

    def _note_over(self, link: Link) -> None:
        with self._lock:
            self._ready.pop(link.info.number, None)

    def _note_problem(self, line: str) -> None:
        with self._lock:
            if len(self._problems) < PROBLEMS_KEPT:
                self._problems[line] = None
