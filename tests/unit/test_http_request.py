"""What a status means when nobody knows the service better."""

import httpx
import pytest

from attacks.history import Outcome
from attacks.http.request import definite


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (201, "ok"), (302, "ok"), (400, "failed"), (499, "failed"), (500, "unknown")],
)
def test_a_server_error_says_nothing_about_what_happened(status: int, outcome: Outcome) -> None:
    reply = definite(httpx.Response(status))
    assert (reply.outcome, reply.answer) == (outcome, str(status))
