"""Somebody who calls the engine's API: logged in, with a PIN, and every answer a success."""

from typing import Any

import httpx

PIN = "4711"


def log_in(http: httpx.Client, username: str, password: str) -> dict[str, str]:
    """The headers of this caller."""
    body = {"username": username, "password": password}
    answer = done(http.post("/v1/auth/token", json=body))
    return {"Authorization": f"Bearer {answer['access_token']}"}


def with_pin(http: httpx.Client, headers: dict[str, str]) -> dict[str, str]:
    """The caller chooses a PIN, and says it from now on."""
    done(http.put("/v1/users/me/pin", json={"pin": PIN}, headers=headers))
    return {**headers, "X-Pin": PIN}


def done(answer: httpx.Response) -> Any:
    """What was answered. Ends the benchmark where that was no success."""
    if not answer.is_success:
        raise SystemExit(f"{answer.request.method} {answer.request.url.path}: {answer.text}")
    return answer.json() if answer.content else None
