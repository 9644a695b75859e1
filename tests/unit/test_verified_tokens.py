"""A token that was verified once is not verified again, and is good for no longer than before."""

from collections.abc import Iterator
from unittest.mock import patch

import jwt
import pytest

from engine import identity
from engine.defences import parse_build
from engine.identity import Tokens
from engine.refusals import Refused
from engine.settings import Settings

LIFETIME_S = 60


@pytest.fixture
def tokens() -> Tokens:
    settings = Settings.model_construct(
        jwt_secret="only for tests, and 32 bytes long", jwt_lifetime_s=LIFETIME_S
    )
    return Tokens(settings, parse_build("hardened").defences)


@pytest.fixture
def decoded() -> Iterator[list[str]]:
    """Tokens whose signatures were looked at."""
    seen: list[str] = []
    decode = jwt.decode

    def noted(token: str, *args: object, **options: object) -> object:
        seen.append(token)
        return decode(token, *args, **options)  # type: ignore[arg-type]

    with patch("engine.identity.jwt.decode", noted):
        yield seen


def test_a_known_token_is_not_decoded_again(tokens: Tokens, decoded: list[str]) -> None:
    header = f"Bearer {tokens.issue(7, 'user')}"
    first = tokens.authenticate(header)
    assert tokens.authenticate(header) == first
    assert (first.user_id, len(decoded)) == (7, 1)


def test_it_expires_all_the_same(tokens: Tokens) -> None:
    header = f"Bearer {tokens.issue(7, 'user')}"
    principal = tokens.authenticate(header)
    assert principal.token is not None
    end_s = principal.token.expires_s
    with patch("engine.identity.time.time", lambda: end_s), patch("jwt.api_jwt.datetime") as clock:
        clock.now.return_value.timestamp.return_value = end_s
        with pytest.raises(Refused, match="not valid or has expired"):
            tokens.authenticate(header)


@pytest.mark.parametrize("spoilt", ["x", " ", "."])
def test_a_spoilt_token_is_refused_each_time(tokens: Tokens, spoilt: str) -> None:
    good = f"Bearer {tokens.issue(7, 'user')}"
    tokens.authenticate(good)
    wrong = good[:-4] + spoilt + good[-3:]
    for _ in range(2):
        with pytest.raises(Refused):
            tokens.authenticate(wrong)


def test_tokens_of_two_users_are_two(tokens: Tokens) -> None:
    headers = [f"Bearer {tokens.issue(user, 'user')}" for user in (7, 8)]
    for _ in range(2):
        assert [tokens.authenticate(header).user_id for header in headers] == [7, 8]


def test_memory_is_bounded(tokens: Tokens, decoded: list[str]) -> None:
    with patch.object(identity, "MOST_VERIFIED", 3):
        headers = [f"Bearer {tokens.issue(user, 'user')}" for user in range(1, 6)]
        for header in headers:
            tokens.authenticate(header)
        before = len(decoded)
        tokens.authenticate(headers[0])
    assert len(decoded) == before + 1
