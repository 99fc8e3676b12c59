"""Evaluation of designs: parallel, durable, and resumable, for any pymoo algorithm."""
