"""The SQLite store of evaluations: writing, reading, and keys of designs."""
