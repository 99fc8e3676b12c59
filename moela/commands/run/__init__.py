"""The `moela run` commands."""
