"""What a judge by SQL found: how much, and the first of it in words."""

from dataclasses import dataclass

from scenarios.scale.store import Store


@dataclass(frozen=True, kw_only=True)
class Found:
    """Nothing, or a contradiction."""

    count: int = 0
    first: str = ""
    """The cause in one sentence, as the small judge has it."""

    def __bool__(self) -> bool:
        return self.count > 0


def wallet_names(store: Store, *numbers: int | None) -> dict[int | None, str | None]:
    """What wallets are called outside; None stays None."""
    marks = ", ".join("?" for _ in numbers)
    names: dict[int | None, str | None] = dict(
        store.rows(f"SELECT number, wallet FROM wallets WHERE number IN ({marks})", *numbers)
    )
    return names | {None: None}
