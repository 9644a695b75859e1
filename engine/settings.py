"""What one engine process is told by its environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.passwords import Hashing


class Settings(BaseSettings):
    """Read from environment variables of the same names, upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: str
    """postgresql://user:password@host:port/database"""
    redis_url: str = ""
    """redis://host:port/database; empty: the engine runs without Redis."""
    redis_call_timeout_ms: int = Field(default=50, ge=1)
    """What one call may take before Redis counts as away (`redis_policy=bounded`)."""
    redis_cool_down_ms: int = Field(default=500, ge=1)
    """How long nobody asks Redis after a call that failed (`redis_policy=bounded`)."""
    redis_namespace: str = "assay"
    """First part of every Redis key, so that several engines can share one Redis."""
    engine_build: str = "hardened"
    engine_host: str = "127.0.0.1"
    engine_port: int = Field(default=8000, ge=1, le=65535)
    engine_port_reserved: bool = False
    """Whoever starts the engine holds its port for it (SO_REUSEPORT)."""
    engine_workers: int = Field(default=1, ge=1, le=64)
    """Processes behind the port."""
    engine_worker: int = Field(default=0, ge=0)
    """Which of them this is: told by the one that starts them."""
    access_log: bool = False
    """A line for each request."""
    metrics_folder: str = ""
    """Where several workers count; told by the one that starts them."""
    metrics_token: str = Field(default="", repr=False)
    """Whoever asks for `/metrics` from another machine has to send it; empty: nobody may."""
    shutdown_within_s: float = Field(default=8, gt=0)
    """How long requests and rows under way may take when the engine is told to end."""
    engine_pool_size: int | None = Field(default=None, ge=1, le=200)
    """Connections of this process; None: as many as the build usually has."""
    connect_timeout_s: int = Field(default=3, ge=1)
    """This and the next five bound waits where `timeouts=on`; otherwise nothing does."""
    pool_timeout_s: float = Field(default=2, gt=0)
    lock_timeout_ms: int = Field(default=5_000, ge=1)
    statement_timeout_ms: int = Field(default=10_000, ge=1)
    idle_in_transaction_timeout_ms: int = Field(default=15_000, ge=1)
    request_deadline_s: float = Field(default=20, gt=0)
    jwt_secret: str = ""
    """Signs tokens; at least 32 bytes for `authentication=jwt`."""
    jwt_previous_secrets: tuple[str, ...] = ()
    """What signed before `jwt_secret` did, and is still good for its tokens; a JSON list."""
    jwt_lifetime_s: int = Field(default=3600, ge=1)
    rate_limit_requests: int = Field(default=20_000, ge=1)
    """How many requests one caller may send in any `rate_limit_window_s`."""
    rate_limit_window_s: int = Field(default=10, ge=1)
    rate_limit_sensitive_requests: int = Field(default=30, ge=1)
    """How many log-ins of one name in any `rate_limit_sensitive_window_s`."""
    rate_limit_sensitive_window_s: int = Field(default=60, ge=1)
    pin_pepper: str = ""
    """Under which PINs are hashed; at least 32 bytes where PINs are asked for. Keep it."""
    pin_lockout_s: int = Field(default=900, ge=1)
    """How long a PIN stays locked after five wrong tries."""
    credential_hashing: Hashing = "full"
    """`least` where passwords protect nothing, such as under a load whose users are made up."""
    operator_password: str = ""
    """When given, a user `operator` with the operator's role exists with this password."""
