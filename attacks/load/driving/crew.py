"""How a load starts and ends in one process, or in a master and its workers.

The plan is had once: from ASSAY_LOAD_PLAN, or prepared by the master (or the only process). Workers
without a plan file ask the master for what it prepared; a file is for its owner's eyes, and no
master sends it. The master splits the pace among the workers that are
there, says when one is lost, and ends the load for all when one of them has a reason to.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

import gevent
from locust import runners
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner

from attacks.history import Recorder
from attacks.load.driving.choosing import who_comes
from attacks.load.driving.customer import AnsweredError, Customer
from attacks.load.driving.options import (
    OptionError,
    add_options,
    hosts_of,
    listen_at_home,
    profile_in,
    why_not_to,
)
from attacks.load.driving.preparing import Preparation, must_be_there
from attacks.load.driving.traffic import (
    ENVIRONMENT,
    UNKNOWN,
    USAGE,
    HistoryFileError,
    Traffic,
    soon,
)
from attacks.load.pace import UNSENT
from attacks.load.plan import PlanError, document_of, plan_of, read_plan
from attacks.load.thresholds.plugin import Thresholds

LOG = logging.getLogger("assay.load")
PLAN, WANTED, SHARE, OVER = "load-plan", "load-plan-wanted", "load-share", "load-over"
"""Messages between a master and its workers."""
LOOK_EVERY_S = 1.0
ENDING = ("stopping", "stopped", "cleanup")
CONNECTED_WITHIN_S = 5.0
"""Workers that were forked connect within this; only then can they be told to go."""
HEARTBEATS_MISSED = 10
"""A worker that does not come to speak for fewer seconds is only slow: Locust itself takes four
for its end, which a busy machine or disk may well take."""
PREPARED, WORKERS = "preparation.jsonl", "workers.jsonl"
MASTER_SILENT_S = 15
"""A worker of another machine whose master was killed does not load on for longer."""


def install(events: Any, customers: Sequence[type[Customer]], thresholds: Thresholds) -> "Crew":
    """Listen to Locust's events; called once, when the locustfile is imported."""
    crew = Crew(customers, thresholds)
    mixes = [customer.mix for customer in customers]
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser, mixes))
    events.init_command_line_parser.add_listener(lambda parser, **_: listen_at_home(parser))
    events.init.add_listener(crew.on_init)
    events.test_start.add_listener(crew.on_test_start)
    events.test_stopping.add_listener(crew.on_test_stopping)
    events.quit.add_listener(crew.on_quit)
    return crew


class Crew:
    """One process of a load."""

    def __init__(self, customers: Sequence[type[Customer]], thresholds: Thresholds) -> None:
        self._customers = customers
        self._thresholds = thresholds
        self._environment: Any = None
        self._main: Any = None
        self._parent = 0
        self._traffic: Traffic
        self._history: Path | None = None
        self._plan_is_a_file = False
        self._has_prepared = False
        self._prepared_at: str | None = None
        self._wanted_by: set[str] = set()
        self._members: dict[str, int] = {}
        self._lost: set[str] = set()
        self._known: set[str] = set()
        self._began_s = 0.0
        self._share: dict[str, Any] | None = None
        self._share_came_s = 0.0
        self._running = False

    # What Locust calls. -------------------------------------------------------------------------

    def on_init(self, environment: Any, **_: Any) -> None:
        """Once in every process, before any user exists."""
        self._environment = environment
        self._main = gevent.getcurrent()
        self._parent = os.getppid()
        options = environment.parsed_options
        if options.profile in ("ramp", "spike"):
            _refuse(f"Locust's --profile is a name for a run: say --tps-profile {options.profile}")
        traffic = Traffic(lambda: environment.host or "", options.patience_s, self._over)
        self._traffic = traffic
        runner = environment.runner
        is_worker = isinstance(runner, WorkerRunner)
        traffic.process = max(0, runner.worker_index) if is_worker else 0
        for customer in self._customers:
            customer.traffic, customer.thresholds = traffic, self._thresholds
        kinds = ("tps", *(f"{name}.tps" for name in ("transfer", "deposit", "withdrawal")))
        self._thresholds.counts(*kinds)
        self._thresholds.anybody_s(UNSENT)
        self._read_plan()
        self._open_history(is_worker=is_worker)
        if is_worker:
            self._listen_as_worker(runner)
            return
        environment.user_classes = who_comes(
            environment.user_classes, environment.parsed_options, self._traffic.kinds
        )
        if not environment.user_classes:
            self._dismiss()
            _refuse("nobody comes: none is left by --mix, the tags and the plan's requests")
        if isinstance(runner, MasterRunner):
            runners.HEARTBEAT_LIVENESS = HEARTBEATS_MISSED
            runner.register_message(WANTED, self._plan_wanted)
            runner.register_message(OVER, self._worker_over)
        if options.headless or options.autostart:
            # Before the clock of --run-time starts.
            try:
                self._prepare()
            except (PlanError, OptionError) as error:
                self._dismiss()
                _refuse(str(error), _code_of(error))

    def on_test_start(self, environment: Any, **_: Any) -> None:
        """Before the first user starts; in a master there are no users."""
        self._running = True
        try:
            self._traffic.begin(profile_in(environment.parsed_options))
        except OptionError as error:
            self._traffic.begin(None)
            self._traffic.end(str(error), USAGE)
            return
        if isinstance(environment.runner, WorkerRunner):
            self._take_share()
            return
        try:
            self._prepare()
        except (PlanError, OptionError) as error:
            self._traffic.end(str(error), _code_of(error))
            return
        if isinstance(environment.runner, MasterRunner):
            self._began_s = time.monotonic()
            self._members, self._lost = {}, set()
            self._split()
            gevent.spawn(self._watch)
            return
        self._traffic.pace.begin()
        self._traffic.ready.set()

    def on_test_stopping(self, **_: Any) -> None:
        self._running = False
        self._share = None
        self._traffic.stop()
        self._tell_unsent()

    def _tell_unsent(self) -> None:
        """Turns that came to nobody are in Locust's figures too, as failures that waited."""
        runner = self._environment.runner
        for turn in self._traffic.unsent():
            self._environment.events.request.fire(
                request_type="",
                name=turn.name,
                response_time=turn.response_time_s * 1000,
                response_length=0,
                exception=AnsweredError(turn.answer),
                context={},
                response=None,
                start_time=turn.started_s,
                url="",
            )
        if isinstance(runner, WorkerRunner):
            # Not after the last answers: the master waits half a second for figures, and is gone.
            runner._send_stats()  # noqa: SLF001 - there is no other way to say it now

    def on_quit(self, **_: Any) -> None:
        """After the last user was stopped and had its last request recorded."""
        self._traffic.close()

    # The plan. ----------------------------------------------------------------------------------

    def _read_plan(self) -> None:
        path = os.environ.get("ASSAY_LOAD_PLAN", "")
        if path:
            try:
                self._traffic.use(read_plan(Path(path)))
                self._plan_is_a_file = True
            except PlanError as error:
                self._dismiss()
                _refuse(str(error))

    def _prepare(self) -> None:
        """Wallets, where there are none yet; and somebody who listens.

        Raises PlanError, and OptionError for a host that is not to be loaded.
        """
        environment, traffic = self._environment, self._traffic
        options, host = environment.parsed_options, environment.host or ""
        hosts = hosts_of(host, options)
        if why := why_not_to(hosts, options.allow_remote or ()):
            raise OptionError(why)
        for each in hosts:
            must_be_there(each)
        if self._prepared_at not in {None, host}:
            raise OptionError(
                f"the wallets are those of {self._prepared_at}: start Locust anew to load {host}"
            )
        if traffic.plan is None:
            wallets = int(options.wallets)
            LOG.info("preparing %d wallets at %s", wallets, host)
            began_s = time.monotonic()
            traffic.use(self._prepared(host, wallets))
            self._prepared_at = host
            LOG.info("prepared within %.1f s", time.monotonic() - began_s)
        while self._wanted_by:
            self._send_plan(self._wanted_by.pop())

    def _prepared(self, host: str, wallets: int) -> Any:
        if self._history is None:
            return Preparation(host, Recorder(since_epoch=True, keep=False)).plan(wallets)
        path = self._history / PREPARED
        try:
            # One that failed may have paid in already: the next one goes on below it.
            mode: Literal["a", "x"] = "a" if self._has_prepared else "x"
            with path.open(mode, encoding="utf-8", newline="\n") as file:
                self._has_prepared = True
                self._traffic.belongs_with(PREPARED)
                recorder = Recorder(file, since_epoch=True, keep=False)
                return Preparation(host, recorder).plan(wallets)
        except OSError as error:
            raise PlanError(f"the history {path} cannot be written: {error.strerror}") from error

    def _send_plan(self, worker: str) -> None:
        if self._traffic.plan is not None:
            document = document_of(self._traffic.plan)
            self._environment.runner.send_message(PLAN, document, client_id=worker)

    def _plan_wanted(self, msg: Any, **_: Any) -> None:
        if self._plan_is_a_file:
            index = self._environment.runner.get_worker_index(msg.node_id)
            why = "has no plan: set its ASSAY_LOAD_PLAN, for the master's file is not sent"
            self._traffic.end(f"worker {index} {why}", USAGE)
        elif self._traffic.plan is None:
            self._wanted_by.add(msg.node_id)
        else:
            self._send_plan(msg.node_id)

    # A worker. ----------------------------------------------------------------------------------

    def _listen_as_worker(self, runner: Any) -> None:
        runner.register_message(PLAN, self._plan_came)
        runner.register_message(SHARE, self._share_came)
        if self._traffic.plan is None:
            runner.send_message(WANTED)
        runners.MASTER_HEARTBEAT_TIMEOUT = MASTER_SILENT_S
        if self._environment.parsed_options.processes:
            gevent.spawn(self._watch_parent)

    def _watch_parent(self) -> None:
        """The master is the parent; Locust itself would notice its end a minute later."""
        while os.getppid() == self._parent:
            gevent.sleep(LOOK_EVERY_S)
        if self._traffic.stopping.is_set():
            return  # It does not wait for the last answers of its workers.
        LOG.error("the master is gone: its worker %d ends the load", self._traffic.process)
        self._fail(ENVIRONMENT)
        self._traffic.stop()
        self._environment.runner.quit()

    def _plan_came(self, msg: Any, **_: Any) -> None:
        try:
            self._traffic.use(plan_of(msg.data, "the master's plan"))
        except PlanError as error:
            self._traffic.end(str(error), USAGE)
        else:
            self._traffic.belongs_with(PREPARED)
        self._take_share()

    def _share_came(self, msg: Any, **_: Any) -> None:
        self._share, self._share_came_s = msg.data, time.monotonic()
        if self._traffic.ready.is_set() and self._running:
            self._traffic.pace.share(msg.data["of"])
        self._take_share()

    def _take_share(self) -> None:
        """Users go on when there is a test, a plan and a share of the pace."""
        if not self._running or self._share is None or self._traffic.plan is None:
            return
        options = self._environment.parsed_options
        hosts = hosts_of(self._environment.host, options)
        if why := why_not_to(hosts, options.allow_remote or ()):
            self._traffic.end(why, USAGE)
            return
        if not self._traffic.ready.is_set():
            elapsed_s = self._share["elapsed_s"] + time.monotonic() - self._share_came_s
            self._traffic.pace.begin(
                position=self._share["position"], of=self._share["of"], elapsed_s=elapsed_s
            )
            self._traffic.ready.set()

    # A master. ----------------------------------------------------------------------------------

    def _split(self) -> None:
        """Tell each worker its position among those that are there."""
        runner = self._environment.runner
        there = runner.clients.ready + runner.clients.spawning + runner.clients.running
        members = {one.id: runner.get_worker_index(one.id) for one in there}
        self._greet(members)
        if members == self._members:
            return
        for worker in sorted(set(members) - set(self._members) - self._known):
            self._traffic.belongs_with(history_of(members[worker]))
        self._known |= set(members)
        self._members = members
        elapsed_s = time.monotonic() - self._began_s
        for position, worker in enumerate(sorted(members, key=lambda one: members[one])):
            share = {"position": position, "of": len(members), "elapsed_s": elapsed_s}
            runner.send_message(SHARE, share, client_id=worker)

    def _watch(self) -> None:
        """Say at once who is lost, and share its part among the others."""
        runner = self._environment.runner
        while self._running:
            gevent.sleep(LOOK_EVERY_S)
            self._mourn(runner)
            if runner.state in ENDING:
                return
            self._split()

    def _greet(self, members: Mapping[str, int]) -> None:
        for worker in sorted(self._lost & set(members)):
            self._lost.discard(worker)
            LOG.error("worker %d (%s) is back: it was only slow", members[worker], worker)

    def _mourn(self, runner: Any) -> None:
        missing = {client.id for client in runner.clients.missing}
        if runner.state not in ENDING:
            missing |= set(self._members) - set(runner.clients.keys())
        for worker in sorted(missing - self._lost):
            self._lost.add(worker)
            left = runner.worker_count
            LOG.error(
                "worker %d (%s) was lost in the middle of the load, its history is partial; "
                "%d are left",
                runner.get_worker_index(worker),
                worker,
                left,
            )
            self._fail(UNKNOWN if left else ENVIRONMENT)
            if not left:
                soon(self._stop)

    def _worker_over(self, msg: Any, **_: Any) -> None:
        index = self._environment.runner.get_worker_index(msg.node_id)
        self._traffic.end(f"worker {index}: {msg.data['why']}", msg.data["exit_code"])

    def _dismiss(self) -> None:
        """Workers do not wait for a load that never comes."""
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return
        forked = self._environment.parsed_options.processes or 0
        deadline_s = time.monotonic() + CONNECTED_WITHIN_S
        while len(runner.clients) < forked and time.monotonic() < deadline_s:
            gevent.sleep(0.05)
        # What is to be told is why; not that a socket was gone.
        with suppress(Exception):
            runner.quit()

    # All. ---------------------------------------------------------------------------------------

    def _over(self, _why: str, exit_code: int | None) -> None:
        self._fail(exit_code)
        runner = self._environment.runner
        if isinstance(runner, WorkerRunner):
            # The master ends it for all.
            runner.send_message(OVER, {"why": _why, "exit_code": exit_code})
            self._traffic.stop()
        else:
            soon(self._stop)

    def _stop(self) -> None:
        runner = self._environment.runner
        if not self._environment.parsed_options.headless:
            runner.stop()
            return
        before_it_began = runner.state == STATE_INIT
        runner.quit()
        if before_it_began:
            # Locust is waiting for workers, some of which will never come.
            code = self._environment.process_exit_code or ENVIRONMENT
            gevent.get_hub().loop.run_callback(self._main.throw, SystemExit(code))

    def _fail(self, exit_code: int | None) -> None:
        if exit_code is not None and not self._environment.process_exit_code:
            self._environment.process_exit_code = exit_code

    def _open_history(self, *, is_worker: bool) -> None:
        """A master has no users: its own only names those of its workers."""
        folder = os.environ.get("ASSAY_LOAD_HISTORY", "")
        if not folder:
            return
        self._history = Path(folder)
        if isinstance(self._environment.runner, MasterRunner):
            name = WORKERS
        else:
            name = history_of(self._traffic.process) if is_worker else "load.jsonl"
        try:
            self._traffic.write_to(self._history / name)
        except HistoryFileError as error:
            if is_worker:
                self._environment.runner.send_message(OVER, {"why": str(error), "exit_code": USAGE})
            self._dismiss()
            _refuse(str(error))


def history_of(worker: int) -> str:
    return f"load.{worker}.jsonl"


def _code_of(error: Exception) -> int:
    return USAGE if isinstance(error, OptionError) else ENVIRONMENT


def _refuse(why: str, code: int = USAGE) -> NoReturn:
    sys.stderr.write(f"assay load: {why}\n")
    sys.stderr.flush()
    raise SystemExit(code)
