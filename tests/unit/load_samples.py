"""Documents of loads as the tests of their reports need them."""

from datetime import UTC, datetime

from reports.evidence import Build, Verdict
from reports.load import (
    AuditCheck,
    FaultStruck,
    Latencies,
    LoadDocument,
    LoadPlan,
    LoadRun,
    Losses,
    RequestRow,
    Samples,
    Series,
    SoFar,
    ThresholdCheck,
)
from tests.unit.evidence_samples import sample

TOOK = Latencies(p50_ms=9.0, p90_ms=20.0, p95_ms=31.5, p99_ms=60.0, p999_ms=90.0, max_ms=120.0)
SECONDS = tuple(float(second) for second in range(-2, 10))


def row(name: str, requests: int = 100) -> RequestRow:
    return RequestRow(
        name=name, requests=requests, per_s=10.0, latencies=TOOK, refused=3, failures=2
    )


def held_run(name: str = "hardened") -> LoadRun:
    each = tuple(range(len(SECONDS)))
    return LoadRun(
        build=Build(name=name, defences={"locking": "row"}, isolation_level="read committed"),
        verdict=Verdict.HELD,
        partial=False,
        histories=f"histories/{name}",
        locust_report=f"histories/{name}/locust.html",
        lasted_s=10.0,
        payments=1234,
        payments_per_s=123.4,
        rows=(row("read-balance"), row("transfer", 1000), row("all", 1100)),
        series=Series(
            at_s=SECONDS,
            answered=each,
            payments=each,
            refused=each,
            failures=each,
            p50_ms=(None, *map(float, each[1:])),
            p95_ms=tuple(map(float, each)),
            p99_ms=tuple(map(float, each)),
        ),
        samples=Samples(
            at_s=SECONDS,
            lock_waits=each,
            locks_not_granted=each,
            connections=(*each[:-1], None),
            at_work=each,
            cpu_percent={"engine": tuple(map(float, each)), "Redis": (None,) * len(each)},
            engine_mb=tuple(map(float, each)),
        ),
        so_far=(SoFar(at_s=3.0, acknowledged=300, checked=310, lasted_s=0.1),),
        faults=(
            FaultStruck(
                text="redis-down@3s+2s",
                kind="redis-down",
                at_s=3.0,
                until_s=5.0,
                struck=True,
                before_per_s=200.0,
                lowest_per_s=50.0,
                silent_s=0.4,
                recovered_in_s=1.5,
            ),
        ),
        checks=(AuditCheck(claim="money is conserved", verdict=Verdict.HELD),),
        audited_in_s=0.5,
        thresholds=(ThresholdCheck(text="p95<50ms", met=True, observed="31.5 ms"),),
        losses=Losses(
            invented_minor=0.0,
            payments_without_record=0,
            records_without_payment=0,
            wallets_overdrawn=0,
        ),
    )


def lossy_run(name: str = "fragile") -> LoadRun:
    return held_run(name).model_copy(
        update={
            "verdict": Verdict.VIOLATED,
            "losses": Losses(
                invented_minor=123456.0,
                payments_without_record=17,
                records_without_payment=1,
                wallets_overdrawn=0,
            ),
            "checks": (
                AuditCheck(
                    claim="money is conserved",
                    verdict=Verdict.VIOLATED,
                    detail="1234.56 came from nowhere",
                ),
            ),
            "so_far": (
                SoFar(
                    at_s=3.0,
                    acknowledged=300,
                    checked=310,
                    violations=("12.00 more in the wallets than was ever paid in",),
                    lasted_s=0.1,
                ),
            ),
        }
    )


def document(*runs: LoadRun, verdict: Verdict = Verdict.HELD) -> LoadDocument:
    return LoadDocument(
        run="2026-11-21T20-00-00Z-load-abcd",
        command="assay load --tps 200",
        status="complete",
        started_at=datetime(2026, 11, 21, 20, tzinfo=UTC),
        duration_s=30.0,
        seed=7,
        exit_code={Verdict.HELD: 0, Verdict.VIOLATED: 1}.get(verdict, 3),
        verdict=verdict,
        conclusion="hardened kept every cent.",
        plan=LoadPlan(
            users=16,
            wallets=50,
            tps=200.0,
            profile="constant",
            mix="payments",
            warm_up_s=2.0,
            duration_s=10.0,
            engine_workers=1,
            locust_processes=1,
            faults=("redis-down@3s+2s",),
            thresholds=("p95<50ms",),
        ),
        environment=sample().environment,
        runs=runs or (held_run(),),
    )
