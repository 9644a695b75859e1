"""`/ui/`: the pages for a person, served from memory under a policy that lets in nothing foreign.

What may be asked for is a list made from the folder `engine/web`: no path of a client ever reaches
the file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parents[1] / "web"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text is ever made into markup, not even by mistake.
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Kept, and asked for again each time: a new engine never runs old scripts.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file of the pages."""

    content: bytes
    media_type: str
    tag: str
    """Its ETag."""


@cache
def assets() -> Mapping[str, Asset]:
    """Every file of the pages, by its path below `/ui/`; read when the first one is asked for."""
    files = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in MEDIA_TYPES)
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in files}


def install_web(app: FastAPI) -> None:
    def home() -> RedirectResponse:
        return RedirectResponse("/ui/")

    def page(request: Request, name: str = "") -> Response:
        asset = assets().get(name or "index.html")
        if asset is None:
            raise HTTPException(404)
        headers = {**HEADERS, "ETag": asset.tag}
        if request.headers.get("If-None-Match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    for path in ("/", "/ui"):
        app.add_api_route(path, home, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/ui/{name:path}", page, methods=["GET", "HEAD"], include_in_schema=False)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        content=content,
        media_type=MEDIA_TYPES[path.suffix],
        tag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    )
