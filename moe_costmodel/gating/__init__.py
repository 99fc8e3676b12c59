"""Gate rules and what they cost in quality."""
