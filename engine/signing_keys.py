"""The secrets that tokens are signed with: the newest signs, the ones before it still verify.

To rotate: put the old secret into JWT_PREVIOUS_SECRETS and a new one into JWT_SECRET, and take the
old one away when the last token that it signed has expired.
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
    """Of the newest; every token names its key."""
    secrets: Mapping[str, str] = field(repr=False)
    """By kid."""

    @property
    def newest(self) -> str:
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
    # The newest last: it stays when it is among the old ones, too.
    secrets = {kid_of(secret): secret for _, secret in reversed(named)}
    return SigningKeys(kid=kid_of(settings.jwt_secret), secrets=secrets)


def kid_of(secret: str) -> str:
    """A name for the secret that tells nothing of it."""
    return hashlib.sha256(f"assay-kid {secret}".encode()).hexdigest()[:16]
