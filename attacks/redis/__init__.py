"""Attacks on the way to Redis."""
