"""What every request meets before any route: an id, a limit to its body, a deadline."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api.problems import ErrorStyle, respond
from engine.logs import ACCESS, REQUEST_ID
from engine.metrics import METHODS, UNMATCHED, Metrics
from engine.refusals import OUTCOME_UNKNOWN, Refused

HARMLESS_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
LARGEST_BODY_BYTES = 256 * 1024
UPLOAD = re.compile(r"/v1/batches/[^/]+/rows")
LARGEST_UPLOAD_BYTES = 32 * 1024 * 1024
"""Of the file of a batch, which is never in memory as a whole."""


class Reception:
    """ASGI middleware. A client that waited for the deadline gets 504; the work itself goes on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        style: ErrorStyle,
        deadline_s: float | None,
        metrics: Metrics | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics or Metrics()
        self._style = style
        self._deadline_s = deadline_s
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The application's life: it ends after the requests whose answer came too late.
            await self._app(scope, self._when_all_are_done(receive), send)
            return
        request_id = _request_id(Headers(scope=scope).get("X-Request-Id", ""))
        REQUEST_ID.set(request_id)
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        work = self._app(scope, _limited(receive, _limit_of(scope)), answer.send)
        began_s = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            if self._deadline_s is None:
                await work
            else:
                await self._within_deadline(work, answer, scope, self._deadline_s)
        finally:
            self._metrics.in_flight.dec()
            took_s = time.perf_counter() - began_s
            self._told(scope["method"], route_of(scope), answer.status, took_s)

    def _when_all_are_done(self, receive: Receive) -> Receive:
        async def receive_last() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.gather(*self._late, return_exceptions=True)
            return message

        return receive_last

    def _told(self, method: str, route: str, status: int, took_s: float) -> None:
        self._metrics.answered(method, route, status, took_s)
        if ACCESS.isEnabledFor(logging.INFO):
            # Not its path: a client may have put anything there.
            about = {"route": route, "status": status, "took_ms": round(1000 * took_s, 2)}
            method = method if method in METHODS else "other"
            ACCESS.info("%s %s %s", method, route, status, extra=about)

    async def _within_deadline(
        self, work: Awaitable[None], answer: "_Answer", scope: Scope, deadline_s: float
    ) -> None:
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=deadline_s)
        if done or answer.started:
            await task
            return
        self._late.add(task)
        task.add_done_callback(self._forget)
        refusal = Refused(OUTCOME_UNKNOWN, "the request took too long; it may still succeed")
        response = respond(self._style, Request(scope), refusal)
        await answer.send_instead(response.raw_headers, response.status_code, bytes(response.body))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # Nobody is left to hear of it.


class _Answer:
    """Sends what the application answers, unless somebody else has answered for it."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._replaced = False
        self.started = False
        self.status = 500
        """Until another one is sent: whatever fails outside of every handler."""

    async def send(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-Id"] = self._request_id
        await self._send(message)

    async def send_instead(
        self, headers: list[tuple[bytes, bytes]], status: int, body: bytes
    ) -> None:
        self._replaced = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def route_of(scope: Scope) -> str:
    """The template of the route that answered, with the prefix under which it was included."""
    included = scope.get("fastapi", {}).get("effective_route_context")
    template: str | None = getattr(included or scope.get("route"), "path_format", None)
    return template or UNMATCHED


def _request_id(sent: str) -> str:
    """The client's own where it is harmless."""
    return sent if HARMLESS_ID.fullmatch(sent) else uuid.uuid4().hex


def _limit_of(scope: Scope) -> int:
    is_upload = scope["method"] == "PUT" and UPLOAD.fullmatch(scope["path"])
    return LARGEST_UPLOAD_BYTES if is_upload else LARGEST_BODY_BYTES


def _limited(receive: Receive, most_bytes: int) -> Receive:
    """Stop to read a body that is too large, however it is sent."""
    seen_bytes = 0

    async def receive_limited() -> Message:
        nonlocal seen_bytes
        message = await receive()
        seen_bytes += len(message.get("body", b""))
        if seen_bytes > most_bytes:
            raise HTTPException(413)
        return message

    return receive_limited
