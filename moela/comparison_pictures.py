"""The pictures of a comparison, drawn by moela.plots."""

from __future__ import annotations


class Pictures:
    """What `Comparison` draws."""
