"""How passwords are kept, and that both efforts can be told apart and read by each other."""

import pytest

from engine.passwords import Hashing, Passwords
from engine.process import EngineConfig
from engine.settings import Settings


@pytest.mark.parametrize(("hashing", "says"), [("full", "m=19456,t=2,p=1"), ("least", "m=8,t=1")])
def test_a_password_is_kept_as_argon2id(hashing: Hashing, says: str) -> None:
    kept = Passwords(hashing).hashed("correct horse")
    assert kept.startswith(f"$argon2id$v=19${says}")
    assert "horse" not in kept


@pytest.mark.parametrize("hashing", ["full", "least"])
def test_either_checks_what_the_other_kept(hashing: Hashing) -> None:
    for other in (Passwords("full"), Passwords("least")):
        kept = other.hashed("correct horse")
        assert Passwords(hashing).fits(kept, "correct horse")
        assert not Passwords(hashing).fits(kept, "battery staple")
    assert not Passwords(hashing).fits(None, "correct horse")
    assert not Passwords(hashing).fits("no hash at all", "correct horse")


def test_an_engine_that_people_start_takes_its_time() -> None:
    settings = Settings(database_url="")
    assert settings.credential_hashing == "full"
    assert EngineConfig.__dataclass_fields__["credential_hashing"].default == "least"
