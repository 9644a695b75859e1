"""`/openapi.json` with the errors as they really look, and `/docs` without the internet."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from engine.api.problems import ErrorStyle

ASSETS = "/docs/assets"
OPERATIONS = ("get", "post", "put", "patch", "delete")


class FieldProblem(BaseModel):
    field: str
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457, and whether it makes sense to try again."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    retriable: bool
    retry_with_same_key: bool
    request_id: str
    errors: list[FieldProblem]


class GenericError(BaseModel):
    detail: str | list[FieldProblem]


def install_documents(app: FastAPI, style: ErrorStyle) -> None:
    """The app is to be made with `docs_url=None` and `redoc_url=None`."""
    shape = ProblemDocument if style.media_type == "application/problem+json" else GenericError

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, shape, style.media_type)
        return app.openapi_schema

    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=app.title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon-32x32.png",
        )

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
    app.add_api_route("/docs", docs, include_in_schema=False)
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))


def _described(app: FastAPI, shape: type[BaseModel], media_type: str) -> dict[str, Any]:
    """FastAPI's document, with our errors in place of its own."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Error"] = schema
    content = {media_type: {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in document["paths"].values():
        for operation in (path[method] for method in OPERATIONS if method in path):
            responses = operation["responses"]
            responses.pop("422", None)
            for response in (r for status, r in responses.items() if int(status) >= 400):
                response["content"] = content
            responses["default"] = {"description": "Refused or failed", "content": content}
    return document
