"""Assets are kept: for an hour, so many at most, and an unknown one is asked for again."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from engine import assets as kept_assets
from engine.assets import LIFETIME_S, Assets
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import House, house_of


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


class Asked:
    """Counts the statements of one session."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.statements = 0

    def find(self, assets: Assets, code: str) -> bool:
        engine = self._house.services.database
        sa.event.listen(engine, "before_cursor_execute", self._count)
        try:
            with self._house.services.scope.new() as session:
                return assets.find(session, code) is not None
        finally:
            sa.event.remove(engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.statements += 1


def _codes(house: House) -> list[str]:
    return [code for (code,) in house.rows("SELECT code FROM asset_types ORDER BY code")]


def test_asked_for_once_an_hour(house: House) -> None:
    assets, asked = Assets(), Asked(house)
    now_s = 1000.0
    with patch("engine.assets.time.monotonic", lambda: now_s):
        assert [asked.find(assets, "USD") for _ in range(5)] == [True] * 5
        assert asked.statements == 1
        now_s += LIFETIME_S
        assert asked.find(assets, "USD")
        assert asked.statements == 2


def test_an_unknown_one_is_asked_for_again(house: House) -> None:
    assets, asked = Assets(), Asked(house)
    assert [asked.find(assets, "NONE") for _ in range(3)] == [False] * 3
    assert asked.statements == 3


def test_so_many_at_most(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assets, asked = Assets(), Asked(house)
    codes = _codes(house)
    assert len(codes) > 1
    monkeypatch.setattr(kept_assets, "MOST_KEPT", 1)
    for code in codes:
        assert asked.find(assets, code)
    assert (len(assets._by_code), len(assets._by_id)) == (1, 1)
    assert asked.find(assets, codes[-1])
    assert asked.statements == len(codes)
