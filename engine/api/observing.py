"""`/metrics`, for those on this machine, or with the token that was set for it."""

import hmac
import ipaddress

from fastapi import APIRouter, Request, Response

from engine.metrics import CONTENT_TYPE, Metrics, WatchedPool
from engine.refusals import UNAUTHENTICATED, Refused
from engine.services import Services


def observing_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["operation"])
    token = services.settings.metrics_token

    @router.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Counters in Prometheus's text format. Not limited, and nothing about any user.

        Without a token only for who asks from this machine.
        """
        if not (_is_near(request) or _knows(request, token)):
            raise Refused(UNAUTHENTICATED, "from another machine, send the token for metrics")
        return Response(services.metrics.shown(), media_type=CONTENT_TYPE)

    return router


def _is_near(request: Request) -> bool:
    try:
        return ipaddress.ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False


def _knows(request: Request, token: str) -> bool:
    sent = request.headers.get("Authorization", "").encode()
    return bool(token) and hmac.compare_digest(sent, f"Bearer {token}".encode())


def look_at(services: Services, metrics: Metrics) -> None:
    """Set the gauges."""
    pool = services.database.pool
    assert isinstance(pool, WatchedPool), "made by engine.database"
    metrics.pool_size.set(pool.size())
    metrics.pool_in_use.set(pool.checkedout())
    metrics.pool_waiting.set(pool.waiting())
    metrics.redis_up.set(services.redis.believed_up)
