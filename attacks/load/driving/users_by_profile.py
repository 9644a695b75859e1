"""The number of users follows `--tps-profile` too: a second locustfile, beside the first.

    locust -f locustfile.py,attacks/load/driving/users_by_profile.py -u 100 -t 5m --tps-profile ramp

Locust uses a shape wherever it finds one, so this one is not in the locustfile itself. `--users`
are those of the constant rate; a spike brings `--tps-peak` times as many.
"""

import math
from typing import Any

from locust import LoadTestShape

from attacks.load.pace import profile_of


class UsersByProfile(LoadTestShape):
    """Reads --users, --spawn-rate and --run-time as they are given."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        runner: Any = self.runner
        options = runner.environment.parsed_options
        at_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        if options.run_time and at_s > options.run_time:
            return None
        profile = profile_of(
            options.tps_profile,
            tps=float(options.num_users or 1),
            period_s=float(options.tps_period_s),
            peak=float(options.tps_peak),
        )
        users = math.ceil(profile.piece(at_s).rate) if profile else 0
        return users, float(options.spawn_rate or users or 1)
