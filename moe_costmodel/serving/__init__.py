"""A serving system at the level of requests: arrivals, a scheduler, and its steps."""
