"""Serving of a whole model on GPUs: parallelism, batch, copies, placement and gates jointly."""
