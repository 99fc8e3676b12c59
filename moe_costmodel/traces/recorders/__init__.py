"""Readers of routing that other programs record, and a client that asks a server for it."""
