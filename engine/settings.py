"""What one engine process is told by its environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from environment variables of the same names, upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: str
    """postgresql://user:password@host:port/database"""
    redis_url: str = ""
    """redis://host:port/database; empty: the engine runs without Redis."""
    redis_namespace: str = "assay"
    """First part of every Redis key, so that several engines can share one Redis."""
    engine_build: str = "hardened"
    engine_host: str = "127.0.0.1"
    engine_port: int = Field(default=8000, ge=1, le=65535)
    engine_pool_size: int = Field(default=10, ge=1, le=200)
    jwt_secret: str = ""
    """Signs tokens; at least 32 bytes for `authentication=jwt`."""
    jwt_previous_secrets: tuple[str, ...] = ()
    """What signed before `jwt_secret` did, and is still good for its tokens; a JSON list."""
    jwt_lifetime_s: int = Field(default=3600, ge=1)
    pin_pepper: str = ""
    """Under which PINs are hashed; at least 32 bytes where PINs are asked for. Keep it."""
    pin_lockout_s: int = Field(default=900, ge=1)
    """How long a PIN stays locked after five wrong tries."""
    operator_password: str = ""
    """When given, a user `operator` with the operator's role exists with this password."""
