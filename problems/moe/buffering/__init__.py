"""Expert buffering: how many experts of each layer stay resident."""
