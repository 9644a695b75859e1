"""Sees clients hang up while nobody reads from them, because they wait for their answer."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable

# Where poll() knows no half-closed connection, only one that is closed both ways is seen.
_HANG_UP = getattr(select, "POLLRDHUP", 0)


class HangUps:
    """One thread for all connections. Each call back comes in it, at most once a connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, Callable[[], None]] = {}
        self._changed: set[int] = set()
        self._poller = select.poll()
        self._waker, self._wakened = socket.socketpair()
        self._closed = False
        self._poller.register(self._wakened, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="assay-hang-ups", daemon=True)
        self._thread.start()

    def watch(self, connection: socket.socket, call: Callable[[], None]) -> None:
        with self._lock:
            self._watched[connection.fileno()] = call
            self._changed.add(connection.fileno())
        self._wake()

    def forget(self, connection: socket.socket) -> None:
        """To be called before the connection is closed: its number is used again."""
        with self._lock:
            self._watched.pop(connection.fileno(), None)
            self._changed.add(connection.fileno())
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join()
            self._waker.close()
            self._wakened.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def _run(self) -> None:
        while not self._closed:
            for call in self._due(self._poller.poll()):
                call()

    def _due(self, events: list[tuple[int, int]]) -> list[Callable[[], None]]:
        """Events of a number that has changed hands are asked for again."""
        due = []
        with self._lock:
            for number in self._changed:
                if number in self._watched:
                    self._poller.register(number, _HANG_UP)
                else:
                    with contextlib.suppress(KeyError):
                        self._poller.unregister(number)
            for number, _ in events:
                if number == self._wakened.fileno():
                    self._wakened.recv(4096)
                elif number not in self._changed and number in self._watched:
                    due.append(self._watched.pop(number))
                    self._poller.unregister(number)
            self._changed.clear()
        return due
