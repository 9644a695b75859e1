"""One container that this process started, on a fixed port of the loopback interface."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from engine.ownership import Workspace, poll
from engine.stores.container_engine import LABEL, connect, in_short
from engine.stores.model import StoreError
from engine.stores.ports import LOOPBACK, free_port

PORT_ATTEMPTS = 5
PORT_TAKEN = ("already in use", "already allocated")


class OwnedContainer:
    """`port` stays the same over `end` and `start`. Every method raises StoreError."""

    def __init__(self, workspace: Workspace, image: str, container: Any, port: int) -> None:
        self.image = image
        self.port = port
        self._workspace = workspace
        self._container = container

    def end(self, signal_name: str, deadline_s: float) -> None:
        """Send a signal and wait for the end; SIGKILL when it has not come within the deadline."""
        self.resume()
        with _engine_errors(self.image):
            if self.status() == "running":
                self._container.kill(signal=signal_name)
            if not poll(lambda: not self.is_running(), deadline_s):
                self._container.kill()
                poll(lambda: not self.is_running(), deadline_s)

    def start(self) -> None:
        with _engine_errors(self.image):
            self._container.start()

    def pause(self) -> None:
        with _engine_errors(self.image):
            if self.status() == "running":
                self._container.pause()

    def resume(self) -> None:
        with _engine_errors(self.image):
            if self.status() == "paused":
                self._container.unpause()

    def is_running(self) -> bool:
        return self.status() == "running"

    def status(self) -> str:
        with _engine_errors(self.image):
            self._container.reload()
        return str(self._container.status)

    def last_line(self) -> str:
        """The last line that it wrote."""
        with _engine_errors(self.image):
            lines = self._container.logs(tail=5).decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")

    def remove(self) -> None:
        """With its volumes; one that is gone already is forgotten."""
        from docker.errors import NotFound  # type: ignore[import-untyped] # noqa: PLC0415

        with _engine_errors(self.image), suppress(NotFound):
            self._container.remove(force=True, v=True)
        self._workspace.forget_container(str(self._container.name))


def run_container(
    workspace: Workspace,
    image: str,
    command: Sequence[str],
    *,
    inner_port: int,
    env: Mapping[str, str],
) -> OwnedContainer:
    """Start one with the workspace's label; the server in it may not be ready yet."""
    with _engine_errors(image):
        _configure_testcontainers()
        for attempt in range(PORT_ATTEMPTS):
            port = free_port()
            name = f"{workspace.path.name}-{port}"
            workspace.note_container(name)
            prepared = _prepared(workspace, image, command, env).with_name(name)
            # testcontainers publishes on every interface, unless the address is given the way the
            # engine's client takes it.
            prepared.ports[f"{inner_port}/tcp"] = (LOOPBACK, port)
            try:
                started = prepared.start().get_wrapped_container()
            except OSError as error:
                with suppress(OSError):
                    prepared.stop()
                workspace.forget_container(name)
                if attempt + 1 < PORT_ATTEMPTS and any(w in str(error) for w in PORT_TAKEN):
                    continue
                raise
            return OwnedContainer(workspace, image, started, port)
    raise StoreError(f"no free port for a container of {image}; end some of the servers here")


def _prepared(
    workspace: Workspace, image: str, command: Sequence[str], env: Mapping[str, str]
) -> Any:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    container = DockerContainer(image).with_command(list(command))
    container.env.update(env)
    return container.with_kwargs(labels={LABEL: str(workspace.path)}, shm_size="256m")


def _configure_testcontainers() -> None:
    """Its reaper is a container too: do without where its image would have to be pulled."""
    from docker.errors import ImageNotFound  # noqa: PLC0415
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415

    client = connect()
    if isinstance(client, str):
        raise StoreError(f"{client}; start one, or use --stores embedded")
    testcontainers_config.tc_host_override = LOOPBACK
    try:
        client.images.get(testcontainers_config.ryuk_image)
    except ImageNotFound:
        testcontainers_config.ryuk_disabled = True
    finally:
        client.close()


@contextmanager
def _engine_errors(image: str) -> Iterator[None]:
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        yield
    except (DockerException, OSError) as error:
        raise StoreError(
            f"the container engine failed with a container of {image}: {in_short(error)}; "
            "look at the engine's log, or use --stores embedded"
        ) from error
