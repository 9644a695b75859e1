"""Which functions a statement may call without touching what other sessions see.

Only built-ins can be known; whatever a user defined is unknown, also when it is called immutable:
PostgreSQL does not check that.
"""

from typing import Literal

Purity = Literal["pure", "advisory", "sequence", "outside", "measurable", "unknown"]
"""measurable: a user's function, where locks show all that users' functions do. A call of it is
unknown all the same, but it cannot have taken an advisory lock in secret."""

HARMLESS_VOLATILE = frozenset({
    "clock_timestamp", "currval", "gen_random_uuid", "lastval", "pg_backend_pid", "pg_sleep",
    "pg_sleep_for", "pg_sleep_until", "random", "random_normal", "set_config", "setseed",
    "timeofday", "uuidv4", "uuidv7",
    # From the extensions uuid-ossp and pgcrypto.
    "gen_random_bytes", "gen_salt", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4",
})  # fmt: skip
"""Volatile, but what they change is seen by their own session only."""

TELLING = (
    "cursor_to_xml", "database_to_xml", "pg_current_snapshot", "pg_stat", "query_to_xml",
    "schema_to_xml", "table_to_xml", "txid_current_snapshot", "pg_get_wal", "pg_last_", "lo_get",
    "pg_export_snapshot", "pg_xact_status", "txid_status",
)  # fmt: skip
"""Beginnings of built-ins that say what other sessions do, though they are called stable."""

HARMLESS_BUILTINS = frozenset({
    "current_database", "current_schema", "current_schemas", "current_setting", "inet_client_addr",
    "inet_server_addr", "now", "pg_backend_pid", "pg_client_encoding", "pg_is_in_recovery",
    "pg_postmaster_start_time", "statement_timestamp", "transaction_timestamp", "version",
})  # fmt: skip
"""What drivers and pools ask when they connect and ping."""


def is_harmless_builtin(name: str) -> bool:
    """Known without asking the server."""
    return name.removeprefix("pg_catalog.") in HARMLESS_BUILTINS


def builtin_purity(name: str, *, volatile: bool) -> Purity:
    """Of a function of pg_catalog, or of an extension that PostgreSQL brings."""
    if name.startswith(("pg_advisory_", "pg_try_advisory_")):
        return "advisory"
    if name in ("nextval", "setval"):
        return "sequence"
    if name == "pg_notify":
        return "outside"
    if name in HARMLESS_VOLATILE:
        return "pure"
    if volatile or name.startswith(TELLING):
        return "unknown"
    return "pure"
