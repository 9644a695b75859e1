"""The price list that is kept in docs/, written by `assay price --write`."""

from pathlib import Path

from reports.price import PriceError, PriceList, read_price_list
from reports.quiet import BUSY

DOCS = Path(__file__).parents[2] / "docs"
COMMITTED = DOCS / "price-list.json"
COMMITTED_PAGE = DOCS / "price-list.md"


def committed() -> PriceList | None:
    """None where none was kept, or nobody can read it any more."""
    try:
        return read_price_list(COMMITTED.read_text())
    except (OSError, PriceError):
        return None


def prices_of(switch: str, found: PriceList | None) -> list[str]:
    """What a switch costs in sentences, with the machine that it was measured on."""
    if found is None:
        return []
    told = [price.words for price in found.prices if price.switch == switch]
    if reason := found.not_priced.get(switch):
        return [f"not priced: {reason}"]
    machine = found.machine
    where = (
        f"measured {found.began[:10]} on {machine.cores} cores ({machine.processor}), PostgreSQL "
        f"{machine.postgres}, {found.clients} clients, load before {machine.load_before:.1f}"
    )
    busy = f", {BUSY}" if machine.busy else ""
    return [*told, where + busy] if told else []
