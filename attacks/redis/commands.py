"""What is kept of the commands that pass: their names and first keys, never their values."""

from dataclasses import dataclass

from attacks.redis.resp import Command

CONNECTION_COMMANDS = frozenset(("AUTH", "CLIENT", "HELLO", "RESET", "SELECT", "QUIT"))
"""Between client and server about their connection: no part of what a request asks."""
STREAMING_COMMANDS = frozenset(
    ("MONITOR", "PSUBSCRIBE", "PSYNC", "SSUBSCRIBE", "SUBSCRIBE", "SYNC")
)
"""After one of these, replies no longer answer commands one by one."""
KEYLESS = CONNECTION_COMMANDS | {
    "ACL", "BGREWRITEAOF", "BGSAVE", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG", "DISCARD",
    "ECHO", "EXEC", "FLUSHALL", "FLUSHDB", "FUNCTION", "INFO", "KEYS", "LASTSAVE", "LATENCY",
    "MODULE", "MONITOR", "MULTI", "PING", "PSUBSCRIBE", "PUBLISH", "PUBSUB", "PUNSUBSCRIBE",
    "RANDOMKEY", "ROLE", "SAVE", "SCAN", "SCRIPT", "SHUTDOWN", "SLOWLOG", "SPUBLISH", "SSUBSCRIBE",
    "SUBSCRIBE", "SUNSUBSCRIBE", "SWAPDB", "TIME", "UNSUBSCRIBE", "UNWATCH", "WAIT",
}  # fmt: skip
KEY_AT = {
    "BITOP": 2, "BLMPOP": 3, "BZMPOP": 3, "EVAL": 3, "EVALSHA": 3, "EVALSHA_RO": 3, "EVAL_RO": 3,
    "FCALL": 3, "FCALL_RO": 3, "LMPOP": 2, "MEMORY": 2, "MIGRATE": 3, "OBJECT": 2, "SINTERCARD": 2,
    "XGROUP": 2, "XINFO": 2, "ZDIFF": 2, "ZINTER": 2, "ZINTERCARD": 2, "ZMPOP": 2, "ZUNION": 2,
}  # fmt: skip
"""Where the first key stands, in words from the name; 1 for every other command."""
READS_ONE = frozenset({
    "GET", "GETRANGE", "HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET", "LINDEX", "LLEN", "LRANGE",
    "PTTL", "SCARD", "SISMEMBER", "SMEMBERS", "STRLEN", "TTL", "TYPE", "ZCARD", "ZRANGE", "ZRANK",
    "ZSCORE",
})  # fmt: skip
READS_ALL = frozenset({"EXISTS", "MGET"})
CHANGES_ONE = frozenset({
    "APPEND", "DECR", "DECRBY", "EXPIRE", "EXPIREAT", "GETDEL", "GETEX", "GETSET", "HDEL",
    "HINCRBY", "HMSET", "HSET", "HSETNX", "INCR", "INCRBY", "INCRBYFLOAT", "LPOP", "LPUSH", "LREM",
    "LSET", "LTRIM", "PERSIST", "PEXPIRE", "PSETEX", "RPOP", "RPUSH", "SADD", "SET", "SETEX",
    "SETNX", "SPOP", "SREM", "ZADD", "ZINCRBY", "ZREM", "ZREMRANGEBYSCORE",
})  # fmt: skip
CHANGES_ALL = frozenset({"DEL", "UNLINK"})
"""Commands that touch their first key alone, or all that follow. Of every other one, and of
scripts above all (they may well touch what they do not declare), nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One command that the service sent."""

    number: int
    """Counted over all connections, from 1."""
    connection: int
    name: str
    key: str
    """Its first key; empty without one."""
    masked: tuple[str, ...]
    """Every further word as its length: a value may be a secret."""
    keys: frozenset[str] | None = None
    """All that it touches; None when that is not known."""
    changes: bool = True
    """Whether it may do more than read."""

    @property
    def of_the_connection(self) -> bool:
        """Belongs to opening a connection, not to what is asked over it."""
        return self.name in CONNECTION_COMMANDS


def seen(command: Command, *, number: int, connection: int) -> Seen:
    key_at = _key_at(command)
    return Seen(
        number=number,
        connection=connection,
        name=command.name,
        key=command.words[key_at].decode("utf-8", "backslashreplace") if key_at else "",
        masked=tuple(
            f"<{len(word)} bytes>"
            for position, word in enumerate(command.words)
            if position not in (0, key_at)
        ),
        keys=_keys(command),
        changes=command.name not in READS_ONE | READS_ALL,
    )


def _keys(command: Command) -> frozenset[str] | None:
    if command.name in READS_ONE | CHANGES_ONE:
        words = command.words[1:2]
    elif command.name in READS_ALL | CHANGES_ALL:
        words = command.words[1:]
    else:
        return None
    return frozenset(word.decode("utf-8", "backslashreplace") for word in words)


def streams(command: Command) -> bool:
    """Whether replies after it cannot be matched with commands any more."""
    if command.name == "CLIENT":
        return [word.upper() for word in command.words[1:2]] == [b"REPLY"]
    return command.name in STREAMING_COMMANDS


def _key_at(command: Command) -> int:
    """0 without a key."""
    if command.name in KEYLESS:
        return 0
    position = KEY_AT.get(command.name, 1)
    if command.name in ("XREAD", "XREADGROUP"):
        upper = [word.upper() for word in command.words]
        position = upper.index(b"STREAMS") + 1 if b"STREAMS" in upper else 0
    return position if position < len(command.words) else 0
