"""Locust as a process of its own, which sends what the plan says and writes the histories."""

import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from site import getuserbase

import psutil

from attacks.load.plan import Plan, Wallet, write_plan
from engine.ownership import OwnedProcess
from engine.stores import free_port
from scenarios.loading.plan import CLOSED_LOOP, LoadPlan
from scenarios.loading.site import Site, operator_of
from scenarios.targets.protocol import WalletRef

LOCUSTFILE = Path(__file__).parents[2] / "locustfile.py"
COMPLAINT = re.compile(r"^(?:.*/ERROR/assay\.load: |assay load: )(.*)$", re.MULTILINE)
"""How the locustfile says what is wrong."""
STOP_WITHIN_S = 10
"""How long requests that are under way may still take when the time is up."""
START_WITHIN_S = 30
POLL_S = 0.1
REPORT = "locust.html"
BEGINS_WITHIN_S = 1
PATIENCE_S = 30.0
"""So long an engine may take to start again."""


def locust_command(plan: LoadPlan, base_url: str, report: Path) -> list[str]:
    command = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
        *("--headless", "--only-summary", "--host", base_url, "--mix", plan.mix),
        *("--users", str(plan.users), "--spawn-rate", str(plan.users)),
        *("--run-time", f"{run_time_s(plan)}s"),
        *("--stop-timeout", str(STOP_WITHIN_S), "--html", str(report)),
        # Who is to be away for a while is waited for.
        *("--patience-s", f"{PATIENCE_S + max((f.lasts_s for f in plan.faults), default=0):g}"),
        # What the requests came to is for the audit to say.
        *("--exit-code-on-error", "0", "--loglevel", "WARNING"),
    ]
    if plan.tps != CLOSED_LOOP:
        command += ["--tps", f"{plan.tps:g}"]
        command += ["--tps-profile", plan.profile]
        command += ["--tps-period-s", f"{plan.period_s:g}", "--tps-peak", f"{plan.peak:g}"]
    if plan.processes > 1:
        # Two loads on one machine do not meet; who asks from elsewhere is not heard.
        port = str(free_port())
        command += ["--processes", str(plan.processes), "--master-bind-host", "127.0.0.1"]
        command += ["--master-bind-port", port, "--master-port", port]
    return command


def run_time_s(plan: LoadPlan) -> int:
    """Locust counts from before its first request, the plan from there on."""
    beginning_s = BEGINS_WITHIN_S + (plan.processes > 1)
    return math.ceil(plan.warm_up_s + plan.duration_s) + beginning_s


@dataclass(kw_only=True)
class Generator:
    """Locust under way."""

    process: OwnedProcess
    workers: int
    """Processes beside the first one, which then only leads them."""
    _seen: set[psutil.Process] = field(default_factory=set)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process.alive else None

    def wait(self) -> int | None:
        """For a moment: its exit status, or None while it runs."""
        return self.process.wait(POLL_S)

    def gone_workers(self) -> list[int]:
        """The ids of processes that are gone while the first one goes on."""
        with suppress(psutil.Error):
            self._seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        if self.workers <= 1 or not self.process.alive:
            return []
        return sorted(member.pid for member in self._seen if not _runs(member))

    def end(self) -> None:
        """Return when none of its processes writes any more."""
        self.process.stop(2 * STOP_WITHIN_S)
        _, alive = psutil.wait_procs(self._seen, timeout=STOP_WITHIN_S)
        for member in alive:
            with suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(alive, timeout=STOP_WITHIN_S)

    def last_words(self) -> str:
        """Why the load ended here, when it said so; else how its log ends."""
        said = COMPLAINT.findall(self.process.tail(200))
        return " · ".join(dict.fromkeys(said)) or last_words(self.process.tail(3))


def start_generator(site: Site, plan: LoadPlan, wallets: Sequence[WalletRef]) -> Generator:
    workspace = site.stand.workspace
    plan_file = workspace.folder("load") / f"plan-{site.engine.port}.json"
    document = Plan(
        money="float" if site.floats else "minor_units",
        seed=plan.seed,
        wallets=tuple(Wallet(id=each.id, token=each.token, pin=each.pin) for each in wallets),
        operator=operator_of(site.target, wallets[0]),
    )
    write_plan(plan_file, document)
    environment = {
        "ASSAY_LOAD_PLAN": str(plan_file),
        "ASSAY_LOAD_HISTORY": str(site.folder.absolute()),
        # What Locust is told is the plan's alone: no settings of the user's other loads.
        "HOME": str(plan_file.parent),
        "PYTHONUSERBASE": getuserbase(),
    }
    command = locust_command(plan, site.engine.base_url, (site.folder / REPORT).absolute())
    process = workspace.start(
        f"locust-{site.engine.port}",
        command,
        env=environment,
        without="LOCUST_",
        cwd=plan_file.parent,
    )
    return Generator(process=process, workers=plan.processes)


def wait_for(generator: Generator, plan: LoadPlan, why_stop: Callable[[], str | None]) -> list[str]:
    """Return when Locust has ended, by itself or not; why not, if not.

    `why_stop` is asked every moment: when it says something, the load is over.
    """
    deadline_s = (
        time.monotonic() + START_WITHIN_S + plan.warm_up_s + plan.duration_s + STOP_WITHIN_S
    )
    while time.monotonic() < deadline_s:
        status = generator.wait()
        if status is not None:
            return [f"Locust ended with {status}: {generator.last_words()}"] if status else []
        why = why_stop()
        if why:
            generator.end()
            return [why]
    generator.end()
    return [f"Locust did not end {START_WITHIN_S + STOP_WITHIN_S} s after its time was up"]


def last_words(log: str) -> str:
    return " · ".join(line.strip() for line in log.splitlines() if line.strip()) or "without a word"


def _runs(member: psutil.Process) -> bool:
    try:
        return member.is_running() and member.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
