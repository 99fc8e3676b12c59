"""The SQLite store of evaluations: writing it, reading it, and its keys."""
