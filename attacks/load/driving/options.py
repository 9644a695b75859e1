"""What a load can be told on Locust's command line, in its web UI and by LOCUST_… variables."""

import argparse
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

from attacks.load.pace import PEAK, PERIOD_S, Name, Profile, profile_of

EVERYTHING = "all"
MOST_TPS = 100_000.0
MOST_WALLETS = 100_000
MOST_PERIOD_S = 86_400.0
MOST_PEAK = 1000.0
OWN_WALLETS = 50
PATIENCE_S = 10.0


def add_options(parser: Any, mixes: Sequence[str]) -> None:
    """`mixes` are the names that `--mix` takes."""
    pace = parser.add_argument
    pace(
        "--tps",
        type=_number(0, MOST_TPS),
        default=0.0,
        metavar="<number>",
        help="Requests that are due each second, whatever the service does (an open loop); "
        "0: each user asks again when it was answered",
        env_var="LOCUST_TPS",
    )
    pace(
        "--tps-profile",
        choices=get_args(Name),
        default="constant",
        help="constant; ramp: rises for a period from a tenth, then stays; "
        "spike: times the peak in the last sixth of each period",
        env_var="LOCUST_TPS_PROFILE",
    )
    pace(
        "--tps-period-s",
        type=_number(1, MOST_PERIOD_S),
        default=PERIOD_S,
        metavar="<seconds>",
        help="How long a ramp rises; how often a spike comes",
        env_var="LOCUST_TPS_PERIOD_S",
    )
    pace(
        "--tps-peak",
        type=_number(1, MOST_PEAK),
        default=PEAK,
        metavar="<factor>",
        help="How many times --tps a spike is",
        env_var="LOCUST_TPS_PEAK",
    )
    pace(
        "--wallets",
        type=_whole(2, MOST_WALLETS),
        default=OWN_WALLETS,
        metavar="<number>",
        help="Wallets that are opened beforehand where no plan names any",
        env_var="LOCUST_WALLETS",
    )
    pace(
        "--mix",
        type=_mix_of(mixes),
        default=EVERYTHING,
        metavar="<names>",
        help=f"Which customers come, separated by commas: {', '.join(mixes)}, or {EVERYTHING}",
        include_in_web_ui=False,
        env_var="LOCUST_MIX",
    )
    _add_hosts(parser)


def _add_hosts(parser: Any) -> None:
    add = parser.add_argument
    add(
        "--allow-remote",
        action="append",
        metavar="<host name>",
        help="Load may go to this host too, which you may load; without it: loopback only",
        include_in_web_ui=False,
        env_var="LOCUST_ALLOW_REMOTE",
    )
    add(
        "--also-host",
        action="append",
        metavar="<URL>",
        help="One more process of the same service, beside --host: requests go to all of them in "
        "turn, as from a balancer; may be given again",
        include_in_web_ui=False,
        env_var="LOCUST_ALSO_HOST",
    )
    add(
        "--patience-s",
        type=_number(0, 86_400),
        default=PATIENCE_S,
        metavar="<seconds>",
        help="How long nobody may answer before the load ends",
        include_in_web_ui=False,
        env_var="LOCUST_PATIENCE_S",
    )


def listen_at_home(parser: Any) -> None:
    """Locust's master listens on every interface, and whoever connects may ask for its plan."""
    parser.set_defaults(master_bind_host="127.0.0.1")


class OptionError(Exception):
    """One clear line: the web UI lets anything through."""


def profile_in(options: Any) -> Profile | None:
    """None: as fast as answers come. Raises OptionError."""
    try:
        _number(0, MOST_TPS)(str(options.tps))
        _number(1, MOST_PERIOD_S)(str(options.tps_period_s))
        _number(1, MOST_PEAK)(str(options.tps_peak))
        _whole(2, MOST_WALLETS)(str(options.wallets))
    except argparse.ArgumentTypeError as error:
        raise OptionError(str(error)) from error
    if options.tps_profile not in get_args(Name):
        raise OptionError(f"no profile is called {options.tps_profile!r}")
    return profile_of(
        options.tps_profile,
        tps=float(options.tps),
        period_s=float(options.tps_period_s),
        peak=float(options.tps_peak),
    )


def hosts_of(host: str | None, options: Any) -> tuple[str, ...]:
    """Where the load goes, in turn."""
    return (host or "", *(options.also_host or ()))


def why_not_to(hosts: Sequence[str], allowed: Sequence[str]) -> str:
    """Why no load goes to all of them; empty where it may."""
    return next(filter(None, (why_not(host, allowed) for host in hosts)), "")


def why_not(host: str, allowed: Sequence[str]) -> str:
    """Why no load goes there; empty where it may."""
    parts = urlsplit(host)
    name = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not name:
        return f"{host!r} is no address of a service: write --host http://127.0.0.1:8000"
    if is_loopback(host) or name in [one.lower() for one in allowed]:
        return ""
    return (
        f"{host} is not a loopback address: load stays at home "
        f"(--allow-remote {name} if you may load it)"
    )


def is_loopback(host: str) -> bool:
    name = urlsplit(host).hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least:g} to {most:g}")
        return value

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text) if text.isdecimal() else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return value

    return whole


def _mix_of(mixes: Sequence[str]) -> Callable[[str], str]:
    def mix(text: str) -> str:
        for name in text.split(","):
            if name not in (*mixes, EVERYTHING):
                raise argparse.ArgumentTypeError(
                    f"no mix is called {name!r}; there are: {', '.join((*mixes, EVERYTHING))}"
                )
        return text

    return mix
