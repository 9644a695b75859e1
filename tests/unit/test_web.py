"""The pages' files: served as what they are, under a strict policy, and nothing else is."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from engine.api.problems import error_style, install_error_handlers
from engine.api.reception import Reception
from engine.api.web import FOLDER, POLICY, assets, install_web
from engine.defences import as_dict, in_words, named_builds, parse_build

FILES = tuple(sorted(path.name for path in FOLDER.iterdir()))
SCRIPTS = tuple(sorted(FOLDER.glob("*.js")))
LONGEST_SCRIPT_LINES = 200
# The ways of a script to make markup of text, or code of it.
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    r"|createContextualFragment|setHTML|srcdoc|localStorage|document\.cookie"
)


@pytest.fixture(params=["hardened", "fragile"])
def http(request: pytest.FixtureRequest) -> TestClient:
    """The pages of a build, without the engine behind them."""
    app = FastAPI(docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.error_style = error_style(parse_build(request.param).defences)
    install_error_handlers(app, app.state.error_style)
    app.add_middleware(Reception, style=app.state.error_style, deadline_s=None)
    install_web(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_as_what_it_is(name: str, http: TestClient) -> None:
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg"}
    answer = http.get(f"/ui/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    assert answer.content == (FOLDER / name).read_bytes()


def test_the_policy_lets_in_nothing_foreign() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_whoever_comes_without_a_path_is_led_to_the_pages(path: str, http: TestClient) -> None:
    answer = http.get(path, follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == "/ui/"
    assert http.get("/ui/").text == (FOLDER / "index.html").read_text()


def test_what_is_known_already_is_not_sent_again(http: TestClient) -> None:
    first = http.get("/ui/main.js")
    again = http.get("/ui/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = http.get("/ui/money.js", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
    assert http.head("/ui/main.js").content == b""


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "%2e%2e%2fapp.py",
        "..%5capp.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "main.js/",
        "main.js%00.html",
        "./main.js%2f..%2f..%2fapp.py",
        str(Path(__file__)),
    ],
)
def test_nothing_else_is_served(path: str, http: TestClient) -> None:
    answer = http.request("GET", f"http://testserver/ui/{path}")
    assert answer.status_code == 404
    style = http.app.state.error_style  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == style.media_type
    body = answer.json()
    if style.media_type == "application/problem+json":
        assert body["type"] == "urn:problem-type:assay:not-found"
    assert "import" not in answer.text


def test_pages_are_only_read(http: TestClient) -> None:
    assert http.post("/ui/", content=b"x").status_code == 405


def test_only_what_browsers_know_is_an_asset() -> None:
    assert set(assets()) == set(FILES)


class References(HTMLParser):
    """What a page refers to, and whether it holds script or style of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.addresses += [values[name] for name in ("href", "src") if name in values]
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)


def test_the_page_asks_nobody_else_and_holds_no_code() -> None:
    page = References()
    page.feed((FOLDER / "index.html").read_text())
    assert page.inline == []
    assert all(re.match(r"/(?!/)|#", address) for address in page.addresses)
    named = [address.removeprefix("/ui/") for address in page.addresses if "/ui/" in address]
    assert set(named) <= set(FILES)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_small_safe_and_imports_what_there_is(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("/**"), "say at the top what the module is for"
    assert len(text.splitlines()) <= LONGEST_SCRIPT_LINES, "split it: one purpose a module"
    assert not UNSAFE.search(text), "text only ever becomes text, see dom.js"
    assert "http:" not in text
    assert "https:" not in text
    imported = re.findall(r'from "([^"]+)"', text)
    assert all(address.startswith("/ui/") for address in imported)
    assert {address.removeprefix("/ui/") for address in imported} <= set(FILES)
    assert "style." not in text, "the policy allows no inline styles"


def test_meta_says_of_every_switch_what_it_stands_for() -> None:
    for build in named_builds().values():
        told = in_words(build.defences)
        assert {each["name"]: each["value"] for each in told} == as_dict(build.defences)
        fragile = {each["name"] for each in told if each["stands_for"] == "fragile"}
        if build.name == "hardened":
            assert fragile == set()
        if build.name == "fragile":
            assert {"locking", "idempotency", "money"} <= fragile
            assert "durability" not in fragile
        assert all(each["does"] for each in told if each["stands_for"] != "variant")
