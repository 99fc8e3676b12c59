"""Experts that do not fit: misses computed in slow memory, and rationed uploads."""
