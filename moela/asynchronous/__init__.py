"""Runs whose workers never wait: a design is asked for as soon as a worker is free."""
