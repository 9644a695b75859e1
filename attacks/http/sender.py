"""Sending requests and recording what became of them; one client a thread."""

import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import httpx

from attacks.history import PREPARATION, SETUP, Operation, Recorder
from attacks.http.request import Reply, Request

T = TypeVar("T")
REQUEST_TIMEOUT_S = 3.0
PATIENT_S = 15.0
"""For what comes before an attack: a machine that stalls then is no finding, and an attack lost."""


@cache
def trusted() -> ssl.SSLContext:
    """Whom to believe over TLS. One for all clients: reading the list takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Requests that were released together."""

    operations: tuple[Operation, ...]
    spread_s: float
    """From the first start to the last."""


class Sender:
    """Sends to one service. An actor ("A", "B", …) is one client with one connection."""

    def __init__(
        self,
        base_url: str,
        recorder: Recorder,
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        patient_s: float = PATIENT_S,
    ) -> None:
        """`patient_s` is for `ask` and for the actor SETUP."""
        self._base_url = base_url
        self._recorder = recorder
        self._timeout_s = timeout_s
        self._patient_s = patient_s
        self._clients: dict[str, httpx.Client] = {}
        self._pending: list[Future[Operation]] = []
        self._lock = threading.Lock()

    def send(
        self,
        request: Request,
        *,
        actor: str = "A",
        round: int | None = None,  # noqa: A002 - the field's word for it
    ) -> Operation:
        """Send and wait. A time-out or a lost connection is an operation with outcome unknown."""
        client = self._client(actor)
        started_s = self._recorder.now_s()
        status, reply = _exchange(client, request)
        ended_s = self._recorder.now_s()
        return self._recorder.operation(
            Operation(
                id=self._recorder.new_id(),
                actor=actor,
                name=request.name,
                text=request.text,
                round=round,
                moves=request.moves,
                key=request.key,
                started_s=started_s,
                ended_s=ended_s,
                outcome=reply.outcome,
                status=status,
                answer=reply.answer,
                values=reply.values,
            )
        )

    def ask(self, request: Request) -> Reply:
        """Send without recording: for log-ins and other preparations, whose answers are secrets."""
        return _exchange(self._client(PREPARATION), request)[1]

    def together(self, requests: Sequence[Request], *, round: int | None = None) -> Batch:  # noqa: A002
        """Send all at once: every client is connected and waits at a barrier for the others."""
        actors = [actor_name(position) for position in range(len(requests))]
        for actor in actors:
            self.connect(actor)
        barrier = threading.Barrier(len(requests))

        def run(actor: str, request: Request) -> Operation:
            barrier.wait(timeout=self._timeout_s)
            return self.send(request, actor=actor, round=round)

        futures = [
            in_thread(partial(run, actor, request))
            for actor, request in zip(actors, requests, strict=True)
        ]
        self._pending += futures
        operations = tuple(future.result() for future in futures)
        starts = [operation.started_s for operation in operations]
        return Batch(operations=operations, spread_s=max(starts) - min(starts))

    def background(
        self,
        request: Request,
        *,
        actor: str = "A",
        round: int | None = None,  # noqa: A002
    ) -> "Future[Operation]":
        """Send from a thread of its own."""
        future = in_thread(lambda: self.send(request, actor=actor, round=round))
        self._pending.append(future)
        return future

    def settle(self) -> bool:
        """Wait for what was sent in the background; whether all of it has ended and is recorded."""
        _, open_ = wait(self._pending, timeout=2 * self._timeout_s)
        return not open_

    def connect(self, actor: str) -> None:
        """Open the actor's connection beforehand, so that a race does not begin with handshakes."""
        try:
            self._client(actor).head("/", timeout=self._timeout_s)
        except httpx.TransportError:
            return  # The race itself will show it.

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, actor: str) -> httpx.Client:
        with self._lock:
            if actor not in self._clients:
                self._clients[actor] = httpx.Client(
                    base_url=self._base_url,
                    timeout=self._patient_s if actor in {PREPARATION, SETUP} else self._timeout_s,
                    trust_env=False,
                    verify=trusted(),
                    limits=httpx.Limits(max_connections=1),
                )
            return self._clients[actor]


def actor_name(position: int) -> str:
    """A, B, … Z, A1, B1, …"""
    letter = chr(ord("A") + position % 26)
    return letter if position < 26 else f"{letter}{position // 26}"


def in_thread(work: Callable[[], T]) -> "Future[T]":
    """Run in a thread of its own; its result or exception comes through the future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _exchange(client: httpx.Client, request: Request) -> tuple[int | None, Reply]:
    headers = dict(request.headers)
    if request.content is not None:
        headers.setdefault("Content-Type", "application/json")
    try:
        response = client.request(
            request.method,
            request.path,
            headers=headers,
            json=request.json,
            content=request.content,
        )
    except httpx.TimeoutException:
        return None, Reply(outcome="unknown", answer="no answer in time")
    except httpx.ConnectError:
        # Nothing was sent: nothing can have happened.
        return None, Reply(outcome="failed", answer="connection refused")
    except httpx.TransportError:
        return None, Reply(outcome="unknown", answer="connection lost")
    except httpx.RequestError as error:
        return None, Reply(outcome="unknown", answer=f"answer not understood: {error}")
    try:
        return response.status_code, request.read(response)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        answer = f"{response.status_code}, not understood: {error}"
        return response.status_code, Reply(outcome="unknown", answer=answer)
