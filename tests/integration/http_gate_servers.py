"""Raw servers that write down every piece they receive, and answer as a script says."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

RESET = struct.pack("ii", 1, 0)
LONGEST_WAIT_S = 20.0


@dataclass
class Conversation:
    """One connection, from the server's side."""

    number: int
    socket: socket.socket
    log: "Log"
    closing: threading.Event
    data: bytes = b""

    def hear(self) -> bytes:
        """The next piece; empty at the end."""
        piece = self.socket.recv(65_536)
        self.data += piece
        self.log.add(self.number, piece)
        return piece

    def hear_request(self) -> None:
        while not is_complete(self.data) and self.hear():
            pass

    def hear_head(self) -> None:
        while b"\r\n\r\n" not in self.data and self.hear():
            pass

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()


@dataclass
class Log:
    """What was received, over all connections, in the order in which it came."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, piece: bytes) -> None:
        with self.lock:
            if piece:
                self.pieces.append((number, piece))

    def of(self, number: int) -> list[bytes]:
        return [piece for owner, piece in self.pieces if owner == number]


@dataclass
class Service:
    url: str
    log: Log
    closing: threading.Event


Script = Callable[[Conversation], None]


@contextmanager
def serving(script: Script) -> Iterator[Service]:
    """Run `script` for every connection, each in a thread of its own, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    service = Service(
        url=f"http://127.0.0.1:{listener.getsockname()[1]}", log=Log(), closing=threading.Event()
    )
    open_: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(number: int, accepted: socket.socket) -> None:
        # An OSError: the other side has gone, or the test is over.
        with accepted, suppress(OSError):
            script(Conversation(number, accepted, service.log, service.closing))

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.settimeout(LONGEST_WAIT_S)
            open_.append(accepted)
            thread = threading.Thread(target=run, args=(len(open_) - 1, accepted), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield service
    finally:
        service.closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for accepted in open_:
            with suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(timeout=LONGEST_WAIT_S)


def is_complete(data: bytes) -> bool:
    """Whether this is a whole HTTP/1.1 request with Content-Length, or without a body."""
    head, ended, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    return bool(ended) and len(body) >= sum(lengths)


def answering(answer: bytes) -> Script:
    """Answer so when the request is complete, and close."""

    def script(conversation: Conversation) -> None:
        conversation.hear_request()
        if is_complete(conversation.data):
            conversation.say(answer)

    return script


@dataclass
class Http2Peer:
    """The server's side of HTTP/2. A script reacts to the events; what has to be is done here."""

    conversation: Conversation
    settings: Mapping[SettingCodes, int] = field(default_factory=dict)
    acknowledges: bool = True
    """Whether it opens the flow-control windows again."""
    engine: H2Connection = field(
        default_factory=lambda: H2Connection(H2Configuration(client_side=False))
    )

    def events(self) -> Iterator[Event]:
        """What comes; answers to it are sent when the next is asked for."""
        self.engine.local_settings = Settings(client=False, initial_values=dict(self.settings))
        self.engine.initiate_connection()
        self.flush()
        while piece := self.conversation.hear():
            try:
                events = self.engine.receive_data(piece)
            except H2Error:
                return
            for event in events:
                if isinstance(event, DataReceived) and self.acknowledges:
                    self.engine.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                yield event
            self.flush()

    def answer(self, stream: int, status: int, body: bytes = b'{"amount": "1"}') -> None:
        self.engine.send_headers(stream, [(":status", str(status))])
        self.engine.send_data(stream, body, end_stream=True)
        self.flush()

    def flush(self) -> None:
        if data := self.engine.data_to_send():
            self.conversation.say(data)
