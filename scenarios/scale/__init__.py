"""The judge at scale: histories and ground truth as Parquet, judged by SQL in this process.

`archive` turns the histories of a run and the database behind it into Parquet, `audit_archive`
judges that with the claims of `scenarios.audit`, and `LiveAudit` looks while a load is under way.
"""

from scenarios.scale.archive import archive
from scenarios.scale.judge import audit_archive
from scenarios.scale.live import LiveAudit, SoFar
from scenarios.scale.store import ArchiveError

__all__ = ["ArchiveError", "LiveAudit", "SoFar", "archive", "audit_archive"]
