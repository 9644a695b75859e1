"""How fast is the explorer? Over HTTP, with plain SQL sessions, and beside isolationtester.

    python -m benchmarks.explorer            (some minutes; --quick for one)
    python -m benchmarks.explorer --profile  (where the time of one schedule over HTTP goes)

Everything runs on one embedded PostgreSQL. What is compared is run in turn, again and again; each
row gives the median and the least and most of the repetitions, ratios are taken within one.
isolationtester is PostgreSQL's own tool for this: it forces the permutations of a spec file. It
gets the same SQL and the same permutations, and a row to put back instead of a table to make.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping

from benchmarks.explorer_http import over_http, profile_http, replays, small_service, workers
from benchmarks.explorer_sql import beside_isolationtester, overhead, plain_sql, profile_sql
from benchmarks.figures import FULL, QUICK, Wanted
from scenarios.stand import Stand, open_stand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions of everything")
    parser.add_argument("--profile", action="store_true", help="only where a schedule's time goes")
    parser.add_argument("--only", choices=tuple(SECTIONS), action="append", help="some sections")
    given = parser.parse_args()
    wanted = QUICK if given.quick else FULL
    with open_stand("embedded") as stand:
        print_machine(stand, wanted)
        if given.profile:
            profile_sql(stand, wanted)
            profile_http(stand, wanted)
            return
        for name in given.only or SECTIONS:
            SECTIONS[name](stand, wanted)
            print()
            sys.stdout.flush()


def print_machine(stand: Stand, wanted: Wanted) -> None:
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()},"
        f" Python {platform.python_version()}, PostgreSQL {stand.postgres.version} (embedded,"
        f" deadlock_timeout 1 ms); load {load:.1f} at the beginning."
    )
    print(f"Medians of {wanted.repetitions} repetitions (least to most).")
    print()


Section = Callable[[Stand, Wanted], None]
SECTIONS: Mapping[str, Section] = {
    "http": over_http,
    "service": small_service,
    "sql": plain_sql,
    "isolationtester": beside_isolationtester,
    "replay": replays,
    "workers": workers,
    "proxy": overhead,
}


if __name__ == "__main__":
    main()
