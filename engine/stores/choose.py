"""Which server is taken: the one whose URL is given, else a container, else an embedded one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from engine.ownership import Workspace
from engine.stores import postgres_container, postgres_external, redis_container, redis_external
from engine.stores.container_engine import connect, why_image_is_missing
from engine.stores.model import Choice, Kind, PostgresServer, RedisServer, StoreError
from engine.stores.postgres_container import ContainerPostgres
from engine.stores.postgres_embedded import EmbeddedPostgres
from engine.stores.postgres_external import ExternalPostgres
from engine.stores.redis_container import ContainerRedis
from engine.stores.redis_embedded import EmbeddedRedis
from engine.stores.redis_external import ExternalRedis

Server = TypeVar("Server")
REMEDIES: dict[Kind, str] = {
    "external": "set it, or use --stores container or --stores embedded",
    "container": (
        "start an engine and pull the image, name one that is here "
        f"({postgres_container.SETTING}, {redis_container.SETTING}), or use --stores embedded"
    ),
    "embedded": "`assay doctor` helps",
}


@dataclass(frozen=True, kw_only=True)
class Offer(Generic[Server]):
    """One kind of server, and what stands against it."""

    kind: Kind
    reason: str
    why_not: Callable[[], str | None]
    open: Callable[[Choice], Server]


def open_postgres(kind: str, workspace: Workspace, *, data: Path | None = None) -> PostgresServer:
    """Raises StoreError. `data` keeps an embedded server's cluster in that folder."""
    offers: tuple[Offer[PostgresServer], ...] = _offers(
        postgres_external.SETTING,
        lambda: _why_no_container(postgres_container.image(), data),
        external=ExternalPostgres,
        container=lambda choice: ContainerPostgres(workspace, choice),
        embedded=lambda choice: EmbeddedPostgres(workspace, choice, data=data),
    )
    return choose(kind, offers)


def open_redis(kind: str, workspace: Workspace, *, data: Path | None = None) -> RedisServer:
    """Raises StoreError. `data` keeps what an embedded server saves in that folder."""
    offers: tuple[Offer[RedisServer], ...] = _offers(
        redis_external.SETTING,
        lambda: _why_no_container(redis_container.image(), data),
        external=ExternalRedis,
        container=lambda choice: ContainerRedis(workspace, choice),
        embedded=lambda choice: EmbeddedRedis(workspace, choice, data=data),
    )
    return choose(kind, offers)


def _offers(
    url_setting: str,
    why_no_container: Callable[[], str | None],
    *,
    external: Callable[[Choice], Server],
    container: Callable[[Choice], Server],
    embedded: Callable[[Choice], Server],
) -> tuple[Offer[Server], ...]:
    """In order of preference."""
    return (
        Offer(
            kind="external",
            reason=f"{url_setting} is set",
            why_not=lambda: _why_no_url(url_setting),
            open=external,
        ),
        Offer(
            kind="container",
            reason="a container engine answers and has the image",
            why_not=why_no_container,
            open=container,
        ),
        Offer(
            kind="embedded",
            reason="it needs nothing but this installation",
            why_not=lambda: None,
            open=embedded,
        ),
    )


def choose(kind: str, offers: tuple[Offer[Server], ...]) -> Server:
    """The first offer that nothing stands against, or the demanded one.

    A container that fails to start is passed over like one that is not there; a given URL that
    does not work is an error, because the user meant that server and no other.
    """
    if kind not in {"auto", *REMEDIES}:
        raise StoreError(
            f"no kind of stores is called {kind}; choose one of auto, {', '.join(REMEDIES)}"
        )
    if kind != "auto":
        return _demanded(next(offer for offer in offers if offer.kind == kind))
    skipped: list[str] = []
    for offer in offers:
        obstacle = offer.why_not()
        if obstacle is None:
            try:
                return offer.open(_choice(offer, skipped))
            except StoreError as error:
                if offer.kind != "container":
                    raise
                obstacle = str(error)
        skipped.append(f"{offer.kind}: {obstacle}")
    raise StoreError(f"no server can be started: {'; '.join(skipped)}; `assay doctor` helps")


def _demanded(offer: Offer[Server]) -> Server:
    obstacle = offer.why_not()
    if obstacle is not None:
        raise StoreError(
            f"{offer.kind} stores are not possible: {obstacle}; {REMEDIES[offer.kind]}"
        )
    reason = f"asked for by --stores {offer.kind}"
    return offer.open(Choice(kind=offer.kind, reason=reason, skipped=()))


def _choice(offer: Offer[Server], skipped: list[str]) -> Choice:
    return Choice(kind=offer.kind, reason=offer.reason, skipped=tuple(skipped))


def _why_no_url(setting: str) -> str | None:
    return None if os.environ.get(setting) else f"{setting} is not set"


def _why_no_container(image: str, data: Path | None) -> str | None:
    if data is not None:
        return "a container keeps no data folder"
    client = connect()
    if isinstance(client, str):
        return client
    try:
        return why_image_is_missing(client, image)
    finally:
        client.close()
