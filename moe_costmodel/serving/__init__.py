"""A serving system at the level of requests: arrivals, a scheduler, and the steps that it composes."""
