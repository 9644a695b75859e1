"""Which customers come: by `--mix`, by tags, and by what the plan's requests can do."""

from collections.abc import Collection, Sequence
from typing import Any

from attacks.load.driving.customer import Customer
from attacks.load.driving.options import EVERYTHING


def who_comes(users: Sequence[type], options: Any, kinds: Collection[str]) -> list[type]:
    """`kinds` are the requests of the plan; none yet: all. Users of another file come as well."""
    return [
        user for user in users if not issubclass(user, Customer) or _comes(user, options, kinds)
    ]


def _comes(user: type[Customer], options: Any, kinds: Collection[str]) -> bool:
    names = options.mix.split(",")
    is_asked_for = EVERYTHING in names or user.mix in names
    has_requests = not kinds or all(need in kinds for need in user.needs)
    return is_asked_for and has_requests and _has_tasks(user, options)


def _has_tasks(user: type[Customer], options: Any) -> bool:
    wanted, unwanted = set(options.tags or ()), set(options.exclude_tags or ())
    tags: list[set[str]] = [getattr(task, "locust_tag_set", set()) for task in user.tasks]
    return any((not wanted or tags & wanted) and not tags & unwanted for tags in tags)
