"""Features of designs for learned models."""
