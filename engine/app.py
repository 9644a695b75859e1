"""The FastAPI application of one build."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from redis.exceptions import RedisError

from engine.accounts import ensure_operator
from engine.api.batches import batch_routes
from engine.api.books import book_routes
from engine.api.documents import install_documents
from engine.api.health import health_routes
from engine.api.holds import hold_routes
from engine.api.legacy import legacy_routes
from engine.api.limits import limit_routes
from engine.api.movements import movement_routes
from engine.api.observing import look_at, observing_routes
from engine.api.one_thread import Threads
from engine.api.problems import error_style, install_error_handlers
from engine.api.reception import Reception
from engine.api.reversals import reversal_routes
from engine.api.treasury import treasury_routes
from engine.api.users import user_routes
from engine.api.wallets import balance_route, wallet_routes
from engine.api.web import install_web
from engine.defences import Build, DefenceError
from engine.revisions import newest_revision, recorded_revision
from engine.services import Services, assemble
from engine.settings import Settings
from engine.shape import Shape
from engine.treasury import open_shards

GAUGES_EVERY_S = 1.0


def create_app(
    settings: Settings, build: Build, *, started: Callable[[], None] = lambda: None
) -> FastAPI:
    """`started` is called when requests can be answered, before the first one is.

    Raises DefenceError when the switches or settings make no sense together.
    """
    services = assemble(settings, build)
    app = FastAPI(
        title="Assay wallet engine",
        version="1",
        description=f"Build `{build.name}`: its switches are at `/v1/meta`.",
        lifespan=lambda _: _lifespan(services, started),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # A path is right or it is 404, a problem document.
    )
    app.state.services = services
    app.state.threads = Threads()
    app.state.error_style = error_style(build.defences)
    metrics = services.metrics
    metrics.refreshed_by(lambda all_of_it: look_at(services, all_of_it))
    install_error_handlers(
        app, app.state.error_style, lambda name: metrics.refusals.labels(name).inc()
    )
    app.add_middleware(
        Reception,
        style=app.state.error_style,
        deadline_s=services.deadline_s,
        metrics=metrics,
    )
    for routes in (
        movement_routes,  # Looked through first: nothing is asked for as often.
        balance_route,
        user_routes,
        wallet_routes,
        treasury_routes,
        reversal_routes,
        hold_routes,
        book_routes,
        health_routes,
        observing_routes,
    ):
        app.include_router(routes(services), prefix="/v1")
    app.include_router(limit_routes(services), prefix="/v1")
    app.include_router(batch_routes(services), prefix="/v1")
    app.include_router(observing_routes(services), include_in_schema=False)
    if build.legacy_routes:
        app.include_router(legacy_routes(services))
    install_documents(app, app.state.error_style)
    install_web(app)
    return app


@asynccontextmanager
async def _lifespan(services: Services, started: Callable[[], None]) -> AsyncIterator[None]:
    _start(services)
    started()
    refreshing = asyncio.create_task(_refresh(services))
    yield
    refreshing.cancel()
    services.executions.stop()
    services.database.dispose()


async def _refresh(services: Services) -> None:
    """Where another worker may be asked for this one's gauges."""
    while services.settings.metrics_folder:
        services.metrics.refresh()
        await asyncio.sleep(GAUGES_EVERY_S)


def _start(services: Services) -> None:
    """Raises DefenceError when the database was not migrated for this build."""
    with services.database.connect() as connection:
        recorded = Shape.recorded(connection)
        revision = recorded_revision(connection)
    if recorded != Shape.of(services.build.defences):
        raise DefenceError(_other_schema(services.build, recorded))
    if revision != newest_revision():
        raise DefenceError(_other_revision(services.build, revision))
    # What a process that died before us may have left in Redis is not ours to serve.
    with suppress(RedisError):
        services.redis.call(services.cache.restart)
    if services.assets.shards > 1:
        with services.scope.new() as session:
            open_shards(session, services.assets.shards)
    if services.settings.operator_password:
        with services.scope.new() as session:
            ensure_operator(session, services.passwords, services.settings.operator_password)
    services.executions.resume()


def _other_schema(build: Build, recorded: Shape | None) -> str:
    needed = Shape.of(build.defences).label
    found = "was never migrated" if recorded is None else f"was migrated as {recorded.label}"
    return f"the database {found}, {build.name} needs {needed}: migrate one of its own for it"


def _other_revision(build: Build, revision: str | None) -> str:
    needed = newest_revision()
    found = f"the database is at revision {revision or 'none'}, this engine needs {needed}"
    if revision is not None and revision > needed:
        return f"{found}: use the engine that migrated it"
    return f"{found}: run `assay migrate up --build {build.name}`"
