"""The gate before real servers: hypercorn with and without TLS, uvicorn, and the benchmark."""

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn

from attacks.history import Recorder
from attacks.http.gate import protocol_of, release_together
from attacks.http.request import Request, definite
from benchmarks.http_gate import arrival_service, jittering, measured
from engine.stores import free_port

TRANSFER = Request(
    name="transfer", text="transfer", method="POST", path="/t", json={"amount": 1}, read=definite
)
READ = Request(name="read", text="read", method="GET", path="/t?a=b", read=definite)
DEADLINE_S = 15.0


@dataclass
class Echo:
    """Answers with the body that came, and remembers how it came."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["http_version"], scope["method"], body.decode()))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


@contextlib.contextmanager
def _hypercorn(app: Any, tls: "Certificates | None" = None) -> Iterator[str]:
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{free_port()}"]
    config.loglevel = "CRITICAL"
    config.graceful_timeout = 0.1
    if tls:
        config.certfile, config.keyfile = str(tls.certificate), str(tls.key)
    loop, listening, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def run() -> None:
        async def until_stopped() -> None:
            listening.set()
            await stop.wait()

        await hypercorn.asyncio.serve(app, config, shutdown_trigger=until_stopped)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    try:
        assert listening.wait(20)
        yield f"{'https' if tls else 'http'}://localhost:{config.bind[0].rpartition(':')[2]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@contextlib.contextmanager
def _uvicorn(app: Any, http: Literal["h11", "httptools"] = "h11") -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, port=free_port(), log_level="critical", http=http, ws="none")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    listening = threading.Event()
    server.startup = _telling(server.startup, listening)  # type: ignore[method-assign]
    thread.start()
    try:
        assert listening.wait(20)
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join(20)


def _telling(startup: Any, listening: threading.Event) -> Any:
    async def run(*arguments: Any, **named: Any) -> None:
        await startup(*arguments, **named)
        listening.set()

    return run


@dataclass(frozen=True)
class Certificates:
    authority: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority that has signed one certificate, for localhost."""
    home = tmp_path_factory.mktemp("tls")
    made = Certificates(home / "ca.pem", home / "cert.pem", home / "key.pem")
    common = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    ca = [
        "-subj",
        "/CN=Test authority",
        "-keyout",
        str(home / "ca.key"),
        "-out",
        str(made.authority),
    ]
    ca += ["-addext", "keyUsage=critical,keyCertSign"]
    leaf = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    leaf += ["-CA", str(made.authority), "-CAkey", str(home / "ca.key")]
    leaf += ["-keyout", str(made.key), "-out", str(made.certificate)]
    for words in (ca, leaf):
        subprocess.run(
            ["openssl", "req", "-x509", *common, *words], check=True, capture_output=True
        )
    return made


@pytest.mark.parametrize(("protocol", "version"), [("auto", "2"), ("h2", "2"), ("http/1.1", "1.1")])
def test_a_service_without_tls(
    *, protocol: Literal["auto", "h2", "http/1.1"], version: str
) -> None:
    app = Echo()
    with _hypercorn(app) as url:
        batch = release_together(
            url, [TRANSFER, READ] * 5, Recorder(), protocol=protocol, deadline_s=DEADLINE_S
        )
    assert [(o.outcome, o.status) for o in batch.operations] == [("ok", 201)] * 10
    assert sorted(app.seen) == [(version, "GET", "")] * 5 + [(version, "POST", '{"amount":1}')] * 5


@pytest.mark.parametrize(("protocol", "version"), [("auto", "2"), ("h2", "2"), ("http/1.1", "1.1")])
def test_a_service_with_tls_of_a_private_authority(
    certificates: Certificates, *, protocol: Literal["auto", "h2", "http/1.1"], version: str
) -> None:
    app = Echo()
    with _hypercorn(app, certificates) as url:
        batch = release_together(
            url,
            [TRANSFER] * 10,
            Recorder(),
            protocol=protocol,
            deadline_s=DEADLINE_S,
            ca_file=certificates.authority,
        )
    assert [(o.outcome, o.status) for o in batch.operations] == [("ok", 201)] * 10
    assert app.seen == [(version, "POST", '{"amount":1}')] * 10


@pytest.mark.parametrize("protocol", ["auto", "h2", "http/1.1"])
def test_who_is_not_trusted_is_sent_nothing(
    certificates: Certificates, *, protocol: Literal["auto", "h2", "http/1.1"]
) -> None:
    app = Echo()
    with _hypercorn(app, certificates) as url:
        batch = release_together(
            url, [TRANSFER, TRANSFER], Recorder(), protocol=protocol, deadline_s=DEADLINE_S
        )
    for sent in batch.operations:
        assert (sent.outcome, sent.status) == ("failed", None)
        assert "CERTIFICATE_VERIFY_FAILED" in sent.answer
    assert app.seen == []


def test_a_certificate_for_another_name_is_not_trusted(certificates: Certificates) -> None:
    with _hypercorn(Echo(), certificates) as url:
        batch = release_together(
            url.replace("localhost", "127.0.0.1"),
            [TRANSFER],
            Recorder(),
            deadline_s=DEADLINE_S,
            ca_file=certificates.authority,
        )
    assert "CERTIFICATE_VERIFY_FAILED" in batch.operations[0].answer


def test_an_authority_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("none")
    with pytest.raises(ssl.SSLError):
        protocol_of("https://localhost", ca_file=tmp_path / "none.pem")
    with pytest.raises(FileNotFoundError):
        protocol_of("https://localhost", ca_file=tmp_path / "absent.pem")


def test_a_service_that_speaks_http1_only_is_found_out() -> None:
    app = Echo()
    with _uvicorn(app) as url:
        assert protocol_of(url) == "http/1.1"
        batch = release_together(url, [TRANSFER, READ], Recorder(), deadline_s=DEADLINE_S)
        refused = release_together(
            url, [TRANSFER], Recorder(), protocol="h2", deadline_s=DEADLINE_S
        )
    assert [o.status for o in batch.operations] == [201, 201]
    seen = [(version, method, body) for version, method, body in app.seen if method != "PRI"]
    assert sorted(seen) == [("1.1", "GET", ""), ("1.1", "POST", '{"amount":1}')]
    assert refused.operations[0].answer == "not connected: the service does not speak HTTP/2"


def test_the_benchmark_sees_every_request_arrive() -> None:
    with arrival_service() as url, jittering(url, jitter_ms=1) as far_url:
        spreads = measured(url, 3, rounds=2)
        assert measured(far_url, 3, rounds=2).keys() == spreads.keys()
    assert {name: len(values) for name, values in spreads.items()} == {
        "asyncio.gather": 2,
        "threads, barrier": 2,
        "last byte, HTTP/1.1": 2,
        "one packet, HTTP/2": 2,
    }
