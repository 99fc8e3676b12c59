"""Sizes of whole models, read from their config.json."""
