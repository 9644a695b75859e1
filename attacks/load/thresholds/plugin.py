"""Thresholds as a plugin for Locust: a test that passes or fails by itself.

In any locustfile:

    from locust import events
    from attacks.load.thresholds import plugin

    thresholds = plugin.install(events)

and then

    locust --headless -u 50 -t 5m --threshold 'p95<50ms' --threshold 'errors<0.1%' \
           --threshold-file slo.txt --threshold-abort --threshold-junit thresholds.xml

The figures are those of Locust's own statistics (percentiles above 100 ms are rounded to two
digits, as Locust keeps them), in a distributed test those of the master, which judges alone. Two
may come from the locustfile: `thresholds.count("tps")` for each transaction that counts, where
`tps` is not simply every request without a failure; and `thresholds.tell("violations", 0)` by
whoever has checked, because Locust itself cannot know. A worker's counts are added up by the
master. The process ends with 0 when all thresholds passed, 1 when one failed, 3 when one is
unknown (nobody measured it), unless somebody has set an exit code already. Written in one place
for all users: `install` is called once, when the locustfile is imported.
"""

import argparse
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from locust.runners import WorkerRunner
from locust.stats import StatsEntry

from . import Result, Threshold, ThresholdError, Verdict, judge, junit, parse, parse_lines, table
from .judging import exit_code
from .shown import measured

LOG = logging.getLogger("locust.thresholds")
LOOK_EVERY_S = 1.0
GRACE_S = 10.0
COUNTED = "threshold_counts"
"""The key of a worker's counts in its report."""
FAILED, USAGE, UNKNOWN = 1, 2, 3
REASONS = {"violations": "nobody looked: an audit has to say so"}


class Thresholds:
    """What `install` returns: the thresholds of one process, and what only the locustfile knows."""

    def __init__(self) -> None:
        self.results: tuple[Result, ...] = ()
        """Of the last judgement."""
        self._thresholds: tuple[Threshold, ...] = ()
        self._environment: Any = None
        self._counts: Counter[str] = Counter()
        self._counted: set[str] = set()
        self._anybody_s = ""
        self._told: dict[str, float] = {}
        self._began = False
        self._looking: gevent.Greenlet | None = None

    def count(self, metric: str, by: int = 1) -> None:
        """One more of what `metric` (`tps`, `transfer.tps`) counts; judged as a rate a second."""
        self._counts[metric] += by

    def counts(self, *metrics: str) -> None:
        """These are counted, also where nothing came of it: 0 rather than Locust's own figure."""
        self._counted.update(metrics)

    def anybody_s(self, request: str) -> None:
        """Requests of this name might have been of any: their times count for every name."""
        self._anybody_s = request

    def tell(self, metric: str, value: float) -> None:
        """What Locust cannot know, as it is."""
        self._told[metric] = value

    def metrics(self) -> dict[str, float | None]:
        """What the thresholds need, as it is now."""
        return {
            threshold.key: self._told.get(threshold.key, self._measured(threshold))
            for threshold in self._thresholds
        }

    def judge(self) -> tuple[Result, ...]:
        self.results = judge(self._thresholds, self.metrics(), REASONS)
        return self.results

    def _measured(self, threshold: Threshold) -> float | None:
        stats = self._environment.stats
        entry = _entry(stats, threshold.request)
        lasted_s = _lasted_s(stats)
        if threshold.metric == "tps" and threshold.key in self._counted | set(self._counts):
            return self._counts[threshold.key] / lasted_s if lasted_s > 0 else 0.0
        if entry is None:
            return 0.0 if threshold.request is None and threshold.metric in _ZERO else None
        if threshold.is_time and threshold.request not in {None, self._anybody_s}:
            waited = _entry(stats, self._anybody_s)
            if waited is not None:
                entry.extend(waited)
        return _figure(entry, threshold, lasted_s)

    # What Locust calls. -------------------------------------------------------------------------

    def on_init(self, environment: Any, **_: Any) -> None:
        self._environment = environment
        options = environment.parsed_options
        try:
            self._thresholds = tuple(_given(options))
        except ThresholdError as error:
            sys.stderr.write(f"locust: error: {error}\n")
            raise SystemExit(USAGE) from error

    def on_test_start(self, environment: Any, **_: Any) -> None:
        self._began = True
        self._counts.clear()
        self._told.clear()
        if isinstance(environment.runner, WorkerRunner) or not self._thresholds:
            return
        if self._looking is not None:
            self._looking.kill(block=False)
        if environment.parsed_options.threshold_abort:
            self._looking = gevent.spawn(self._look, environment)

    def on_reset_stats(self, **_: Any) -> None:
        self._counts.clear()

    def on_spawning_complete(self, **_: Any) -> None:
        """`--reset-stats` forgets what was measured while users were still coming."""
        if self._environment.reset_stats:
            self._counts.clear()

    def on_report_to_master(self, data: dict[str, Any], **_: Any) -> None:
        data[COUNTED] = dict(self._counts)
        self._counts.clear()

    def on_worker_report(self, data: dict[str, Any], **_: Any) -> None:
        self._counts.update(data.get(COUNTED, {}))

    def on_quitting(self, environment: Any, **_: Any) -> None:
        """After the master has the last report of each worker."""
        if isinstance(environment.runner, WorkerRunner) or not (self._thresholds and self._began):
            return
        results = self.judge()
        code, already = exit_code(results), environment.process_exit_code
        if not already or (already == UNKNOWN and code == FAILED):
            environment.process_exit_code = code
        path = environment.parsed_options.threshold_junit
        if path:
            try:
                Path(path).write_text(junit(results), encoding="utf-8")
            except OSError as error:
                LOG.error("%s cannot be written: %s", path, error.strerror)  # noqa: TRY400
                environment.process_exit_code = environment.process_exit_code or USAGE

    def on_quit(self, **_: Any) -> None:
        """Below Locust's own tables."""
        if self.results:
            sys.stdout.write(f"\n{table(self.results)}\n")
            sys.stdout.flush()

    def _look(self, environment: Any) -> None:
        """End the test as soon as a threshold fails, after the time of grace."""
        grace_until_s = time.monotonic() + environment.parsed_options.threshold_grace_s
        while True:
            # A test that starts again is still said to be stopped.
            gevent.sleep(LOOK_EVERY_S)
            if environment.runner.state in ("stopping", "stopped", "cleanup"):
                return
            if time.monotonic() < grace_until_s:
                continue
            failed = [result for result in self.judge() if result.verdict is Verdict.FAILED]
            if failed:
                LOG.error(
                    "threshold %s failed: measured %s; the test ends here",
                    failed[0].threshold.text,
                    measured(failed[0]),
                )
                environment.process_exit_code = environment.process_exit_code or FAILED
                runner = environment.runner
                gevent.spawn(runner.quit if environment.parsed_options.headless else runner.stop)
                return


_ZERO = ("tps", "rps", "requests")
"""Where nobody asked, these are 0; everything else is not known."""


def install(events: Any) -> Thresholds:
    """Listen to Locust's events; call it once, when the locustfile is imported."""
    thresholds = Thresholds()
    events.init_command_line_parser.add_listener(_add_options)
    events.init.add_listener(thresholds.on_init)
    events.test_start.add_listener(thresholds.on_test_start)
    events.reset_stats.add_listener(thresholds.on_reset_stats)
    events.spawning_complete.add_listener(thresholds.on_spawning_complete)
    events.report_to_master.add_listener(thresholds.on_report_to_master)
    events.worker_report.add_listener(thresholds.on_worker_report)
    # Locust calls the listeners of `quitting` last first: the master's own comes before this.
    events.quitting.add_listener(thresholds.on_quitting)
    events.quit.add_listener(thresholds.on_quit)
    return thresholds


def _add_options(parser: Any, **_: Any) -> None:
    group = parser.add_argument_group("Threshold options")
    add = group.add_argument
    add(
        "--threshold",
        action="append",
        type=_threshold,
        metavar="<expression>",
        help="What must hold at the end, e.g. 'p95<50ms' or 'transfer.errors<0.1%%'; repeatable",
        env_var="LOCUST_THRESHOLD",
    )
    add(
        "--threshold-file",
        metavar="<filename>",
        help="More of them, one a line; # begins a comment",
        env_var="LOCUST_THRESHOLD_FILE",
    )
    add(
        "--threshold-abort",
        action="store_true",
        help="End the test as soon as one fails",
        env_var="LOCUST_THRESHOLD_ABORT",
    )
    add(
        "--threshold-grace-s",
        type=_seconds,
        default=GRACE_S,
        metavar="<seconds>",
        help="How long a test may fail its thresholds before it is ended",
        env_var="LOCUST_THRESHOLD_GRACE_S",
    )
    add(
        "--threshold-junit",
        metavar="<filename>",
        help="Write the results as JUnit XML",
        env_var="LOCUST_THRESHOLD_JUNIT",
    )


def _threshold(text: str) -> str:
    """Checked here, kept as text: options are sent to the workers."""
    try:
        parse(text)
    except ThresholdError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _given(options: Any) -> Iterator[Threshold]:
    """Raises ThresholdError."""
    for text in options.threshold or ():
        yield parse(text)
    if options.threshold_file:
        path = Path(options.threshold_file)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ThresholdError(f"{path} cannot be read: {error}") from error
        yield from parse_lines(text, str(path))


def _lasted_s(stats: Any) -> float:
    """From the first answer to the last: users that still come have asked nothing yet.

    Locust keeps the second of each answer; that of the first is at most one too early.
    """
    first_s = min(stats.total.num_reqs_per_sec, default=0)
    return float((stats.last_request_timestamp or 0) - max(stats.start_time or 0, first_s))


def _entry(stats: Any, request: str | None) -> StatsEntry | None:
    """All requests together, or those of a name whatever their method; None without any."""
    if request is None:
        return stats.total if stats.total.num_requests or stats.total.num_failures else None
    found = [entry for (name, _), entry in stats.entries.items() if name == request]
    found = [entry for entry in found if entry.num_requests or entry.num_failures]
    if not found:
        return None
    whole = StatsEntry(stats, request, "")
    whole.start_time = found[0].start_time
    for entry in found:
        whole.extend(entry)
    return whole


def _figure(entry: StatsEntry, threshold: Threshold, lasted_s: float) -> float | None:
    percentile = threshold.percentile
    if percentile is not None:
        return float(entry.get_response_time_percentile(percentile))
    answered = max(0, entry.num_requests - entry.num_failures)
    figures: dict[str, float | None] = {
        "tps": answered / lasted_s if lasted_s > 0 else 0.0,
        "rps": entry.num_requests / lasted_s if lasted_s > 0 else 0.0,
        "requests": float(entry.num_requests),
        "errors": entry.fail_ratio,
        "min": entry.min_response_time,
        "avg": entry.avg_response_time,
        "max": entry.max_response_time,
    }
    return figures.get(threshold.metric)
