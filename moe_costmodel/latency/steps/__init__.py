"""Time and memory of whole steps: the layers where they stand, and the rest of the model."""
