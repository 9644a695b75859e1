"""The secrets that tokens are signed with: one signs, the others only verify.

To rotate without a break, restart every process three times, and begin a step only when the one
before has reached them all, because a token may come to any of them:

1. Add the new secret to JWT_PREVIOUS_SECRETS: everybody verifies it, nobody signs with it yet.
2. Swap: the new one into JWT_SECRET, the old one into JWT_PREVIOUS_SECRETS.
3. Take the old one away when the last token that it signed has expired.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.defences import DefenceError
from engine.settings import Settings

SHORTEST_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class SigningKeys:
    kid: str
    """Of the one that signs; every token names its key."""
    secrets: Mapping[str, str] = field(repr=False)
    """By kid."""

    @property
    def signing(self) -> str:
        return self.secrets[self.kid]


def signing_keys(settings: Settings) -> SigningKeys:
    """Raises DefenceError when one of the secrets is too short."""
    named = [("JWT_SECRET", settings.jwt_secret)]
    named += [("JWT_PREVIOUS_SECRETS", secret) for secret in settings.jwt_previous_secrets]
    for name, secret in named:
        length = len(secret.encode())
        if length < SHORTEST_SECRET_BYTES:
            raise DefenceError(
                f"{name} has {length} bytes; authentication=jwt needs at least "
                f"{SHORTEST_SECRET_BYTES}: use a long random value"
            )
    # The one that signs last: it stays when it is among the others, too.
    secrets = {kid_of(secret): secret for _, secret in reversed(named)}
    return SigningKeys(kid=kid_of(settings.jwt_secret), secrets=secrets)


def kid_of(secret: str) -> str:
    """A name for the secret that tells nothing of it."""
    return hashlib.sha256(f"assay-kid {secret}".encode()).hexdigest()[:16]
