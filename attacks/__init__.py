"""Ways to hurt a service through its surfaces: HTTP, PostgreSQL, Redis, process.

Attacks act and record; they never judge, and they do not know whose service it is.
"""
