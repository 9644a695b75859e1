"""Needs that several claims about access share."""

from scenarios.needs import all_of, switch

OWNERS_ARE_ASKED = all_of(
    switch("authorization", "owner"),
    # Where nobody has to say who they are there is nobody to compare an owner with.
    switch("authentication", "weak", "jwt"),
)
PINS_ARE_ASKED = switch("authentication", "weak", "jwt")
