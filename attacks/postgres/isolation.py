"""Follows the isolation level of one session: its defaults, and that of the open transaction.

Where it cannot be sure it takes the stronger level: that only adds dependences.
"""

import re
from collections.abc import Mapping

from attacks.postgres.grammar import Parsed
from attacks.postgres.relations import Isolation, as_isolation, strongest

SETTING = "default_transaction_isolation"
WORD = re.compile(r"(?:\\.|\S)+")
"""A backslash takes the next character in: pg_split_opts in src/backend/utils/init/postinit.c."""


class SessionIsolation:
    """`default_isolation`: what the server gives to a session that sets nothing."""

    def __init__(self, default_isolation: str) -> None:
        self._server_default = as_isolation(default_isolation)
        self._default = self._server_default
        self._next_default: Isolation | None = None
        self.level = self._default
        """Of the open transaction, or of the one that would begin now."""
        self._announced: Isolation = "read committed"

    @property
    def level_at_most(self) -> Isolation:
        """With what is on its way to the server and not answered yet."""
        return _stronger(self.level, self._announced)

    def announce(self, parsed: Parsed) -> None:
        """The statement has arrived and may be forwarded before `follow` is called."""
        if parsed.isolation is not None:
            self._announced = _stronger(self._announced, parsed.isolation)

    def follow(self, parsed: Parsed, *, succeeded: bool, in_transaction: bool) -> None:
        """Take over what the statement sets."""
        if parsed.isolation is None:
            return
        self._announced = "read committed"
        is_default = parsed.isolation == "default"
        level = self._server_default if is_default else as_isolation(parsed.isolation)
        alone = succeeded and parsed.kind in ("begin", "set", "discard")
        if parsed.isolation_of_session and in_transaction:
            # A rollback takes it back; and this transaction keeps its own.
            self._next_default = level
        elif parsed.isolation_of_session:
            self._default = level if alone else _stronger(self._default, level)
        if not alone:
            self.level = _stronger(self.level, level)
        elif not (parsed.isolation_of_session and in_transaction):
            self.level = level

    def prove_serializable(self) -> None:
        """Only such a transaction takes SIRead locks."""
        self.level = "serializable"

    def transaction_over(self, *, committed: bool, chained: bool) -> None:
        """The next one begins; a chained one inherits the level."""
        if committed and self._next_default is not None:
            self._default = self._next_default
        self._next_default = None
        self.level = _stronger(self.level, self._default) if chained else self._default


def isolation_of_start(settings: Mapping[str, str], default: str) -> str:
    """The default of a session whose start-up message has these settings.

    They come alone or inside `options`, as in `-c default_transaction_isolation=serializable`.
    """
    for word in reversed(WORD.findall(settings.get("options", ""))):
        name, _, value = word.removeprefix("-c").removeprefix("--").partition("=")
        if name.replace("-", "_").lower() == SETTING:
            return as_isolation(value.replace("\\", ""))
    return as_isolation(settings[SETTING]) if SETTING in settings else as_isolation(default)


def _stronger(one: str, other: str) -> Isolation:
    return as_isolation(strongest(one, other))
