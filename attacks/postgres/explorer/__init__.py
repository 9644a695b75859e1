"""Forcing every order of the statements of racing requests, without knowing the service."""
