"""The FastAPI application of one build."""

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from redis.exceptions import RedisError

from engine.accounts import ensure_operator
from engine.api.books import book_routes
from engine.api.health import health_routes
from engine.api.legacy import legacy_routes
from engine.api.movements import movement_routes
from engine.api.problems import error_style, install_error_handlers
from engine.api.users import user_routes
from engine.api.wallets import wallet_routes
from engine.balance_cache import start_generation
from engine.defences import Build
from engine.services import Services, assemble
from engine.settings import Settings

REQUEST_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
NextHandler = Callable[[Request], Awaitable[Response]]


def create_app(settings: Settings, build: Build) -> FastAPI:
    """Raises DefenceError when the switches or settings make no sense together."""
    services = assemble(settings, build)
    app = FastAPI(
        title="Assay wallet engine",
        version="1",
        description=f"Build `{build.name}`: its switches are at `/v1/meta`.",
        lifespan=lambda _: _lifespan(services),
    )
    app.state.services = services
    app.state.error_style = error_style(build.defences)
    install_error_handlers(app, app.state.error_style)
    app.middleware("http")(_name_request)
    for routes in (user_routes, wallet_routes, movement_routes, book_routes, health_routes):
        app.include_router(routes(services), prefix="/v1")
    if build.legacy_routes:
        app.include_router(legacy_routes(services))
    return app


@asynccontextmanager
async def _lifespan(services: Services) -> AsyncIterator[None]:
    _start(services)
    yield
    services.database.dispose()


def _start(services: Services) -> None:
    """What a process that died before us may have left in Redis is not ours to serve."""
    namespace = services.settings.redis_namespace
    with suppress(RedisError):
        services.redis.call(lambda client: start_generation(client, namespace))
    if services.settings.operator_password:
        with services.scope.new() as session:
            ensure_operator(session, services.settings.operator_password)


async def _name_request(request: Request, call_next: NextHandler) -> Response:
    """Give every request an id, the client's own where it is harmless, and echo it."""
    sent = request.headers.get("X-Request-Id", "")
    request.state.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
    response = await call_next(request)
    response.headers["X-Request-Id"] = request.state.request_id
    return response
