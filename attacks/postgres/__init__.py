"""Attacks over the database's wire."""
