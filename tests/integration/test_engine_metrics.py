"""What `/metrics` tells is what was asked for, whoever of the workers is asked."""

import dataclasses
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.ownership import Workspace
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine

pytestmark = pytest.mark.slow

Counted = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def config(config: EngineConfig) -> EngineConfig:
    return dataclasses.replace(config, settings={"METRICS_TOKEN": "only for metrics"})


@contextmanager
def serving(workspace: Workspace, config: EngineConfig, workers: int) -> Iterator[EngineProcess]:
    several = dataclasses.replace(config, workers=workers)
    engine = start_engine(launched_in(workspace), several)
    yield engine
    engine.stop()


def counted(engine: EngineProcess, path: str = "/v1/metrics") -> Counted:
    answer = httpx.get(f"{engine.base_url}{path}").raise_for_status()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(counters: Counted, name: str, **labels: str) -> float:
    return counters.get((name, frozenset(labels.items())), 0.0)


def owner(engine: EngineProcess) -> tuple[int, dict[str, str]]:
    """A wallet, and its owner's headers."""
    with httpx.Client(base_url=engine.base_url, timeout=20) as http:
        body = {"username": secrets.token_hex(6), "password": secrets.token_hex(8)}
        http.post("/v1/users", json=body).raise_for_status()
        token = http.post("/v1/auth/token", json=body).raise_for_status().json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        opened = http.post("/v1/wallets", json={"asset": "USD"}, headers=headers)
        http.put("/v1/users/me/pin", json={"pin": "4711"}, headers=headers).raise_for_status()
        return opened.raise_for_status().json()["id"], {**headers, "X-Pin": "4711"}


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_are_counted_by_route_whoever_is_asked(
    workspace: Workspace, config: EngineConfig, workers: int
) -> None:
    with serving(workspace, config, workers) as engine:
        wallet, headers = owner(engine)
        before = counted(engine)
        statuses = []
        for number in range(20):
            # A new connection each time, so that several workers have something to count.
            url = f"{engine.base_url}/v1/wallets/{wallet if number % 4 else 10**9 + number}"
            statuses.append(httpx.get(url, headers=headers).status_code)
        assert statuses.count(200) == 15
        assert statuses.count(403) == 5
        after = counted(engine)
        route = {"method": "GET", "route": "/v1/wallets/{wallet_id}"}
        for status, sent in (("2xx", 15), ("4xx", 5)):
            name, labels = "assay_requests_total", {**route, "status": status}
            assert value(after, name, **labels) - value(before, name, **labels) == sent
        lasting = "assay_request_seconds_count"
        assert value(after, lasting, **route) - value(before, lasting, **route) == 20
        lookups = [
            value(after, "assay_balance_cache_lookups_total", outcome=outcome)
            - value(before, "assay_balance_cache_lookups_total", outcome=outcome)
            for outcome in ("hit", "miss")
        ]
        # One of the fifteen reads may find nothing; wallets that there are not are never found.
        assert sum(lookups) == 20
        assert 14 <= lookups[0] <= 15
        decided = {"limit": "all", "decision": "admitted"}
        name = "assay_rate_limit_decisions_total"
        assert value(after, name, **decided) - value(before, name, **decided) == 20
        refused = value(after, "assay_refusals_total", type="forbidden")
        assert refused - value(before, "assay_refusals_total", type="forbidden") == 5


def test_refusals_and_replays_of_a_payment_are_counted(
    workspace: Workspace, config: EngineConfig
) -> None:
    with serving(workspace, config, 1) as engine:
        wallet, headers = owner(engine)
        other, _ = owner(engine)
        body = {
            "from_wallet_id": wallet,
            "to_wallet_id": other,
            "amount": {"amount": 1, "asset": "USD"},
        }
        keyed = {**headers, "Idempotency-Key": "poor"}
        url = f"{engine.base_url}/v1/transfers"
        answers = [httpx.post(url, json=body, headers=keyed) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [402] * 3
        httpx.post(url, json=body, headers={**headers, "X-Pin": "0000", "Idempotency-Key": "x"})
        counters = counted(engine)
        # Decided once, given three times.
        assert value(counters, "assay_refusals_total", type="insufficient-funds") == 1
        assert value(counters, "assay_idempotent_replays_total") == 2
        assert value(counters, "assay_refusals_total", type="pin-wrong") == 1


def test_nothing_that_a_client_makes_up_becomes_a_label(
    workspace: Workspace, config: EngineConfig
) -> None:
    with serving(workspace, config, 1) as engine:
        before = counted(engine)
        for number in range(5):
            httpx.get(f"{engine.base_url}/v1/made-up-{number}")
            httpx.request(f"MADEUP{number}", f"{engine.base_url}/v1/health/live")
        after = counted(engine)
        assert not [name for name, labels in after if "made" in str(labels).lower()]
        unknown = {"method": "GET", "route": "unmatched", "status": "4xx"}
        name = "assay_requests_total"
        assert value(after, name, **unknown) - value(before, name, **unknown) == 5
        # The one that asks is under way itself.
        assert value(after, "assay_requests_in_flight") == 1
        assert value(after, "assay_pool_connections_most") == 10
        assert value(after, "assay_pool_waiting") == 0
        assert value(after, "assay_redis_up") == 1


def test_it_is_at_both_places_and_takes_no_token_from_this_machine(
    workspace: Workspace, config: EngineConfig
) -> None:
    with serving(workspace, config, 1) as engine:
        for path in ("/metrics", "/v1/metrics"):
            assert value(counted(engine, path), "assay_pool_connections_most") == 10
