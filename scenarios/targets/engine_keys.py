"""Idempotency keys as Assay's own engine wants them, and its word on what became of one."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from attacks.http.request import Reply, Request, definite

HEADER = "Idempotency-Key"
FATES = {200: "settled", 404: "unknown", 409: "unsettled"}


def keyed(request: Request, key: str | None) -> Request:
    """The same request with this text in the header, or without the header."""
    headers = {name: value for name, value in request.headers.items() if name != HEADER}
    if key is not None:
        headers[HEADER] = key
    return replace(request, headers=headers, key=None)


def fate_of(request: Request) -> Request:
    """`GET /v1/idempotency/{key}`, with the route that the key was used on."""
    key, route = quote(request.key or "", safe=""), quote(f"{request.method} {request.path}")
    return Request(
        name="key-fate",
        text=f"ask what became of {request.text}",
        method="GET",
        path=f"/v1/idempotency/{key}?route={route}",
        headers={name: value for name, value in request.headers.items() if name != HEADER},
        key=request.key,
        read=_read,
    )


def advice_of(body: Any) -> dict[str, str]:
    """{"advice": …}: what a problem document says of a retry; empty where none is said."""
    if not isinstance(body, dict) or not str(body.get("type", "")).startswith("urn:problem-type:"):
        return {}
    again, same_key = body.get("retriable"), body.get("retry_with_same_key")
    if not (isinstance(again, bool) and isinstance(same_key, bool)):
        return {}
    when = "again" if again else "ask" if same_key else "never"
    return {"advice": f"{when}, {'same' if same_key else 'new'} key"}


def _read(response: httpx.Response) -> Reply:
    reply = definite(response)
    fate = FATES.get(response.status_code)
    if fate is None:
        return reply
    if fate != "settled":
        return Reply(outcome="ok", answer=f"{reply.answer} {fate}", values={"fate": fate})
    kept = response.json()
    return Reply(
        outcome="ok",
        answer=f"200 settled with {kept['status']}",
        values={"fate": fate, "body": json.dumps(kept["body"], sort_keys=True)},
    )
