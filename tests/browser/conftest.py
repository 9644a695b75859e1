"""One browser and an engine a build for all tests of the pages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from engine.ownership import Workspace
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.browser.chromium import Browser, Page, running_browser
from tests.browser.served_engine import Site, site_of

SiteOf = Callable[[str], Site]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that complains about nothing and asks nobody but the engine."""
    opened = browser.page()
    yield opened
    assert opened.complaints == []
    assert {address.split("/")[2] for address in opened.requests if "//" in address} <= {
        opened.run("location.host")
    }


@pytest.fixture(scope="session")
def site(
    workspace: Workspace,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[SiteOf]:
    """The engine of a build, started when the first test asks for it."""
    with ExitStack() as opened:
        sites: dict[str, Site] = {}

        def of(build: str) -> Site:
            if build not in sites:
                started = site_of(build, workspace, databases, postgres, redis_server)
                sites[build] = opened.enter_context(started)
            return sites[build]

        yield of
