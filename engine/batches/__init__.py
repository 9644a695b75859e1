"""Batch payouts: a file of rows, each a transfer of its own that happens once."""
