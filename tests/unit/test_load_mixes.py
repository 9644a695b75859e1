"""What may be asked for on the command line is what the locustfile has."""

import re
from pathlib import Path

from scenarios.loading.command import MIXES

LOCUSTFILE = Path(__file__).parents[2] / "locustfile.py"


def test_the_mixes_are_those_of_the_locustfile() -> None:
    found = re.findall(r'^    mix = "(\w+)"$', LOCUSTFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert (*found, "all") == MIXES
