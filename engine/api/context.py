"""What every route gets: the caller, a session, the idempotency key."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request

from engine.api.problems import ErrorStyle
from engine.database import OpenSession
from engine.identity import Principal
from engine.refusals import KEY_MALFORMED, KEY_MISSING, Refused
from engine.services import Services

KEY = re.compile(r"[\x21-\x7e]{1,255}")


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def style_of(request: Request) -> ErrorStyle:
    style: ErrorStyle = request.app.state.error_style
    return style


def open_session_of(request: Request) -> Iterator[OpenSession]:
    yield from services_of(request).scope.request()


def principal_of(
    request: Request, authorization: Annotated[str | None, Header()] = None
) -> Principal:
    return services_of(request).tokens.authenticate(authorization)


def key_of(
    request: Request,
    principal: Annotated[Principal, Depends(principal_of)],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> str | None:
    """The key, bare or as a quoted string; None where the build ignores keys.

    The principal is asked for first because 401 comes before 400.
    """
    del principal
    if not services_of(request).keys.required:
        return None
    if idempotency_key is None:
        raise Refused(KEY_MISSING, "send an Idempotency-Key header", field="Idempotency-Key")
    key = idempotency_key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not KEY.fullmatch(key):
        raise Refused(
            KEY_MALFORMED,
            "an Idempotency-Key has 1 to 255 printable ASCII characters",
            field="Idempotency-Key",
        )
    return key


Caller = Annotated[Principal, Depends(principal_of)]
Sessions = Annotated[OpenSession, Depends(open_session_of)]
Key = Annotated[str | None, Depends(key_of)]
WalletPath = Annotated[int, Path(ge=1, le=2**63 - 1)]
UserPath = Annotated[int, Path(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Style = Annotated[ErrorStyle, Depends(style_of)]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request that moves money, before its body is looked at."""

    method: str
    path: str
    request_id: str
    caller: Principal
    key: str | None
    open_session: OpenSession
    style: ErrorStyle


def call_of(
    request: Request, caller: Caller, key: Key, open_session: Sessions, style: Style
) -> Call:
    return Call(
        method=request.method,
        path=request.url.path,
        request_id=request.state.request_id,
        caller=caller,
        key=key,
        open_session=open_session,
        style=style,
    )


MoneyCall = Annotated[Call, Depends(call_of)]


def body_of(family: Any, wire_type: Any) -> Any:
    """A dependency that reads the body, after the caller and the key were looked at.

    The body's model depends on the build (money on the wire), so no annotation can name it.
    """
    model = family[wire_type]

    def read(key: Key, body: model) -> Any:  # type: ignore[valid-type]
        del key
        return body

    return Depends(read)
