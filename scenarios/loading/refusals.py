"""Why there is no load."""


class LoadRefused(Exception):  # noqa: N818 - refused before anything was started
    """What was asked for cannot be had. One clear line."""


class LoadFailed(Exception):  # noqa: N818 - the load failed; nothing is said of the service
    """There was no load, so nothing can be said. One clear line."""
