"""Entity tags: what a client has read, and whether it is still that (RFC 9110, 8.8 and 13.1)."""

import re
from typing import Annotated

from fastapi import Header

from engine.wallets import WalletState

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=500,
        description="The ETag of the wallet as it was read: 412 when it has changed since.",
    ),
]
TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


def wallet_tag(wallet: WalletState) -> str:
    """Its version; the status of a wallet that is not active is no part of that, and is added."""
    added = "" if wallet.status == "active" else f"-{wallet.status}"
    return f'"{wallet.version}{added}"'


def matches(if_match: str | None, tag: str) -> bool:
    """Whether a request with this header may go on. A weak tag is never good enough."""
    return if_match is None or if_match.strip() == "*" or tag in TAG.findall(if_match)
