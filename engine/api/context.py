"""What every route gets: the caller, a session, the idempotency key.

Who asks, and under which key, is settled before a word of the body is looked at: the route classes
do it. Dependencies are async functions that wait for nothing, because a whole request is handled in
one thread (`one_thread`).
"""

import inspect
import json
import re
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from engine.api.one_thread import Threads, finished, in_place, is_async
from engine.api.problems import ErrorStyle
from engine.database import OpenSession
from engine.identity import Principal
from engine.refusals import KEY_MALFORMED, KEY_MISSING, Refused
from engine.services import Services

KEY = re.compile(r"[\x21\x23-\x7e]{1,255}")
"""Printable, and without the quote that begins and ends the quoted form."""
PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]*")
MOST_IDS = re.compile(r"[1-9][0-9]{0,17}")
"""Of those that a `WalletPath` lets pass, all but some that are too large to be in use."""
BEARER = HTTPBearer(auto_error=False, description="A token from `POST /v1/auth/token`.")
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def threads_of(request: Request) -> Threads:
    threads: Threads = request.app.state.threads
    return threads


class CallerRoute(APIRoute):
    """A route that first asks who calls; the answer is in `request.state.principal`.

    Everything that may wait for Redis or the database is done in one thread: going to a thread and
    back costs as much as a statement. An endpoint that reads its body itself goes on without one.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._streams = is_async(endpoint)
        super().__init__(path, in_place(endpoint), **options)

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def handle_checked(request: Request) -> Response:
            threads = threads_of(request)
            self.identify(request)
            request.state.open_session = await opened(request)
            if self._streams:
                await threads.run(self.admit, request)
                return await handle(request)
            unreadable = await read_body(request)
            return await threads.run(self.handle_admitted, request, handle, unreadable)

        return handle_checked

    def admit(self, request: Request) -> None:
        """Everything but the body. Raises Refused."""
        limit(request)
        refuse_revoked(request)
        self.check(request)

    def handle_admitted(
        self, request: Request, handle: Handle, unreadable: HTTPException | None
    ) -> Response:
        self.admit(request)
        if unreadable:
            raise unreadable
        return self.answered(request, handle)

    def answered(self, request: Request, handle: Handle) -> Response:
        """What comes after all that is asked before the body."""
        return finished(handle(request))

    def check(self, request: Request) -> None:
        """What else is asked before the body is read. Raises Refused."""

    def identify(self, request: Request) -> None:
        """Raises Refused (401)."""
        authenticate = services_of(request).tokens.authenticate
        request.state.principal = authenticate(request.headers.get("Authorization"))


class KeyedRoute(CallerRoute):
    """A route that moves money: after the caller its key, which is in `request.state.key`.

    The key is None where the build ignores keys.
    """

    def check(self, request: Request) -> None:
        required = services_of(request).keys.required
        sent = request.headers.getlist("Idempotency-Key")
        request.state.key = read_key(sent) if required else None


class StraightRoute(KeyedRoute):
    """A route whose endpoint takes a `MoneyCall` named call and a body named body, and no more.

    A good request needs nothing else of FastAPI, whose general way to them takes longer than the
    endpoint's own work. Whatever is not plainly good is FastAPI's: it finds the words.
    """

    def answered(self, request: Request, handle: Handle) -> Response:
        body = self._body(request)
        if body is None:
            return super().answered(request, handle)
        sent = request.headers.get("X-Pin")
        call = call_with(request, None if sent is None else SecretStr(sent))
        endpoint: Callable[..., Response] = inspect.unwrap(self.endpoint)
        return endpoint(call=call, body=body)

    def _body(self, request: Request) -> Any:
        """As FastAPI reads it; None for one that it has to look at."""
        assert self.body_field is not None, "an endpoint with a body"
        if request.headers.get("Content-Type") != "application/json":
            return None
        try:
            value = json.loads(finished(request.body()))
        except (ValueError, RecursionError):
            return None
        body, errors = self.body_field.validate(value, loc=("body",))
        return None if errors else body


class StraightReadRoute(CallerRoute):
    """A route whose endpoint takes a `WalletPath`, a `Caller` and `Sessions` by these names.

    As with `StraightRoute`, FastAPI is asked only where the path is not plainly good.
    """

    def answered(self, request: Request, handle: Handle) -> Response:
        sent: str = request.path_params["wallet_id"]
        wallet_id = int(sent) if MOST_IDS.fullmatch(sent) else 0
        if not wallet_id:
            return super().answered(request, handle)
        state = request.state
        endpoint: Callable[..., Response] = inspect.unwrap(self.endpoint)
        return endpoint(
            wallet_id=wallet_id, caller=state.principal, open_session=state.open_session
        )


class KeyTakingRoute(CallerRoute):
    """A route that needs no key and heeds one that is sent: in `request.state.key`, else None."""

    def check(self, request: Request) -> None:
        services = services_of(request)
        heeded = services.keys.required or services.executions.runs.keyed
        sent = request.headers.getlist("Idempotency-Key")
        request.state.key = read_key(sent) if sent and heeded else None


async def read_body(request: Request) -> HTTPException | None:
    """The body is kept in the request. Answers with what is wrong with reading it."""
    try:
        await request.body()
    except HTTPException as error:
        return error
    except ClientDisconnect:
        return HTTPException(400)
    return None


def refuse_revoked(request: Request) -> None:
    """Raises Refused (401). After the limit, because it asks the database."""
    services_of(request).revocations.refuse(request.state.principal)


def limit(request: Request) -> None:
    """Raises Refused (429)."""
    limits = services_of(request).rate_limits
    if not limits.asks:
        return
    principal: Principal = request.state.principal
    who = principal.name
    if principal.user_id is None:
        who = f"{who}@{request.client.host if request.client else ''}"
    limits.admit(who)


def read_key(sent: list[str]) -> str:
    """The key, bare or as a quoted string. Raises Refused (400)."""
    if not sent:
        raise Refused(KEY_MISSING, "send an Idempotency-Key header", field="Idempotency-Key")
    key = sent[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(sent) > 1 or not KEY.fullmatch(key):
        raise Refused(
            KEY_MALFORMED,
            "send one Idempotency-Key of 1 to 255 printable ASCII characters",
            field="Idempotency-Key",
        )
    return key


async def principal_of(request: Request, _: Annotated[Any, Security(BEARER)]) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def opened(request: Request) -> OpenSession:
    """Where sessions are held, one that FastAPI lets go of after the answer: in a thread, for which
    it waits as long as all of them wait for a connection."""
    scope = services_of(request).scope
    if not scope.held_until_answered:
        return scope.new
    after_answer: AsyncExitStack = request.scope["fastapi_inner_astack"]
    held = contextmanager(scope.held)()
    open_session = held.__enter__()  # Connects when first used.
    after_answer.push_async_callback(threads_of(request).run, held.__exit__, None, None, None)
    return open_session


async def open_session_of(request: Request) -> OpenSession:
    known: OpenSession | None = getattr(request.state, "open_session", None)
    return known or await opened(request)  # The latter where nobody asks who calls.


Caller = Annotated[Principal, Depends(principal_of)]
Sessions = Annotated[OpenSession, Depends(open_session_of)]


def _only_digits(value: Any) -> Any:
    """One spelling an id: "+1", " 1" and "01" are whole numbers too, and no names of wallet 1."""
    if isinstance(value, str) and not PLAIN_NUMBER.fullmatch(value):
        raise PydanticCustomError("int_parsing", "Input should be a whole number, in digits")
    return value


WalletPath = Annotated[int, Path(ge=1, le=2**63 - 1), BeforeValidator(_only_digits)]
UserPath = Annotated[int, Path(ge=1, le=2**63 - 1), BeforeValidator(_only_digits)]
BatchPath = Annotated[int, Path(ge=1, le=2**63 - 1), BeforeValidator(_only_digits)]
Limit = Annotated[int, Query(ge=1, le=1000)]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Names this movement: sent again with the same key it happens once. "
        "Bare or quoted, at most 255 printable ASCII characters.",
    ),
]

PinHeader = Annotated[
    SecretStr | None,
    Header(
        alias="X-Pin",
        description="The caller's PIN, four digits, where the build asks for it. "
        "The body's field `pin` will do as well (`current_pin` where it is changed).",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request that moves money, before its body is looked at."""

    method: str
    path: str
    request_id: str
    caller: Principal
    key: str | None
    pin: SecretStr | None = field(default=None, repr=False)
    open_session: OpenSession
    style: ErrorStyle

    @property
    def route(self) -> str:
        """What is asked for, as keys are scoped by it."""
        return spelled_once(f"{self.method} {self.path}")


def spelled_once(route: str) -> str:
    """The same for each way to spell a UUID in it: one key cannot be used on each of them."""
    return "/".join(_uuid_as_written(part) for part in route.split("/"))


def _uuid_as_written(part: str) -> str:
    try:
        return str(UUID(part))
    except ValueError:
        return part


async def call_of(
    request: Request,
    _caller: Caller,
    _key: KeyHeader = None,
    pin: PinHeader = None,
) -> Call:
    return call_with(request, pin)


def call_with(request: Request, pin: SecretStr | None) -> Call:
    """Of a request that a `KeyedRoute` has let in."""
    state = request.state
    return Call(
        method=request.method,
        path=request.url.path,
        request_id=state.request_id,
        caller=state.principal,
        key=state.key,
        pin=pin,
        open_session=state.open_session,
        style=request.app.state.error_style,
    )


MoneyCall = Annotated[Call, Depends(call_of)]


def body_of(family: Any, wire_type: Any) -> Any:
    """A dependency that reads the body of a movement.

    The body's model depends on the build (money on the wire), so no annotation can name it.
    """
    model = family[wire_type]

    async def read(body: model) -> Any:  # type: ignore[valid-type]
        return body

    return Depends(read)
