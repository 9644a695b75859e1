"""Routes for those who run the engine: liveness, readiness, and which build this is."""

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from engine.defences import as_dict, in_words
from engine.services import Services


def health_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/health/live")
    def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @router.get("/health/ready")
    def ready() -> JSONResponse:
        """Money can be moved. Without Redis the service is degraded, not unready."""
        try:
            with services.database.connect() as connection:
                connection.execute(sa.select(1))
        except SQLAlchemyError:
            return JSONResponse({"status": "not ready", "database": "away"}, status_code=503)
        redis = services.redis.state()
        status = "degraded" if redis == "away" else "ready"
        return JSONResponse({"status": status, "database": "up", "redis": redis})

    @router.get("/meta")
    def meta() -> dict[str, Any]:
        """The effective value of every switch, and what it means."""
        build = services.build
        return {
            "build": build.name,
            "defences": as_dict(build.defences),
            "switches": in_words(build.defences),
        }

    return router
