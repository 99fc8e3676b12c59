"""Gate rules and their effect on quality."""
