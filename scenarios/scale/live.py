"""Invariants so far."""


class LiveAudit:
    pass


class SoFar:
    pass
