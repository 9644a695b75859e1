"""`assay load`: one build under load, and a search for every cent afterwards.

The engine and Locust are processes of their own. This process prepares the wallets before the
clock starts, waits, and then compares what was answered with what is in the database.
"""

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from rich.console import Console
from rich.text import Text

from attacks.history import History, Recorder, read_history
from attacks.http.sender import Sender
from attacks.load.plan import Plan, Wallet, write_plan
from engine.defences import Build
from engine.ownership import OwnedProcess, Workspace
from engine.process import EngineConfig, EngineError, EngineProcess, start_engine
from reports.evidence import Verdict
from scenarios.audit import Audit, Check, audit, merged
from scenarios.console import COLOURS
from scenarios.stand import POOL_SIZE, QUIET_WITHIN_S, Stand, became_quiet, open_stand
from scenarios.tally import Tally, table_of, tally
from scenarios.targets.engine_wallet import EngineWallet
from scenarios.targets.protocol import TargetError, WalletRef
from scenarios.truth import GroundTruth

LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
OPENING_MINOR = 100_00
PREPARE_TIMEOUT_S = 20.0
"""Signing up hashes a password, which takes its time on purpose."""
STOP_WITHIN_S = 10
"""How long requests that are under way may still take when the time is up."""
START_WITHIN_S = 20
POLL_S = 0.1
RECONCILIATION = "the engine's own reconciliation agrees"
ENDED = "load ended"
"""What the locustfile writes last: a history without it is not whole."""


class LoadFailed(Exception):  # noqa: N818 - the load failed; nothing is said of the service
    """There was no load, so nothing can be said. One clear line."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """Who pays whom for how long."""

    build: Build
    stores: str
    users: int
    wallets: int
    duration_s: int
    seed: int
    out: Path


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What came of it."""

    audit: Audit
    folder: Path
    """Where the histories are."""
    tally: Tally = field(default_factory=Tally)
    audited_in_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """One engine of the build, its database, and where the histories go."""

    engine: EngineProcess
    database_url: str
    target: EngineWallet
    floats: bool
    workspace: Workspace
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Everything that was asked, and why it may not be everything."""

    preparation: History
    load: History
    whole: bool
    doubts: tuple[str, ...]


def load(plan: LoadPlan, tell: Callable[[str], None]) -> Loaded:
    """Prepare, load, wait until quiet, audit. Raises StoreError, MigrationError, EngineError."""
    with open_stand(plan.stores) as stand, _open_site(stand, plan) as site:
        tell(f"PostgreSQL {stand.postgres.version}, Redis {stand.redis.version}")
        tell(f"preparing {plan.wallets} wallets of {OPENING_MINOR / 100:.2f} in {plan.build.name}")
        try:
            preparation, wallets = _prepare(site, plan.wallets)
            tell(f"{plan.users} users pay for {plan.duration_s} s, seed {plan.seed}")
            recorded = _run_locust(site, plan, preparation, wallets)
        except LoadFailed as error:
            return Loaded(audit=Audit(doubts=(str(error),)), folder=site.folder)
        return _audited(site, recorded)


@contextmanager
def _open_site(stand: Stand, plan: LoadPlan) -> Iterator[Site]:
    with ExitStack() as opened:
        database = stand.databases.create(plan.build.defences)
        opened.callback(stand.databases.drop, database)
        config = EngineConfig(
            build=plan.build,
            database_url=stand.postgres.url(database),
            redis_url=stand.redis.url,
            redis_namespace=database,
            pool_size=POOL_SIZE,
        )
        engine = start_engine(stand.launch, config)
        opened.callback(engine.stop)
        folder = plan.out / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}Z-load-{secrets.token_hex(2)}"
        folder.mkdir(parents=True)
        meta = _meta(engine)
        yield Site(
            engine=engine,
            database_url=config.database_url,
            target=EngineWallet(meta, engine.operator_password),
            floats=meta["defences"]["money"] != "minor_units",
            workspace=stand.workspace,
            folder=folder,
        )


def _meta(engine: EngineProcess) -> dict[str, Any]:
    """The build's switches. Raises EngineError."""
    try:
        return dict(_ask(engine, "GET", "/v1/meta"))
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(f"the engine does not say what it is: {error!r}") from error


def _prepare(site: Site, how_many: int) -> tuple[History, tuple[WalletRef, ...]]:
    """Owners signed up and logged in, wallets with money in them. Raises LoadFailed."""
    with (site.folder / "preparation.jsonl").open("w") as file:
        recorder = Recorder(file)
        sender = Sender(site.engine.base_url, recorder, timeout_s=PREPARE_TIMEOUT_S)
        with closing(sender):
            try:
                wallets = tuple(_wallet(site.target, sender) for _ in range(how_many))
            except TargetError as error:
                raise LoadFailed(f"the wallets could not be prepared: {error}") from error
    return recorder.history(), wallets


def _wallet(target: EngineWallet, sender: Sender) -> WalletRef:
    """Raises TargetError."""
    wallet = target.open_wallet(sender.ask, can_pay=True)
    deposit = target.deposit(wallet, OPENING_MINOR, key=secrets.token_hex(12))
    operation = sender.send(deposit, actor="preparation")
    if operation.outcome != "ok":
        raise TargetError(f"{operation.text} was answered {operation.answer}")
    return wallet


def _run_locust(
    site: Site, plan: LoadPlan, preparation: History, wallets: Sequence[WalletRef]
) -> Recorded:
    """Raises LoadFailed when it left no history."""
    plan_file = site.workspace.folder("load") / "plan.json"
    write_plan(
        plan_file,
        Plan(
            money="float" if site.floats else "minor_units",
            seed=plan.seed,
            wallets=tuple(Wallet(id=one.id, token=one.token, pin=one.pin) for one in wallets),
        ),
    )
    environment = {
        "ASSAY_LOAD_PLAN": str(plan_file),
        "ASSAY_LOAD_HISTORY": str(site.folder.absolute()),
    }
    command = locust_command(site.engine.base_url, users=plan.users, duration_s=plan.duration_s)
    locust = site.workspace.start("locust", command, env=environment)
    doubts = _wait_for(locust, site.engine, plan.duration_s)
    try:
        histories = [read_history(path) for path in sorted(site.folder.glob("load*.jsonl"))]
    except ValueError as error:
        raise LoadFailed("; ".join((*doubts, str(error)))) from error
    if not histories:
        raise LoadFailed("; ".join(doubts) or "Locust left no history")
    whole = all(was_ended(history) for history in histories)
    if not whole:
        doubts.append("the history is not whole: Locust was ended before it could finish it")
    return Recorded(
        preparation=preparation, load=merged(histories), whole=whole, doubts=tuple(doubts)
    )


def locust_command(base_url: str, *, users: int, duration_s: int) -> list[str]:
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
        *("--headless", "--only-summary", "--host", base_url),
        *("--users", str(users), "--spawn-rate", str(users)),
        *("--mix", "payments,readers"),
        *("--run-time", f"{duration_s}s", "--stop-timeout", str(STOP_WITHIN_S)),
        # What the requests came to is for the audit to say.
        *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
    ]


def was_ended(history: History) -> bool:
    return any(event.kind == "note" and event.text == ENDED for event in history.events)


def _wait_for(locust: OwnedProcess, engine: EngineProcess, duration_s: int) -> list[str]:
    """Return when Locust has ended, by itself or not; why not, if not."""
    deadline_s = time.monotonic() + START_WITHIN_S + duration_s + STOP_WITHIN_S
    while time.monotonic() < deadline_s:
        status = locust.wait(POLL_S)
        if not engine.alive:
            locust.stop(2 * STOP_WITHIN_S)
            return [f"the engine ended in the middle of the load: {_last_words(engine.log(3))}"]
        if status is not None:
            words = _last_words(locust.tail(3))
            return [f"Locust ended with {status}: {words}"] if status else []
    locust.stop()
    return [f"Locust did not end {START_WITHIN_S + STOP_WITHIN_S} s after its time was up"]


def _last_words(log: str) -> str:
    return " · ".join(line.strip() for line in log.splitlines() if line.strip()) or "without a word"


def _audited(site: Site, recorded: Recorded) -> Loaded:
    doubts = list(recorded.doubts)
    truth: GroundTruth | None = None
    try:
        if not became_quiet(site.database_url):
            doubts.append(f"the engine was still at work {QUIET_WITHIN_S:g} s after the load")
        engine_says = _reconciliation(site.engine)
        began_s = time.monotonic()
        with closing(psycopg2.connect(site.database_url)) as connection:
            truth = site.target.read_truth(connection)
    except psycopg2.Error as error:
        doubts.append(f"the database could not be read: {' '.join(str(error).split())}")
        return Loaded(audit=Audit(doubts=tuple(doubts)), folder=site.folder)
    verdicts = audit(
        merged((recorded.preparation, recorded.load)),
        truth,
        doubts=doubts,
        whole=recorded.whole,
        engine_says=engine_says,
    )
    return Loaded(
        audit=verdicts,
        folder=site.folder,
        tally=tally(recorded.load.operations),
        audited_in_s=time.monotonic() - began_s,
    )


def _reconciliation(engine: EngineProcess) -> Check:
    """What the engine says of its own books."""
    try:
        login = {"username": "operator", "password": engine.operator_password}
        token = _ask(engine, "POST", "/v1/auth/token", json=login)["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = _ask(engine, "GET", "/v1/ledger/reconciliation", headers=headers)
        balanced = answer["balanced"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        detail = f"the engine did not say: {error!r}"
        return Check(claim=RECONCILIATION, verdict=Verdict.UNKNOWN, detail=detail)
    if balanced:
        return Check(claim=RECONCILIATION, verdict=Verdict.HELD)
    different = ", ".join(f"{name} {value}" for name, value in answer["first_difference"].items())
    detail = f"the first that differs: {different.replace('_', ' ')}"
    return Check(claim=RECONCILIATION, verdict=Verdict.VIOLATED, detail=detail)


def _ask(engine: EngineProcess, method: str, path: str, **how: Any) -> Any:
    with httpx.Client(base_url=engine.base_url, trust_env=False, timeout=20) as client:
        return client.request(method, path, **how).json()


def show_loaded(console: Console, loaded: Loaded) -> None:
    """The numbers, the verdicts, and one sentence."""
    verdicts = loaded.audit
    if loaded.tally.rows:
        console.print()
        console.print(table_of(loaded.tally))
        console.print()
    for check in verdicts.checks:
        detail = f"  {check.detail}" if check.detail else ""
        # Text: brackets in what a service answered are not markup.
        shown = (f"{check.verdict.shown:<8}", COLOURS[check.verdict])
        console.print(Text.assemble(shown, check.claim, (detail, "dim")))
    for doubt in verdicts.doubts:
        console.print(Text(f"Nothing can be said for sure: {doubt}.", "yellow"))
    console.print()
    console.print(Text(_sentence(loaded)))
    console.print(Text(f"History {loaded.folder}"))


def _sentence(loaded: Loaded) -> str:
    verdicts, numbers = loaded.audit, loaded.tally
    return (
        f"{verdicts.verdict.shown}. {verdicts.payments} acknowledged payments in "
        f"{numbers.lasted_s:.1f} s ({numbers.payments_per_s:.0f} a second), audited in "
        f"{loaded.audited_in_s:.1f} s."
    )
