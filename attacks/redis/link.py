"""The wire to Redis, which can be cut: a TCP relay between the service and its Redis.

Open, it passes bytes both ways. `refuse` resets every connection and takes no new one, as a dead
host does; `swallow` keeps connections open and answers nothing, as a lost network does.
"""

import contextlib
import socket
import threading

CHUNK_BYTES = 65_536
LOOPBACK = "127.0.0.1"


class Link:
    """Listens on a loopback port of its own. One thread a direction and connection."""

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._swallowing = False
        self._listener = self._listen(0)
        self.host = LOOPBACK
        self.port = int(self._listener.getsockname()[1])

    def refuse(self) -> None:
        """Nobody is there: connections are reset, new ones refused."""
        self._close_listener()
        self._drop_connections()

    def swallow(self) -> None:
        """The network is gone: connections stay, new ones open, and nothing comes back."""
        self._swallowing = True

    def restore(self) -> None:
        """As new: what was swallowed is lost, so the connections that lost it are reset."""
        was_swallowing, self._swallowing = self._swallowing, False
        if was_swallowing:
            self._drop_connections()
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)

    def close(self) -> None:
        self._close_listener()
        self._drop_connections()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _close_listener(self) -> None:
        # shutdown() wakes the thread that waits in accept(); close() alone would leave it there.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, timeout=2)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self._lock:
            self._sockets.update(pair)
        for end in pair:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._sockets.difference_update(pair)
        for end in pair:
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                if not self._swallowing:
                    sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _drop_connections(self) -> None:
        with self._lock:
            sockets = tuple(self._sockets)
        for end in sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
