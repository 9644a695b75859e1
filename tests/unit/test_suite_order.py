"""Which files begin first: each name is one of a file that there is."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_what_takes_long_is_there(pytestconfig: pytest.Config) -> None:
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py"))
    assert conftest is not None
    gone = [name for name in conftest.TAKE_LONG if not (ROOT / "tests" / name).is_file()]
    assert not gone, f"{gone}: give their new names in conftest.py, or remove them there"
    assert len(set(conftest.TAKE_LONG)) == len(conftest.TAKE_LONG)
