"""Tokens that nobody issued, or that are good no more, made out of the claims of a good one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt

from scenarios.targets.access import Access, Forge

OTHER_SECRET = "another secret, and also of 32 bytes or more"  # noqa: S105 - the forger's
PUBLIC_KEY = f"-----BEGIN PUBLIC KEY-----\n{'MIIB' * 16}\n-----END PUBLIC KEY-----\n"
HOUR_S = 3600


def claims_of(token: str | None) -> dict[str, Any]:
    """The claims of a good token, and the key that it names; where there is none, made up."""
    if token is None:
        now_s = int(time.time())
        return {"sub": "1", "role": "user", "iat": now_s, "exp": now_s + HOUR_S, "kid": "none"}
    claims = jwt.decode(token, options={"verify_signature": False})
    return {**claims, "kid": str(jwt.get_unverified_header(token).get("kid", ""))}


def _changed(**changes: Any) -> Forge:
    """Signed by the service's own secret: only the claims are wrong. None takes a claim away."""

    def forge(access: Access, claims: Mapping[str, Any]) -> str:
        new = {**claims, **changes}
        return access.sign({name: value for name, value in new.items() if value is not None})

    return forge


def _aged(**offsets_s: int) -> Forge:
    def forge(access: Access, claims: Mapping[str, Any]) -> str:
        now_s = int(time.time())
        return access.sign({**claims, **{name: now_s + o for name, o in offsets_s.items()}})

    return forge


def _unsigned(algorithm: str) -> Forge:
    def forge(_: Access, claims: Mapping[str, Any]) -> str:
        header = {"alg": algorithm, "typ": "JWT", "kid": claims["kid"]}
        return f"{_part(header)}.{_part(_payload(claims))}."

    return forge


def _signed(secret: str) -> Forge:
    return lambda access, claims: access.sign(claims, secret)


def _by_own_rsa_key(_: Access, claims: Mapping[str, Any]) -> str:
    """RS256: the header brings the forger's own key along (RFC 8725, 2.1 and 3.1)."""
    jwk = {"kty": "RSA", "e": "AQAB", "n": _encoded(b"\xc5" * 256)}
    header = {"alg": "RS256", "typ": "JWT", "kid": claims["kid"], "jwk": jwk}
    return f"{_part(header)}.{_part(_payload(claims))}.{_encoded(bytes(256))}"


def _by_public_key(_: Access, claims: Mapping[str, Any]) -> str:
    """HS256 with a public key's text for a secret: confuses those who trust the header.

    By hand: PyJWT does not sign with such a text.
    """
    header = {"alg": "HS256", "typ": "JWT", "kid": claims["kid"]}
    text = f"{_part(header)}.{_part(_payload(claims))}"
    digest = hmac.digest(PUBLIC_KEY.encode(), text.encode(), hashlib.sha256)
    return f"{text}.{_encoded(digest)}"


def _payload(claims: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name != "kid"}


def _part(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


FORGED: Mapping[str, Forge] = {
    "alg none": _unsigned("none"),
    "alg nOnE": _unsigned("nOnE"),
    "without a signature": _unsigned("HS256"),
    "another secret": _signed(OTHER_SECRET),
    "a tutorial's secret": _signed("secret"),
    "its own RSA key": _by_own_rsa_key,
    "a public key as secret": _by_public_key,
    "expired": _aged(iat=-2 * HOUR_S, exp=-HOUR_S),
    "not yet valid": _aged(nbf=HOUR_S),
    "issued in the future": _aged(iat=HOUR_S),
    "no exp": _changed(exp=None),
    "no sub": _changed(sub=None),
    "another audience": _changed(aud="somebody-else"),
    "another issuer": _changed(iss="somebody-else"),
    "an unknown key": _changed(kid="of-nobody"),
    "garbage": lambda _, __: "not.a.token",
}
