"""Signs of life of long work: a line or a moving bar at least every minute."""
