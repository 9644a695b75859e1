"""URLs of PostgreSQL servers."""

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from engine.stores.model import StoreError
from engine.stores.ports import LOOPBACK

ABOUT_THE_WAY = re.compile("host|hostaddr|port|ssl.*|gssencmode|channel_binding")


def parse_postgres(text: str) -> SplitResult:
    """The parts of a libpq URL; the driver of an SQLAlchemy URL is left out.

    Raises StoreError when it is not the URL of a PostgreSQL server.
    """
    plain = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", text)
    try:
        parts = urlsplit(plain)
        readable = parts.scheme in {"postgresql", "postgres"} and parts.port != 0
    except ValueError:
        readable = False
    if not readable:
        raise StoreError(
            "ASSAY_POSTGRES_URL cannot be read as a URL; "
            "write postgresql://user:password@host:5432/database"
        )
    return parts


def with_database(url: str, database: str, *, proxy_port: int | None = None) -> str:
    """The same server and user, another database.

    With `proxy_port` it is reached through a proxy on the loopback interface, which is not
    encrypted; how the proxy reaches the server is the proxy's affair.
    """
    parts = urlsplit(url)
    address, options = parts.netloc, parts.query
    if proxy_port is not None:
        user, at, _ = parts.netloc.rpartition("@")
        address = f"{user}{at}{LOOPBACK}:{proxy_port}"
        kept = [(k, v) for k, v in parse_qsl(options) if not ABOUT_THE_WAY.fullmatch(k)]
        options = urlencode(kept)
    return urlunsplit((parts.scheme, address, f"/{database}", options, ""))


def without_password(url: str) -> str:
    """For people to read."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, f"{user.split(':')[0]}{at}{host}", parts.path, "", ""))
