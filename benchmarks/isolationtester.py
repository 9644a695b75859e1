"""PostgreSQL's own isolationtester: where it is, and running a spec of two equal sessions with it.

Its specs are described in src/test/isolation/README of PostgreSQL's source.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.stores import StoreError
from engine.stores.postgres_binaries import find_binaries

ISOLATIONTESTER = Path("pgxs", "src", "test", "isolation", "isolationtester")
ILLEGAL_WAITS_S = 2
"""isolationtester gives an illegal permutation up after this; by default after six minutes."""
GIVEN_UP_S = {"PG_TEST_TIMEOUT_DEFAULT": str(ILLEGAL_WAITS_S // 2), "PGISOLATIONTIMEOUT": "2"}
"""It waits twice the first (PostgreSQL 16 and later) or the second (up to 15), in seconds."""
TESTER_BOUND_S = 120.0
Order = tuple[int, ...]
"""Which session goes next, 0 or 1, at each step."""


def isolationtesters() -> Mapping[str, Path]:
    """By name, the embedded PostgreSQL's own first."""
    found: dict[str, Path] = {}
    for version in ("18", "16"):
        try:
            binaries = find_binaries(version)
        except StoreError:
            continue
        places = (binaries.bin.parent / "lib" / "postgresql" / ISOLATIONTESTER,)
        found |= {f"{binaries.version}, wheel": p for p in places if os.access(p, os.X_OK)}
    if pg_config := shutil.which("pg_config"):
        said = subprocess.run([pg_config, "--pgxs"], capture_output=True, text=True, check=False)
        path = Path(said.stdout.strip()).parents[2] / ISOLATIONTESTER if said.stdout else None
        if path and os.access(path, os.X_OK):
            found["pg_config's"] = path
    debian = Path("/usr/lib/postgresql")
    for path in sorted(debian.glob(f"*/lib/{ISOLATIONTESTER}")):
        if path not in found.values():
            found[f"{path.relative_to(debian).parts[0]}, Debian"] = path
    return found


def spec_of(beginning: str, steps: Sequence[str], orders: Sequence[Order]) -> str:
    """Without permutations isolationtester makes up all of them, legal or not."""
    # As the explorer's checkpoint, which need not wait for the disk either.
    parts = [f"setup {{ SET synchronous_commit = off; {beginning} }}"]
    for session in "ab":
        parts.append(f'session "{session}"\nsetup {{ BEGIN; }}')
        parts += [f'step "{session}{n}" {{ {sql}; }}' for n, sql in enumerate(steps)]
    for order in orders:
        count = [0, 0]
        words = []
        for racer in order:
            words.append(f'"{"ab"[racer]}{count[racer]}"')
            count[racer] += 1
        parts.append(f"permutation {' '.join(words)}")
    return "\n".join(parts) + "\n"


def run_spec(
    tester: Path, url: str, beginning: str, steps: Sequence[str], orders: Sequence[Order]
) -> tuple[float, int]:
    """Seconds (with orders: from the first permutation on), and how many permutations it ran."""
    environment = {**os.environ, **GIVEN_UP_S}
    with tempfile.TemporaryFile("w+") as spec:
        spec.write(spec_of(beginning, steps, orders))
        spec.seek(0)
        began_s, ran = time.monotonic(), 0
        with subprocess.Popen(
            [tester, url], stdin=spec, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None, "it was asked for"
            bound = threading.Timer(TESTER_BOUND_S, process.kill)
            bound.start()
            for line in process.stdout:
                if line.startswith("starting permutation"):
                    if not ran and orders:
                        began_s = time.monotonic()
                    ran += 1
            bound.cancel()
        took_s = time.monotonic() - began_s
    if process.returncode or (orders and ran != len(orders)):
        raise RuntimeError(
            f"{tester.name} ended with {process.returncode} after {ran} permutations"
        )
    return took_s, ran
