"""Attacks over HTTP: requests released together, answers lost on their way."""
