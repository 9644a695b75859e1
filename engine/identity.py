"""Who asks, and what they may do (`authentication`, `authorization`)."""

import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt

from engine.defences import Defences
from engine.refusals import FORBIDDEN, UNAUTHENTICATED, Refused
from engine.settings import Settings
from engine.signing_keys import SigningKeys, kid_of, signing_keys
from engine.wallets import Movement, WalletState

ALGORITHM = "HS256"
ISSUER = "assay-engine"
AUDIENCE = "assay-wallet"
REQUIRED_CLAIMS = ["exp", "iat", "sub", "iss", "aud", "jti"]
PAID_OUT_BY_KIND = {
    "WITHDRAWAL": 1, "DEPOSIT": -1, "TRANSFER": 0, "SPEND": 1, "TOP_UP": -1, "BONUS": -1, "HOLD": 0
}  # fmt: skip
"""Of what users name themselves: how often its amount counts as paid out by the caller."""
NO_TOKEN = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What reading a token may raise: it comes from anybody, nested as deep as they like."""
WEAK_SECRET = "secret"  # noqa: S105 - the fragile value: what a tutorial leaves in the code
WEAK_KEYS = SigningKeys(kid=kid_of(WEAK_SECRET), secrets={kid_of(WEAK_SECRET): WEAK_SECRET})
JTI = re.compile(r"[\w-]{1,64}", re.ASCII)
MOST_VERIFIED = 10_000
"""Tokens that are remembered as verified: a few megabytes."""
LATEST_EXPIRY_S = 2**35
"""Far from now, and still a date."""


@dataclass(frozen=True, kw_only=True)
class TokenId:
    """One token among all, and when it ends anyway (Unix time)."""

    jti: str
    expires_s: float


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Whoever sent a request. Where nobody is asked for a name, `user_id` is None."""

    user_id: int | None
    role: str
    token: TokenId | None = None
    """What proved it, where that can be revoked."""

    @property
    def name(self) -> str:
        return "anonymous" if self.user_id is None else str(self.user_id)


ANONYMOUS = Principal(user_id=None, role="anonymous")
Authenticate = Callable[[str | None], Principal]
"""Reads the Authorization header. Raises Refused (401)."""


class Tokens:
    """Issues tokens and reads them back."""

    def __init__(self, settings: Settings, defences: Defences) -> None:
        kind = defences.authentication
        self.revocable = kind == "jwt"
        """Whether a log-out is heeded."""
        self._keys = signing_keys(settings) if self.revocable else WEAK_KEYS
        self._lifetime_s = settings.jwt_lifetime_s
        self._verified: dict[str, Principal] = {}
        """By the header that they came in."""
        self.authenticate: Authenticate = {
            "none": lambda _: ANONYMOUS,
            "weak": self._believe,
            "jwt": self._verify,
        }[kind]

    def issue(self, user_id: int, role: str) -> str:
        now_s = int(time.time())
        claims = {
            "sub": str(user_id),
            "role": role,
            "iat": now_s,
            "exp": now_s + self._lifetime_s,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": uuid.uuid4().hex,
        }
        keys = self._keys
        return jwt.encode(claims, keys.signing, algorithm=ALGORITHM, headers={"kid": keys.kid})

    def _verify(self, header: str | None) -> Principal:
        """A token that was verified before is good until it expires: its signature stays right."""
        known = self._verified.get(header or "")
        if known is not None and known.token is not None and time.time() < known.token.expires_s:
            return known
        principal = self._verify_anew(header)
        if len(self._verified) >= MOST_VERIFIED:
            self._verified.clear()
        self._verified[header or ""] = principal
        return principal

    def _verify_anew(self, header: str | None) -> Principal:
        token = _bearer(header)
        try:
            claims = jwt.decode(
                token,
                self._secret_of(token),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": REQUIRED_CLAIMS},
            )
        except NO_TOKEN as error:
            raise Refused(UNAUTHENTICATED, "the token is not valid or has expired") from error
        jti, expires_s = claims["jti"], float(claims["exp"])
        if not (isinstance(jti, str) and JTI.fullmatch(jti) and expires_s < LATEST_EXPIRY_S):
            raise Refused(UNAUTHENTICATED, "the token is not one of ours")
        return replace(_principal(claims), token=TokenId(jti=jti, expires_s=expires_s))

    def _secret_of(self, token: str) -> str:
        """Of the key that the token names. Raises what NO_TOKEN lists."""
        kid = str(jwt.get_unverified_header(token).get("kid"))
        if kid not in self._keys.secrets:
            raise jwt.InvalidTokenError("no key of ours")
        return self._keys.secrets[kid]

    def _believe(self, header: str | None) -> Principal:
        try:
            claims = jwt.decode(_bearer(header), options={"verify_signature": False})
        except NO_TOKEN as error:
            raise Refused(UNAUTHENTICATED, "the token cannot be read") from error
        return _principal(claims)


def _bearer(header: str | None) -> str:
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(UNAUTHENTICATED, "send Authorization: Bearer <token>")
    return token.strip()


def _principal(claims: Mapping[str, Any]) -> Principal:
    subject = str(claims.get("sub", ""))
    if not (subject.isascii() and subject.isdigit() and len(subject) < 19):
        raise Refused(UNAUTHENTICATED, "the token names no user")
    return Principal(user_id=int(subject), role=str(claims.get("role", "user")))


class Permissions:
    """`owner` compares the payer's wallet with the token; `trust_body` believes the request."""

    def __init__(self, defences: Defences) -> None:
        self._asks = defences.authorization == "owner"

    def to_move(
        self,
        principal: Principal,
        movements: Sequence[Movement],
        wallets: Mapping[int, WalletState],
    ) -> None:
        """Paying out takes the wallet's owner; paying in, unless from a wallet of one's own in the
        same request, takes the operator. Raises Refused (403)."""
        if not self._applies_to(principal):
            return
        paid_out: defaultdict[str | int | None, int | float] = defaultdict(int)
        for movement in movements:
            if movement.kind not in PAID_OUT_BY_KIND:
                continue  # It settles what was recorded before: `to_settle` was asked.
            payer = wallets.get(movement.from_wallet_id or 0)
            # A wallet that does not exist is nobody's: ids cannot be probed.
            if movement.from_wallet_id and (payer is None or payer.user_id != principal.user_id):
                raise Refused(FORBIDDEN, f"wallet {movement.from_wallet_id} is not yours")
            # Counted by asset: gold paid out is no reason to pay dollars in.
            inside = payer or wallets.get(movement.to_wallet_id or 0)
            asset = movement.asset or (inside.asset_type_id if inside else None)
            paid_out[asset] += PAID_OUT_BY_KIND[movement.kind] * movement.amount
            if paid_out[asset] < 0 and principal.role != "operator":
                raise Refused(FORBIDDEN, "deposits take the operator's role")

    def to_settle(self, principal: Principal, payee_user_id: int | None) -> None:
        """What was paid or set aside is the payee's to give back or to take, and an operator's.

        Raises Refused (403), also to all but operators for what does not exist (None).
        """
        self.to_see(principal, payee_user_id)

    def to_see(self, principal: Principal, user_id: int | None) -> None:
        """A user's things are for that user and for operators; None is what does not exist."""
        if not self.sees(principal, user_id):
            raise Refused(FORBIDDEN, "that belongs to somebody else")

    def sees(self, principal: Principal, user_id: int | None) -> bool:
        """Whether `to_see` lets them."""
        mine = principal.user_id == user_id or principal.role == "operator"
        return mine or not self._applies_to(principal)

    def to_act_for(self, principal: Principal, user_id: int | None) -> None:
        """What a user set up is set going by that user only; None is what does not exist."""
        if self._applies_to(principal) and principal.user_id != user_id:
            raise Refused(FORBIDDEN, "that belongs to somebody else")

    def to_operate(self, principal: Principal) -> None:
        if self._applies_to(principal) and principal.role != "operator":
            raise Refused(FORBIDDEN, "that takes the operator's role")

    def owner_for(self, principal: Principal, named_user_id: int | None) -> int | None:
        """For whom a wallet is opened: oneself, or as an operator (or unasked) for anybody."""
        if not self._applies_to(principal) or principal.role == "operator":
            return named_user_id if named_user_id is not None else principal.user_id
        if named_user_id not in (None, principal.user_id):
            raise Refused(FORBIDDEN, "a wallet can be opened for oneself only", field="user_id")
        return principal.user_id

    def _applies_to(self, principal: Principal) -> bool:
        # Where nobody has to say who they are there is nobody to compare an owner with.
        return self._asks and principal.user_id is not None
