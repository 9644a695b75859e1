"""Errors as HTTP answers (switch `errors`).

`problem`: application/problem+json (RFC 9457), which says whether a retry is safe and never quotes
an exception or what was sent. `generic`: 400 for every refusal and 500 for the rest, with the text
of the exception, as many services do it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from engine.defences import Defences
from engine.refusals import (
    INTERNAL,
    INVALID,
    MALFORMED_BODY,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_JSON,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Problem,
    Refused,
)
from engine.trouble import database_passes, without_values

LOG = logging.getLogger("engine")
MOST_ERRORS = 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, kw_only=True)
class ErrorStyle:
    """How one refusal looks: its status on the wire, its body, its media type."""

    status: Callable[[Problem], int]
    body: Callable[[Refused, str, str, list[dict[str, str]]], dict[str, Any]]
    media_type: str
    shows_exceptions: bool


def error_style(defences: Defences) -> ErrorStyle:
    if defences.errors == "problem":
        return ErrorStyle(
            status=lambda problem: problem.status,
            body=_problem_body,
            media_type="application/problem+json",
            shows_exceptions=False,
        )
    return ErrorStyle(
        status=_generic_status,
        body=_generic_body,
        media_type="application/json",
        shows_exceptions=True,
    )


def _generic_status(problem: Problem) -> int:
    if problem in (INVALID, NOT_FOUND, METHOD_NOT_ALLOWED):
        return problem.status  # The framework's own.
    return 400 if problem.status < 500 else 500


def _generic_body(
    refusal: Refused, path: str, request_id: str, errors: list[dict[str, str]]
) -> dict[str, Any]:
    del path, request_id
    return {"detail": errors or refusal.detail}


def _problem_body(
    refusal: Refused, path: str, request_id: str, errors: list[dict[str, str]]
) -> dict[str, Any]:
    problem = refusal.problem
    if not errors and refusal.field:
        errors = [{"field": refusal.field, "message": refusal.detail}]
    return {
        "type": f"urn:problem-type:assay:{problem.name}",
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail,
        "instance": path,
        "retriable": problem.retriable,
        "retry_with_same_key": problem.retry_with_same_key,
        "request_id": request_id,
        "errors": errors,
    }


def respond(
    style: ErrorStyle,
    request: Request,
    refusal: Refused,
    errors: list[dict[str, str]] | None = None,
) -> JSONResponse:
    """The answer to a request that is refused; `errors` says which fields are wrong."""
    request_id = getattr(request.state, "request_id", "")
    problem = refusal.problem
    request.app.state.refused(problem.name)
    headers = {"X-Request-Id": request_id}
    if problem is UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.retriable:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return JSONResponse(
        style.body(refusal, request.url.path, request_id, errors or []),
        status_code=style.status(problem),
        media_type=style.media_type,
        headers=headers,
    )


def install_error_handlers(
    app: FastAPI, style: ErrorStyle, refused_told: Callable[[str], None] = lambda _: None
) -> None:
    """Every way in which a request can fail ends here; `refused_told` hears the problem's name."""

    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return respond(style, request, error, error.errors)

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        if any(e.get("type") == "json_invalid" for e in error.errors()):
            return respond(style, request, Refused(MALFORMED_BODY, "the body is not JSON"))
        if isinstance(error.body, bytes):
            return respond(style, request, Refused(NOT_JSON, "the Content-Type is not JSON's"))
        errors = [_field_error(e) for e in error.errors()[:MOST_ERRORS]]
        fields = ", ".join(sorted({e["field"] for e in errors}))
        return respond(style, request, Refused(INVALID, f"not valid: {fields}"), errors)

    def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        known = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}
        problem = known.get(error.status_code, MALFORMED_BODY)
        response = respond(style, request, Refused(problem, problem.title))
        response.headers.update(error.headers or {})
        if problem is METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(_methods_of(request))
        return response

    def failed(request: Request, error: Exception) -> JSONResponse:
        if style.shows_exceptions:
            LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        else:
            LOG.error("%s %s failed: %s", request.method, request.url.path, without_values(error))
        shown = str(error) if style.shows_exceptions else None
        return respond(style, request, _failure(error, shown))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    for kind in (SQLAlchemyError, RedisError, Exception):
        app.add_exception_handler(kind, failed)
    app.state.refused = refused_told


def _methods_of(request: Request) -> list[str]:
    """Of every route with this path: the framework names those of the first one only."""
    scopes = ((method, {**request.scope, "method": method}) for method in METHODS)
    return [
        method
        for method, scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


def _failure(error: Exception, shown: str | None) -> Refused:
    """What an error of the database or Redis means. COMMIT's lost answer was told apart before."""
    if isinstance(error, PoolTimeout):
        return Refused(UNAVAILABLE, shown or "no database connection became free in time")
    if database_passes(error):
        return Refused(UNAVAILABLE, shown or "the database could not do it in time")
    return Refused(INTERNAL, shown or "this is a fault of the service")


def _field_error(error: Any) -> dict[str, str]:
    # The name of a field that nobody knows is the client's own text: it is not quoted.
    place = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    names = [str(part) for part in place if part not in ("body", "query", "path", "header")]
    return {"field": ".".join(names) or "body", "message": str(error["msg"])}
