"""Serving one build, configured by the environment, until the process is told to stop."""

import secrets
import sys

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from engine.app import create_app
from engine.defences import DefenceError, parse_build
from engine.settings import Settings
from engine.stores.ports import listening_socket


def warm_up() -> None:
    """Make an application of either kind and drop it: what its models came to is kept.

    Connects to nothing and starts no thread.
    """
    for build in ("fragile", "hardened"):
        settings = Settings.model_construct(
            database_url="postgresql://nobody@127.0.0.1:1/nowhere",
            redis_url="redis://127.0.0.1:1/0",
            jwt_secret=secrets.token_urlsafe(48),
            pin_pepper=secrets.token_urlsafe(48),
        )
        create_app(settings, parse_build(build))


def serve() -> int:
    """The process's exit code: 2 and a line a mistake when the settings make no sense."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # read from the environment
        app = create_app(settings, parse_build(settings.engine_build))
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper()
            sys.stderr.write(f"engine: {name}: {problem['msg']}\n")
        return 2
    except SettingsError as error:
        sys.stderr.write(f"engine: {error}: write a JSON list\n")
        return 2
    except DefenceError as error:
        sys.stderr.write(f"engine: {error}\n")
        return 2
    host, port = settings.engine_host, settings.engine_port
    try:
        bound = listening_socket(host, port, reserved=settings.engine_port_reserved)
    except OSError as error:
        sys.stderr.write(f"engine: {host}:{port}: {(error.strerror or str(error)).lower()}\n")
        return 1
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # Whoever asks is who is connected, whatever X-Forwarded-For says.
        ws="none",
    )
    server = uvicorn.Server(config)
    server.run(sockets=[bound])
    return 0 if server.started else 3
