"""A whole price list, written after each price, so that an interrupted run keeps what it saw."""

import os
import platform
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reports.price import Machine, Price, PriceList
from reports.price_markdown import render_price_markdown
from reports.price_page import render_price_page
from scenarios.evidence import commit_here
from scenarios.pricing.locking import compare_locking
from scenarios.pricing.measuring import measure
from scenarios.pricing.subjects import NOT_PRICED, Subject
from scenarios.pricing.turns import Pace
from scenarios.stand import Stand, open_stand

CPU_FACTS = Path("/proc/cpuinfo")
DOCUMENT, PAGE, MARKDOWN = "price.json", "price.html", "price.md"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for."""

    command: str
    subjects: tuple[Subject, ...]
    locking: bool
    pace: Pace
    stores: str
    out: Path


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Told what is going on."""

    began: Callable[[str], None]
    priced: Callable[[Price], None]
    interrupted: Callable[[Path, int], None]
    """Told the folder and how many prices are kept in it."""


def make_list(wanted: Wanted, watcher: Watcher) -> tuple[Path, PriceList]:
    """The run's folder and the list in it. Raises StoreError, WorkspaceError, MigrationError."""
    began = datetime.now(UTC)
    name = f"{began:%Y-%m-%dT%H-%M-%S}Z-price-{secrets.token_hex(2)}"
    folder = wanted.out / name
    folder.mkdir(parents=True)
    began_s = time.monotonic()
    with open_stand(wanted.stores) as stand:
        found = PriceList(
            command=wanted.command,
            began=began.isoformat(timespec="seconds"),
            lasted_s=0.0,
            commit=commit_here(),
            machine=machine_of(stand),
            stores=stand.postgres.choice.kind,
            clients=wanted.pace.clients,
            pairs=wanted.pace.pairs,
            slot_s=wanted.pace.slot_s,
            seed=wanted.pace.seed,
            prices=(),
            not_priced=dict(NOT_PRICED),
            status="running",
        )
        try:
            for subject in wanted.subjects:
                watcher.began(subject.name)
                price = measure(stand, subject, wanted.pace)
                watcher.priced(price)
                found = _with(found, began_s, prices=(*found.prices, price))
                write(folder, found)
            if wanted.locking:
                locking = compare_locking(stand, wanted.pace, watcher.began)
                found = _with(found, began_s, locking=locking)
        except BaseException:
            # Ctrl-C in the middle of a migration arrives as an error of the database.
            if found.prices:
                write(folder, _with(found, began_s, status="interrupted"))
            watcher.interrupted(folder, len(found.prices))
            raise
        found = _with(found, began_s, status="complete")
    write(folder, found)
    return folder, found


def _with(found: PriceList, began_s: float, **more: object) -> PriceList:
    return found.model_copy(update={**more, "lasted_s": round(time.monotonic() - began_s, 1)})


def write(folder: Path, found: PriceList) -> None:
    """The document and what is drawn from it."""
    (folder / DOCUMENT).write_text(found.model_dump_json(indent=2) + "\n")
    (folder / PAGE).write_text(render_price_page(found))
    (folder / MARKDOWN).write_text(render_price_markdown(found))


def machine_of(stand: Stand) -> Machine:
    return Machine(
        cores=os.cpu_count() or 1,
        processor=processor(),
        python=platform.python_version(),
        postgres=stand.postgres.version,
        redis=stand.redis.version,
        load_before=os.getloadavg()[0],
    )


def processor() -> str:
    """Its name where the system tells it, else its architecture."""
    try:
        lines = CPU_FACTS.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
