"""The service answers and the answer never arrives: the connection dies under it."""

import json
import select
import socket
import struct
from urllib.parse import urlsplit

from attacks.history import Operation, Recorder
from attacks.http.request import Request

ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close() resets the connection instead of ending it politely."""


def send_and_lose_answer(  # noqa: PLR0913 - what an operation is made of
    base_url: str,
    request: Request,
    recorder: Recorder,
    *,
    actor: str = "A",
    round: int | None = None,  # noqa: A002
    deadline_s: float = 5.0,
) -> Operation:
    """Send, wait until the service has begun to answer, and reset the connection unread.

    The client cannot know what happened, so the operation's outcome is unknown.
    """
    url = urlsplit(base_url)
    started_s = recorder.now_s()
    with socket.create_connection((url.hostname, url.port), timeout=deadline_s) as connection:
        connection.sendall(_bytes_of(request, url.netloc))
        answered = _begins_to_answer(connection, deadline_s)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    answer = "answer lost on its way" if answered else "no answer in time"
    if answered:
        recorder.event("lost-answer", f"the answer to {actor} was lost on its way", round=round)
    return recorder.operation(
        Operation(
            id=recorder.new_id(),
            actor=actor,
            name=request.name,
            text=request.text,
            round=round,
            moves=request.moves,
            key=request.key,
            started_s=started_s,
            ended_s=recorder.now_s(),
            outcome="unknown",
            status=None,
            answer=answer,
        )
    )


def _begins_to_answer(connection: socket.socket, deadline_s: float) -> bool:
    """Whether a first byte is there, which stays unread. A service that hangs up says nothing."""
    ready, _, _ = select.select([connection], [], [], deadline_s)
    try:
        return bool(ready) and bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _bytes_of(request: Request, host: str) -> bytes:
    body = request.content if request.content is not None else json.dumps(request.json).encode()
    headers = {
        "Host": host,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **request.headers,
    }
    lines = [f"{request.method} {request.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
