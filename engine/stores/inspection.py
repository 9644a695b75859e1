"""What this machine offers for stores: the material of `assay doctor`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from engine.stores import postgres_container, postgres_external, redis_container, redis_external
from engine.stores.container_engine import connect
from engine.stores.model import Choice, StoreError
from engine.stores.postgres_binaries import find_binaries
from engine.stores.postgres_external import ExternalPostgres
from engine.stores.redis_embedded import find_redis
from engine.stores.redis_external import ExternalRedis
from engine.stores.unprivileged import unprivileged_user

WANTED_FREE_MB = 1_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing looked for. `remedy` is empty when all is well."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def inspect_stores() -> tuple[Found, ...]:
    """Look at everything once; starts and pulls nothing, raises nothing."""
    return (
        _embedded_postgres(),
        _embedded_redis(),
        *_containers(),
        _external(postgres_external.SETTING, lambda choice: ExternalPostgres(choice).version),
        _external(redis_external.SETTING, lambda choice: ExternalRedis(choice).version),
        _unprivileged(),
        _free_space(),
    )


def _embedded_postgres() -> Found:
    name = "embedded PostgreSQL"
    try:
        binaries = find_binaries()
    except StoreError as error:
        return _missing(name, error)
    return Found(name=name, ok=True, detail=f"{binaries.version} in {binaries.bin}")


def _embedded_redis() -> Found:
    name = "embedded Redis"
    try:
        program = find_redis()
        version = _redis_version(program)
    except StoreError as error:
        return _missing(name, error)
    return Found(name=name, ok=True, detail=f"{version} at {program}")


def _redis_version(program: Path) -> str:
    """What `redis-server --version` says after `v=`."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError(f"{program} does not run: {error}; install redis-server") from error
    return done.stdout.partition("v=")[2].partition(" ")[0]


def _containers() -> tuple[Found, ...]:
    engine = connect()
    if isinstance(engine, str):
        remedy = "optional: install docker and start it; without one the embedded servers are used"
        return (Found(name="container engine", ok=False, detail=engine, remedy=remedy),)
    with closing(engine):
        version = str(engine.version().get("Version", "unknown"))
        images = [str(tag) for image in engine.images.list() for tag in image.tags]
    return (
        Found(name="container engine", ok=True, detail=f"answers, version {version}"),
        _image("PostgreSQL image", postgres_container.image(), postgres_container.SETTING, images),
        _image("Redis image", redis_container.image(), redis_container.SETTING, images),
    )


def _image(name: str, image: str, setting: str, images: list[str]) -> Found:
    if image in images:
        return Found(name=name, ok=True, detail=f"{image} is here")
    remedy = f"optional: docker pull {image}, or name one that is here in {setting}"
    return Found(name=name, ok=False, detail=f"{image} is not here", remedy=remedy)


def _external(setting: str, version: Callable[[Choice], str]) -> Found:
    if not os.environ.get(setting):
        return Found(name=setting, ok=True, detail="not set")
    try:
        found = version(Choice(kind="external", reason="doctor"))
    except StoreError as error:
        return _missing(setting, error)
    return Found(name=setting, ok=True, detail=f"set, version {found}")


def _unprivileged() -> Found:
    name = "user for PostgreSQL"
    try:
        user = unprivileged_user()
    except StoreError as error:
        return _missing(name, error)
    detail = "this one" if user is None else f"{user} (this is root)"
    return Found(name=name, ok=True, detail=detail)


def _free_space() -> Found:
    folder = tempfile.gettempdir()
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    ok = free_mb >= WANTED_FREE_MB
    remedy = "" if ok else f"make {WANTED_FREE_MB} MB free there or set TMPDIR to another disk"
    return Found(name="free disk space", ok=ok, detail=f"{free_mb} MB in {folder}", remedy=remedy)


def _missing(name: str, error: StoreError) -> Found:
    """An error's line is cause, then remedy."""
    cause, _, remedy = str(error).rpartition("; ")
    return Found(name=name, ok=False, detail=cause, remedy=remedy)
