"""Which server is taken, decided without starting one."""

from collections.abc import Callable

import pytest

from engine.stores.choose import Offer, choose
from engine.stores.model import Choice, Kind, StoreError
from engine.stores.urls import with_database, without_password


def offer(
    kind: Kind, obstacle: str | None = None, open_it: Callable[[Choice], Choice] = lambda c: c
) -> Offer[Choice]:
    return Offer(kind=kind, reason=f"{kind} works", why_not=lambda: obstacle, open=open_it)


def fails(message: str) -> Callable[[Choice], Choice]:
    def open_it(choice: Choice) -> Choice:
        raise StoreError(message)

    return open_it


def test_a_given_url_is_preferred_to_everything() -> None:
    chosen = choose("auto", (offer("external"), offer("container"), offer("embedded")))
    assert chosen == Choice(kind="external", reason="external works", skipped=())


def test_what_is_passed_over_is_said_with_its_reason() -> None:
    chosen = choose(
        "auto",
        (offer("external", "no URL"), offer("container", "no engine"), offer("embedded")),
    )
    assert chosen.kind == "embedded"
    assert chosen.skipped == ("external: no URL", "container: no engine")


def test_a_container_that_does_not_start_is_passed_over() -> None:
    broken = offer("container", None, fails("no cgroups"))
    chosen = choose("auto", (offer("external", "no URL"), broken, offer("embedded")))
    assert chosen.kind == "embedded"
    assert chosen.skipped[-1] == "container: no cgroups"


def test_a_given_url_that_does_not_work_is_an_error() -> None:
    broken = offer("external", None, fails("nobody there"))
    with pytest.raises(StoreError, match="nobody there"):
        choose("auto", (broken, offer("container"), offer("embedded")))


def test_an_embedded_server_that_does_not_start_is_an_error() -> None:
    with pytest.raises(StoreError, match="disk full"):
        choose("auto", (offer("embedded", None, fails("disk full")),))


@pytest.mark.parametrize("kind", ["external", "container", "embedded"])
def test_a_demanded_kind_is_taken_or_refused_with_a_remedy(kind: Kind) -> None:
    every: tuple[Kind, ...] = ("external", "container", "embedded")
    assert choose(kind, tuple(offer(k) for k in every)).kind == kind
    with pytest.raises(StoreError, match=r"not possible: in the way; .+") as refused:
        choose(kind, tuple(offer(k, "in the way") for k in every))
    assert "\n" not in str(refused.value)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(StoreError, match="auto, external, container, embedded"):
        choose("cloud", (offer("embedded"),))


def test_the_url_of_another_database_keeps_user_and_options() -> None:
    url = "postgresql://me:p%40ss@db.example:5433/first?sslmode=require&connect_timeout=3"
    assert with_database(url, "second") == url.replace("first", "second")
    assert with_database(url, "second", proxy_port=7000) == (
        "postgresql://me:p%40ss@127.0.0.1:7000/second?connect_timeout=3"
    )
    assert without_password(url) == "postgresql://me@db.example:5433/first"
