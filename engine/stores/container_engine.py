"""The container engine of this machine, asked within bounds.

The engine's client is slow to import: only who asks for containers pays, so it is imported where it
is used.
"""

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.stores.ports import LOOPBACK

LABEL = "assay.workspace"
ANSWER_S = 2.0
# A registry that gives no sign within this time is taken for absent: two stores ask it in turn, and
# a machine without a network is not to wait longer than five seconds.
REGISTRY_S = 2.4
PULL_S = 600.0
CALL_S = 60


def connect() -> Any | str:
    """A client of the engine, or one line that says why there is none."""
    import docker  # type: ignore[import-untyped] # noqa: PLC0415
    from docker.errors import DockerException  # type: ignore[import-untyped] # noqa: PLC0415
    from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415

    # testcontainers also looks into docker's contexts; both must mean the same engine.
    host = get_docker_host()
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    try:
        probe = docker.from_env(timeout=ANSWER_S, environment=environment)
        probe.ping()
        probe.close()
        client = docker.from_env(timeout=CALL_S, environment=environment)
    except (DockerException, OSError) as error:
        return f"no container engine answers ({in_short(error)})"
    address = urlsplit(host or "")
    if address.hostname not in {None, "localhost", LOOPBACK} and address.scheme in {"tcp", "ssh"}:
        return f"the container engine is on another machine ({address.hostname})"
    return client


def why_image_is_missing(client: Any, image: str) -> str | None:
    """Pull the image unless it is there; None when it is there, else one line that says why not."""
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415

    try:
        client.images.get(image)
    except ImageNotFound:
        return _pull(client, image)
    except (DockerException, OSError) as error:
        return f"the container engine cannot look up image {image} ({in_short(error)})"
    return None


def remove_labelled(client: Any, workspace: Path) -> list[str]:
    """Remove every container of that workspace; answers their names."""
    found = client.containers.list(
        all=True, filters={"label": f"{LABEL}={workspace}"}, ignore_removed=True
    )
    for container in found:
        container.remove(force=True, v=True)
    return [str(container.name) for container in found]


def _pull(client: Any, image: str) -> str | None:
    """Wait shortly for the registry's first sign, and for the rest as long as signs come."""
    signs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    puller = threading.Thread(
        target=_forward, args=(_progress(client, image), signs), daemon=True, name="pull"
    )
    puller.start()
    patience_s = REGISTRY_S
    while True:
        try:
            sign = signs.get(timeout=patience_s)
        except queue.Empty:
            return f"image {image} is not here and its registry did not answer in {patience_s:g} s"
        if sign is None:
            return None
        if sign:
            return f"image {image} is not here and cannot be pulled ({sign})"
        patience_s = PULL_S


def _progress(client: Any, image: str) -> Iterator[str]:
    """An empty string for each sign of life, a message when the pull failed."""
    from docker.errors import DockerException  # noqa: PLC0415

    name, tag = _name_and_tag(image)
    try:
        for event in client.api.pull(name, tag=tag, stream=True, decode=True):
            yield str(event.get("error", ""))
    except (DockerException, OSError) as error:
        yield in_short(error)


def _forward(progress: Iterator[str], signs: "queue.SimpleQueue[str | None]") -> None:
    for sign in progress:
        signs.put(sign)
    signs.put(None)


def _name_and_tag(image: str) -> tuple[str, str | None]:
    """`host:5000/name:tag` into its two parts; a digest stays with the name."""
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag and "@" not in name else (image, None)


def in_short(error: Exception) -> str:
    """The engine's own words, on one line, without the client's wrapping."""
    words = str(getattr(error, "explanation", None) or error)
    return " ".join(words.split())[:200]
