"""Who pays a batch out: a lease with a token, which every row's database transaction insists on.

The token fences (Kleppmann, "How to do distributed locking", 2016): whoever lost the lease can pay
no further row, whatever the clocks say. So a lease may be taken over early, and is: by the engine
that comes back at the same place as the one that died.
"""

import threading
from uuid import UUID, uuid4

LEASE_S = 30
"""How long a lease holds after its last row."""


class Leases:
    """The leases of one engine process; `holder` names its place: host and port."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self._lock = threading.Lock()
        self._alive: set[UUID] = set()

    def new_token(self) -> UUID:
        token = uuid4()
        with self._lock:
            self._alive.add(token)
        return token

    def forget(self, token: UUID) -> None:
        with self._lock:
            self._alive.discard(token)

    def is_dead(self, token: UUID | None, holder: str | None) -> bool:
        """A lease of this place that nobody here works under: of a process before this one, or of
        an execution that broke off."""
        with self._lock:
            return holder == self.holder and token not in self._alive
