"""Passwords are kept as argon2id (RFC 9106), which takes its time on purpose."""

from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

Hashing = Literal["full", "least"]
# OWASP's smallest argon2id: many sign-ups at once must not eat the memory.
FULL = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
LEAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Passwords:
    """Hashes new passwords with `full` or with `least` effort, and checks those of either."""

    def __init__(self, hashing: Hashing) -> None:
        self._hasher = FULL if hashing == "full" else LEAST

    def hashed(self, password: str) -> str:
        return self._hasher.hash(password)

    def fits(self, password_hash: str | None, password: str) -> bool:
        if password_hash is None:
            self.hashed(password)  # As much time as a password takes: the clock tells no names.
            return False
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return False  # Anything else, such as too little memory, says nothing of the password.
